package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
)

const (
	tarType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	configType = "application/vnd.oci.image.config.v1+json"
	signType   = "application/vnd.dev.cosign.simplesigning.v1+json"
)

type gateFunc func(policy.Request) (policy.Decision, error)

func (f gateFunc) Admit(_ context.Context, r policy.Request) (policy.Decision, error) { return f(r) }

type makerFunc func(project string) error

func (f makerFunc) EnsureProject(_ context.Context, _ authn.Caller, _, project string) error {
	return f(project)
}

var (
	yes    = policy.Decision{ID: "D1", Verdict: policy.Allow, Visible: true}
	no     = policy.Decision{ID: "D2", Visible: true, Deny: []policy.Reason{{Code: "test.no", Pack: "test", Message: "no"}}}
	notYou = policy.Decision{ID: "D3", Visible: true, Deny: []policy.Reason{{Code: "rbac.role", Pack: "rbac", Message: "not you"}}}
	hidden = policy.Decision{ID: "D4", Deny: []policy.Reason{{Code: "rbac.role", Pack: "rbac", Message: "not you"}}}
)

// bench is a protocol over a store in memory, with a gate that a test writes.
type bench struct {
	t *testing.T
	*store
	*Protocol
	asked []policy.Request
	judge func(policy.Request) policy.Decision
	made  []string
	make  func(project string) error
	// sparse is the setting from the next restart on.
	sparse bool
}

func newBench(t *testing.T, limits Limits) *bench {
	t.Helper()
	b := &bench{t: t, store: newStore()}
	b.judge = func(policy.Request) policy.Decision { return yes }
	b.make = func(string) error { return nil }
	b.restart(limits)
	return b
}

// restart makes a new protocol over the same store, as a new process would.
func (b *bench) restart(limits Limits) {
	b.t.Helper()
	p, err := New(Config{
		Gate: gateFunc(func(r policy.Request) (policy.Decision, error) {
			b.asked = append(b.asked, r)
			return b.judge(r), nil
		}),
		Engine: engine{b.store}, Index: index{b.store}, Limits: limits, Secret: []byte(strings.Repeat("s", 32)),
		Sparse: b.sparse,
		Projects: makerFunc(func(project string) error {
			defer b.lock()()
			b.made = append(b.made, project)
			return b.make(project)
		}),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Protocol = p
}

var (
	alice     = authn.Caller{Principal: policy.Principal{Issuer: "local", ID: "alice", Kind: policy.KindUser}}
	bob       = authn.Caller{Principal: policy.Principal{Issuer: "local", ID: "bob", Kind: policy.KindUser}}
	anonymous = authn.Caller{}
)

// with is the caller by a token that carries actions on a repository.
func with(c authn.Caller, repo string, actions ...string) authn.Caller {
	c.Scoped = true
	c.Scopes = append(c.Scopes, policy.Scope{Type: "repository", Name: repo, Actions: actions})
	return c
}

type answer struct {
	*httptest.ResponseRecorder
	err error
}

func (a answer) code() string {
	var doc struct {
		Errors []struct{ Code string }
	}
	if json.Unmarshal(a.Body.Bytes(), &doc) != nil || len(doc.Errors) != 1 {
		return ""
	}
	return doc.Errors[0].Code
}

// do sends one request; header is "Key: value" lines.
func (b *bench) do(c authn.Caller, method, target string, body io.Reader, header ...string) answer {
	b.t.Helper()
	r := httptest.NewRequest(method, target, body)
	for _, line := range header {
		key, value, _ := strings.Cut(line, ": ")
		r.Header.Set(key, value)
	}
	w := httptest.NewRecorder()
	err := b.Serve(w, r, c)
	if err != nil {
		errcode.Write(w, r, err)
	}
	return answer{w, err}
}

func (b *bench) want(a answer, status int) answer {
	b.t.Helper()
	if a.Code != status {
		b.t.Fatalf("got %d, want %d: %s %v", a.Code, status, a.Body, a.err)
	}
	return a
}

// blob pushes a blob in one request.
func (b *bench) blob(repo, content string) policy.Descriptor {
	b.t.Helper()
	d := digest.FromString(content)
	b.want(b.do(alice, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(d), strings.NewReader(content)), 201)
	return policy.Descriptor{Digest: d, Size: int64(len(content)), MediaType: tarType}
}

// image pushes a manifest of these layers under a tag and returns its digest.
func (b *bench) image(repo, tag, extra string, layers ...policy.Descriptor) (digest.Digest, string) {
	b.t.Helper()
	config := b.blob(repo, `{"os":"linux","config":{"User":"1000"}}`)
	config.MediaType = configType
	body := manifestOf(config, extra, layers...)
	b.want(b.do(alice, "PUT", "/v2/"+repo+"/manifests/"+tag, strings.NewReader(body), "Content-Type: "+manifest.OCIManifest), 201)
	return digest.FromString(body), body
}

func manifestOf(config policy.Descriptor, extra string, layers ...policy.Descriptor) string {
	list, err := json.Marshal(append([]policy.Descriptor{}, layers...))
	if err != nil {
		panic(err)
	}
	conf, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":%s%s}`, manifest.OCIManifest, conf, list, extra)
}

func nothing() io.Reader { return http.NoBody }
