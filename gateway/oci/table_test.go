package oci

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

func TestEveryRouteHasAnActionAndAHandler(t *testing.T) {
	for _, op := range ociroute.Table() {
		if !slices.Contains(policy.Actions(), policy.Action(op.Action)) {
			t.Errorf("%s %s has the action %q, which no policy knows", op.Method, op.Pattern, op.Action)
		}
		if handler(op.Kind, op.Method) == nil {
			t.Errorf("%s %s has no handler", op.Method, op.Pattern)
		}
	}
}

// unread fails when somebody reads a body that nobody decided about.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before the decision")
	return 0, io.EOF
}

// target fills a row's pattern with what exists in the bench.
func target(op ociroute.Operation, b *bench, blob, image digest.Digest) string {
	d := string(image)
	if op.Kind == ociroute.Blob || op.Kind == ociroute.Mounts {
		d = string(blob)
	}
	c := &call{caller: alice, repo: policy.Repository{Workspace: policy.DefaultWorkspace, Name: "p/a"}}
	path := strings.NewReplacer("<name>", "p/a", "<digest>", d, "<tag>", "v1", "<id>", "u1").Replace(op.Pattern)
	switch op.Kind {
	case ociroute.Mounts:
		path += "&from=p/b"
	case ociroute.Upload:
		path += "?_state=" + b.sessions.state(c, "u1") + "&digest=" + d
	case ociroute.Uploads:
		path += "?digest=" + d
	}
	return path
}

func TestNothingHappensWithoutADecision(t *testing.T) {
	for _, op := range ociroute.Table() {
		for sentence, decision := range map[string]policy.Decision{"denied": no, "denied and hidden": hidden, "the zero decision": {}} {
			t.Run(op.Method+" "+op.Pattern+" "+sentence, func(t *testing.T) {
				b := newBench(t, Limits{})
				layer := b.blob("p/a", "layer")
				image, body := b.image("p/a", "v1", "", layer)
				b.judge = func(policy.Request) policy.Decision { return decision }
				b.asked = nil
				var got answer
				writes := b.countWrites(t, func() {
					got = b.do(alice, op.Method, target(op, b, layer.Digest, image), unread{t})
				})
				if writes != 0 {
					t.Errorf("%d writes", writes)
				}
				if len(b.asked) == 0 {
					t.Error("nobody was asked")
				}
				if got.Code < 400 {
					t.Errorf("%d %s", got.Code, got.Body)
				}
				if strings.Contains(got.Body.String(), "layer") || got.Body.String() == body {
					t.Errorf("content left: %s", got.Body)
				}
				if decision.ID == hidden.ID && op.Kind != ociroute.Ping && op.Kind != ociroute.Catalog && op.Method != http.MethodHead && got.code() != "NAME_UNKNOWN" {
					t.Errorf("hidden is told as %s", got.Body)
				}
			})
		}
	}
}

func TestAnOutageIsNeitherAllowNorDeny(t *testing.T) {
	for _, op := range ociroute.Table() {
		b := newBench(t, Limits{})
		layer := b.blob("p/a", "layer")
		image, _ := b.image("p/a", "v1", "", layer)
		b.gate = gateFunc(func(policy.Request) (policy.Decision, error) {
			return policy.Decision{}, policy.ErrUnavailable
		})
		got := b.do(alice, op.Method, target(op, b, layer.Digest, image), unread{t})
		if got.Code != 503 || got.Header().Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %v", op.Method, op.Pattern, got.Code, got.Header())
		}
	}
}

func TestATokenReachesAsFarAsItsScopes(t *testing.T) {
	want := map[policy.Action]string{
		policy.ManifestPull: "pull", policy.BlobPull: "pull", policy.TagsList: "pull", policy.ReferrersList: "pull",
		policy.ManifestPush: "push", policy.BlobPush: "push", policy.BlobMount: "push", policy.UploadStatus: "push", policy.UploadCancel: "push",
		policy.ManifestDelete: "delete", policy.TagDelete: "delete", policy.BlobDelete: "delete",
	}
	for _, op := range ociroute.Table() {
		if op.Kind == ociroute.Ping {
			continue
		}
		for _, has := range []string{"pull", "push", "delete", ""} {
			b := newBench(t, Limits{})
			layer := b.blob("p/a", "layer")
			image, _ := b.image("p/a", "v1", "", layer)
			b.asked = nil
			caller := with(alice, "p/a", has)
			caller.Scopes = append(caller.Scopes, policy.Scope{Type: "repository", Name: "p", Actions: []string{"*"}},
				policy.Scope{Type: "repository", Name: "p/a/b", Actions: []string{"*"}},
				policy.Scope{Type: "repository", Name: "p/b", Actions: []string{"pull"}}) // where the mount is from
			got := b.do(caller, op.Method, target(op, b, layer.Digest, image), nothing())
			enough := has != "" && want[policy.Action(op.Action)] == has
			if enough == (got.Code == 401) {
				t.Errorf("%s %s with %q: %d %s", op.Method, op.Pattern, has, got.Code, got.Body)
			}
			if !enough && len(b.asked) > 0 {
				t.Errorf("%s %s with %q: somebody was asked", op.Method, op.Pattern, has)
			}
		}
	}
}

