package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/rego"
)

// TestEveryRecordedInputIsAsItsSchemaSays asks for everything that can be asked
// for, lets it be judged, and holds what was judged against the schema that
// authors of rules check theirs with.
func TestEveryRecordedInputIsAsItsSchemaSays(t *testing.T) {
	s := start(t, t.TempDir())
	s.doEverything()

	schemas := map[string]*jsonschema.Schema{}
	for _, action := range policy.Actions() {
		schemas[string(action)] = inputSchema(t, string(action))
	}
	seen := map[string]int{}
	eventually(t, "every action is on record", func() bool {
		clear(seen)
		for _, rec := range s.decisions() {
			seen[rec.Action]++
		}
		for _, action := range policy.Actions() {
			// There is no page yet that anybody logs in to.
			if seen[string(action)] == 0 && action != policy.SessionLogin {
				return false
			}
		}
		return true
	})
	for _, rec := range s.decisions() {
		status, body := s.get("/api/v1/decisions/"+rec.ID, "admin", adminPassword)
		var whole struct{ Input json.RawMessage }
		if err := json.Unmarshal([]byte(body), &whole); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		input, err := jsonschema.UnmarshalJSON(strings.NewReader(string(whole.Input)))
		if err != nil {
			t.Fatalf("decision %s of %s has no input: %v", rec.ID, rec.Action, err)
		}
		if err := schemas[rec.Action].Validate(input); err != nil {
			t.Errorf("%s (%s, %s): %v", rec.Action, rec.Purpose, rec.Verdict, err)
		}
	}
	t.Logf("%v", seen)
}

type decisionLine struct{ ID, Action, Purpose, Verdict string }

func (s *server) decisions() []decisionLine {
	s.t.Helper()
	status, body := s.get("/api/v1/decisions?limit=1000", "admin", adminPassword)
	var out []decisionLine
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != http.StatusOK {
		s.t.Fatalf("%d %s", status, body)
	}
	return out
}

func inputSchema(t *testing.T, action string) *jsonschema.Schema {
	t.Helper()
	name := "schemas/input/" + action + ".jsonschema"
	f, err := rego.FS.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// doEverything asks for each action at least once, allowed and denied, with
// every kind of content that there is.
func (s *server) doEverything() {
	t := s.t
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.must("project", "create", "red", "--label", "tier=prod", "--owner", "team")
	s.must("project", "create", "blue", "--public")
	if _, err := s.cli("a-long-password\n", "user", "add", "eve", "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	s.must("waiver", "add", "image.root_user", "--project", "red", "--expires", "72h", "--term", "x")
	s.must("project", "set", "red", "--pack", "image=warn")

	img := image(t)
	ok(remote.Write(s.ref("red/app:1"), img, asAdmin))
	dgst, err := img.Digest()
	ok(err)
	layers, err := img.Layers()
	ok(err)
	layer, err := layers[0].Digest()
	ok(err)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
		Platform: &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"},
	}})
	ok(remote.WriteIndex(s.ref("red/app:index"), mutate.IndexMediaType(index, types.OCIImageIndex), asAdmin))
	desc, err := remote.Head(s.ref("red/app:1"), asAdmin)
	ok(err)
	signature := mutate.Subject(mutate.Annotations(image(t), map[string]string{"org.opencontainers.image.base.name": "debian:12"}).(v1.Image), *desc).(v1.Image)
	ok(remote.Write(s.ref("red/app:sig"), signature, asAdmin))
	pulled, err := remote.Image(s.ref("red/app:1"), asAdmin)
	ok(err)
	_, err = pulled.RawConfigFile()
	ok(err)
	s.upload("red/app", digest.SHA512.FromString("by another name"), []byte("by another name"))

	ask := func(method, path, contentType string, body []byte) *http.Response {
		return s.send(method, path, contentType, body)
	}
	mounted := ask(http.MethodPost, fmt.Sprintf("/v2/red/other/blobs/uploads/?mount=%s&from=red/app", layer), "", nil)
	if mounted.StatusCode != http.StatusCreated {
		t.Fatalf("a mount is answered %s", mounted.Status)
	}
	session, err := ask(http.MethodPost, "/v2/red/app/blobs/uploads/", "", nil).Location()
	ok(err)
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "/v2/"}, {http.MethodGet, "/v2/_catalog"}, {http.MethodGet, "/v2/red/app/tags/list"},
		{http.MethodGet, "/v2/red/app/referrers/" + dgst.String()}, {http.MethodGet, "/v2/red/app/referrers/" + dgst.String() + "?artifactType=x/y"},
		{http.MethodHead, "/v2/red/app/blobs/" + layer.String()}, {http.MethodGet, "/v2/red/app/manifests/gone"},
		{http.MethodGet, "/v2/red/app/blobs/" + digest.FromString("gone").String()},
		{http.MethodGet, session.String()}, {http.MethodDelete, session.String()},
		{http.MethodDelete, "/v2/red/other/blobs/" + layer.String()}, {http.MethodDelete, "/v2/red/app/manifests/sig"},
		{http.MethodDelete, "/v2/red/app/manifests/gone"}, {http.MethodDelete, "/v2/red/app/manifests/" + dgst.String()},
	} {
		ask(c.method, c.path, "", nil)
	}
	ask(http.MethodPut, "/v2/red/app/manifests/bad", "application/json", []byte("{}")) // judged before its body is read
	// Denials, of somebody who has an account and nothing else, and of nobody.
	for _, user := range []string{"eve", ""} {
		for _, path := range []string{
			"/v2/", "/v2/_catalog", "/v2/red/app/manifests/1", "/v2/red/app/tags/list", "/v2/blue/app/manifests/1",
			"/token?service=x", "/token?scope=repository:red/app:pull,push&scope=registry:catalog:*&scope=repository:gone/app:pull",
			"/api/v1/projects/red", "/api/v1/users", "/api/v1/decisions?subject=eve&issuer=local", "/api/v1/decisions?project=red",
		} {
			s.get(path, user, "a-long-password")
		}
	}
	s.must("member", "add", "red", "eve", "guest")
	s.must("member", "remove", "red", "eve")
	s.must("decisions", "tail")
}
