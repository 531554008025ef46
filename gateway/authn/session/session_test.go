package session_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// rows is a store as the interface asks for one.
type rows struct {
	mu   sync.Mutex
	all  map[string]session.Session
	fail error
}

func newRows() *rows { return &rows{all: map[string]session.Session{}} }

func (s *rows) CreateSession(_ context.Context, one session.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.all[one.ID] = one
	}
	return s.fail
}

func (s *rows) Session(_ context.Context, workspace, id string) (session.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.all[id]
	switch {
	case s.fail != nil:
		return session.Session{}, s.fail
	case !ok || one.Principal.Workspace != workspace:
		return session.Session{}, policy.ErrNotFound
	}
	// What a store need not keep.
	one.Principal.Kind, one.Principal.Auth = "", ""
	return one, nil
}

func (s *rows) UpdateSession(_ context.Context, one session.Session, was []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.all[one.ID]
	switch {
	case s.fail != nil:
		return s.fail
	case !ok || !bytes.Equal(old.Refresh, was):
		return policy.ErrConflict
	}
	s.all[one.ID] = one
	return nil
}

func (s *rows) DeleteSession(_ context.Context, _, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.all[id]; !ok && s.fail == nil {
		return policy.ErrNotFound
	}
	delete(s.all, id)
	return s.fail
}

func (s *rows) DeleteExpiredSessions(_ context.Context, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.all {
		if !now.Before(one.Expires) {
			delete(s.all, id)
		}
	}
	return s.fail
}

func (s *rows) list() []session.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []session.Session
	for _, one := range s.all {
		out = append(out, one)
	}
	return out
}

// provider vouches for people as a test says.
type provider struct {
	mu     sync.Mutex
	err    error
	gone   bool
	groups []string
	as     string
	tokens []string
}

func (p *provider) Terms(string, string) (session.Terms, bool) {
	return session.Terms{Refresh: 15 * time.Minute, Grace: 30 * time.Minute}, !p.gone
}

func (p *provider) Renew(_ context.Context, who policy.Principal, token string) (policy.Principal, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = append(p.tokens, token)
	if p.err != nil {
		return policy.Principal{}, "", p.err
	}
	who.Groups = p.groups
	if p.as != "" {
		who.ID = p.as
	}
	return who, token + "+", nil
}

type world struct {
	*session.Sessions
	t        *testing.T
	rows     *rows
	provider *provider
	now      time.Time
}

