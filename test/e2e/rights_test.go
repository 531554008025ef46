package e2e

import (
	"net/http"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// A token proves who is asking. What they may do is asked anew each time.
func TestARevokedMembershipStopsAtTheNextRequestWithAValidToken(t *testing.T) {
	g := staffed(t, harness.Options{})
	digest := seed(t, g, team+"/app", "1", "1000")
	token := tokenFor(t, g, bob, "repository:"+team+"/app:pull")
	paths := []string{
		"/v2/" + team + "/app/manifests/1",
		"/v2/" + team + "/app/manifests/" + digest,
		"/v2/" + team + "/app/tags/list",
	}
	each := func(when string, allowed bool) {
		t.Helper()
		for _, path := range paths {
			r := g.DoWithToken(http.MethodGet, path, token, harness.Accept)
			if (r.Status == http.StatusOK) != allowed {
				t.Errorf("%s: GET %s answers %d, allowed should be %v: %s", when, path, r.Status, allowed, r.Body)
			}
		}
	}
	each("as a member", true)
	removeMember(t, g, bob)
	each("at the next request after the removal", false)
	addMember(t, g, bob, "guest")
	each("as a member again", true)
	g.CLI("user", "disable", bob).OK(t)
	each("disabled", false)
}

func TestNobodySeesAPrivateProject(t *testing.T) {
	g := staffed(t, harness.Options{})
	seed(t, g, team+"/app", "1", "1000")
	for _, path := range []string{
		"/v2/" + team + "/app/manifests/1",
		"/v2/" + team + "/app/tags/list",
		"/v2/" + team + "/other/manifests/1",
		"/v2/nowhere/app/manifests/1",
	} {
		if r := g.Do(http.MethodGet, path, "", "", harness.Accept, nil); r.Status != http.StatusUnauthorized {
			t.Errorf("GET %s by nobody answers %d, want 401", path, r.Status)
		}
		// Carol is known, and must not learn whether it exists.
		if r := g.Do(http.MethodGet, path, carol, password, harness.Accept, nil); r.Status != http.StatusNotFound {
			t.Errorf("GET %s by a stranger answers %d, want 404: %s", path, r.Status, r.Body)
		}
	}
	if r := g.Do(http.MethodGet, "/v2/_catalog", carol, password, nil, nil); string(r.Body) == "" || r.Status >= 500 {
		t.Errorf("the catalog of a stranger: %d %s", r.Status, r.Body)
	}
}

func TestAPublicProjectIsPulledByEverybodyAndPushedByItsDevelopers(t *testing.T) {
	g := staffed(t, harness.Options{})
	g.CLI("project", "create", "open", "--public").OK(t)
	digest := seed(t, g, "open/app", "1", "1000")
	ref := g.Ref("open/app", "1")
	for _, name := range []string{"docker", "skopeo", "crane"} {
		t.Run(name+" without a login", func(t *testing.T) {
			c := clients[name](t)
			c.Pull(ref).OK(t)
			if got := c.Digest(ref); got != digest {
				t.Errorf("pulled %s, want %s", got, digest)
			}
		})
	}
	crane := harness.Crane(t)
	crane.Credentials(g.Host, carol, password)
	crane.Run("push", harness.Image(t, harness.ImageSpec{Name: ref}), ref).Fails(t)
	if got := g.Digest("open/app", "1"); got != digest {
		t.Errorf("a stranger moved the tag to %s", got)
	}
}
