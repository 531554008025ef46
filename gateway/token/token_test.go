package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
)

// shelf is a key store that replicas share, with credentials beside it.
type shelf struct {
	mu     sync.Mutex
	keys   []token.Key
	err    error
	stamps map[string]string
	asked  atomic.Int64
}

func (s *shelf) TokenKeys(context.Context) ([]token.Key, error) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys), s.err
}

func (s *shelf) AddTokenKey(_ context.Context, k token.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, k)
	return s.err
}

func (s *shelf) DeleteTokenKey(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.DeleteFunc(s.keys, func(k token.Key) bool { return k.ID == id })
	return s.err
}

func (s *shelf) Stamp(_ context.Context, p policy.Principal) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stamp, ok := s.stamps[p.ID]; ok {
		return stamp, nil
	}
	return "", policy.ErrUnauthenticated
}

// Renew knows that carol left the group devs.
func (s *shelf) Renew(_ context.Context, p policy.Principal) (policy.Principal, error) {
	if p.ID == "carol" {
		p.Groups = nil
	}
	return p, nil
}

type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Now().UnixNano())
	return c
}
func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func newShelf() *shelf { return &shelf{stamps: map[string]string{"alice": "s1"}} }

func open(t testing.TB, s *shelf, c *clock, change ...func(*token.Config)) *token.Service {
	t.Helper()
	cfg := token.Config{Keys: s, Credentials: s, Now: c.now, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&cfg)
	}
	out, err := token.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var alice = policy.Principal{Workspace: "default", Issuer: "local", ID: "alice", Kind: policy.KindUser, Auth: "basic", Groups: []string{"devs"}}

var pull = []policy.Scope{{Type: "repository", Name: "team/app", Actions: []string{"pull"}}}

func issue(t testing.TB, s *token.Service) string {
	t.Helper()
	out, err := s.Issue(alice, pull)
	if err != nil {
		t.Fatal(err)
	}
	return out.Raw
}

