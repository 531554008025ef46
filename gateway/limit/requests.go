package limit

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/bondgate/bondgate/gateway/bounded"
	"github.com/bondgate/bondgate/policy"
)

// Rate is how many requests a second on average, and how many at once after a
// pause. The zero Rate is no limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

func (r Rate) check() error {
	if r.PerSecond < 0 || r.Burst < 0 || (r.PerSecond > 0) != (r.Burst > 0) {
		return fmt.Errorf("limit: a rate needs requests a second and a burst: %w", policy.ErrInvalid)
	}
	return nil
}

// RequestsConfig says how many requests are answered.
type RequestsConfig struct {
	Identity, Project, Address Rate
	// Loopback limits this machine too, which is not otherwise.
	Loopback bool
	// Entries is how many counters of each sort are kept; default 100,000.
	Entries int
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Requests counts requests.
type Requests struct {
	cfg        RequestsConfig
	mu         sync.Mutex
	identities *bounded.Map[identity, *rate.Limiter]
	projects   *bounded.Map[project, *rate.Limiter]
	addresses  *bounded.Map[netip.Prefix, *rate.Limiter]
}

type identity struct {
	workspace, issuer, id string
	kind                  policy.Kind
}

type project struct{ workspace, name string }

// NewRequests checks cfg and makes the counters.
func NewRequests(cfg RequestsConfig) (*Requests, error) {
	for _, r := range []Rate{cfg.Identity, cfg.Project, cfg.Address} {
		if err := r.check(); err != nil {
			return nil, err
		}
	}
	if cfg.Entries < 0 {
		return nil, fmt.Errorf("limit: a negative number of counters: %w", policy.ErrInvalid)
	}
	if cfg.Entries == 0 {
		cfg.Entries = 100_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Requests{
		cfg:        cfg,
		identities: bounded.New[identity, *rate.Limiter](cfg.Entries),
		projects:   bounded.New[project, *rate.Limiter](cfg.Entries),
		addresses:  bounded.New[netip.Prefix, *rate.Limiter](cfg.Entries),
	}, nil
}

// Address counts a request before anybody is known, and answers
// [policy.ErrLimited], with how long to wait, for one too many.
func (r *Requests) Address(address string) error {
	at, loopback := network(address)
	if r.cfg.Address.PerSecond == 0 || !at.IsValid() || loopback && !r.cfg.Loopback {
		return nil
	}
	return take(r, r.addresses, at, r.cfg.Address, "too many requests from this address")
}

// Caller counts a request for who asks and for the project that it is about;
// either may be empty. It answers as [Requests.Address] does.
func (r *Requests) Caller(p policy.Principal, name, address string) error {
	at, loopback := network(address)
	if !at.IsValid() || loopback && !r.cfg.Loopback {
		return nil
	}
	if r.cfg.Identity.PerSecond > 0 && !p.Anonymous() {
		who := identity{p.Workspace, p.Issuer, p.ID, p.Kind}
		if err := take(r, r.identities, who, r.cfg.Identity, "too many requests of this account"); err != nil {
			return err
		}
	}
	if r.cfg.Project.PerSecond > 0 && name != "" {
		return take(r, r.projects, project{p.Workspace, name}, r.cfg.Project, "too many requests for this project")
	}
	return nil
}

// take takes one from a counter; what is refused is not taken.
func take[K comparable](r *Requests, from *bounded.Map[K, *rate.Limiter], key K, limit Rate, what string) error {
	now := r.cfg.Now()
	r.mu.Lock()
	l, ok := from.Use(key)
	if !ok {
		l = rate.NewLimiter(rate.Limit(limit.PerSecond), limit.Burst)
		from.Put(key, l)
	}
	r.mu.Unlock()
	reservation := l.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return tooMany(what, wait)
}
