package oidc_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn/oidc"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

func copyAll(w io.Writer, resp *http.Response) (int64, error) { return io.Copy(w, resp.Body) }

// Attack class 17, as far as a provider is needed that lies.
func TestAHostileAnswerLogsNobodyIn(t *testing.T) {
	const refused, unavailable, bad = http.StatusForbidden, http.StatusServiceUnavailable, http.StatusBadRequest
	claims := func(changes map[string]any) func(*liar) { return func(l *liar) { l.with(changes) } }
	raw := func(make func(l *liar, c map[string]any) string) func(*liar) {
		return func(l *liar) {
			l.token = func(c map[string]any) (int, map[string]any) {
				_, answer := l.honest(c)
				answer["id_token"] = make(l, c)
				return http.StatusOK, answer
			}
		}
	}
	answers := func(status int, answer map[string]any) func(*liar) {
		return func(l *liar) { l.token = func(map[string]any) (int, map[string]any) { return status, answer } }
	}
	set := func(name, value string) func(url.Values) { return func(v url.Values) { v.Set(name, value) } }
	add := func(name, value string) func(url.Values) { return func(v url.Values) { v.Add(name, value) } }
	now := time.Now()
	cases := []struct {
		sentence string
		lie      func(*liar)
		answer   func(url.Values)
		status   int
	}{
		{"the nonce of another login", claims(map[string]any{"nonce": "another"}), nil, refused},
		{"no nonce", claims(map[string]any{"nonce": nil}), nil, refused},
		{"a nonce that is no string", claims(map[string]any{"nonce": 7}), nil, refused},
		{"another issuer", claims(map[string]any{"iss": "https://evil.example"}), nil, refused},
		{"the issuer with a slash", func(l *liar) { l.with(map[string]any{"iss": l.server.URL + "/"}) }, nil, refused},
		{"another client's token", claims(map[string]any{"aud": "another"}), nil, refused},
		{"the command line's token", claims(map[string]any{"aud": "cli"}), nil, refused},
		{"a token for several that does not say to whom it was issued", claims(map[string]any{"aud": []string{"bondgate", "another"}}), nil, refused},
		{"a token that was issued to another", claims(map[string]any{"aud": []string{"bondgate", "another"}, "azp": "another"}), nil, refused},
		{"an expired token", claims(map[string]any{"exp": now.Add(-time.Minute).Unix(), "iat": now.Add(-time.Hour).Unix()}), nil, refused},
		{"an old token", claims(map[string]any{"iat": now.Add(-time.Hour).Unix()}), nil, refused},
		{"a token of the future", claims(map[string]any{"iat": now.Add(time.Hour).Unix(), "exp": now.Add(2 * time.Hour).Unix()}), nil, refused},
		{"no time of issue", claims(map[string]any{"iat": nil}), nil, refused},
		{"no end", claims(map[string]any{"exp": nil}), nil, refused},
		{"no subject", claims(map[string]any{"sub": nil}), nil, refused},
		{"an empty subject", claims(map[string]any{"sub": ""}), nil, refused},
		{"a subject with a line break", claims(map[string]any{"sub": "a\nb"}), nil, refused},
		{"a subject beyond all measure", claims(map[string]any{"sub": strings.Repeat("s", 256)}), nil, refused},
		{"a subject that is a number", claims(map[string]any{"sub": 1}), nil, refused},
		{"the hash of another access token", claims(map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}), nil, refused},
		{"the algorithm none", raw(func(_ *liar, c map[string]any) string { return unsigned(c) }), nil, refused},
		{"a signature with the client's secret", raw(func(l *liar, c map[string]any) string { return l.hmac("the-secret", c) }), nil, refused},
		{"another key under the same id", raw(func(_ *liar, c map[string]any) string {
			other := newLiar(t)
			return other.sign(c)
		}), nil, refused},
		{"claims exchanged after the signature", raw(func(l *liar, c map[string]any) string {
			parts, forged := strings.Split(l.sign(c), "."), strings.Split(unsigned(changed(c, map[string]any{"sub": "admin"})), ".")
			return parts[0] + "." + forged[1] + "." + parts[2]
		}), nil, refused},
		{"no ID token", answers(http.StatusOK, map[string]any{"access_token": "access", "token_type": "Bearer"}), nil, refused},
		{"an ID token that is no string", answers(http.StatusOK, map[string]any{"access_token": "access", "id_token": 7}), nil, refused},
		{"a code that does not hold", answers(bad, map[string]any{"error": "invalid_grant", "error_description": "secret-words"}), nil, refused},
		{"a client that is not known", answers(http.StatusUnauthorized, map[string]any{"error": "invalid_client"}), nil, unavailable},
		{"a broken provider", answers(http.StatusInternalServerError, map[string]any{"error": "invalid_grant"}), nil, unavailable},

		{"groups that are a number", claims(map[string]any{"groups": 7}), nil, refused},
		{"groups that are an object", claims(map[string]any{"groups": map[string]any{"dev": true}}), nil, refused},
		{"a list of groups with a number", claims(map[string]any{"groups": []any{"dev", 7}}), nil, refused},
		{"a group with a line break", claims(map[string]any{"groups": []any{"dev\nadmin"}}), nil, refused},
		{"groups that were left out, by reference", claims(map[string]any{
			"_claim_names":   map[string]any{"groups": "src1"},
			"_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "http://127.0.0.1:1/steal"}},
		}), nil, refused},
		{"groups that were left out, by a flag", claims(map[string]any{"hasgroups": true}), nil, refused},
		{"groups that were left out, by a flag in a string", claims(map[string]any{"hasgroups": "true"}), nil, refused},
		{"groups that were left out, in parts", claims(map[string]any{"groups:src1": "https://graph.example.com"}), nil, refused},
		{"some groups beside those that were left out", claims(map[string]any{"groups": []any{"dev"}, "hasgroups": true}), nil, refused},

		{"the state of another login", nil, set("state", "another"), bad},
		{"no state", nil, func(v url.Values) { v.Del("state") }, bad},
		{"two states", nil, add("state", "another"), bad},
		{"two codes", nil, add("code", "another"), bad},
		{"no code", nil, func(v url.Values) { v.Del("code") }, bad},
		{"a code and an error", nil, set("error", "access_denied"), bad},
		{"an answer of another issuer", nil, set("iss", "https://evil.example"), bad},
		{"an error of the provider", nil, func(v url.Values) { v.Del("code"); v.Set("error", "<script>alert(1)</script>") }, refused},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			w, l := newWorld(t), newLiar(t)
			w.open(l.config())
			if tc.lie != nil {
				tc.lie(l)
			}
			status, _, body := w.login(l, tc.answer)
			if status != tc.status || w.rows.count() != 0 || len(w.people.seen) != 0 {
				t.Fatalf("%d, %d sessions, enrolled %v: %s", status, w.rows.count(), w.people.seen, body)
			}
			if strings.Contains(body, "<script") {
				t.Fatalf("the page has what the provider said: %s", body)
			}
			for _, secret := range []string{"the-secret", "the-code", "secret-words", "refresh-1", l.form.Get("code_verifier")} {
				if secret != "" && (strings.Contains(w.log.String(), secret) || strings.Contains(body, secret)) {
					t.Fatalf("%q is told: %s", secret, w.log.String())
				}
			}
			// The same world with an honest answer: what was refused was refused for the lie.
			l.mu.Lock()
			l.with(nil)
			l.mu.Unlock()
			if status, location, body := w.login(l, nil); status != http.StatusSeeOther || location != "/whoami" || w.rows.count() != 1 {
				t.Fatalf("an honest answer: %d %s", status, body)
			}
		})
	}
}