const site = "https://registry.example.com"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, rows: newRows(), provider: &provider{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	known, err := session.NewSite(map[string]string{"default": site})
	if err != nil {
		t.Fatal(err)
	}
	w.Sessions, err = session.New(session.Config{
		Store: w.rows, Provider: w.provider, Site: known, Key: bytes.Repeat([]byte{7}, session.KeySize),
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func alice() policy.Principal {
	return policy.Principal{Workspace: "default", Issuer: "https://id.example.com", ID: "a1", Name: "alice", Groups: []string{"dev"}}
}

func request(method string, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(method, site+"/api/v1/projects", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

// login begins a session and answers its cookie.
func (w *world) login(token string, before ...*http.Cookie) *http.Cookie {
	w.t.Helper()
	answer := httptest.NewRecorder()
	if err := w.Begin(w.t.Context(), answer, request("GET", before...), alice(), token); err != nil {
		w.t.Fatal(err)
	}
	cookies := answer.Result().Cookies()
	if len(cookies) != 1 {
		w.t.Fatalf("%d cookies", len(cookies))
	}
	return cookies[0]
}

func (w *world) caller(c *http.Cookie) (policy.Principal, error) {
	return w.Caller(w.t.Context(), "default", request("GET", c))
}

func TestTheCookieIsOutOfReach(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	if c.Name != "__Host-bondgate-session" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode ||
		c.Path != "/" || c.Domain != "" || c.MaxAge <= 0 || len(c.Value) != 43 {
		t.Fatalf("the cookie is %s", c)
	}
	row := w.rows.list()[0]
	if strings.Contains(row.ID, c.Value) || bytes.Contains(row.Refresh, []byte(c.Value)) || bytes.Contains(row.Refresh, []byte(`"r"`)) {
		t.Fatal("the store could be used to log in")
	}
	p, err := w.caller(c)
	if err != nil || p.ID != "a1" || p.Auth != policy.AuthOIDC || p.Kind != policy.KindUser || p.Credential != "session:"+row.ID || !slices.Equal(p.Groups, []string{"dev"}) {
		t.Fatalf("%+v, %v", p, err)
	}
}

func TestALoginNeverKeepsTheSessionThatItFound(t *testing.T) {
	w := newWorld(t)
	old := w.login("r")
	fresh := w.login("r", old)
	if old.Value == fresh.Value {
		t.Fatal("the cookie was known before the login")
	}
	if _, err := w.caller(old); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("the old session holds: %v", err)
	}
	planted := *fresh
	planted.Value = strings.Repeat("A", 43)
	if c := w.login("r", &planted); c.Value == planted.Value {
		t.Fatal("a planted value became a session")
	}
}

func TestWhatIsNoSession(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	other := func(change func(*http.Cookie)) *http.Cookie {
		o := *c
		change(&o)
		return &o
	}
	cases := []struct {
		sentence          string
		workspace, method string
		cookies           []*http.Cookie
		header            http.Header
		err               error
	}{
		{"no cookie is nobody", "default", "GET", nil, nil, policy.ErrNotFound},
		{"a cookie of another name is nobody", "default", "GET", []*http.Cookie{other(func(o *http.Cookie) { o.Name = "session" })}, nil, policy.ErrNotFound},
		{"the name without the prefix, which a neighbour could plant", "default", "GET", []*http.Cookie{other(func(o *http.Cookie) { o.Name = "bondgate-session" })}, nil, policy.ErrNotFound},
		{"a value that was never given", "default", "GET", []*http.Cookie{other(func(o *http.Cookie) { o.Value = strings.Repeat("x", 43) })}, nil, policy.ErrUnauthenticated},
		{"a value of another size", "default", "GET", []*http.Cookie{other(func(o *http.Cookie) { o.Value += "x" })}, nil, policy.ErrUnauthenticated},
		{"two of a name", "default", "GET", []*http.Cookie{c, other(func(o *http.Cookie) { o.Value = strings.Repeat("x", 43) })}, nil, policy.ErrUnauthenticated},
		{"the row's own id", "default", "GET", []*http.Cookie{other(func(o *http.Cookie) { o.Value = w.rows.list()[0].ID })}, nil, policy.ErrUnauthenticated},
		{"the header counts when both are there", "default", "GET", []*http.Cookie{c}, http.Header{"Authorization": {"Basic x"}}, policy.ErrNotFound},
		{"the session itself", "default", "GET", []*http.Cookie{c}, nil, nil},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			r := request(tc.method, tc.cookies...)
			for name, values := range tc.header {
				r.Header[name] = values
			}
			p, err := w.Caller(t.Context(), tc.workspace, r)
			if !errors.Is(err, tc.err) || p.Anonymous() != (err != nil) {
				t.Fatalf("%+v, %v", p, err)
			}
		})
	}
	t.Run("another workspace", func(t *testing.T) {
		r := httptest.NewRequest("GET", "http://localhost:5000/", nil)
		r.AddCookie(&http.Cookie{Name: "bondgate-session", Value: c.Value})
		if p, err := w.Caller(t.Context(), "other", r); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatalf("%+v, %v", p, err)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	begun := w.now
	for range 5 { // used each hour: it outlives the idle time, and not the absolute one
		w.now = w.now.Add(time.Hour)
		if _, err := w.caller(c); err != nil {
			t.Fatalf("after %s: %v", w.now.Sub(begun), err)
		}
	}
	idle := w.now.Add(2 * time.Hour)
	w.now = idle
	if _, err := w.caller(c); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("unused for two hours: %v", err)
	}
	if n := len(w.rows.list()); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
	c, begun = w.login("r"), w.now
	for w.now.Sub(begun) < 11*time.Hour {
		w.now = w.now.Add(time.Hour)
		if _, err := w.caller(c); err != nil {
			t.Fatalf("after %s: %v", w.now.Sub(begun), err)
		}
	}
	w.now = begun.Add(12 * time.Hour)
	if _, err := w.caller(c); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("after twelve hours: %v", err)
	}
	w.login("r")
	w.now = w.now.Add(3 * time.Hour)
	if err := w.Sweep(t.Context()); err != nil || len(w.rows.list()) != 0 {
		t.Fatalf("%v, %d rows are left", err, len(w.rows.list()))
	}
}

func TestAStoreThatIsDownIsAnOutage(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	w.rows.fail = policy.ErrUnavailable
	if _, err := w.caller(c); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatal(err)
	}
	if err := w.Begin(t.Context(), httptest.NewRecorder(), request("GET"), alice(), ""); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatal(err)
	}
}

