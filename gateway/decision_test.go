package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

func TestADenialNamesTheAddressOfItsPage(t *testing.T) {
	denied := policy.Decision{ID: "01ABC", Visible: true, Deny: []policy.Reason{{Code: "a.b", Message: "no"}}}
	cases := []struct {
		sentence string
		cfg      func(*gateway.Config)
		request  []func(*http.Request)
		operator bool
		want     string
	}{
		{sentence: "at the host that was asked", want: " Decision: 01ABC http://example.com/d/01ABC"},
		{sentence: "by https behind a proxy that ends it", cfg: func(c *gateway.Config) { c.BehindTLSProxy = true }, want: " Decision: 01ABC https://example.com/d/01ABC"},
		{sentence: "not where a header claims to be", request: []func(*http.Request){
			with("X-Forwarded-Host", "evil.test"), with("X-Forwarded-Proto", "https"), with("Forwarded", "host=evil.test;proto=https"),
		}, want: " Decision: 01ABC http://example.com/d/01ABC"},
		{
			sentence: "where the operator says that people reach it",
			cfg:      func(c *gateway.Config) { c.Origins = map[string]string{"default": "https://reg.acme:8443/"} },
			want:     " Decision: 01ABC https://reg.acme:8443/d/01ABC",
		},
		{sentence: "nowhere on the socket, which has no host", operator: true, want: " Decision: 01ABC"},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			h := newHouse(t, func(cfg *gateway.Config) {
				if c.cfg != nil {
					c.cfg(cfg)
				}
			})
			serve := func(http.ResponseWriter, *http.Request, authn.Caller) error { return errcode.Denied(denied, nil) }
			h.protocol.serve, h.api.serve, h.token.serve = serve, serve, serve
			for _, path := range []string{"/v2/a/b/manifests/v1", "/api/v1/users", "/token"} {
				if c.operator && path != "/api/v1/users" {
					continue
				}
				w := recorder()
				if c.operator {
					h.edge.Operator().ServeHTTP(w, request("GET", path, c.request...))
				} else {
					h.edge.ServeHTTP(w, request("GET", path, c.request...))
				}
				if !strings.Contains(w.Body.String(), c.want+`"`) || strings.Contains(w.Body.String(), "evil") {
					t.Errorf("%s: %s", path, w.Body)
				}
			}
		})
	}
}

// sessions knows one cookie.
type sessions struct{}

func (sessions) Caller(_ context.Context, workspace string, r *http.Request) (policy.Principal, error) {
	c, err := r.Cookie("session")
	switch {
	case err != nil:
		return policy.Principal{}, policy.ErrNotFound
	case c.Value != "good":
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	return policy.Principal{Workspace: workspace, Issuer: "https://sso", ID: "carol", Kind: policy.KindUser}, nil
}

func TestABrowserWithASessionOpensThePageOfADecision(t *testing.T) {
	page := &handler{}
	h := newHouse(t, func(c *gateway.Config) { c.Decisions, c.Sessions = page, sessions{} })
	if w := h.do(request("GET", "/d/01ABC", with("Cookie", "session=good"))); w.Code != 200 || page.last.Principal.ID != "carol" {
		t.Errorf("with a session: %d %+v", w.Code, page.last)
	}
	before := page.calls
	if w := h.do(request("GET", "/d/01ABC", with("Cookie", "session=over"))); w.Code != 401 || page.calls != before {
		t.Errorf("with one that is over: %d", w.Code)
	}
	if h.do(request("GET", "/d/01ABC", with("Cookie", "session=good"), basic("alice"))); page.last.Principal.ID != "alice" {
		t.Errorf("a header says who asks before a cookie does: %+v", page.last)
	}
}

func TestThePageOfADecisionWantsSomebody(t *testing.T) {
	page := &handler{}
	h := newHouse(t, func(c *gateway.Config) { c.Decisions = page })
	for _, method := range []string{"GET", "HEAD"} {
		w := h.do(request(method, "/d/01ABC"))
		if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") || page.calls > 0 {
			t.Fatalf("%s by nobody: %d %q, asked %d times", method, w.Code, w.Header().Get("WWW-Authenticate"), page.calls)
		}
	}
	if w := h.do(request("GET", "/d/01ABC", basic("alice"))); w.Code != 200 || page.last.Principal.ID != "alice" {
		t.Fatalf("by alice: %d %+v", w.Code, page.last)
	}
	for method, path := range map[string]string{"POST": "/d/01ABC", "DELETE": "/d/01ABC", "GET": "/d/a/b", "PUT": "/d/"} {
		before := page.calls
		if w := h.do(request(method, path, basic("alice"))); w.Code < 400 || page.calls != before {
			t.Errorf("%s %s: %d", method, path, w.Code)
		}
	}
}