func TestTheCodeIsBoundToItsBrowserByPKCE(t *testing.T) {
	w, l := newWorld(t), newLiar(t)
	w.open(l.config())
	resp, err := noRedirects().Get(w.url + "/login/corp")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("nonce")) < 26 || len(q.Get("state")) < 26 ||
		q.Get("response_type") != "code" || q.Get("redirect_uri") != w.callback("corp") {
		t.Fatalf("the request for a code: %s", to)
	}
	for _, c := range resp.Cookies() {
		if strings.Contains(c.Value, q.Get("state")) || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge <= 0 {
			t.Fatalf("the login's cookie: %s", c)
		}
	}
	w.login(l, nil)
	if len(l.form.Get("code_verifier")) < 43 {
		t.Fatalf("the code is redeemed without the verifier: %v", slices.Sorted(maps.Keys(l.form)))
	}
}

func TestWhoMayNotLogInIsToldWhyAndHasNoSession(t *testing.T) {
	w, l := newWorld(t), newLiar(t)
	w.open(l.config())
	w.denied = []policy.Reason{{Code: "access.hours", Message: "nobody logs in at night"}}
	status, _, body := w.login(l, nil)
	if status != http.StatusForbidden || !strings.Contains(body, "nobody logs in at night") || w.rows.count() != 0 {
		t.Fatalf("%d %s, %d sessions", status, body, w.rows.count())
	}
	if len(w.asked) != 1 || w.asked[0].Action != policy.SessionLogin || w.asked[0].Principal.Issuer != l.config().Issuer || w.asked[0].ID != "req-1" {
		t.Fatalf("the gate was asked %+v", w.asked)
	}
}

