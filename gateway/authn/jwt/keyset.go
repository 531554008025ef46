package jwt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bondgate/bondgate/policy"
)

// Defaults of [KeysConfig].
const (
	DefaultKeep  = 24 * time.Hour
	DefaultHold  = time.Hour
	DefaultAgain = 10 * time.Second
)

const (
	// minHold and maxHold bound what an issuer says about how long its keys hold:
	// less is a way to be asked all the time, more would keep a withdrawn key.
	minHold, maxHold = time.Minute, 6 * time.Hour
	// fileHold is how soon a changed file is seen.
	fileHold = time.Minute
	// patience is how long one reading of an issuer's keys may take.
	patience = 10 * time.Second
)

// KeysConfig says whose keys, and where they are. Without JWKSURL and File they are
// found by discovery. Zero durations get the default.
type KeysConfig struct {
	// Issuer is the iss of the tokens, letter by letter.
	Issuer string
	// JWKSURL is where the keys are, for issuers without discovery.
	JWKSURL string
	// File has the keys, for issuers that cannot be reached.
	File string
	// Client makes the calls; it should be one that is guarded against reaching
	// what is inside. Only a file needs none.
	Client *http.Client
	// PlainHTTP allows addresses that are not https: whoever is between us and such
	// an issuer is the issuer.
	PlainHTTP bool
	// Keep is how long keys go on after they were last read while the issuer is
	// away: default 24 h, at most 30 days.
	Keep time.Duration
	// Hold is how long keys hold when the issuer does not say; default 1 h. What it
	// says counts within a minute and 6 h.
	Hold time.Duration
	// Again is the least time between two readings, so an unknown key id, which
	// strangers can make up, costs the issuer little; default 10 s.
	Again time.Duration
	// Now is the clock; nil for time.Now. Log is nil for slog.Default().
	Now func() time.Time
	Log *slog.Logger
}

