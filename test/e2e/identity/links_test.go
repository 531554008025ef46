package identity

import (
	"net/http"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Somebody of a directory is one with an account of the gateway's, and a group of the
// directory is of administrators: each holds from the next request on, and no longer
// than it is said.
func TestLinksAndGroupsOfAdministratorsHoldAtOnce(t *testing.T) {
	t.Parallel()
	corp := directory(t, person("dana"), person("dirk"), group("wardens", personDN("dirk")))
	g := harness.StartGateway(t, harness.Options{Config: "identity:\n  ldap:\n" + startTLS("corp", corp, "")})
	g.AddUser("lola", password)
	apply(t, g, `project: team
members:
  - {user: lola, role: Guest}
`)
	apply(t, g, `project: other
members:
  - {group: wardens, issuer: "ldap:corp", role: Guest}
`)
	seed(t, g, "team/app")
	answers := func(user, path string, want int) {
		t.Helper()
		if r := g.Do(http.MethodGet, path, user, password, nil, nil); r.Status != want {
			t.Errorf("%s of %s is answered %d, not %d: %s", path, user, r.Status, want, r.Body)
		}
	}
	const image, people = "/v2/team/app/manifests/1", "/api/v1/people"

	// A first login, so that she is known.
	answers("dana", "/v2/", http.StatusOK)
	answers("dana", image, http.StatusNotFound)
	g.CLI("user", "link", "dana", "--to", "lola").OK(t)
	answers("dana", image, http.StatusOK)
	token := bearer(t, g, "dana", password, "repository:team/app:pull")
	with := http.Header{"Authorization": {"Bearer " + token}}
	if r := g.Do(http.MethodGet, image, "", "", with, nil); r.Status != http.StatusOK {
		t.Errorf("her token is answered %d: %s", r.Status, r.Body)
	}
	answers("dana", people, http.StatusForbidden)
	g.CLI("user", "disable", "lola").OK(t)
	answers("dana", image, http.StatusNotFound)
	if r := g.Do(http.MethodGet, image, "", "", with, nil); r.Status == http.StatusOK {
		t.Error("her token outlives the main person")
	}
	g.CLI("user", "enable", "lola").OK(t)
	g.CLI("user", "unlink", "dana").OK(t)
	answers("dana", image, http.StatusNotFound)

	answers("dirk", people, http.StatusForbidden)
	g.CLI("group", "admin", "wardens", "--issuer", "ldap:corp").OK(t)
	answers("dirk", people, http.StatusOK)
	answers("dana", people, http.StatusForbidden)
	g.CLI("group", "admin", "wardens", "--issuer", "ldap:corp", "--off").OK(t)
	answers("dirk", people, http.StatusForbidden)
}