func TestLogout(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	r := request("POST", c)
	if err := w.End(t.Context(), "default", httptest.NewRecorder(), r); !errcode.Is(err, errcode.DeniedCode) {
		t.Fatalf("another site logged somebody out: %v", err)
	}
	r.Header.Set("Origin", site)
	answer := httptest.NewRecorder()
	if err := w.End(t.Context(), "default", answer, r); err != nil {
		t.Fatal(err)
	}
	if got := answer.Result().Cookies(); len(got) != 1 || got[0].MaxAge >= 0 || got[0].Value != "" {
		t.Fatalf("the cookie is not taken back: %v", got)
	}
	if _, err := w.caller(c); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatal(err)
	}
}

// Attack classes 24 and 17: what another site can make a browser send.
func TestSameOrigin(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	cases := []struct {
		sentence string
		method   string
		header   http.Header
		ok       bool
	}{
		{"reading needs nothing", "GET", nil, true},
		{"a page of the site", "POST", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {site}}, true},
		{"an older browser", "POST", http.Header{"Origin": {site}}, true},
		{"no Origin where it is the site's own fetch", "PUT", http.Header{"Sec-Fetch-Site": {"same-origin"}}, true},
		{"neither header", "POST", nil, false},
		{"another site", "POST", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}, false},
		{"another site, in an older browser", "DELETE", http.Header{"Origin": {"https://evil.example"}}, false},
		{"a subdomain", "POST", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://x.registry.example.com"}}, false},
		{"the site without TLS", "POST", http.Header{"Origin": {"http://registry.example.com"}}, false},
		{"the site's name with another port", "POST", http.Header{"Origin": {site + ":8443"}}, false},
		{"a name that begins like it", "POST", http.Header{"Origin": {site + ".evil.example"}}, false},
		{"an opaque origin, as of a sandboxed frame", "POST", http.Header{"Origin": {"null"}}, false},
		{"an empty origin", "POST", http.Header{"Origin": {""}}, false},
		{"two origins", "POST", http.Header{"Origin": {site, "https://evil.example"}}, false},
		{"the headers contradict each other", "POST", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://evil.example"}}, false},
		{"the headers contradict each other the other way", "POST", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {site}}, false},
		{"a bookmark cannot change anything", "POST", http.Header{"Sec-Fetch-Site": {"none"}}, false},
		{"a verb that nobody knows", "FROB", nil, false},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			r := request(tc.method, c)
			for name, values := range tc.header {
				r.Header[name] = values
			}
			p, err := w.Caller(t.Context(), "default", r)
			if tc.ok != (err == nil) || tc.ok == p.Anonymous() || (err != nil && !errcode.Is(err, errcode.DeniedCode)) {
				t.Fatalf("%+v, %v", p, err)
			}
		})
	}
}

func TestSite(t *testing.T) {
	for _, bad := range []string{"", "registry.example.com", "http://registry.example.com", "https://", "https://a/b", "https://u@a", "https://a?x", "ftp://a", "javascript:alert(1)"} {
		if _, err := session.NewSite(map[string]string{"default": bad}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	known, err := session.NewSite(map[string]string{"default": "https://Registry.example.com:443/"})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		sentence        string
		site            session.Site
		workspace, host string
		want            string
	}{
		{"the configured one, whatever the Host header says", known, "default", "evil.example", site},
		{"and on loopback too", known, "default", "localhost:5000", site},
		{"loopback without configuration", session.Site{}, "default", "127.0.0.1:5000", "http://127.0.0.1:5000"},
		{"by its name", session.Site{}, "default", "localhost:5000", "http://localhost:5000"},
		{"in IPv6", session.Site{}, "default", "[::1]:5000", "http://[::1]:5000"},
		{"a Host header is not believed", session.Site{}, "default", "registry.example.com", ""},
		{"nor one that begins like loopback", session.Site{}, "default", "127.0.0.1.evil.example", ""},
		{"nor for a workspace without its own", known, "other", "registry.example.com", ""},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Host = tc.host
			o, err := tc.site.Origin(tc.workspace, r)
			if (tc.want == "") != (err != nil) || (err == nil && o.String() != tc.want) {
				t.Fatalf("%s, %v", o, err)
			}
		})
	}
}

func TestNewChecksItsConfiguration(t *testing.T) {
	good := session.Config{Store: newRows(), Provider: &provider{}, Key: make([]byte, session.KeySize)}
	for sentence, change := range map[string]func(*session.Config){
		"no store":      func(c *session.Config) { c.Store = nil },
		"no provider":   func(c *session.Config) { c.Provider = nil },
		"a short key":   func(c *session.Config) { c.Key = c.Key[1:] },
		"a short life":  func(c *session.Config) { c.Absolute = time.Second },
		"a short break": func(c *session.Config) { c.Idle = time.Second },
	} {
		cfg := good
		change(&cfg)
		if _, err := session.New(cfg); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if _, err := session.New(good); err != nil {
		t.Fatal(err)
	}
}