func (c *KeysConfig) complete() error {
	if c.JWKSURL != "" && c.File != "" {
		return fmt.Errorf("authn/jwt: keys of %s: an address and a file: %w", c.Issuer, policy.ErrInvalid)
	}
	if c.File == "" && c.Client == nil {
		return fmt.Errorf("authn/jwt: keys of %s: no client: %w", c.Issuer, policy.ErrInvalid)
	}
	// With keys from elsewhere the issuer is a name, not an address.
	if c.Issuer == "" || len(c.Issuer) > maxIssuer {
		return fmt.Errorf("authn/jwt: an issuer has 1 to %d bytes: %w", maxIssuer, policy.ErrInvalid)
	}
	at := c.JWKSURL
	if at == "" {
		at = c.Issuer
	}
	if c.File == "" {
		if err := checkURL(at, c.PlainHTTP); err != nil {
			return fmt.Errorf("authn/jwt: keys of %s: %w", c.Issuer, err)
		}
	}
	for _, d := range []struct {
		value    *time.Duration
		def, max time.Duration
		name     string
	}{
		{&c.Keep, DefaultKeep, 30 * 24 * time.Hour, "keep"},
		{&c.Hold, DefaultHold, maxHold, "hold"},
		{&c.Again, DefaultAgain, time.Hour, "again"},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < time.Second || *d.value > d.max {
			return fmt.Errorf("authn/jwt: %s is %s, not within a second and %s: %w", d.name, *d.value, d.max, policy.ErrInvalid)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}

// KeySet has the keys of one issuer. Nothing is read before it is needed.
type KeySet struct {
	cfg     KeysConfig
	keys    atomic.Pointer[keys]
	flight  singleflight.Group
	attempt atomic.Pointer[attempt]
}

// keys are an issuer's at one time; immutable.
type keys struct {
	list     []key
	revision uint64
	// read is when they were read, stale when they want to be read again.
	read, stale time.Time
}

// attempt is the last reading of the keys.
type attempt struct {
	at  time.Time
	err error
}

// NewKeySet checks cfg and makes a key set.
func NewKeySet(cfg KeysConfig) (*KeySet, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return &KeySet{cfg: cfg}, nil
}

// Issuer is whose keys they are.
func (s *KeySet) Issuer() string { return s.cfg.Issuer }

// Run reads the keys again before they are stale, so that no request waits for
// it, and tells the log when that fails. It ends with ctx. Without it the keys are
// read when a request finds them stale.
func (s *KeySet) Run(ctx context.Context) error {
	tick := time.NewTicker(s.pace())
	defer tick.Stop()
	for {
		if k := s.keys.Load(); k == nil || !s.cfg.Now().Before(k.read.Add(k.stale.Sub(k.read)*4/5)) {
			_ = s.refresh(ctx) // which has told the log
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// pace is how often Run looks whether it is time.
func (s *KeySet) pace() time.Duration { return min(s.cfg.Again, minHold/6) }

// Revision is another number after every change of the keys. It reads keys that
// are stale, and is [policy.ErrUnavailable] when there are none that may be used:
// whoever remembers verified tokens asks it each time.
func (s *KeySet) Revision(ctx context.Context) (uint64, error) {
	k, err := s.fresh(ctx)
	if err != nil {
		return 0, err
	}
	return k.revision, nil
}

// fresh are the keys that may be used now.
func (s *KeySet) fresh(ctx context.Context) (*keys, error) {
	now := s.cfg.Now()
	k := s.keys.Load()
	if k != nil && now.Before(k.stale) {
		return k, nil
	}
	if k != nil && now.Before(k.read.Add(s.cfg.Keep)) && s.away() {
		s.launch(ctx) // nobody waits for it to be asked once more
		return k, nil
	}
	why := s.refresh(ctx)
	switch k = s.keys.Load(); {
	case ctx.Err() != nil:
		why = ctx.Err()
	case k != nil && s.cfg.Now().Before(k.read.Add(s.cfg.Keep)):
		return k, nil // though the issuer may be away since
	case why == nil:
		why = errors.New("they are too old")
	}
	return nil, fmt.Errorf("authn/jwt: the keys of the issuer %s cannot be had: %s: %w", s.cfg.Issuer, why.Error(), policy.ErrUnavailable)
}

// away reports whether the last reading failed.
func (s *KeySet) away() bool {
	last := s.attempt.Load()
	return last != nil && last.err != nil
}

// find are the keys that a token with this key id and algorithm may be signed
// with. For an id that is not known the issuer is asked again, now and then; it
// may have a new key.
func (s *KeySet) find(ctx context.Context, id, algorithm string) ([]key, *keys, error) {
	k, err := s.fresh(ctx)
	if err != nil {
		return nil, nil, err
	}
	if found := k.find(id, algorithm); len(found) > 0 {
		return found, k, nil
	}
	err = s.refresh(ctx)
	if found := s.keys.Load().find(id, algorithm); len(found) > 0 {
		return found, s.keys.Load(), nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("authn/jwt: a key of the issuer %s is not known, and it cannot be asked: %s: %w",
			s.cfg.Issuer, err.Error(), policy.ErrUnavailable)
	}
	return nil, nil, refused("its key is not one of the issuer's")
}

// find wants exactly one key that fits when the token does not say which (OpenID
// Connect Core 1.0, section 10.1), and takes all of one id, which some issuers have
// twice.
func (k *keys) find(id, algorithm string) []key {
	var found []key
	for i := range k.list {
		if (id == "" || k.list[i].id == id) && k.list[i].fits(algorithm) {
			found = append(found, k.list[i])
		}
	}
	if id == "" && len(found) > 1 {
		return nil
	}
	return found[:min(len(found), 4)]
}

// refresh waits for a reading of the keys, its own or one that is under way, or
// for ctx.
func (s *KeySet) refresh(ctx context.Context) error {
	select {
	case r := <-s.launch(ctx):
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// launch reads the keys unless that is under way, or was done a moment ago: the
// outcome is that one's then. The reading outlives whoever asked for it.
func (s *KeySet) launch(ctx context.Context) <-chan singleflight.Result {
	return s.flight.DoChan("", func() (any, error) {
		now := s.cfg.Now()
		last := s.attempt.Load()
		if last != nil && now.Before(last.at.Add(s.cfg.Again)) {
			return nil, last.err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err := s.read(ctx, now)
		if err != nil && (last == nil || last.err == nil || last.err.Error() != err.Error()) {
			s.cfg.Log.Warn("the keys of an issuer could not be read", "issuer", s.cfg.Issuer, "error", err)
		}
		s.attempt.Store(&attempt{at: now, err: err})
		return nil, err
	})
}

// read gets the keys and makes them those in force. Only one runs at a time.
func (s *KeySet) read(ctx context.Context, now time.Time) error {
	raw, holds, err := s.get(ctx)
	if err != nil {
		return err
	}
	list, err := parseKeys(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", err.Error(), policy.ErrUnavailable)
	}
	next := &keys{list: list, revision: 1, read: now, stale: now.Add(holds)}
	if old := s.keys.Load(); old != nil {
		next.revision = old.revision
		if !slices.EqualFunc(old.list, list, sameKey) {
			next.revision++
		}
	}
	s.keys.Store(next)
	return nil
}

func (s *KeySet) get(ctx context.Context) ([]byte, time.Duration, error) {
	if s.cfg.File != "" {
		raw, err := readFile(s.cfg.File)
		return raw, fileHold, err
	}
	at := s.cfg.JWKSURL
	if at == "" {
		m, err := Discover(ctx, s.cfg.Client, s.cfg.Issuer, s.cfg.PlainHTTP)
		if err != nil {
			return nil, 0, err
		}
		at = m.JWKSURI
	}
	raw, holds, err := get(ctx, s.cfg.Client, at)
	if holds < 0 {
		holds = s.cfg.Hold
	}
	return raw, min(max(holds, minHold), maxHold), err
}
