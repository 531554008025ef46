// Package local knows the people in the gateway's own database: names and
// argon2id hashes, under the issuer [policy.LocalIssuer].
//
// It refuses to spend more than a bounded part of the machine on passwords (19
// MiB each, as many at once as there are cores, the rest waits a moment and is
// told to come back), to keep a password in memory (successes are remembered
// under a keyed hash, a minute at most), and to tell an unknown name from a wrong
// password. It stores nothing: the rows are the metadata store's.
//
// The gateway's authn chain, the management API (which hashes new passwords) and
// cmd/bondgate import it.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// MaxPassword is the longest password of an account, in bytes: argon2id reads all
// of it.
const MaxPassword = 1 << 10

// MaxCache is the longest that a success may be remembered.
const MaxCache = time.Minute

// Store has the people's hashes.
type Store interface {
	// PasswordHash is the stored PHC string, or [policy.ErrNotFound].
	PasswordHash(ctx context.Context, workspace, name string) (hash string, disabled bool, err error)
}

// Config is what a [Provider] needs; zero numbers get the default.
type Config struct {
	Store Store
	// Revision answers a number that is another one after every change of a
	// password or of a disabled flag, in this process before the change returns.
	// Negative means that it cannot tell now; each request asks the store then.
	Revision func() int64
	// Concurrency is how many hashes are computed at once; default the number of
	// cores.
	Concurrency int
	// Wait is how long a request waits for its turn before it gets
	// [policy.ErrLimited]; default 3 s.
	Wait time.Duration
	// Remember is how long a success holds without computing it again; default
	// and maximum one minute.
	Remember time.Duration
	// Remembered is how many successes are kept; default 10,000.
	Remembered int
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Provider is an [authn.Passwords] on a [Store].
type Provider struct {
	store    Store
	revision func() int64
	now      func() time.Time
	wait     time.Duration
	turns    *semaphore.Weighted
	flight   singleflight.Group
	dummy    phc
	known    *authn.Successes[success]
}

var _ authn.Passwords = (*Provider)(nil)

// New checks cfg and makes a provider.
func New(cfg Config) (*Provider, error) {
	if cfg.Store == nil || cfg.Revision == nil {
		return nil, fmt.Errorf("authn/local: a store and its revision are needed: %w", policy.ErrInvalid)
	}
	if cfg.Concurrency < 0 || cfg.Wait < 0 || cfg.Remember < 0 || cfg.Remember > MaxCache || cfg.Remembered < 0 {
		return nil, fmt.Errorf("authn/local: a limit is out of range: %w", policy.ErrInvalid)
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = runtime.GOMAXPROCS(0)
	}
	if cfg.Wait == 0 {
		cfg.Wait = 3 * time.Second
	}
	if cfg.Remember == 0 {
		cfg.Remember = MaxCache
	}
	if cfg.Remembered == 0 {
		cfg.Remembered = 10_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Provider{
		store: cfg.Store, revision: cfg.Revision, now: cfg.Now, wait: cfg.Wait,
		turns: semaphore.NewWeighted(int64(cfg.Concurrency)),
		// A sum of random bytes: no password has it.
		dummy: phc{memory: memoryKiB, iterations: iterations, lanes: lanes, salt: make([]byte, saltBytes), sum: make([]byte, sumBytes)},
		known: authn.NewSuccesses[success](cfg.Remembered, cfg.Remember),
	}
	for _, b := range [][]byte{p.dummy.salt, p.dummy.sum} {
		_, _ = rand.Read(b)
	}
	return p, nil
}

// Authenticate answers who name is, if password is theirs: see
// [authn.Passwords] for the errors.
func (p *Provider) Authenticate(ctx context.Context, workspace, name, password string) (policy.Principal, error) {
	return p.authenticate(ctx, workspace, name, password, true)
}

// Before asks others about names that are no account's, and computes a hash for
// those only that nobody knows in the end: a thousand people of a directory who
// log in at once must not wait for hashes that cannot match.
func (p *Provider) Before(others ...authn.Passwords) authn.Passwords {
	if len(others) == 0 {
		return p
	}
	return &chain{local: p, others: others}
}

type chain struct {
	local  *Provider
	others []authn.Passwords
}

func (c *chain) Authenticate(ctx context.Context, workspace, name, password string) (policy.Principal, error) {
	who, err := c.local.authenticate(ctx, workspace, name, password, false)
	for i := 0; i < len(c.others) && errors.Is(err, policy.ErrNotFound); i++ {
		who, err = c.others[i].Authenticate(ctx, workspace, name, password)
	}
	if errors.Is(err, policy.ErrNotFound) || errors.Is(err, policy.ErrUnauthenticated) {
		// An account's wrong password has cost this already.
		if spent := c.local.spend(ctx, workspace, name, password); spent != nil {
			return policy.Principal{}, spent
		}
	}
	return who, err
}

// spend computes a hash that nothing matches, once for one credential at a time.
func (p *Provider) spend(ctx context.Context, workspace, name, password string) error {
	if len(password) > MaxPassword {
		return nil
	}
	if _, _, err := p.store.PasswordHash(ctx, workspace, name); err == nil {
		return nil
	}
	_, err := p.compare(ctx, p.known.Tag(workspace, name, password), p.dummy, password)
	return err
}

func (p *Provider) authenticate(ctx context.Context, workspace, name, password string, alone bool) (policy.Principal, error) {
	if err := authn.CheckCredential(name, password); err != nil {
		return policy.Principal{}, err
	}
	if len(password) > MaxPassword {
		return policy.Principal{}, fmt.Errorf("authn/local: no account has so long a password: %w", policy.ErrNotFound)
	}
	who := policy.Principal{Workspace: workspace, Issuer: policy.LocalIssuer, ID: name, Kind: policy.KindUser, Auth: "basic"}
	tag := p.known.Tag(workspace, name, password)
	// The revision is read before the row: a change in between makes the entry
	// look old, never fresh.
	revision := p.revision()
	entry, ok := p.known.Get(tag, p.now())
	if ok && revision >= 0 && entry.revision == revision {
		return who, nil
	}
	stored, disabled, err := p.store.PasswordHash(ctx, workspace, name)
	switch {
	case errors.Is(err, policy.ErrNotFound) && !alone:
		return policy.Principal{}, fmt.Errorf("authn/local: the name: %w", policy.ErrNotFound)
	case errors.Is(err, policy.ErrNotFound):
		if _, err := p.compare(ctx, tag, p.dummy, password); err != nil {
			return policy.Principal{}, err
		}
		return policy.Principal{}, fmt.Errorf("authn/local: the name: %w", policy.ErrNotFound)
	case err != nil:
		return policy.Principal{}, fmt.Errorf("authn/local: reading the hash: %w", err)
	}
	if ok && entry.hash == stored && !disabled {
		p.known.Amend(tag, success{hash: stored, revision: revision})
		return who, nil
	}
	h, err := parse(stored)
	if err != nil { // also for an account that has no password at all
		h, disabled = p.dummy, true
	}
	match, err := p.compare(ctx, tag, h, password)
	if err != nil {
		return policy.Principal{}, err
	}
	if !match || disabled {
		p.known.Drop(tag)
		return policy.Principal{}, fmt.Errorf("authn/local: wrong password, or disabled: %w", policy.ErrUnauthenticated)
	}
	p.known.Put(tag, success{hash: stored, revision: revision}, p.now())
	return who, nil
}

// compare computes one hash when it is this request's turn. Requests with the
// same credential against the same row share one computation: a client that
// opens eight connections sends its password eight times.
func (p *Provider) compare(ctx context.Context, tag authn.CredentialTag, h phc, password string) (bool, error) {
	flight := p.flight.DoChan(string(tag[:])+string(h.sum), func() (any, error) {
		// The computation outlives the request that began it: others wait for it.
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.wait)
		defer cancel()
		if p.turns.Acquire(wait, 1) != nil {
			return false, fmt.Errorf("authn/local: too many passwords at once: %w", policy.ErrLimited)
		}
		defer p.turns.Release(1)
		return h.matches(password), nil
	})
	select {
	case res := <-flight:
		match, _ := res.Val.(bool)
		return match && res.Err == nil, res.Err
	case <-ctx.Done():
		return false, fmt.Errorf("authn/local: waiting for a turn: %w", ctx.Err())
	}
}

// success is a password that was right: for which stored hash, and at which
// revision that hash was last seen in the store.
type success struct {
	hash     string
	revision int64
}