func TestAnAnswerGoesToTheProviderThatWasAsked(t *testing.T) {
	w, l, evil := newWorld(t), newLiar(t), newLiar(t)
	second := evil.config()
	second.Name = "evil"
	w.open(l.config(), second)
	begin, err := noRedirects().Get(w.url + "/login/evil")
	if err != nil {
		t.Fatal(err)
	}
	defer begin.Body.Close()
	to, err := begin.Location()
	if err != nil {
		t.Fatal(err)
	}
	answer := url.Values{"code": {"the-code"}, "state": {to.Query().Get("state")}}
	if status, _, body := w.come(noRedirects(), answer, begin.Cookies()); status != http.StatusBadRequest || l.form != nil || w.rows.count() != 0 {
		t.Fatalf("%d: the code went to a provider that did not give it: %s", status, body)
	}
}

func TestALoginThatTookTooLongOrWasMeddledWith(t *testing.T) {
	w, l := newWorld(t), newLiar(t)
	w.open(l.config())
	begin, err := noRedirects().Get(w.url + "/login/corp")
	if err != nil {
		t.Fatal(err)
	}
	defer begin.Body.Close()
	to, err := begin.Location()
	if err != nil {
		t.Fatal(err)
	}
	answer := url.Values{"code": {"the-code"}, "state": {to.Query().Get("state")}}
	cookie := begin.Cookies()[0]
	meddled := *cookie
	last := "A"
	if strings.HasSuffix(cookie.Value, "A") {
		last = "E"
	}
	meddled.Value = cookie.Value[:len(cookie.Value)-5] + last + cookie.Value[len(cookie.Value)-4:]
	for sentence, cookies := range map[string][]*http.Cookie{
		"no cookie": nil, "a changed cookie": {&meddled}, "two cookies": {cookie, &meddled},
		"a cookie of nothing": {{Name: cookie.Name, Value: "AAAA"}}, "a cookie of no base64": {{Name: cookie.Name, Value: "%%%"}},
	} {
		if status, _, body := w.come(noRedirects(), answer, cookies); status != http.StatusBadRequest && status != http.StatusForbidden || w.rows.count() != 0 {
			t.Errorf("%s: %d %s", sentence, status, body)
		}
	}
}

func TestDiscoveryThatSpeaksForAnother(t *testing.T) {
	w, l := newWorld(t), newLiar(t)
	l.issuer = "https://login.example.com"
	w.open(l.config())
	if page := harness.NewVisitor(t).Get(w.url + "/login/corp"); page.Status != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
}

