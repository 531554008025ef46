package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bondgate/bondgate/policy"
)

// Session is a row of the store.
type Session struct {
	// ID is the SHA-256 of the cookie's value, in hex: who reads the rows cannot
	// use them.
	ID string
	// Principal is whom the provider vouched for. Kind, Auth and Credential are the
	// same for all sessions and need not be stored.
	Principal policy.Principal
	Created   time.Time
	// Expires is when it ends unless it is used; never later than Created plus the
	// absolute life.
	Expires time.Time
	// Refreshed is when the provider last said that the person is still there.
	Refreshed time.Time
	// Refresh is what the provider is asked with, sealed. Each write seals anew,
	// so it is the row's version too.
	Refresh []byte
}

// Store keeps sessions.
type Store interface {
	CreateSession(ctx context.Context, s Session) error
	// Session fails with [policy.ErrNotFound] for an id that is not there.
	Session(ctx context.Context, workspace, id string) (Session, error)
	// UpdateSession writes Principal, Expires, Refreshed and Refresh if the row's
	// Refresh still is was, in one statement; [policy.ErrConflict] when it is not,
	// or there is no such row: two replicas must not spend one refresh token, and a
	// session that was ended must not come back.
	UpdateSession(ctx context.Context, s Session, was []byte) error
	// DeleteSession may fail with [policy.ErrNotFound] for an id that is not there.
	DeleteSession(ctx context.Context, workspace, id string) error
	DeleteExpiredSessions(ctx context.Context, now time.Time) error
}

// Terms say how a provider's sessions are renewed.
type Terms struct {
	// Refresh is how long the provider's last word holds.
	Refresh time.Duration
	// Grace is how much longer it holds while the provider does not answer.
	Grace time.Duration
}

// Provider is whoever vouches for the people of sessions.
type Provider interface {
	// Terms answers false for an issuer that is not configured (any longer).
	Terms(workspace, issuer string) (Terms, bool)
	// Renew asks whether p is still there. [policy.ErrUnauthenticated] ends the
	// session; any other error is an outage. The answered token is the next one to
	// ask with.
	Renew(ctx context.Context, p policy.Principal, token string) (policy.Principal, string, error)
}

