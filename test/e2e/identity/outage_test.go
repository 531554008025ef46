package identity

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Who was known before goes on while a directory is away, nobody new is let in, and
// the answer says which directory it is; the gateway's own people do not notice.
func TestADirectoryThatIsAwayKeepsNobodyOutWhoWasIn(t *testing.T) {
	t.Parallel()
	corp := directory(t, person("dana"), person("erin"), group("developers", personDN("dana"), personDN("erin")))
	g := harness.StartGateway(t, harness.Options{Config: "identity:\n  ldap:\n" +
		startTLS("corp", corp, "      remember: 1ms\n      timeout: 1s\n")})
	apply(t, g, "project: team\nmembers:\n  - {group: developers, issuer: \"ldap:corp\", role: Developer}\n")
	seed(t, g, "team/app")
	ci := robot(t, g, "--project", "team", "ci")
	pull(t, g, "dana", password, "team/app").OK(t)
	token := bearer(t, g, "dana", password, "repository:team/app:pull")

	away := func(t *testing.T) {
		// The first to ask finds out, and asks no longer than the directory's timeout.
		push(t, g, "dana", password, "team/dana").OK(t)
		pull(t, g, ci.Name, ci.Secret, "team/app").OK(t)
		g.CLI("user", "list").OK(t)
		for name, want := range map[string]int{harness.AdminUser: http.StatusOK, "erin": http.StatusServiceUnavailable, "nobody": http.StatusServiceUnavailable} {
			secret := password
			if name == harness.AdminUser {
				secret = harness.AdminPassword
			}
			for _, path := range []string{"/v2/", "/token", "/api/v2.0/users/current"} {
				r := g.Do(http.MethodGet, path, name, secret, nil, nil)
				if r.Status != want {
					t.Errorf("%s as %s answers %d %s", path, name, r.Status, r.Body)
				}
				if want == http.StatusServiceUnavailable && (!strings.Contains(string(r.Body), "corp") || r.Header.Get("Retry-After") == "") {
					t.Errorf("%s as %s does not say who is away, and for how long: %v %s", path, name, r.Header, r.Body)
				}
			}
		}
		// A password that was never right is not let in by an outage.
		if r := g.Do(http.MethodGet, "/v2/", "dana", "wrong-Horse-7-battery", nil, nil); r.Status == http.StatusOK {
			t.Errorf("a wrong password answers %d", r.Status)
		}
		if r := g.DoWithToken(http.MethodGet, "/v2/team/app/manifests/1", token, harness.Accept); r.Status != http.StatusOK {
			t.Errorf("a token from before answers %d: %s", r.Status, r.Body)
		}
		// What an administrator takes away is away, whatever the directory remembers.
		g.CLI("member", "remove", "team", "developers", "--group", "--issuer", "ldap:corp").OK(t)
		if r := g.Do(http.MethodGet, "/v2/team/app/manifests/1", "dana", password, harness.Accept, nil); r.Status != http.StatusNotFound {
			t.Errorf("a removed member answers %d: %s", r.Status, r.Body)
		}
		g.CLI("member", "add", "team", "developers", "developer", "--group", "--issuer", "ldap:corp").OK(t)
	}
	t.Run("that refuses connections", func(t *testing.T) {
		corp.Stop()
		away(t)
		if said := pull(t, g, "erin", password, "team/app").Fails(t); !strings.Contains(said, "corp") {
			t.Errorf("a client does not say who is away: %s", said)
		}
		corp.Start()
	})
	comesBack := func() {
		t.Helper()
		harness.Eventually(t, "the directory is asked again", func() error {
			if r := g.Do(http.MethodGet, "/v2/team/app/manifests/1", "dana", password, harness.Accept, nil); r.Status != http.StatusOK {
				return fmt.Errorf("dana: %d %s", r.Status, r.Body)
			}
			if r := g.Do(http.MethodGet, "/v2/", "nobody", password, nil, nil); r.Status != http.StatusUnauthorized {
				return fmt.Errorf("nobody: %d %s", r.Status, r.Body)
			}
			return nil
		})
	}
	comesBack()
	t.Run("that answers nothing", func(t *testing.T) {
		if err := syscall.Kill(corp.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Kill(corp.PID(), syscall.SIGCONT) }()
		away(t)
	})
	comesBack()
	// A password that is changed there holds here once the directory is back.
	corp.Modify("dn: " + personDN("dana") + "\nchangetype: modify\nreplace: userPassword\nuserPassword: another-Horse-7\n")
	harness.Eventually(t, "the password of before is refused", func() error {
		if r := g.Do(http.MethodGet, "/v2/", "dana", password, nil, nil); r.Status != http.StatusUnauthorized {
			return fmt.Errorf("answers %d %s", r.Status, r.Body)
		}
		return nil
	})
}

// A CI platform whose keys were fetched goes on; one that was never reached is named.
func TestAnIssuerThatIsAway(t *testing.T) {
	t.Parallel()
	known, never := harness.StartIssuer(t), harness.StartIssuer(t)
	never.Down(true)
	g := harness.StartGateway(t, harness.Options{Config: fmt.Sprintf(`identity:
  workloads:
    - {name: known, issuer: %q, audience: %q, insecure_plain_http: true}
    - {name: never, issuer: %q, audience: %[2]q, insecure_plain_http: true}
`, known.URL, audience, never.URL)})
	login := func(i *harness.Issuer) harness.Response {
		return g.Do(http.MethodGet, "/v2/", "job", i.Sign(i.Claims(audience, nil)), nil, nil)
	}
	if r := login(known); r.Status != http.StatusOK {
		t.Fatalf("an issuer that is there: %d %s", r.Status, r.Body)
	}
	known.Down(true)
	if r := login(known); r.Status != http.StatusOK {
		t.Errorf("an issuer that was there: %d %s", r.Status, r.Body)
	}
	if r := login(never); r.Status != http.StatusServiceUnavailable || !strings.Contains(string(r.Body), "never") {
		t.Errorf("an issuer that was never there: %d %s", r.Status, r.Body)
	}
	if r := g.Do(http.MethodGet, "/v2/", harness.AdminUser, harness.AdminPassword, nil, nil); r.Status != http.StatusOK {
		t.Errorf("the administrator: %d %s", r.Status, r.Body)
	}
}
