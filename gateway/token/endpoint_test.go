package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
)

// gate grants pull on what is in team/, and to admin whatever is asked, with a
// little more that nobody asked for.
type gate struct {
	last policy.Request
	deny bool
	err  error
}

func (g *gate) Admit(_ context.Context, req policy.Request) (policy.Decision, error) {
	g.last = req
	if g.err != nil || g.deny {
		return policy.Decision{ID: "d1", Visible: true}, g.err
	}
	d := policy.Decision{Verdict: policy.Allow, Visible: true}
	for _, s := range req.Token.Requested {
		switch {
		case req.Principal.ID == "admin":
			d.Granted = append(d.Granted, policy.Scope{Type: s.Type, Name: s.Name, Actions: []string{"pull", "push", "delete"}})
		case !req.Principal.Anonymous() && strings.HasPrefix(s.Name, "team/"):
			d.Granted = append(d.Granted, policy.Scope{Type: s.Type, Name: s.Name, Actions: []string{"pull"}})
		}
	}
	d.Granted = append(d.Granted, policy.Scope{Type: "repository", Name: "never/asked", Actions: []string{"push"}})
	return d, nil
}

// people know everybody by one password; turncoat's is changed the moment after it
// was checked.
type people struct{ turned *bool }

func (p people) Authenticate(_ context.Context, workspace, name, password string) (policy.Principal, error) {
	if name == "turncoat" {
		defer func() { *p.turned = true }()
	}
	if password != "right" || (name == "turncoat" && *p.turned) {
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	return policy.Principal{Workspace: workspace, Issuer: "local", ID: name, Kind: policy.KindUser, Auth: "basic"}, nil
}

type counter struct {
	*token.Endpoint
	service *token.Service
	gate    *gate
	shelf   *shelf
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	shared := newShelf()
	s := open(t, shared, newClock())
	a, err := authn.New(authn.Config{Passwords: []authn.Passwords{people{new(bool)}}, Tokens: s})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	e, err := token.NewEndpoint(token.EndpointConfig{Service: s, Authn: a, Gate: g})
	if err != nil {
		t.Fatal(err)
	}
	return &counter{e, s, g, shared}
}

type reply struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IssuedAt     string `json:"issued_at"`
	Scope        string `json:"scope"`
	ExpiresIn    int    `json:"expires_in"`
}

func (c *counter) do(t *testing.T, r *http.Request) (reply, error) {
	t.Helper()
	w := httptest.NewRecorder()
	from := authn.Caller{Principal: policy.Principal{Workspace: "default"}, RequestID: "rq", ClientIP: "192.0.2.1"}
	err := c.Serve(w, r, from)
	if err != nil {
		if w.Body.Len() != 0 {
			t.Fatalf("an error and an answer: %s", w.Body)
		}
		return reply{}, err
	}
	var out reply
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Fatal("a token may be kept by a cache")
	}
	return out, nil
}

func (c *counter) get(t *testing.T, query, user, password string) (reply, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/token?"+query, nil)
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	return c.do(t, r)
}

func (c *counter) post(t *testing.T, form string) (reply, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(t, r)
}