// Config is what [Sessions] need; Store, Provider and Key are required.
type Config struct {
	Store    Store
	Provider Provider
	Site     Site
	// Key seals what is at rest; the same on every replica. With another key every
	// session ends at its next renewal.
	Key []byte
	// Idle is how long a session holds without use; default 2 hours.
	Idle time.Duration
	// Absolute is how long it holds at most; default 12 hours.
	Absolute time.Duration
	Log      *slog.Logger
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Sessions begins, finds and ends sessions.
type Sessions struct {
	cfg    Config
	sealer *Sealer
	flight singleflight.Group
}

// New checks cfg.
func New(cfg Config) (*Sessions, error) {
	if cfg.Store == nil || cfg.Provider == nil {
		return nil, fmt.Errorf("session: a store and a provider are needed: %w", policy.ErrInvalid)
	}
	for d, def := range map[*time.Duration]time.Duration{&cfg.Idle: 2 * time.Hour, &cfg.Absolute: 12 * time.Hour} {
		if *d == 0 {
			*d = def
		}
		if *d < time.Minute {
			return nil, fmt.Errorf("session: a life of %s is shorter than a minute: %w", *d, policy.ErrInvalid)
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	sealer, err := NewSealer(cfg.Key, "session refresh token")
	if err != nil {
		return nil, err
	}
	return &Sessions{cfg: cfg, sealer: sealer}, nil
}

// Begin makes a session for p and gives its cookie to the browser. Whatever
// session the browser came with ends: its value may be known to somebody else.
// token is what the provider is asked with later; without one the session ends
// when the provider's word is over.
func (s *Sessions) Begin(ctx context.Context, w http.ResponseWriter, r *http.Request, p policy.Principal, token string) error {
	origin, err := s.cfg.Site.Origin(p.Workspace, r)
	if err != nil {
		return err
	}
	if p.Anonymous() || p.Issuer == "" {
		return fmt.Errorf("session: nobody cannot have one: %w", policy.ErrUnauthenticated)
	}
	if err := s.forget(ctx, p.Workspace, origin, r); err != nil {
		return err
	}
	raw := newValue()
	value := base64.RawURLEncoding.EncodeToString(raw[:])
	now := s.cfg.Now().UTC()
	p.Credential = ""
	row := Session{ID: idOf(value), Principal: p, Created: now, Refreshed: now, Expires: now.Add(min(s.cfg.Idle, s.cfg.Absolute))}
	if row.Refresh, err = s.sealer.Seal(renewal{Token: token}, row.ID); err != nil {
		return err
	}
	if err := s.cfg.Store.CreateSession(ctx, row); err != nil {
		return fmt.Errorf("session: keep it: %w", err)
	}
	http.SetCookie(w, Cookie(origin, cookieName, value, s.cfg.Absolute))
	return nil
}

// Caller answers whose session the request's cookie is: [policy.ErrNotFound]
// without one, [policy.ErrUnauthenticated] for one that does not hold (any longer).
// A request that changes something must come from a page of the site: see
// [Origin.SameOrigin]. A request with an Authorization header has no session: of two
// credentials the header is the one that was meant.
//
// It is for the management API alone.
func (s *Sessions) Caller(ctx context.Context, workspace string, r *http.Request) (policy.Principal, error) {
	row, err := s.find(ctx, workspace, r)
	if err != nil {
		return policy.Principal{Workspace: workspace}, err
	}
	p := row.Principal
	p.Kind, p.Auth = policy.KindUser, policy.AuthOIDC
	p.Credential = policy.CredentialSession + ":" + row.ID
	return p, nil
}

// End ends the request's session and takes the cookie back. No session is no
// error.
func (s *Sessions) End(ctx context.Context, workspace string, w http.ResponseWriter, r *http.Request) error {
	origin, err := s.cfg.Site.Origin(workspace, r)
	if err != nil {
		return err
	}
	if err := origin.SameOrigin(r); err != nil {
		return err
	}
	http.SetCookie(w, Cookie(origin, cookieName, "", -1))
	return s.forget(ctx, workspace, origin, r)
}

// Sweep removes the rows of sessions that are over.
func (s *Sessions) Sweep(ctx context.Context) error {
	if err := s.cfg.Store.DeleteExpiredSessions(ctx, s.cfg.Now().UTC()); err != nil {
		return fmt.Errorf("session: remove what is over: %w", err)
	}
	return nil
}

// find answers the row of the request's cookie.
func (s *Sessions) find(ctx context.Context, workspace string, r *http.Request) (Session, error) {
	if len(r.Header["Authorization"]) > 0 || len(r.Header["Cookie"]) == 0 {
		return Session{}, errNone
	}
	origin, err := s.cfg.Site.Origin(workspace, r)
	if err != nil {
		return Session{}, errNone // nor can one be begun at such a host
	}
	value, err := cookieValue(origin, r)
	switch {
	case err != nil:
		return Session{}, err
	case value == "":
		return Session{}, errNone
	}
	if err := origin.SameOrigin(r); err != nil {
		return Session{}, err
	}
	row, err := s.cfg.Store.Session(ctx, workspace, idOf(value))
	switch {
	case errors.Is(err, policy.ErrNotFound):
		return Session{}, over("there is no such session")
	case err != nil:
		return Session{}, fmt.Errorf("session: find it: %w", err)
	case row.Principal.Workspace != workspace:
		return Session{}, over("it is another workspace's")
	}
	now := s.cfg.Now().UTC()
	if !now.Before(row.Expires) || !now.Before(row.Created.Add(s.cfg.Absolute)) {
		return Session{}, s.end(ctx, row, "it has expired")
	}
	if row, err = s.renewed(ctx, row); err != nil {
		return Session{}, err
	}
	return s.used(ctx, row, now), nil
}

// used moves the end of an idle session ahead, at most once a minute. That it
// could not be written ends a session early, and nothing else.
func (s *Sessions) used(ctx context.Context, row Session, now time.Time) Session {
	until := now.Add(s.cfg.Idle)
	if last := row.Created.Add(s.cfg.Absolute); until.After(last) {
		until = last
	}
	if until.Sub(row.Expires) < min(time.Minute, s.cfg.Idle/4) {
		return row
	}
	later := row
	later.Expires = until
	err := s.cfg.Store.UpdateSession(ctx, later, row.Refresh)
	if err != nil && !errors.Is(err, policy.ErrConflict) {
		s.cfg.Log.WarnContext(ctx, "a session's use is not noted", "error", err)
	}
	return row
}

// forget removes the session that a request came with, if any.
func (s *Sessions) forget(ctx context.Context, workspace string, origin Origin, r *http.Request) error {
	for _, c := range r.CookiesNamed(origin.cookie(cookieName)) {
		err := s.cfg.Store.DeleteSession(ctx, workspace, idOf(c.Value))
		if err != nil && !errors.Is(err, policy.ErrNotFound) {
			return fmt.Errorf("session: end it: %w", err)
		}
	}
	return nil
}

// end removes a row and says why.
func (s *Sessions) end(ctx context.Context, row Session, why string) error {
	err := s.cfg.Store.DeleteSession(ctx, row.Principal.Workspace, row.ID)
	if err != nil && !errors.Is(err, policy.ErrNotFound) {
		// It is refused all the same, now and until it is swept.
		s.cfg.Log.WarnContext(ctx, "a session that is over is not removed", "error", err)
	}
	return over(why)
}

// errNone is that a request comes without a session.
var errNone = fmt.Errorf("session: none: %w", policy.ErrNotFound)

func over(why string) error {
	return fmt.Errorf("session: %s: %w", why, policy.ErrUnauthenticated)
}

func idOf(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}
