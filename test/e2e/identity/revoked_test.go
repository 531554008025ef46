package identity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// A token says who asks and never what they may: what ends, ends at the very next
// request, for the password and for a token that was got with it before.
func TestWhatEndsIsDeniedOnTheNextRequest(t *testing.T) {
	t.Parallel()
	corp := directory(t, person("dana"), person("dora"), person("dirk"), person("dilys"), group("developers", personDN("dana")))
	issuer := harness.StartIssuer(t)
	g := harness.StartGateway(t, harness.Options{Config: "identity:\n  ldap:\n" + startTLS("corp", corp, "") +
		fmt.Sprintf("  workloads:\n    - {name: ci, issuer: %q, audience: %q, insecure_plain_http: true}\n", issuer.URL, audience)})
	for _, name := range []string{"lola", "lars", "petra", "paul", "pia"} {
		g.AddUser(name, password)
	}
	apply(t, g, fmt.Sprintf(`project: team
members:
  - {user: lola, role: Guest}
  - {user: lars, role: Guest}
  - {user: petra, role: Guest}
  - {user: paul, role: Guest}
  - {user: pia, role: Guest}
  - {user: dora, issuer: "ldap:corp", role: Guest}
  - {user: dirk, issuer: "ldap:corp", role: Guest}
  - {user: dilys, issuer: "ldap:corp", role: Guest}
  - {group: developers, issuer: "ldap:corp", role: Guest}
  - {workload: ci, issuer: %q, role: Guest, claims: {repository: acme/api}}
`, issuer.URL))
	seed(t, g, "team/app")
	const path = "/v2/team/app/manifests/1"
	disabled, deleted := robot(t, g, "--project", "team", "one"), robot(t, g, "--project", "team", "two")
	system := robot(t, g, "--for", "team", "three")
	petras, pauls, pias := accessToken(t, g, "t", "--user", "petra"), accessToken(t, g, "t", "--user", "paul"), accessToken(t, g, "t", "--user", "pia", "--scope", "team:pull")
	job := issuer.Sign(issuer.Claims(audience, map[string]any{"repository": "acme/api"}))
	cli := func(args ...string) func(*testing.T) {
		return func(t *testing.T) { t.Helper(); g.CLI(args...).OK(t) }
	}
	harborPerson := func(method, name, below string, body any) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			r := asked(g, "GET", "/api/v2.0/users?q=username%3D"+name, harness.AdminUser, harness.AdminPassword, nil)
			id := userID(t, r)
			if r := asked(g, method, "/api/v2.0/users/"+strconv.FormatInt(id, 10)+below, harness.AdminUser, harness.AdminPassword, body); r.Status != http.StatusOK {
				t.Fatalf("%s of %s: %d %s", method, name, r.Status, r.Body)
			}
		}
	}
	for sentence, c := range map[string]struct {
		user, secret string
		end          func(*testing.T)
		// password is what the name and the secret get afterwards, and token what the
		// token gets.
		password, token int
		// out is whether they cannot even log in any more.
		out bool
	}{
		"a removed member":                           {"lola", password, cli("member", "remove", "team", "lola"), 404, 404, false},
		"a disabled account":                         {"lars", password, cli("user", "disable", "lars"), 401, 404, true},
		"a removed member of a directory":            {"dora", password, cli("member", "remove", "team", "dora", "--issuer", "ldap:corp"), 404, 404, false},
		"a removed group":                            {"dana", password, cli("member", "remove", "team", "developers", "--group", "--issuer", "ldap:corp"), 404, 404, false},
		"a disabled person of a directory":           {"dirk", password, cli("user", "disable", "dirk"), 404, 404, true},
		"a deleted person of a directory":            {"dilys", password, harborPerson("DELETE", "dilys", "", nil), 404, 404, false},
		"a disabled robot":                           {disabled.Name, disabled.Secret, cli("robot", "disable", "--project", "team", "one"), 401, 404, true},
		"a deleted robot":                            {deleted.Name, deleted.Secret, cli("robot", "delete", "--project", "team", "two"), 401, 404, true},
		"a disabled robot of the system":             {system.Name, system.Secret, cli("robot", "disable", "three"), 401, 404, true},
		"a revoked access token":                     {"petra", petras.Secret, cli("token", "revoke", "--user", "petra", strconv.FormatInt(petras.ID, 10)), 401, 404, true},
		"an access token of a disabled person":       {"paul", pauls.Secret, cli("user", "disable", "paul"), 401, 404, true},
		"an access token of somebody who is removed": {"pia", pias.Secret, cli("member", "remove", "team", "pia"), 404, 404, false},
		"a removed workload":                         {"job", job, cli("member", "remove", "team", "ci", "--workload", "--issuer", issuer.URL), 404, 404, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			token := bearer(t, g, c.user, c.secret, "repository:team/app:pull")
			with := func() (int, int) {
				return g.Do("GET", path, c.user, c.secret, harness.Accept, nil).Status, g.DoWithToken("GET", path, token, harness.Accept).Status
			}
			if a, b := with(); a != http.StatusOK || b != http.StatusOK {
				t.Fatalf("before: %d with the password, %d with the token", a, b)
			}
			lasting := offline(t, g, c.user, c.secret)
			c.end(t)
			if a, b := with(); a != c.password || b != c.token {
				t.Errorf("after: %d with the password, want %d; %d with the token, want %d", a, c.password, b, c.token)
			}
			if !c.out {
				return
			}
			if r := renewed(g, lasting); lasting != "" && r.Status == http.StatusOK {
				t.Errorf("after: what docker login kept is good for a token: %s", r.Body)
			}
			for _, login := range []string{"/v2/", "/token", "/api/v2.0/users/current"} {
				if r := g.Do("GET", login, c.user, c.secret, nil, nil); r.Status != http.StatusUnauthorized && r.Status != http.StatusForbidden {
					t.Errorf("after: %s answers %d %s", login, r.Status, r.Body)
				}
			}
		})
	}
	t.Run("a token is not good for longer than the proof that it was got with", func(t *testing.T) {
		apply(t, g, fmt.Sprintf("project: team\nmembers:\n  - {workload: ci, issuer: %q, role: Guest, claims: {repository: acme/api}}\n", issuer.URL))
		short := issuer.Sign(issuer.Claims(audience, map[string]any{"repository": "acme/api", "exp": time.Now().Add(6 * time.Second).Unix()}))
		token := bearer(t, g, "job", short, "repository:team/app:pull")
		harness.Eventually(t, "the job's token ends", func() error {
			if r := g.Do("GET", path, "job", short, harness.Accept, nil); r.Status != http.StatusUnauthorized {
				return fmt.Errorf("answers %d", r.Status)
			}
			return nil
		})
		if r := g.DoWithToken("GET", path, token, harness.Accept); r.Status != http.StatusUnauthorized {
			t.Errorf("the token that was got with it answers %d", r.Status)
		}
	})
}

