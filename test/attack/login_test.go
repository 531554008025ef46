package attack_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 18: who is known (Harbor CVE-2019-3990, CVE-2019-19030, CVE-2020-13794,
// CVE-2023-20902), and guessing. Logins of this machine are not counted unless the
// configuration says so.
const counted = "limits:\n  logins:\n    failures: 3\n    address_failures: 10000\n    lock: 10m\n    loopback: true\n"

func TestGuessingIsStoppedAlikeForWhoIsKnownAndWhoIsNot(t *testing.T) {
	w := newWorld(t, harness.Options{Config: counted})
	robot := w.robot(pat, "red", "ci", "pull")
	token := w.accessToken(gus, object{"name": "ci"})
	own := w.denied(alice, http.MethodPut, "/api/v1/projects/red/members/user/eve", mustJSON(object{"role": "guest"}))
	for _, door := range []struct{ name, path string }{
		{"the registry", "/v2/"},
		{"the token service", "/token?service=" + url.QueryEscape(w.Host)},
		{"the management API", "/api/v2.0/users/current"},
		{"the page of a decision", "/d/" + own},
	} {
		t.Run(door.name, func(t *testing.T) {
			// Two of each kind, one of them there. A door has names of its own.
			suffix := strings.ToLower(strings.ReplaceAll(door.name, " ", "-"))
			known := "known-" + suffix
			w.api(http.MethodPost, "/users", object{"name": known, "password": password})
			there := w.robot(pat, "red", "r-"+suffix, "pull")
			for _, pair := range [][2]string{{known, "stranger-" + suffix}, {there.Name, "robot$red+none-" + suffix}} {
				var answers [2][]string
				for i, name := range pair {
					for range 6 {
						r := w.Do(http.MethodGet, door.path, name, "Wrong-password-1", nil, nil)
						if r.Status == http.StatusTooManyRequests && r.Header.Get("Retry-After") == "" {
							t.Errorf("%s: a refusal without Retry-After", name)
						}
						answers[i] = append(answers[i], fmt.Sprint(r.Status, " ", strings.ReplaceAll(string(r.Body), name, "{}"), r.Header.Get("Www-Authenticate")))
					}
				}
				for i := range answers[0] {
					if a, b := answers[0][i], answers[1][i]; a != b {
						t.Errorf("attempt %d tells %v apart:\n%s\n%s", i+1, pair, a, b)
					}
				}
				if last := answers[0][5]; !strings.HasPrefix(last, "429") {
					t.Errorf("%s is not stopped: %s", pair[0], last)
				}
			}
			if r := w.Do(http.MethodGet, door.path, known, password, nil, nil); r.Status != http.StatusTooManyRequests {
				t.Errorf("the right password while the name is locked: %d", r.Status)
			}
			if r := w.Do(http.MethodGet, door.path, alice, password, nil, nil); r.Status != http.StatusOK {
				t.Errorf("somebody else: %d %s", r.Status, r.Body)
			}
		})
	}
	t.Run("a lock at one door is one at the others", func(t *testing.T) {
		for _, path := range []string{"/v2/", "/token?service=" + url.QueryEscape(w.Host), "/api/v1/projects"} {
			if r := w.Do(http.MethodGet, path, "known-the-registry", password, nil, nil); r.Status != http.StatusTooManyRequests {
				t.Errorf("%s: %d", path, r.Status)
			}
		}
	})
	t.Run("a header does not begin the count anew", func(t *testing.T) {
		for i, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip", "X-Client-Ip"} {
			h := http.Header{name: {fmt.Sprintf("203.0.113.%d", i)}}
			if r := w.Do(http.MethodGet, "/v2/", "known-the-registry", password, h, nil); r.Status != http.StatusTooManyRequests {
				t.Errorf("%s: %d", name, r.Status)
			}
		}
	})
	for name, secret := range map[string]string{robot.Name: robot.Secret, gus: token.Secret} {
		if r := w.with(name, secret, http.MethodGet, "/v2/", nil); r.Status != http.StatusOK {
			t.Errorf("%s: %d", name, r.Status)
		}
	}
}