func TestGetToken(t *testing.T) {
	c := newCounter(t)
	out, err := c.get(t, "service=bondgate&scope=repository:team/app:pull,push&scope=repository:other/x:pull&account=alice", "alice", "right")
	if err != nil {
		t.Fatal(err)
	}
	if out.Token == "" || out.Token != out.AccessToken || out.ExpiresIn != 300 || out.IssuedAt == "" || out.RefreshToken != "" {
		t.Fatalf("%+v", out)
	}
	caller, err := c.service.Verify(t.Context(), "default", out.Token)
	if err != nil {
		t.Fatal(err)
	}
	// What was asked for in vain stands in the token with no action.
	if got := token.FormatScopes(caller.Scopes); got != "repository:team/app:pull repository:other/x:" {
		t.Fatalf("granted %q", got)
	}
	if !caller.Asked("other/x") || caller.Asked("other") || caller.Carries("other/x", "pull") || caller.Carries("other/x", "") {
		t.Fatalf("%+v", caller.Scopes)
	}
	req := c.gate.last
	if req.Action != policy.TokenIssue || req.Purpose != policy.Token || req.ID != "rq" || req.HTTP.ClientIP != "192.0.2.1" ||
		req.Principal.ID != "alice" || len(req.Token.Requested) != 2 || req.Token.Offline {
		t.Fatalf("%+v", req)
	}
	t.Run("login asks for no scope", func(t *testing.T) {
		if _, err := c.get(t, "service=bondgate&account=alice&client_id=docker", "alice", "right"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("the host may stand for the service", func(t *testing.T) {
		out, err := c.get(t, "service=example.com", "alice", "right") // httptest's host
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.service.Verify(t.Context(), "default", out.Token); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("nobody gets a token that carries nothing", func(t *testing.T) {
		out, err := c.get(t, "service=bondgate&scope=repository:team/app:pull", "", "")
		if err != nil {
			t.Fatal(err)
		}
		caller, err := c.service.Verify(t.Context(), "default", out.Token)
		if err != nil || !caller.Principal.Anonymous() || len(caller.Repositories("pull")) != 0 || caller.Carries("team/app", "pull") {
			t.Fatalf("%+v %v", caller, err)
		}
	})
	t.Run("no more is granted than was asked", func(t *testing.T) {
		out, err := c.get(t, "scope=repository:team/app:pull", "admin", "right")
		if err != nil {
			t.Fatal(err)
		}
		caller, _ := c.service.Verify(t.Context(), "default", out.Token)
		if got := token.FormatScopes(caller.Scopes); got != "repository:team/app:pull" {
			t.Fatalf("granted %q", got)
		}
	})
	t.Run("a star asks for whatever there is", func(t *testing.T) {
		out, err := c.get(t, "scope=repository:team/app:*", "admin", "right")
		if err != nil {
			t.Fatal(err)
		}
		caller, _ := c.service.Verify(t.Context(), "default", out.Token)
		if !caller.Carries("team/app", "delete") {
			t.Fatalf("granted %v", caller.Scopes)
		}
	})
}

func TestGetTokenRefuses(t *testing.T) {
	c := newCounter(t)
	good, err := c.get(t, "service=bondgate", "alice", "right")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		sentence, query, user, password string
		code                            errcode.Code
	}{
		{"a wrong password", "service=bondgate", "alice", "wrong", errcode.Unauthorised},
		{"a wrong password with a wrong scope: the password comes first", "scope=x", "alice", "wrong", errcode.Unauthorised},
		{"another service", "service=harbor-registry", "alice", "right", errcode.BadRequest},
		{"ours and another service", "service=bondgate&service=x", "alice", "right", errcode.BadRequest},
		{"a scope that is none", "scope=repository:A:pull", "alice", "right", errcode.BadRequest},
		{"a query that is none", "scope=%zz", "alice", "right", errcode.BadRequest},
		{"a query without end", "scope=" + strings.Repeat("a", 70<<10), "alice", "right", errcode.TooLarge},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			if _, err := c.get(t, tc.query, tc.user, tc.password); errcode.From(err).Code != tc.code {
				t.Fatal(err)
			}
		})
	}
	t.Run("a token for a token", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodGet, "/token?service=bondgate", nil)
		r.Header.Set("Authorization", "Bearer "+good.Token)
		if _, err := c.do(t, r); errcode.From(err).Code != errcode.Unauthorised {
			t.Fatal(err)
		}
	})
	t.Run("another method", func(t *testing.T) {
		if _, err := c.do(t, httptest.NewRequest(http.MethodDelete, "/token", nil)); errcode.From(err).Status != http.StatusMethodNotAllowed {
			t.Fatal(err)
		}
	})
	t.Run("a denial says why", func(t *testing.T) {
		c.gate.deny = true
		if _, err := c.get(t, "", "alice", "right"); errcode.From(err).Code != errcode.DeniedCode {
			t.Fatal(err)
		}
		if _, err := c.get(t, "", "", ""); errcode.From(err).Code != errcode.Unauthorised {
			t.Fatal(err)
		}
	})
	t.Run("an outage is no denial and no grant", func(t *testing.T) {
		c.gate.err = policy.ErrUnavailable
		if _, err := c.get(t, "", "alice", "right"); !errors.Is(err, policy.ErrUnavailable) {
			t.Fatal(err)
		}
	})
}

