package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
)

// ci knows the workloads of one issuer by the name of their token.
type ci struct{ now func() time.Time }

func (x ci) Exchange(_ context.Context, workspace, tokenType, raw string) (policy.Principal, error) {
	p := policy.Principal{
		Workspace: workspace, Issuer: "https://ci.acme.test", ID: "repo:acme/api", Kind: policy.KindWorkload, Auth: policy.AuthWorkload,
		Claims: map[string]any{"repository": "acme/api"}, Until: x.now().Add(90 * time.Second),
	}
	switch {
	case raw == "good" && (tokenType == token.TypeJWT || tokenType == token.TypeIDToken):
		return p, nil
	case raw == "long":
		p.Until = x.now().Add(time.Hour)
		return p, nil
	case raw == "for ever":
		p.Until = time.Time{}
		return p, nil
	case raw == "elsewhere":
		p.Workspace = "other"
		return p, nil
	case raw == "over":
		p.Until = x.now().Add(-time.Second)
		return p, nil
	case raw == "down":
		return policy.Principal{}, policy.ErrUnavailable
	case raw == "bad":
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	return policy.Principal{}, policy.ErrNotFound
}

// second is asked after ci.
type second struct{ ci }

func (x second) Exchange(ctx context.Context, workspace, tokenType, raw string) (policy.Principal, error) {
	if raw != "second" {
		return policy.Principal{}, policy.ErrNotFound
	}
	return x.ci.Exchange(ctx, workspace, tokenType, "good")
}

func newExchange(t testing.TB) (*counter, *clock) {
	t.Helper()
	shared, clock := newShelf(), newClock()
	s := open(t, shared, clock)
	a, err := authn.New(authn.Config{Passwords: []authn.Passwords{people{new(bool)}}, Tokens: s})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	e, err := token.NewEndpoint(token.EndpointConfig{
		Service: s, Authn: a, Gate: g, Exchange: []token.Exchanger{ci{clock.now}, second{ci{clock.now}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &counter{e, s, g, shared}, clock
}

// form is an exchange of the token, with more over it.
func form(subject string, more url.Values) string {
	v := url.Values{
		"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {subject}, "subject_token_type": {token.TypeJWT},
		"scope": {"repository:team/app:pull,push"},
	}
	for name, values := range more {
		v[name] = values
	}
	return v.Encode()
}

func TestAnExchangedTokenEndsWithTheOneItWasGotFor(t *testing.T) {
	c, clock := newExchange(t)
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form("good", url.Values{
		"audience": {"bondgate", "example.com", "https://example.com"}, "resource": {"https://example.com/v2/"},
		"requested_token_type": {token.TypeAccessToken}, "access_type": {"offline"},
	})))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if err := c.Serve(w, r, authn.Caller{Principal: policy.Principal{Workspace: "default"}}); err != nil {
		t.Fatal(err)
	}
	var out struct {
		reply
		IssuedType string `json:"issued_token_type"`
		Type       string `json:"token_type"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.AccessToken == "" || out.IssuedType != token.TypeAccessToken || out.Type != "Bearer" ||
		out.Scope != "repository:team/app:pull" || out.RefreshToken != "" {
		t.Fatalf("%s", w.Body)
	}
	// 90 s, of which a part of a second may be lost to whole ones.
	if out.ExpiresIn > 90 || out.ExpiresIn < 89 {
		t.Fatalf("it holds for %d s", out.ExpiresIn)
	}
	caller, err := c.service.Verify(t.Context(), "default", out.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	p := caller.Principal
	if p.ID != "repo:acme/api" || p.Kind != policy.KindWorkload || p.Auth != policy.AuthWorkload || p.Claims["repository"] != "acme/api" ||
		p.Issuer != "https://ci.acme.test" {
		t.Fatalf("%+v", p)
	}
	clock.advance(91 * time.Second)
	if _, err := c.service.Verify(t.Context(), "default", out.AccessToken); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("it outlives its proof: %v", err)
	}
	if _, err := c.service.IssueRefresh(t.Context(), p); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("a workload gets a refresh token: %v", err)
	}
	person := alice
	person.Until = clock.now().Add(time.Hour)
	if _, err := c.service.IssueRefresh(t.Context(), person); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("a proof that ends gets a refresh token: %v", err)
	}
}

func TestALongProofGetsNoLongerToken(t *testing.T) {
	c, _ := newExchange(t)
	for _, body := range []string{form("long", nil), form("long", url.Values{"subject_token_type": {token.TypeIDToken}})} {
		out, err := c.post(t, body)
		if err != nil || out.ExpiresIn != 300 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	if out, err := c.post(t, form("second", nil)); err != nil || out.AccessToken == "" {
		t.Fatalf("the next exchanger is not asked: %v", err)
	}
}

func TestExchangeRefuses(t *testing.T) {
	c, _ := newExchange(t)
	own := issue(t, c.service)
	for _, k := range []struct {
		name, subject string
		more          url.Values
		oauth         string
		status        int
	}{
		{"no token", "", nil, "invalid_request", 400},
		{"no type", "good", url.Values{"subject_token_type": {""}}, "invalid_request", 400},
		{"a type that nobody has", "good", url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:saml2"}}, "invalid_request", 400},
		{"one of our own tokens", own, url.Values{"subject_token_type": {token.TypeAccessToken}}, "invalid_request", 400},
		{"one of our own tokens as a JWT", own, nil, "invalid_grant", 400},
		{"two tokens", "good", url.Values{"subject_token": {"good", "long"}}, "invalid_request", 400},
		{"two types", "good", url.Values{"subject_token_type": {token.TypeJWT, token.TypeIDToken}}, "invalid_request", 400},
		{"two scopes", "good", url.Values{"scope": {"repository:a/b:pull", "repository:c/d:pull"}}, "invalid_request", 400},
		{"a refresh token is wanted", "good", url.Values{"requested_token_type": {"urn:ietf:params:oauth:token-type:refresh_token"}}, "invalid_request", 400},
		{"an actor", "good", url.Values{"actor_token": {"x"}}, "invalid_request", 400},
		{"a type of actor", "good", url.Values{"actor_token_type": {""}}, "invalid_request", 400},
		{"another audience", "good", url.Values{"audience": {"https://other.example"}}, "invalid_target", 400},
		{"another audience beside ours", "good", url.Values{"audience": {"bondgate", "other"}}, "invalid_target", 400},
		{"another resource", "good", url.Values{"resource": {"https://other.example/v2/"}}, "invalid_target", 400},
		{"a resource with a user", "good", url.Values{"resource": {"https://a@example.com/"}}, "invalid_target", 400},
		{"another service", "good", url.Values{"service": {"other"}}, "invalid_target", 400},
		{"a scope that is none", "good", url.Values{"scope": {"openid"}}, "invalid_scope", 400},
		{"a token that is off", "bad", nil, "invalid_grant", 400},
		{"a token of nobody's", "unknown", nil, "invalid_grant", 400},
		{"a token of another workspace", "elsewhere", nil, "invalid_grant", 400},
		{"a token that never ends", "for ever", nil, "invalid_grant", 400},
		{"a token that has ended", "over", nil, "invalid_grant", 400},
		{"an issuer that is away", "down", nil, "", 503},
	} {
		t.Run(k.name, func(t *testing.T) {
			_, err := c.post(t, form(k.subject, k.more))
			got := errcode.From(err)
			if err == nil || got.OAuth != k.oauth || got.Status != k.status {
				t.Fatalf("%v: %q, %d", err, got.OAuth, got.Status)
			}
		})
	}
	c.gate.deny = true
	if _, err := c.post(t, form("good", nil)); !errcode.Is(err, errcode.DeniedCode) || errcode.From(err).OAuth != "access_denied" {
		t.Fatalf("a denial: %v", err)
	}
	// In the query nothing counts: it ends in logs.
	r := httptest.NewRequest(http.MethodPost, "/token?"+form("good", nil), http.NoBody)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, err := c.do(t, r); !errcode.Is(err, errcode.BadRequest) {
		t.Fatalf("from the query: %v", err)
	}
}

func TestWithoutAnExchangerNothingIsExchanged(t *testing.T) {
	c := newCounter(t)
	if _, err := c.post(t, form("good", nil)); errcode.From(err).OAuth != "invalid_grant" {
		t.Fatalf("got %v", err)
	}
	if _, err := token.NewEndpoint(token.EndpointConfig{
		Service: c.service, Authn: noPasswords{}, Gate: c.gate, Exchange: []token.Exchanger{nil},
	}); !errors.Is(err, policy.ErrInvalid) {
		t.Fatalf("a nil exchanger: %v", err)
	}
}

type noPasswords struct{ token.Passwords }

// FuzzTokenQuery asks for tokens in whatever way: what is granted was asked for,
// a stranger gets a token that carries nothing, and nothing is an error of ours.
func FuzzTokenQuery(f *testing.F) {
	c, _ := newExchange(f)
	f.Add("service=bondgate&scope=repository:team/app:pull,push&scope=registry:catalog:*&offline_token=true", "", true)
	f.Add("scope=repository:never/asked:pull", "", true)
	f.Add("account=a;b&scope=%zz", "", false)
	f.Add("", form("good", url.Values{"audience": {"bondgate"}}), false)
	f.Add("", form("good", url.Values{"resource": {"https://example.com:x/%%"}, "scope": {"repository:a/b:pull  registry::"}}), false)
	f.Add("", "grant_type=password&username=alice&password=right&access_type=offline&scope=repository:team/x:*", false)
	f.Add("", "grant_type=refresh_token&refresh_token=a.b.c&service=", false)
	f.Fuzz(func(t *testing.T, query, body string, known bool) {
		if len(query)+len(body) > 8<<10 {
			return
		}
		r := &http.Request{
			Method: http.MethodGet, URL: &url.URL{Path: "/token", RawQuery: query}, Header: http.Header{}, Host: "example.com",
			Body: http.NoBody,
		}
		if body != "" {
			r = httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
			r.URL.RawQuery = query
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		} else if known {
			r.SetBasicAuth("alice", "right")
		}
		w := httptest.NewRecorder()
		err := c.Serve(w, r.WithContext(t.Context()), authn.Caller{Principal: policy.Principal{Workspace: "default"}})
		if err != nil {
			if e := errcode.From(err); e.Status >= 500 && !strings.Contains(body, "down") {
				t.Fatalf("%d: %v", e.Status, err)
			}
			return
		}
		var out reply
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		got, err := c.service.Verify(t.Context(), "default", out.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		if got.Principal.Anonymous() && (known || body != "") {
			t.Fatal("somebody who said who they are is nobody")
		}
		for _, s := range got.Scopes {
			asked := slices.ContainsFunc(c.gate.last.Token.Requested, func(a policy.Scope) bool { return a.Type == s.Type && a.Name == s.Name })
			if !asked || (got.Principal.Anonymous() && len(s.Actions) > 0) {
				t.Fatalf("granted %+v", s)
			}
		}
		if out.RefreshToken != "" && got.Principal.ID != "alice" {
			t.Fatalf("%s got a refresh token", got.Principal.ID)
		}
	})
}