func TestWhoeverAsksTooOftenIsToldWhenToComeAgain(t *testing.T) {
	g := harness.StartGateway(t, harness.Options{Config: "limits:\n  rates:\n    identity: {per_second: 1, burst: 5}\n    loopback: true\n"})
	w := &world{g, t}
	// By the socket, where nothing is counted.
	g.AddUser(eve, password)
	g.AddUser(bob, password)
	stopped := 0
	for range 40 {
		r := w.as(eve, http.MethodGet, "/v2/", nil, nil)
		if r.Status == http.StatusTooManyRequests {
			stopped++
			if r.Header.Get("Retry-After") == "" || code(r) != "TOOMANYREQUESTS" {
				t.Errorf("%v %s", r.Header, r.Body)
			}
		}
	}
	if stopped == 0 {
		t.Error("40 requests at once were all answered")
	}
	if r := w.as(bob, http.MethodGet, "/v2/", nil, nil); r.Status != http.StatusOK {
		t.Errorf("somebody else: %d", r.Status)
	}
}

// Who is known here is nobody's business who is not an administrator.
func TestWhoHasAnAccountIsNotToldToEverybody(t *testing.T) {
	w := newWorld(t, harness.Options{})
	for _, c := range []struct {
		name, method, there, missing string
		body                         func(name string) any
	}{
		{"search", http.MethodGet, "/api/v2.0/users/search?username=bob", "/api/v2.0/users/search?username=zoe", nil},
		{"list", http.MethodGet, "/api/v2.0/users?q=username=bob", "/api/v2.0/users?q=username=zoe", nil},
		{"read", http.MethodGet, "/api/v1/users/bob", "/api/v1/users/zoe", nil},
		{"by number", http.MethodGet, "/api/v2.0/users/2", "/api/v2.0/users/999", nil},
		{"groups", http.MethodGet, "/api/v2.0/usergroups/search?groupname=bob", "/api/v2.0/usergroups/search?groupname=zoe", nil},
		{"members of a project of others", http.MethodGet, "/api/v2.0/projects/blue/members?entityname=bob", "/api/v2.0/projects/blue/members?entityname=zoe", nil},
		{"tokens", http.MethodGet, "/api/v1/access-tokens?user=bob", "/api/v1/access-tokens?user=zoe", nil},
		{"decisions", http.MethodGet, "/api/v1/decisions?subject=bob&issuer=local", "/api/v1/decisions?subject=zoe&issuer=local", nil},
		{"a member to be added to a project of others", http.MethodPost, "/api/v2.0/projects/blue/members", "/api/v2.0/projects/blue/members",
			func(name string) any { return object{"role_id": 2, "member_user": object{"username": name}} }},
		{"a member by name", http.MethodPut, "/api/v1/projects/blue/members/user/bob", "/api/v1/projects/blue/members/user/zoe",
			func(string) any { return object{"role": "guest"} }},
		{"an account of the name", http.MethodPost, "/api/v1/users", "/api/v1/users",
			func(name string) any { return object{"name": name, "password": password} }},
	} {
		for _, user := range []string{eve, alice, nobody} {
			var body [2]any
			if c.body != nil {
				body = [2]any{c.body(bob), c.body("zoe")}
			}
			there, missing := w.call(caller{user: user}, c.method, c.there, body[0]), w.call(caller{user: user}, c.method, c.missing, body[1])
			refused(t, c.name, there)
			if a, b := told(there, map[string]string{"": bob}), told(missing, map[string]string{"": "zoe"}); a != b {
				t.Errorf("%s by %q tells:\n%s\n%s", c.name, user, a, b)
			}
		}
	}
}

// Class 13: the workspace is the host's, whatever a header says.
func TestTheNetworkChoosesNoWorkspaceByAHeader(t *testing.T) {
	w := newIdorWorld(t)
	for _, header := range []string{"X-Bondgate-Workspace", "X-Forwarded-Host", "X-Original-Host", "X-Host", "Forwarded"} {
		for _, value := range []string{"other", otherHost, "host=" + otherHost, "default"} {
			h := http.Header{header: {value}}
			if r := w.Do(http.MethodGet, "/api/v1/users/root", root, password, h, nil); r.Status != http.StatusUnauthorized {
				t.Errorf("%s: %s: root of the other workspace: %d %s", header, value, r.Status, r.Body)
			}
			if r := w.Do(http.MethodGet, "/api/v1/users/bob", admin, harness.AdminPassword, h, nil); r.Status != http.StatusOK {
				t.Errorf("%s: %s: admin of this one: %d %s", header, value, r.Status, r.Body)
			}
		}
	}
}