// Open redirects: CVE-2024-22244 was one.
func TestALoginLeadsBackIntoThisSiteOnly(t *testing.T) {
	w, l := newWorld(t), newLiar(t)
	w.open(l.config())
	for back, ok := range map[string]bool{
		"":                             true,
		"/":                            true,
		"/login":                       true,
		"/api/v1/projects":             true,
		"/projects/team/repo?x=y":      true,
		"/a/b.c-d_e~f@g:h+i/":          true,
		"//evil.example":               false,
		"///evil.example":              false,
		"/\\evil.example":              false,
		"\\\\evil.example":             false,
		"/%2fevil.example":             false,
		"/%5cevil.example":             false,
		"/%2e%2e/x":                    false,
		"/..//evil.example":            false,
		"/../x":                        false,
		"/./x":                         false,
		"/a/../../x":                   false,
		"/\tevil":                      false,
		"/\n/evil.example":             false,
		"https://evil.example":         false,
		"https:evil.example":           false,
		"http:///evil.example":         false,
		"javascript:alert(1)":          false,
		"data:text/html,x":             false,
		"evil.example":                 false,
		"@evil.example":                false,
		".evil.example":                false,
		"/x#y":                         false,
		"/x?y#z":                       false,
		"/x?u=https://evil":            false,
		"/x\r\nSet-Cookie: a=b":        false,
		"/\u2215evil":                  false,
		"/" + strings.Repeat("a", 600): false,
	} {
		resp, err := noRedirects().Get(w.url + "/login/corp?return=" + url.QueryEscape(back))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		to, _ := resp.Location()
		switch {
		case ok && (resp.StatusCode != http.StatusSeeOther || to == nil || !strings.HasPrefix(to.String(), l.server.URL+"/auth?")):
			t.Errorf("%q: %s to %v", back, resp.Status, to)
		case !ok && (resp.StatusCode != http.StatusBadRequest || to != nil):
			t.Errorf("%q: %s to %v", back, resp.Status, to)
		}
	}
}

func TestPagesAreStrict(t *testing.T) {
	w, l := newWorld(t), newLiar(t)
	w.open(l.config())
	v := harness.NewVisitor(t)
	for _, path := range []string{"/login", "/login/nobody", "/login/corp?return=//x", "/login/corp/callback"} {
		page := v.Get(w.url + path)
		csp := page.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") ||
			page.Header.Get("X-Content-Type-Options") != "nosniff" || page.Header.Get("Cache-Control") != "no-store" ||
			!strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %v", path, page.Header)
		}
	}
	if page := v.Get(w.url + "/login/nobody"); page.Status != http.StatusNotFound {
		t.Errorf("an unknown provider: %d", page.Status)
	}
}