func TestPostToken(t *testing.T) {
	c := newCounter(t)
	out, err := c.post(t, "grant_type=password&username=alice&password=right&service=bondgate&client_id=containerd&access_type=offline&scope="+
		url.QueryEscape("repository:team/app:pull,push repository:other/x:pull"))
	if err != nil {
		t.Fatal(err)
	}
	if out.AccessToken == "" || out.RefreshToken == "" || out.Scope != "repository:team/app:pull" || !c.gate.last.Token.Offline {
		t.Fatalf("%+v", out)
	}
	fresh, err := c.post(t, "grant_type=refresh_token&service=bondgate&scope=repository:team/b:pull&refresh_token="+out.RefreshToken)
	if err != nil || fresh.Scope != "repository:team/b:pull" || fresh.RefreshToken != "" {
		t.Fatalf("%+v %v", fresh, err)
	}
	for sentence, form := range map[string]string{
		"a wrong password":            "grant_type=password&username=alice&password=wrong",
		"no name":                     "grant_type=password&password=right",
		"no password":                 "grant_type=password&username=alice",
		"a bearer token to refresh":   "grant_type=refresh_token&refresh_token=" + out.AccessToken,
		"nothing to refresh":          "grant_type=refresh_token",
		"a refresh token as password": "grant_type=password&username=alice&password=" + out.RefreshToken,
	} {
		t.Run(sentence, func(t *testing.T) {
			if _, err := c.post(t, form); errcode.From(err).Code != errcode.Unauthorised {
				t.Fatal(err)
			}
		})
	}
	t.Run("after a change of the password the refresh token is nothing", func(t *testing.T) {
		c.shelf.mu.Lock()
		c.shelf.stamps["alice"] = "s2"
		c.shelf.mu.Unlock()
		if _, err := c.post(t, "grant_type=refresh_token&refresh_token="+out.RefreshToken); errcode.From(err).Code != errcode.Unauthorised {
			t.Fatal(err)
		}
	})
	t.Run("an unknown grant", func(t *testing.T) {
		if _, err := c.post(t, "grant_type=client_credentials"); errcode.From(err).Code != errcode.BadRequest {
			t.Fatal(err)
		}
	})
	t.Run("another service", func(t *testing.T) {
		if _, err := c.post(t, "grant_type=password&username=alice&password=right&service=x"); errcode.From(err).Code != errcode.BadRequest {
			t.Fatal(err)
		}
	})
	t.Run("credentials in the query are not read", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/token?grant_type=password&username=alice&password=right", strings.NewReader("scope=x"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if _, err := c.do(t, r); errcode.From(err).Code != errcode.BadRequest {
			t.Fatal(err)
		}
	})
	t.Run("a body of another type", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		if _, err := c.do(t, r); errcode.From(err).Status != http.StatusUnsupportedMediaType {
			t.Fatal(err)
		}
	})
	t.Run("a body without end", func(t *testing.T) {
		if _, err := c.post(t, "grant_type=password&scope="+strings.Repeat("a", 70<<10)); errcode.From(err).Code != errcode.TooLarge {
			t.Fatal(err)
		}
	})
}

func TestOfflineByGet(t *testing.T) {
	c := newCounter(t)
	for query, user := range map[string]string{"offline_token=true": "alice", "access_type=offline": "alice"} {
		if out, err := c.get(t, query, user, "right"); err != nil || out.RefreshToken == "" {
			t.Fatalf("%s: %+v %v", query, out, err)
		}
	}
	if out, err := c.get(t, "offline_token=true", "", ""); err != nil || out.RefreshToken != "" {
		t.Fatalf("nobody got a refresh token: %v", err)
	}
	t.Run("a password that changes meanwhile gets nothing", func(t *testing.T) {
		for _, get := range []bool{true, false} {
			c := newCounter(t)
			c.shelf.stamps["turncoat"] = "s2"
			var err error
			if get {
				_, err = c.get(t, "offline_token=true", "turncoat", "right")
			} else {
				_, err = c.post(t, "grant_type=password&username=turncoat&password=right&access_type=offline")
			}
			if errcode.From(err).Code != errcode.Unauthorised {
				t.Fatal(err)
			}
		}
	})
	// Somebody whose provider has no lasting credential gets a token all the same.
	if out, err := c.get(t, "offline_token=true", "bob", "right"); err != nil || out.Token == "" || out.RefreshToken != "" {
		t.Fatalf("%+v %v", out, err)
	}
}