// A robot has two secrets while it is given a new one.
func TestTheSecretsOfARobotOverlap(t *testing.T) {
	t.Parallel()
	g := harness.StartGateway(t, harness.Options{})
	g.CLI("project", "create", "team").OK(t)
	ci := robot(t, g, "--project", "team", "--name", "ci", "--permissions", "write")
	rotate := func() string {
		return printed[made](t, g.CLI("robot", "rotate", "ci", "--project", "team", "--json")).Secret
	}
	pushes := func(when, secret string, want bool) {
		t.Helper()
		if r := push(t, g, ci.Name, secret, "team/app"); (r.Err == nil) != want {
			t.Errorf("%s: %v %s", when, r.Err, r.Said())
		}
	}
	old := bearer(t, g, ci.Name, ci.Secret, "repository:team/app:pull")
	second := rotate()
	pushes("the first secret after a rotation", ci.Secret, true)
	pushes("the second secret after a rotation", second, true)
	third := rotate()
	pushes("the first secret after two", ci.Secret, false)
	pushes("the second secret after two", second, true)
	pushes("the third secret after two", third, true)
	// A token says that it was this robot, and it still is.
	if r := g.DoWithToken("GET", "/v2/team/app/manifests/1", old, harness.Accept); r.Status != http.StatusOK {
		t.Errorf("a token that was got before: %d", r.Status)
	}
}

// offline gets what docker login keeps in place of a password; empty for whom there
// is none. It is good until something ends.
func offline(t *testing.T, g *harness.Gateway, user, secret string) string {
	t.Helper()
	r := g.Do("GET", "/token?offline_token=true&client_id=docker&service="+url.QueryEscape(g.Host), user, secret, nil, nil)
	var answer struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(r.Body, &answer); err != nil || r.Status != http.StatusOK {
		t.Fatalf("a lasting token for %s: %d %s", user, r.Status, r.Body)
	}
	if answer.Refresh != "" {
		if r := renewed(g, answer.Refresh); r.Status != http.StatusOK {
			t.Fatalf("the lasting token of %s: %d %s", user, r.Status, r.Body)
		}
	} else if user != "job" {
		t.Errorf("no lasting token for %s", user)
	}
	return answer.Refresh
}

func renewed(g *harness.Gateway, refresh string) harness.Response {
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {"docker"}, "service": {g.Host}, "scope": {"repository:team/app:pull"},
	}
	return g.Do("POST", "/token", "", "", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(form.Encode()))
}