// Classes 6 and 14: a token of an issuer that nobody trusts is not looked up: its
// iss, its jku and its x5u are addresses that a stranger chose.
func TestATokenOfAStrangersIssuerFetchesNothing(t *testing.T) {
	var asked atomic.Int64
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.NotFound(w, r)
	}))
	defer stranger.Close()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	set := object{"keys": []any{object{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "one", "x": b64(public)}}}
	if err := os.WriteFile(keys, mustJSON(set), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, harness.Options{Config: fmt.Sprintf(`identity:
  egress: {allow: [127.0.0.0/8]}
  workloads:
    - {name: trusted, issuer: "https://ci.example.org", audience: registry.example.org, jwks_file: %q}
`, keys)})
	w.api(http.MethodPut, "/projects/red/members/workload/repo:acme?issuer="+url.QueryEscape("https://ci.example.org"), object{"role": "developer"})
	im := w.push(alice, newImage("red/app", "v1", "strangers", "1000", nil))
	make := func(header, claims object) string {
		h := object{"alg": "EdDSA", "typ": "JWT", "kid": "one"}
		c := object{
			"iss": "https://ci.example.org", "aud": "registry.example.org", "sub": "repo:acme",
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		}
		for k, v := range header {
			h[k] = v
		}
		for k, v := range claims {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		signed := b64(mustJSON(h)) + "." + b64(mustJSON(c))
		return signed + "." + b64(ed25519.Sign(private, []byte(signed)))
	}
	if r := w.with("ci", make(nil, nil), http.MethodGet, redImage, nil); r.Status != http.StatusOK {
		t.Fatalf("the trusted issuer's token: %d %s", r.Status, r.Body)
	}
	for name, token := range map[string]string{
		"an issuer of its own":                  make(nil, object{"iss": stranger.URL}),
		"the trusted issuer's name and a slash": make(nil, object{"iss": "https://ci.example.org/"}),
		"the trusted issuer's name in capitals": make(nil, object{"iss": "https://CI.example.org"}),
		"a jku":                                 make(object{"jku": stranger.URL + "/keys", "kid": "two"}, nil),
		"an x5u":                                make(object{"x5u": stranger.URL + "/cert", "kid": "two"}, nil),
		"a kid that is an address":              make(object{"kid": stranger.URL + "/keys"}, nil),
		"a list of issuers":                     make(nil, object{"iss": []string{"https://ci.example.org", stranger.URL}}),
		"another audience":                      make(nil, object{"aud": "another.example.org"}),
		"no audience":                           make(nil, object{"aud": nil}),
		"an empty audience":                     make(nil, object{"aud": []string{}}),
		"no end":                                make(nil, object{"exp": nil}),
		"no beginning":                          make(nil, object{"iat": nil}),
		"an end that was":                       make(nil, object{"exp": time.Now().Add(-time.Hour).Unix()}),
		"a beginning to come":                   make(nil, object{"iat": time.Now().Add(time.Hour).Unix(), "exp": time.Now().Add(2 * time.Hour).Unix()}),
		"a beginning long ago":                  make(nil, object{"iat": time.Now().Add(-48 * time.Hour).Unix()}),
		"no subject":                            make(nil, object{"sub": nil}),
		"alg none":                              make(object{"alg": "none"}, nil),
	} {
		for _, path := range []string{redImage, "/token?service=" + url.QueryEscape(w.Host) + "&scope=repository:red/app:pull"} {
			r := w.with("ci", token, http.MethodGet, path, nil)
			if r.Status != http.StatusUnauthorized {
				t.Errorf("%s at %s: %d %s", name, path, r.Status, r.Body)
			}
		}
		form := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token}, "service": {w.Host},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "scope": {"repository:red/app:pull"},
		}
		r := w.as(nobody, http.MethodPost, "/token", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
		if r.Status < 400 || r.Status >= 500 {
			t.Errorf("%s exchanged: %d %s", name, r.Status, r.Body)
		}
		refused(t, name+" as a bearer token", w.bearer(token, http.MethodGet, redImage, nil, nil), im.manifest)
		if strings.Contains(w.Log(), token) {
			t.Errorf("%s: the log has the token", name)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the stranger was asked %d times", n)
	}
}