func TestATokenSaysWhoAskedAndForWhat(t *testing.T) {
	c := newClock()
	s := open(t, newShelf(), c)
	raw := issue(t, s)
	for range 2 { // the second from memory
		got, err := s.Verify(t.Context(), "default", raw)
		if err != nil {
			t.Fatal(err)
		}
		p := got.Principal
		if p.ID != "alice" || p.Issuer != "local" || p.Kind != policy.KindUser || p.Auth != policy.AuthBasic || !slices.Equal(p.Groups, []string{"devs"}) {
			t.Fatalf("%+v", p)
		}
		if !got.Scoped || !got.Carries("team/app", "pull") || got.Carries("team/app", "push") || got.Carries("team/app2", "pull") {
			t.Fatalf("%+v", got)
		}
	}
	t.Run("nobody in particular has a token too", func(t *testing.T) {
		out, err := s.Issue(policy.Principal{Workspace: "default"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Verify(t.Context(), "default", out.Raw)
		if err != nil || !got.Principal.Anonymous() || !got.Scoped || got.Carries("team/app", "pull") {
			t.Fatalf("%+v %v", got, err)
		}
	})
	t.Run("it ends at its time, remembered or not", func(t *testing.T) {
		c.advance(token.DefaultTTL - 2*time.Second)
		if _, err := s.Verify(t.Context(), "default", raw); err != nil {
			t.Fatal(err)
		}
		c.advance(2 * time.Second)
		if _, err := s.Verify(t.Context(), "default", raw); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
	})
}

// The published keys must be enough for anybody's library to verify.
func TestOthersVerifyByTheJWKS(t *testing.T) {
	s := open(t, newShelf(), newClock())
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(s.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(issue(t, s), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var std jwt.Claims
	var own struct {
		Access []policy.Scope `json:"access"`
	}
	if err := parsed.Claims(set, &std, &own); err != nil {
		t.Fatal(err)
	}
	if err := std.Validate(jwt.Expected{Issuer: "bondgate", AnyAudience: jwt.Audience{"bondgate"}, Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if std.Subject != "alice" || std.ID == "" || len(own.Access) != 1 {
		t.Fatalf("%+v %+v", std, own)
	}
	if key := set.Keys[0]; !key.Valid() || !key.IsPublic() || key.KeyID != parsed.Headers[0].KeyID {
		t.Fatalf("%+v", key)
	}
	if strings.Contains(string(s.JWKS()), `"d"`) {
		t.Fatal("the private key is published")
	}
}

func TestKeysPersistAndAreShared(t *testing.T) {
	shared, c := newShelf(), newClock()
	a, b := open(t, shared, c), open(t, shared, c)
	if len(shared.keys) != 1 {
		t.Fatalf("%d keys", len(shared.keys))
	}
	if _, err := b.Verify(t.Context(), "default", issue(t, a)); err != nil {
		t.Fatal(err)
	}
	if string(a.JWKS()) != string(b.JWKS()) {
		t.Fatal("two replicas publish different keys")
	}
}

func TestRotation(t *testing.T) {
	shared, c := newShelf(), newClock()
	s := open(t, shared, c)
	other := open(t, shared, c)
	maintain := func() {
		t.Helper()
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	kid := func(raw string) string {
		parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Headers[0].KeyID
	}
	first := kid(issue(t, s))
	c.advance(token.DefaultRotation - time.Minute)
	maintain()
	if len(shared.keys) != 1 {
		t.Fatal("rotated too early")
	}
	refresh, err := s.IssueRefresh(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	maintain()
	if len(shared.keys) != 2 {
		t.Fatal("no successor was made")
	}
	before := issue(t, s)
	if kid(before) != first {
		t.Fatal("the successor signs before anybody can have read it")
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(s.JWKS(), &set); err != nil || len(set.Keys) != 2 {
		t.Fatalf("the successor is not published: %v", err)
	}
	c.advance(10 * time.Minute)
	after := issue(t, s)
	if kid(after) == first {
		t.Fatal("the successor does not sign")
	}
	// A replica that has not read the keys again learns of it from the token.
	if _, err := other.Verify(t.Context(), "default", after); err != nil {
		t.Fatal(err)
	}
	again, err := s.Issue(alice, pull)
	if err != nil {
		t.Fatal(err)
	}
	maintain()
	if _, err := s.Verify(t.Context(), "default", again.Raw); err != nil {
		t.Fatal(err)
	}
	c.advance(token.DefaultRefreshTTL - 12*time.Minute)
	maintain()
	if _, err := s.Refresh(t.Context(), "default", refresh.Raw); err != nil {
		t.Fatalf("a refresh token died with the rotation: %v", err)
	}
	c.advance(2 * time.Hour)
	maintain()
	if len(shared.keys) != 1 || shared.keys[0].ID == first {
		t.Fatal("the spent key is kept")
	}
	if _, err := s.Verify(t.Context(), "default", issue(t, s)); err != nil {
		t.Fatal(err)
	}
}

// Attack class 6: replay after rotation. A key that an administrator takes away
// takes its tokens with it, those that are remembered included.
func TestATokenEndsWithItsKey(t *testing.T) {
	shared, c := newShelf(), newClock()
	s := open(t, shared, c)
	raw := issue(t, s)
	if _, err := s.Verify(t.Context(), "default", raw); err != nil {
		t.Fatal(err)
	}
	shared.mu.Lock()
	shared.keys = nil
	shared.mu.Unlock()
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), "default", raw); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), "default", issue(t, s)); err != nil {
		t.Fatal(err)
	}
}

func TestStrangersCannotKeepTheStoreBusy(t *testing.T) {
	shared, c := newShelf(), newClock()
	s := open(t, shared, c)
	c.advance(time.Minute)
	before := shared.asked.Load()
	for range 1000 {
		_, _ = s.Verify(t.Context(), "default", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA")
	}
	if n := shared.asked.Load() - before; n > 1 {
		t.Fatalf("asked %d times", n)
	}
}

func TestAStoreThatIsAwayTakesNothing(t *testing.T) {
	shared, c := newShelf(), newClock()
	s := open(t, shared, c)
	raw := issue(t, s)
	shared.mu.Lock()
	shared.err = policy.ErrUnavailable
	shared.mu.Unlock()
	if err := s.Maintain(t.Context()); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), "default", raw); err != nil {
		t.Fatal(err)
	}
	if _, err := token.Open(t.Context(), token.Config{Keys: shared, Credentials: shared}); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("a service without keys opened: %v", err)
	}
}

func TestRefresh(t *testing.T) {
	shared, c := newShelf(), newClock()
	s := open(t, shared, c)
	out, err := s.IssueRefresh(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	set := func(f func(map[string]string)) {
		shared.mu.Lock()
		f(shared.stamps)
		shared.mu.Unlock()
	}
	p, err := s.Refresh(t.Context(), "default", out.Raw)
	if err != nil || p.ID != "alice" || p.Issuer != "local" {
		t.Fatalf("%+v %v", p, err)
	}
	cases := []struct {
		sentence string
		prepare  func()
		raw      string
		ws       string
	}{
		{"it is no bearer's", func() {}, issue(t, s), "default"},
		{"of another workspace", func() {}, out.Raw, "other"},
		{"after a change of the password", func() { set(func(m map[string]string) { m["alice"] = "s2" }) }, out.Raw, "default"},
		{"of somebody who is disabled", func() { set(func(m map[string]string) { delete(m, "alice") }) }, out.Raw, "default"},
		{"after its time", func() {
			set(func(m map[string]string) { m["alice"] = "s1" })
			c.advance(token.DefaultRefreshTTL)
		}, out.Raw, "default"},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			tc.prepare()
			if p, err := s.Refresh(t.Context(), tc.ws, tc.raw); !errors.Is(err, policy.ErrUnauthenticated) || !p.Anonymous() {
				t.Fatalf("%+v %v", p, err)
			}
		})
	}
	for _, who := range []policy.Principal{{Workspace: "default"}, {Workspace: "default", Issuer: "local", ID: "nobody"}} {
		if _, err := s.IssueRefresh(t.Context(), who); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatalf("%+v got a refresh token: %v", who, err)
		}
	}
}

func TestOpenChecksItsConfiguration(t *testing.T) {
	shared := newShelf()
	for sentence, f := range map[string]func(*token.Config){
		"no keys":                  func(c *token.Config) { c.Keys = nil },
		"no credentials":           func(c *token.Config) { c.Credentials = nil },
		"a day of life":            func(c *token.Config) { c.TTL = 24 * time.Hour },
		"a second of life":         func(c *token.Config) { c.TTL = time.Second },
		"rotation each second":     func(c *token.Config) { c.Rotation = time.Second },
		"a refresh token for good": func(c *token.Config) { c.RefreshTTL = 1000 * 24 * time.Hour },
		"a service with a quote":   func(c *token.Config) { c.Service = `a",scope="` },
		"a negative memory":        func(c *token.Config) { c.Verified = -1 },
	} {
		cfg := token.Config{Keys: shared, Credentials: shared}
		f(&cfg)
		if _, err := token.Open(t.Context(), cfg); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func TestARefreshTokenBringsBackNoGroupThatSomebodyLeft(t *testing.T) {
	k := newShelf()
	k.stamps["carol"] = "s"
	s := open(t, k, newClock())
	was := policy.Principal{Workspace: "default", Issuer: "ldap:corp", ID: "carol", Kind: policy.KindUser, Groups: []string{"devs"}}
	raw, err := s.IssueRefresh(t.Context(), was)
	if err != nil {
		t.Fatal(err)
	}
	now, err := s.Refresh(t.Context(), "default", raw.Raw)
	if err != nil || now.ID != "carol" || len(now.Groups) != 0 {
		t.Fatalf("%+v, %v", now, err)
	}
}