func TestAnonymousIsAskedWhoItIs(t *testing.T) {
	b := newBench(t, Limits{})
	b.image("p/a", "v1", "")
	cases := []struct {
		sentence, path string
		decision       policy.Decision
		status         int
	}{
		{"a hidden repository", "/v2/p/a/manifests/v1", hidden, 401},
		{"a hidden tag that is not there", "/v2/p/a/manifests/v2", hidden, 401},
		{"a repository that is not there", "/v2/q/a/manifests/v2", hidden, 401},
		{"a public one and a right that is missing", "/v2/p/a/tags/list", notYou, 401},
		{"a public one and content that is not fit", "/v2/p/a/manifests/v1", no, 403},
		{"a public one and a tag that is not there", "/v2/p/a/manifests/v2", notYou, 404},
		{"the root", "/v2/", hidden, 401},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			b.judge = func(policy.Request) policy.Decision { return c.decision }
			got := b.do(anonymous, "GET", c.path, nothing())
			if got.Code != c.status {
				t.Fatalf("%d %s", got.Code, got.Body)
			}
		})
	}
}

func TestAnAnonymousTokenThatReachesIsNotCalledShort(t *testing.T) {
	b := newBench(t, Limits{})
	b.image("p/a", "v1", "")
	b.judge = func(policy.Request) policy.Decision { return notYou }
	got := b.do(with(anonymous, "p/a", "pull"), "GET", "/v2/p/a/tags/list", nothing())
	if got.Code != 401 || strings.Contains(got.Body.String(), "does not carry") {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
}

func TestHiddenAndAbsentAreTheSame(t *testing.T) {
	b := newBench(t, Limits{})
	layer := b.blob("p/a", "layer")
	image, _ := b.image("p/a", "v1", "", layer)
	b.judge = func(policy.Request) policy.Decision { return hidden }
	other := digest.FromString("nothing")
	for _, pair := range [][2]string{
		{"/v2/p/a/manifests/v1", "/v2/p/a/manifests/v2"},
		{"/v2/p/a/manifests/" + string(image), "/v2/p/a/manifests/" + string(other)},
		{"/v2/p/a/blobs/" + string(layer.Digest), "/v2/p/a/blobs/" + string(other)},
		{"/v2/p/a/tags/list", "/v2/p/b/tags/list"},
		{"/v2/p/a/referrers/" + string(image), "/v2/p/b/referrers/" + string(image)},
	} {
		there, absent := b.do(bob, "GET", pair[0], nothing()), b.do(bob, "GET", pair[1], nothing())
		if there.Code != absent.Code || there.Body.String() != absent.Body.String() {
			t.Errorf("%s: %d %s; %d %s", pair[0], there.Code, there.Body, absent.Code, absent.Body)
		}
	}
}

func TestNewRefusesHalfAConfiguration(t *testing.T) {
	whole := Config{
		Gate: gateFunc(nil), Engine: engine{}, Index: index{}, Projects: makerFunc(nil), Secret: make([]byte, 32),
	}
	if _, err := New(whole); err != nil {
		t.Fatal(err)
	}
	for sentence, change := range map[string]func(*Config){
		"no gate":        func(c *Config) { c.Gate = nil },
		"no engine":      func(c *Config) { c.Engine = nil },
		"no index":       func(c *Config) { c.Index = nil },
		"no projects":    func(c *Config) { c.Projects = nil },
		"a short secret": func(c *Config) { c.Secret = make([]byte, 31) },
		"an odd denial":  func(c *Config) { c.HeadDenial = 200 },
	} {
		cfg := whole
		change(&cfg)
		if _, err := New(cfg); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}
