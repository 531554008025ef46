package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// The people of the tests. Alice develops in the project team, Bob may only pull
// from it, Carol is nobody there.
const (
	team     = "team"
	alice    = "alice"
	bob      = "bob"
	carol    = "carol"
	password = "correct-Horse-7-battery"
)

// staffed starts a gateway with the project team and its people.
func staffed(t testing.TB, o harness.Options) *harness.Gateway {
	t.Helper()
	g := harness.StartGateway(t, o)
	g.CLI("project", "create", team).OK(t)
	staff(t, g)
	return g
}

// staff brings the people into the project team.
func staff(t testing.TB, g *harness.Gateway) {
	t.Helper()
	for _, name := range []string{alice, bob, carol} {
		g.AddUser(name, password)
	}
	addMember(t, g, alice, "developer")
	addMember(t, g, bob, "guest")
}

func addMember(t testing.TB, g *harness.Gateway, name, role string) {
	t.Helper()
	g.CLI("member", "add", team, name, "--role", role).OK(t)
}

func removeMember(t testing.TB, g *harness.Gateway, name string) {
	t.Helper()
	g.CLI("member", "remove", team, name).OK(t)
}

// tokenFor asks the token service as a registry client does.
func tokenFor(t testing.TB, g *harness.Gateway, user string, scopes ...string) string {
	t.Helper()
	query := url.Values{"service": {g.Host}, "scope": scopes}
	r := g.Do(http.MethodGet, "/token?"+query.Encode(), user, password, nil, nil)
	if r.Status != http.StatusOK {
		t.Fatalf("/token answers %d: %s", r.Status, r.Body)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(r.Body, &answer); err != nil {
		t.Fatalf("read the token: %v in %s", err, r.Body)
	}
	if answer.Token == "" {
		t.Fatalf("no token in %s", r.Body)
	}
	return answer.Token
}

// seed pushes a small image with crane and answers its digest.
func seed(t testing.TB, g *harness.Gateway, repository, tag, user string) string {
	t.Helper()
	crane := clients["crane"](t)
	crane.Login(g.Host, harness.AdminUser, harness.AdminPassword)
	ref := g.Ref(repository, tag)
	return crane.Push(harness.Image(t, harness.ImageSpec{Name: ref, User: user}), ref)
}

// descriptor is as much of a descriptor as the tests read.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Platform  struct {
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

// whole fetches a manifest and all that it names by digest, and fails the test
// unless every byte is what its digest says.
func whole(t testing.TB, g *harness.Gateway, repository, digest string) {
	t.Helper()
	r := g.Do(http.MethodGet, "/v2/"+repository+"/manifests/"+digest, harness.AdminUser, harness.AdminPassword, harness.Accept, nil)
	if r.Status != http.StatusOK {
		t.Fatalf("manifest %s of %s: %d %s", digest, repository, r.Status, r.Body)
	}
	if got := sum(r.Body); got != digest {
		t.Fatalf("manifest %s of %s has the digest %s", digest, repository, got)
	}
	var manifest struct {
		Config    *descriptor  `json:"config"`
		Layers    []descriptor `json:"layers"`
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(r.Body, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, child := range manifest.Manifests {
		whole(t, g, repository, child.Digest)
	}
	blobs := manifest.Layers
	if manifest.Config != nil {
		blobs = append(blobs, *manifest.Config)
	}
	for _, blob := range blobs {
		r := g.Do(http.MethodGet, "/v2/"+repository+"/blobs/"+blob.Digest, harness.AdminUser, harness.AdminPassword, nil, nil)
		if r.Status != http.StatusOK {
			t.Fatalf("blob %s of %s: %d %s", blob.Digest, repository, r.Status, r.Body)
		}
		if got := sum(r.Body); got != blob.Digest || int64(len(r.Body)) != blob.Size {
			t.Fatalf("blob %s of %s has %d bytes and the digest %s", blob.Digest, repository, len(r.Body), got)
		}
	}
}

// children are the manifests of an index by architecture.
func children(t testing.TB, g *harness.Gateway, repository, tag string) map[string]string {
	t.Helper()
	r := g.Do(http.MethodGet, "/v2/"+repository+"/manifests/"+tag, harness.AdminUser, harness.AdminPassword, harness.Accept, nil)
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(r.Body, &index); err != nil {
		t.Fatalf("read the index: %v in %s", err, r.Body)
	}
	byArchitecture := map[string]string{}
	for _, m := range index.Manifests {
		byArchitecture[m.Platform.Architecture] = m.Digest
	}
	return byArchitecture
}

// status is an error unless a response has it.
func status(r harness.Response, want int) error {
	if r.Status != want {
		return fmt.Errorf("answered %d, want %d: %s", r.Status, want, r.Body)
	}
	return nil
}
