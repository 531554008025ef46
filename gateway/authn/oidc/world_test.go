package oidc_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/oidc"
	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

// world is a gateway's login pages on a loopback port.
type world struct {
	t        *testing.T
	url      string
	people   *people
	rows     *rows
	log      *logs
	ps       *oidc.Providers
	sessions *session.Sessions

	mu      sync.Mutex
	handler http.Handler
	// denied is what the gate says no to: nothing, unless a test sets it.
	denied []policy.Reason
	asked  []policy.Request
	// later is added to the clock of sessions, and moved to that of providers.
	later, moved time.Duration
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, people: &people{disabled: map[string]bool{}}, rows: &rows{all: map[string]session.Session{}}, log: &logs{}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		h := w.handler
		w.mu.Unlock()
		h.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// Admit is the gate.
func (w *world) Admit(_ context.Context, req policy.Request) (policy.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, req)
	if len(w.denied) > 0 {
		return policy.Decision{ID: "d1", Visible: true, Deny: w.denied}, nil
	}
	return policy.Decision{ID: "d1", Verdict: policy.Allow}, nil
}

func (w *world) callback(provider string) string { return w.url + "/login/" + provider + "/callback" }

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.later += d
}

// open joins the pages with the providers.
func (w *world) open(configs ...oidc.Config) {
	w.t.Helper()
	key := bytes.Repeat([]byte{3}, session.KeySize)
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for i := range configs {
		configs[i].Log = log
		configs[i].Now = func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Now().Add(w.moved)
		}
	}
	var err error
	if w.ps, err = oidc.New(w.people, configs...); err != nil {
		w.t.Fatal(err)
	}
	w.sessions, err = session.New(session.Config{Store: w.rows, Provider: w.ps, Key: key, Log: log, Now: func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Now().Add(w.later)
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	pages, err := oidc.NewPages(oidc.PagesConfig{Providers: w.ps, Sessions: w.sessions, Gate: w, Key: key, Log: log})
	if err != nil {
		w.t.Fatal(err)
	}
	from := authn.Caller{Principal: policy.Principal{Workspace: "default"}, RequestID: "req-1"}
	known := oidc.NewWellKnown(w.ps, "/token")
	mux := http.NewServeMux()
	for _, path := range []string{"/login", "/login/", "/logout"} {
		mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
			if err := pages.Serve(rw, r, from); err != nil {
				errcode.Write(rw, r, err)
			}
		})
	}
	mux.HandleFunc(oidc.WellKnownPath, func(rw http.ResponseWriter, r *http.Request) {
		if err := known.Serve(rw, r, from); err != nil {
			errcode.Write(rw, r, err)
		}
	})
	// What the edge does for the management API.
	mux.HandleFunc("/whoami", func(rw http.ResponseWriter, r *http.Request) {
		p, err := w.sessions.Caller(r.Context(), "default", r)
		if err != nil && !errors.Is(err, policy.ErrNotFound) {
			errcode.Write(rw, r, err)
			return
		}
		_, _ = rw.Write([]byte(p.Issuer + "|" + p.ID + "|" + p.Name + "|" + strings.Join(p.Groups, ",")))
	})
	w.mu.Lock()
	w.handler = mux
	w.mu.Unlock()
}

// corp is the configuration for a real provider.
func corp(p *harness.OIDCProvider) oidc.Config {
	return oidc.Config{
		Name: "corp", Title: "Corp <SSO>", Workspace: "default", Issuer: p.Issuer, ClientID: harness.OIDCClient, ClientSecret: harness.OIDCSecret,
		CLIClientID: harness.OIDCCLI, GroupsClaim: "groups", Client: &http.Client{Timeout: harness.Patience}, PlainHTTP: true,
		Parameters: map[string]string{"prompt": "consent"},
	}
}

// people enroll by name, as a store does.
type people struct {
	mu       sync.Mutex
	seen     []policy.Principal
	profiles []authn.Profile
	disabled map[string]bool
	err      error
}

func (p *people) Enroll(_ context.Context, who policy.Principal, profile authn.Profile) (policy.Principal, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return policy.Principal{}, p.err
	}
	if p.disabled[who.ID] {
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	p.seen, p.profiles = append(p.seen, who), append(p.profiles, profile)
	return who, nil
}

func (p *people) disable(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disabled[id] = true
}

// rows keep sessions.
type rows struct {
	mu  sync.Mutex
	all map[string]session.Session
}

func (s *rows) CreateSession(_ context.Context, one session.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[one.ID] = one
	return nil
}

func (s *rows) Session(_ context.Context, workspace, id string) (session.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.all[id]
	if !ok || one.Principal.Workspace != workspace {
		return session.Session{}, policy.ErrNotFound
	}
	return one, nil
}

func (s *rows) UpdateSession(_ context.Context, one session.Session, was []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.all[one.ID]; !ok || !bytes.Equal(old.Refresh, was) {
		return policy.ErrConflict
	}
	s.all[one.ID] = one
	return nil
}

func (s *rows) DeleteSession(_ context.Context, _, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
	return nil
}

func (s *rows) DeleteExpiredSessions(context.Context, time.Time) error { return nil }

func (s *rows) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// logs keep what was logged, for tests that look for secrets in it.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
