package authn_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

type people map[string]string

func (p people) Authenticate(_ context.Context, workspace, name, password string) (policy.Principal, error) {
	want, ok := p[name]
	switch {
	case !ok:
		return policy.Principal{}, policy.ErrNotFound
	case want == "down":
		return policy.Principal{}, policy.ErrUnavailable
	case want != password:
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	return policy.Principal{Workspace: workspace, Issuer: "local", ID: name, Kind: policy.KindUser, Auth: "basic"}, nil
}

type tokens struct{}

func (tokens) Verify(_ context.Context, workspace, raw string) (authn.Caller, error) {
	if raw != "good.token.x" {
		return authn.Caller{}, policy.ErrUnauthenticated
	}
	return authn.Caller{Principal: policy.Principal{Workspace: workspace, ID: "tok"}, Scoped: true}, nil
}

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// nobodyYet is where the tests' requests come from.
var nobodyYet = authn.Caller{Principal: policy.Principal{Workspace: "default"}, RequestID: "r-1", ClientIP: "192.0.2.9"}

func newAuthenticator(t testing.TB) *authn.Authenticator {
	t.Helper()
	a, err := authn.New(authn.Config{
		Passwords: []authn.Passwords{people{"alice": "pw:with:colons", "down": "down"}, people{"bob": "b", "alice": "other"}},
		Tokens:    tokens{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCaller(t *testing.T) {
	a := newAuthenticator(t)
	cases := []struct {
		sentence string
		header   []string
		id       string
		err      error
	}{
		{"no header is anonymous", nil, "", nil},
		{"Basic with colons in the password", []string{basic("alice", "pw:with:colons")}, "alice", nil},
		{"the scheme is read in any case", []string{"bAsIc" + strings.TrimPrefix(basic("bob", "b"), "Basic")}, "bob", nil},
		{"the second provider knows bob", []string{basic("bob", "b")}, "bob", nil},
		{"a name that the first provider owns is not tried elsewhere", []string{basic("alice", "other")}, "", policy.ErrUnauthenticated},
		{"an outage is no wrong password", []string{basic("down", "x")}, "", policy.ErrUnavailable},
		{"nobody's name", []string{basic("eve", "x")}, "", policy.ErrUnauthenticated},
		{"a token", []string{"Bearer good.token.x"}, "tok", nil},
		{"a wrong token", []string{"Bearer bad"}, "", policy.ErrUnauthenticated},
		{"two headers", []string{basic("bob", "b"), basic("bob", "b")}, "", policy.ErrUnauthenticated},
		{"an empty header is not anonymous", []string{""}, "", policy.ErrUnauthenticated},
		{"a scheme alone", []string{"Basic"}, "", policy.ErrUnauthenticated},
		{"a scheme that nobody knows", []string{"Negotiate abc"}, "", policy.ErrUnauthenticated},
		{"an empty credential", []string{"Basic Og=="}, "", policy.ErrUnauthenticated},
		{"an empty password", []string{basic("bob", "")}, "", policy.ErrUnauthenticated},
		{"a name with a line break", []string{basic("bob\n", "b")}, "", policy.ErrUnauthenticated},
		{"a password with a zero byte", []string{basic("bob", "b\x00")}, "", policy.ErrUnauthenticated},
		{"bytes that are no UTF-8", []string{basic("bob\xff", "b")}, "", policy.ErrUnauthenticated},
		{"a long name", []string{basic(strings.Repeat("n", 256), "b")}, "", policy.ErrUnauthenticated},
		{"a password of a mebibyte", []string{basic("bob", strings.Repeat("p", 1<<20))}, "", policy.ErrUnauthenticated},
		{"a password over the limit", []string{basic("bob", strings.Repeat("p", authn.MaxPassword+1))}, "", policy.ErrUnauthenticated},
		{"no base64", []string{"Basic %%%"}, "", policy.ErrUnauthenticated},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			h := http.Header{}
			if c.header != nil {
				h["Authorization"] = c.header
			}
			got, err := a.Caller(t.Context(), nobodyYet, h)
			if !errors.Is(err, c.err) || got.Principal.ID != c.id {
				t.Fatalf("got %+v, %v", got, err)
			}
			if err == nil && (got.Principal.Workspace != "default" || got.RequestID != "r-1" || got.ClientIP != "192.0.2.9") {
				t.Fatalf("the caller does not come from where the request does: %+v", got)
			}
		})
	}
}

// Attack class 13: an identity that a client merely claims.
func TestNoOtherHeaderIsIdentity(t *testing.T) {
	a := newAuthenticator(t)
	for _, name := range []string{
		"X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Email", "X-User",
		"X-Auth-Request-User", "X-Webauth-User", "X-Bondgate-User", "X-Bondgate-Purpose", "Proxy-Authorization", "Cookie", "User-Agent",
		"X-Ssl-Client-Cert", "Forwarded", "X-Original-Authorization", "X-Registry-Auth",
	} {
		for _, value := range []string{"admin", basic("bob", "b"), "127.0.0.1", "scanner-trivy", "robot$internal", "Bearer good.token.x"} {
			got, err := a.Caller(t.Context(), nobodyYet, http.Header{name: {value}})
			if err != nil || !got.Principal.Anonymous() || got.Scoped {
				t.Fatalf("%s: %s made %+v, %v", name, value, got, err)
			}
		}
	}
}

func TestAProviderCannotAnswerForAnotherWorkspace(t *testing.T) {
	a, err := authn.New(authn.Config{Passwords: []authn.Passwords{stray{}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nobody", "foreign"} {
		if _, err := a.Password(t.Context(), nobodyYet, name, "x"); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

type stray struct{}

func (stray) Authenticate(_ context.Context, _, name, _ string) (policy.Principal, error) {
	if name == "nobody" {
		return policy.Principal{Workspace: "default"}, nil
	}
	return policy.Principal{Workspace: "other", ID: name}, nil
}

func TestNewWantsAProvider(t *testing.T) {
	for _, cfg := range []authn.Config{{}, {Passwords: []authn.Passwords{nil}}} {
		if _, err := authn.New(cfg); !errors.Is(err, policy.ErrInvalid) {
			t.Fatalf("%+v: %v", cfg, err)
		}
	}
}

func TestCarries(t *testing.T) {
	scoped := authn.Caller{Scoped: true, Scopes: []policy.Scope{
		{Type: "repository", Name: "a/b", Actions: []string{"pull"}},
		{Type: "repository", Name: "a/c", Actions: []string{"*"}},
		{Type: "repository(plugin)", Name: "a/d", Actions: []string{"pull"}},
		{Type: "registry", Name: "catalog", Actions: []string{"*"}},
	}}
	cases := []struct {
		sentence     string
		caller       authn.Caller
		name, action string
		want         bool
	}{
		{"a password is not limited", authn.Caller{}, "any/thing", "delete", true},
		{"the action of the scope", scoped, "a/b", "pull", true},
		{"pull is not push", scoped, "a/b", "push", false},
		{"push is not delete", scoped, "a/b", "delete", false},
		{"a star is every action", scoped, "a/c", "delete", true},
		{"a scope on a/b is not one on a/b/c", scoped, "a/b/c", "pull", false},
		{"nor on a", scoped, "a", "pull", false},
		{"nor in another case", scoped, "A/B", "pull", false},
		{"another class of resource is another thing", scoped, "a/d", "pull", false},
		{"the catalog's star is not a repository's", scoped, "catalog", "pull", false},
		{"a token without scopes carries nothing", authn.Caller{Scoped: true}, "a/b", "pull", false},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			if got := c.caller.Carries(c.name, c.action); got != c.want {
				t.Fatalf("got %v", got)
			}
		})
	}
	if !scoped.CarriesScope("registry", "catalog", "*") {
		t.Fatal("the catalog scope is not carried")
	}
}

func FuzzBasic(f *testing.F) {
	for _, s := range []string{"", "Og==", "YWxpY2U6cHc=", "YWxpY2U6cHc", "////", "YTpi\nYTpi", strings.Repeat("A", 20000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, password, err := authn.ParseBasic(s)
		if err != nil {
			if !errors.Is(err, policy.ErrUnauthenticated) || name != "" || password != "" {
				t.Fatalf("%q: %q %q %v", s, name, password, err)
			}
			return
		}
		if authn.CheckCredential(name, password) != nil || strings.Contains(name, ":") {
			t.Fatalf("%q: %q %q", s, name, password)
		}
		if again := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%s", name, password)); again != s {
			t.Fatalf("%q is read as %q: two spellings of one credential", s, again)
		}
	})
}

// logins notes what it is told, and refuses a name.
type logins struct{ said []string }

func (l *logins) Admit(_, name, address string) error {
	if name == "locked" {
		return policy.ErrLimited
	}
	l.said = append(l.said, "admit "+name+" "+address)
	return nil
}

func (l *logins) Failed(_, name, _ string) { l.said = append(l.said, "failed "+name) }
func (l *logins) Passed(_, name, _ string) { l.said = append(l.said, "passed "+name) }

func TestLoginsAreCountedAndAnOutageIsNoFailure(t *testing.T) {
	count := &logins{}
	a, err := authn.New(authn.Config{Passwords: []authn.Passwords{people{"alice": "pw", "down": "down"}}, Logins: count})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password string
		err            error
	}{
		{"alice", "pw", nil}, {"alice", "wrong", policy.ErrUnauthenticated}, {"nobody", "x", policy.ErrUnauthenticated},
		{"down", "x", policy.ErrUnavailable}, {"locked", "x", policy.ErrLimited},
	} {
		if _, err := a.Password(t.Context(), nobodyYet, c.name, c.password); !errors.Is(err, c.err) {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	want := []string{
		"admit alice 192.0.2.9", "passed alice", "admit alice 192.0.2.9", "failed alice",
		"admit nobody 192.0.2.9", "failed nobody", "admit down 192.0.2.9",
	}
	if !slices.Equal(count.said, want) {
		t.Fatalf("%q", count.said)
	}
}