func TestUnverifiedEmailIsNobodys(t *testing.T) {
	for sentence, tc := range map[string]struct {
		verified any
		email    string
	}{
		"not said":         {nil, ""},
		"false":            {false, ""},
		"false in a word":  {"false", ""},
		"a number":         {1, ""},
		"true":             {true, "admin@corp.example"},
		"true in a string": {"true", "admin@corp.example"},
	} {
		t.Run(sentence, func(t *testing.T) {
			w, l := newWorld(t), newLiar(t)
			cfg := l.config()
			cfg.UsernameClaim, cfg.Claims = "email", []string{"email", "acr"}
			w.open(cfg)
			l.with(map[string]any{"email": "admin@corp.example", "email_verified": tc.verified, "acr": "2"})
			if status, _, body := w.login(l, nil); status != http.StatusSeeOther {
				t.Fatalf("%d %s", status, body)
			}
			who, profile := w.people.seen[0], w.people.profiles[0]
			claim, _ := who.Claims["email"].(string)
			if who.ID != "a-1" || who.Name != tc.email || profile.Email != tc.email || claim != tc.email || who.Claims["acr"] != "2" {
				t.Fatalf("%+v %+v", who, profile)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	left := map[string]any{"_claim_names": map[string]any{"groups": "s"}, "_claim_sources": map[string]any{"s": map[string]any{"endpoint": "http://127.0.0.1:1/x"}}}
	cases := []struct {
		sentence, path   string
		claims           map[string]any
		userinfo, graph  map[string]any
		asksUser, asksMS bool
		want             []string // nil when the login is refused
		status           int
	}{
		{sentence: "no claim is no groups", path: "groups", want: []string{}},
		{sentence: "null is no groups", path: "groups", claims: map[string]any{"groups": nil}, want: []string{}},
		{sentence: "a list", path: "groups", claims: map[string]any{"groups": []any{"b", "a", "a", ""}}, want: []string{"a", "b"}},
		{sentence: "a string is one group, whatever is in it", path: "groups", claims: map[string]any{"groups": "a b,c"}, want: []string{"a b,c"}},
		{sentence: "a path", path: "resource_access.bondgate.roles",
			claims: map[string]any{"resource_access": map[string]any{"bondgate": map[string]any{"roles": []any{"x"}}}}, want: []string{"x"}},
		{sentence: "a claim whose own name has dots", path: "https://example.com/groups", claims: map[string]any{"https://example.com/groups": []any{"x"}}, want: []string{"x"}},
		{sentence: "a path through something that is no object", path: "groups.x", claims: map[string]any{"groups": []any{"x"}}, want: []string{}},
		{sentence: "groups are not wanted", path: "", claims: map[string]any{"groups": 7}, want: []string{}},
		{sentence: "left out, and userinfo has them", path: "groups", claims: left, asksUser: true,
			userinfo: map[string]any{"sub": "a-1", "groups": []any{"x"}}, want: []string{"x"}},
		{sentence: "left out, and userinfo has none of them", path: "groups", claims: left, asksUser: true,
			userinfo: map[string]any{"sub": "a-1"}, status: http.StatusForbidden},
		{sentence: "left out of userinfo too", path: "groups", claims: left, asksUser: true,
			userinfo: map[string]any{"sub": "a-1", "hasgroups": true}, status: http.StatusForbidden},
		{sentence: "userinfo about somebody else", path: "groups", asksUser: true,
			userinfo: map[string]any{"sub": "b-2", "groups": []any{"admins"}}, status: http.StatusForbidden},
		{sentence: "userinfo that is not there", path: "groups", asksUser: true, status: http.StatusServiceUnavailable},
		{sentence: "left out, and Graph has them", path: "groups", claims: left, asksMS: true, graph: map[string]any{"value": []any{"x"}}, want: []string{"x"}},
		{sentence: "left out, and Graph has more pages", path: "groups", claims: left, asksMS: true,
			graph: map[string]any{"value": []any{"x"}, "@odata.nextLink": "http://127.0.0.1:1/"}, status: http.StatusServiceUnavailable},
		{sentence: "left out, and Graph answers something else", path: "groups", claims: left, asksMS: true, graph: map[string]any{"error": "x"}, status: http.StatusServiceUnavailable},
		{sentence: "left out, and Graph is away", path: "groups", claims: left, asksMS: true, status: http.StatusServiceUnavailable},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			w, l := newWorld(t), newLiar(t)
			cfg := l.config()
			cfg.GroupsClaim, cfg.UserInfo = tc.path, tc.asksUser
			if tc.asksMS {
				cfg.GroupsURL = l.server.URL + "/groups"
			}
			w.open(cfg)
			l.userinfo, l.groups = tc.userinfo, tc.graph
			l.token = func(c map[string]any) (int, map[string]any) {
				maps.Copy(c, tc.claims)
				return l.honest(c)
			}
			status, _, body := w.login(l, nil)
			if tc.want == nil {
				if status != tc.status || len(w.people.seen) != 0 {
					t.Fatalf("%d, enrolled %v: %s", status, w.people.seen, body)
				}
				return
			}
			if status != http.StatusSeeOther || len(w.people.seen) != 1 || !slices.Equal(w.people.seen[0].Groups, tc.want) {
				t.Fatalf("%d, enrolled %+v: %s", status, w.people.seen, body)
			}
		})
	}
}

// A renewal has the same questions as a login.
func TestRenewal(t *testing.T) {
	who := policy.Principal{Workspace: "default", ID: "a-1"}
	cases := []struct {
		sentence string
		lie      func(*liar)
		err      error
	}{
		{"an honest answer", func(l *liar) { l.with(nil) }, nil},
		{"somebody else's ID token", func(l *liar) { l.with(map[string]any{"sub": "b-2"}) }, policy.ErrUnauthenticated},
		{"groups that were left out", func(l *liar) { l.with(map[string]any{"hasgroups": true}) }, policy.ErrUnauthenticated},
		{"no ID token", func(l *liar) {
			l.token = func(map[string]any) (int, map[string]any) {
				return http.StatusOK, map[string]any{"access_token": "access", "token_type": "Bearer"}
			}
		}, policy.ErrUnauthenticated},
		{"revoked", func(l *liar) {
			l.token = func(map[string]any) (int, map[string]any) {
				return http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
			}
		}, policy.ErrUnauthenticated},
		{"our own secret is wrong, which is no reason to log people out", func(l *liar) {
			l.token = func(map[string]any) (int, map[string]any) {
				return http.StatusUnauthorized, map[string]any{"error": "invalid_client"}
			}
		}, policy.ErrUnavailable},
		{"too many requests", func(l *liar) {
			l.token = func(map[string]any) (int, map[string]any) { return http.StatusTooManyRequests, map[string]any{} }
		}, policy.ErrUnavailable},
		{"a page of a proxy", func(l *liar) {
			l.token = func(map[string]any) (int, map[string]any) { return http.StatusOK, map[string]any{"hello": "world"} }
		}, policy.ErrUnavailable},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			w, l := newWorld(t), newLiar(t)
			w.open(l.config())
			tc.lie(l)
			p := who
			p.Issuer = l.server.URL
			got, next, err := w.ps.Renew(t.Context(), p, "refresh-0")
			if !errors.Is(err, tc.err) || (err == nil) != (got.ID == "a-1" && next == "refresh-1") {
				t.Fatalf("%+v %q %v", got, next, err)
			}
			if l.form.Get("refresh_token") != "refresh-0" || strings.Contains(w.log.String(), "refresh-") {
				t.Fatalf("%v, %s", l.form, w.log.String())
			}
		})
	}
	w, l := newWorld(t), newLiar(t)
	w.open(l.config())
	if _, _, err := w.ps.Renew(t.Context(), policy.Principal{Workspace: "default", Issuer: "https://gone.example", ID: "a-1"}, "x"); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatal(err)
	}
}

