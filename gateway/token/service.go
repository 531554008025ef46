// Package token is the distribution token service: short-lived bearer tokens
// that say who asked and for which scopes, the keys that sign them, and the
// endpoint where clients get them.
//
// It refuses to grant: what a token may carry is the gate's decision, and a
// carried scope is a limit, never a right. It refuses every token that it did not
// write itself, letter by letter: the header is looked up among the few that its
// own keys make and is never parsed, so a client can name no algorithm, no key
// and no URL of one.
//
// The edge and cmd/bondgate import it.
package token

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// Defaults of [Config].
const (
	DefaultName       = "bondgate"
	DefaultTTL        = 5 * time.Minute
	DefaultRefreshTTL = 14 * 24 * time.Hour
	DefaultRotation   = 30 * 24 * time.Hour
)

const (
	// lead is how long a new key is published before it signs: every replica has
	// read it by then, and whoever keeps a copy of the JWKS can renew it.
	lead = 10 * time.Minute
	// reread is how often the keys are read again, for those of other replicas.
	reread = time.Minute
	// again is how soon an unknown key may cause a reading in between.
	again = 5 * time.Second
	// skew is how far the clocks of two replicas may differ.
	skew = 30 * time.Second
)

// Key is one signing key as it is kept.
type Key struct {
	// ID is the RFC 7638 thumbprint of the public key: the kid.
	ID string
	// PKCS8 is the private key in DER; it is a secret.
	PKCS8   []byte
	Created time.Time
}

// KeyStore keeps the keys, shared by all replicas. Adding a key that is there is
// [policy.ErrConflict]; deleting one that is not there is no error.
type KeyStore interface {
	TokenKeys(ctx context.Context) ([]Key, error)
	AddTokenKey(ctx context.Context, k Key) error
	DeleteTokenKey(ctx context.Context, id string) error
}

// Credentials names the present credential of a principal: another stamp after
// a change of the password, [policy.ErrUnauthenticated] for somebody who may not
// log in any more.
type Credentials interface {
	Stamp(ctx context.Context, p policy.Principal) (string, error)
	// Renew answers who p is now, where the source of p can say: a refresh token of
	// two weeks ago must not bring back a group that somebody has left.
	Renew(ctx context.Context, p policy.Principal) (policy.Principal, error)
}

// Config is what a [Service] needs; zero values get the default.
type Config struct {
	Keys        KeyStore
	Credentials Credentials
	// Issuer is the iss claim, Service the aud claim and the service that clients
	// are told to ask for; both default to "bondgate".
	Issuer, Service string
	// TTL is how long a token holds: 1 minute to 1 hour, default 5 minutes.
	TTL time.Duration
	// RefreshTTL is how long a refresh token holds: up to 90 days, default 14.
	RefreshTTL time.Duration
	// Rotation is the age at which a signing key gets a successor: at least an
	// hour, default 30 days.
	Rotation time.Duration
	// Verified bounds the memory of verified tokens in bytes; default 8 MiB, which
	// is about 5,000 of one scope.
	Verified int
	// Now is the clock; nil for time.Now. Log is nil for slog.Default().
	Now func() time.Time
	Log *slog.Logger
}

func (c *Config) complete() error {
	if c.Keys == nil || c.Credentials == nil {
		return fmt.Errorf("token: a key store and credentials are needed: %w", policy.ErrInvalid)
	}
	for _, d := range []struct {
		value         *time.Duration
		def, min, max time.Duration
		name          string
	}{
		{&c.TTL, DefaultTTL, time.Minute, time.Hour, "ttl"},
		{&c.RefreshTTL, DefaultRefreshTTL, time.Hour, 90 * 24 * time.Hour, "refresh ttl"},
		{&c.Rotation, DefaultRotation, time.Hour, 10 * 365 * 24 * time.Hour, "rotation"},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < d.min || *d.value > d.max {
			return fmt.Errorf("token: %s is %s, not within %s and %s: %w", d.name, *d.value, d.min, d.max, policy.ErrInvalid)
		}
	}
	for _, name := range []*string{&c.Issuer, &c.Service} {
		if *name == "" {
			*name = DefaultName
		}
		if !plain(*name) {
			return fmt.Errorf("token: the name %q has characters that a header cannot carry: %w", *name, policy.ErrInvalid)
		}
	}
	if c.Verified < 0 {
		return fmt.Errorf("token: a negative number of remembered tokens: %w", policy.ErrInvalid)
	}
	if c.Verified == 0 {
		c.Verified = 8 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}

// plain allows what may stand between the quotes of a header's parameter.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return len(s) <= 255
}

// Service issues and verifies tokens.
type Service struct {
	cfg  Config
	keys atomic.Pointer[keySet]
	seen *authn.Verified[authn.Caller]

	reading sync.Mutex
	read    atomic.Int64 // when the keys were last read, Unix nanoseconds
}

// Open reads the keys, makes the first when there is none, and answers a service
// that is ready. [Service.Run] keeps it so.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, seen: authn.NewVerified[authn.Caller](cfg.Verified)}
	if err := s.Maintain(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Name is the service that clients are told to ask for.
func (s *Service) Name() string { return s.cfg.Service }

// Run reads the keys again every minute, makes a successor when the newest is
// old, and drops those that nothing depends on any more. It ends with ctx.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(reread)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			// The keys in hand stay good while the store is away.
			if err := s.Maintain(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("token keys could not be read again", "error", err)
			}
		}
	}
}

// JWKS is the set of public keys as RFC 7517 has it, those that do not sign yet
// and those that do not sign any more included.
func (s *Service) JWKS() []byte { return s.keys.Load().jwks }