// Class 25: what robots, groups, roles and workspaces are called and said to be.
func TestNamesOfTheManagementAPIAreTextInTheLogAndOnTerminals(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t, harness.Options{Config: "log:\n  format: " + format + "\n  level: debug\n"})
			for _, text := range []string{poison, "a\r\nb", "a\nb", "a\x1b[31mb", "a\u0085b", "a\x00b", "=cmd|' /C calc'!A1", "\u202etxt.exe"} {
				for _, c := range []struct {
					method, path string
					body         any
				}{
					{http.MethodPost, "/api/v2.0/robots", object{"name": text, "level": "project", "duration": 1, "permissions": access("red", "pull")}},
					{http.MethodPost, "/api/v2.0/robots", object{"name": "ok", "description": text, "level": "project", "duration": 1, "permissions": access("red", "pull")}},
					{http.MethodPost, "/api/v2.0/robots", object{"name": "x", "level": text, "duration": 1, "permissions": access(text, text)}},
					{http.MethodPost, "/api/v2.0/usergroups", object{"group_name": text, "group_type": 2}},
					{http.MethodPost, "/api/v2.0/usergroups", object{"group_name": "g", "group_type": 3, "issuer": text, "ldap_group_dn": text}},
					{http.MethodPost, "/api/v2.0/users", object{"username": "u", "password": password, "realname": text, "comment": text, "email": text}},
					{http.MethodPost, "/api/v1/workspaces", object{"name": text, "hosts": []string{text}, "admin": text, "admin_password": password}},
					{http.MethodPost, "/api/v1/workspaces", object{"name": "w", "description": text, "hosts": []string{}, "admin": root, "admin_password": password}},
					{http.MethodPut, "/api/v1/roles/" + url.PathEscape(text), object{"rights": []string{"pull"}}},
					{http.MethodPut, "/api/v1/roles/made", object{"rights": []string{text}, "description": text}},
					{http.MethodPost, "/api/v1/access-tokens", object{"name": text}},
					{http.MethodPatch, "/api/v1/projects/red", object{"description": text, "labels": object{text: text}, "policies": object{text: text}}},
					{http.MethodPost, "/api/v2.0/projects/red/metadatas", object{text: text}},
					{http.MethodPut, "/api/v2.0/projects/red/metadatas/" + url.PathEscape(text), object{text: text}},
					{http.MethodPut, "/api/v1/projects/red/members/group/" + url.PathEscape(text) + "?issuer=" + url.QueryEscape(text), object{"role": text}},
					{http.MethodGet, "/api/v2.0/users?q=" + url.QueryEscape("username="+text) + "&sort=" + url.QueryEscape(text), nil},
					{http.MethodGet, "/api/v1/directories/" + url.PathEscape(text) + "/people/" + url.PathEscape(text), nil},
				} {
					r := w.call(caller{user: admin}, c.method, c.path, c.body)
					if r.Status >= 500 {
						t.Errorf("%s %s: %d %s", c.method, c.path, r.Status, r.Body)
					}
					for name, values := range r.Header {
						if bad := harmful(strings.Join(values, "")); bad != "" {
							t.Errorf("%s %s: the header %s has %s", c.method, c.path, name, bad)
						}
					}
				}
				refusesLogin(t, w, text)
			}
			w.logIsWhole(t, format)
			for _, args := range [][]string{
				{"robot", "list", "--project", "red"}, {"workspace", "list"}, {"role", "list"}, {"user", "list"}, {"project", "list"},
				{"token", "list", "--user", "admin"}, {"member", "list", "red"}, {"project", "show", "red"},
			} {
				r := w.CLI(args...)
				if bad := harmful(r.Said()); bad != "" {
					t.Errorf("bondgate %v prints %s", args, bad)
				}
			}
		})
	}
}

// refusesLogin tries to log in under a name that is no name.
func refusesLogin(t *testing.T, w *world, name string) {
	t.Helper()
	for _, n := range []string{name, "robot$" + name, "robot$red+" + name} {
		if r := w.Do(http.MethodGet, "/v2/", n, password, nil, nil); r.Status != http.StatusUnauthorized && r.Status != http.StatusBadRequest {
			t.Errorf("%q: %d", n, r.Status)
		}
	}
}