func TestNewChecksTheConfiguration(t *testing.T) {
	good := oidc.Config{Name: "corp", Workspace: "default", Issuer: "https://id.example.com", ClientID: "c", Client: http.DefaultClient}
	for sentence, change := range map[string]func(*oidc.Config){
		"a name that is a path":             func(c *oidc.Config) { c.Name = "../x" },
		"no name":                           func(c *oidc.Config) { c.Name = "" },
		"no workspace":                      func(c *oidc.Config) { c.Workspace = "" },
		"no issuer":                         func(c *oidc.Config) { c.Issuer = "" },
		"an issuer without TLS":             func(c *oidc.Config) { c.Issuer = "http://id.example.com" },
		"no client":                         func(c *oidc.Config) { c.ClientID = "" },
		"no HTTP client":                    func(c *oidc.Config) { c.Client = nil },
		"a parameter of the login's own":    func(c *oidc.Config) { c.Parameters = map[string]string{"redirect_uri": "https://evil.example"} },
		"a refresh time of a second":        func(c *oidc.Config) { c.Refresh = time.Second },
		"an address for groups of no claim": func(c *oidc.Config) { c.GroupsURL = "https://graph.example.com" },
	} {
		cfg := good
		change(&cfg)
		if _, err := oidc.New(&people{}, cfg); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	other := good
	other.Name = "other"
	if _, err := oidc.New(&people{}, good, other); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("one issuer twice: %v", err)
	}
	other.Workspace = "other"
	if _, err := oidc.New(&people{}, good, other); err != nil {
		t.Errorf("one issuer in two workspaces: %v", err)
	}
	if _, err := oidc.New(nil, good); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("nobody enrolls: %v", err)
	}
}
