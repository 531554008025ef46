package limit

import (
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/bounded"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// LoginsConfig says how many logins may fail; zero numbers get the default.
type LoginsConfig struct {
	// Failures is how many logins with one name from one address may fail within
	// Window before that name is refused from that address; default 5.
	Failures int
	// NameFailures is the same for one name from all addresses, for guesses that
	// are spread over many: default 50. It is much higher, since everybody can make
	// somebody else's logins fail.
	NameFailures int
	// AddressFailures is the same for one address with all names; default 100.
	AddressFailures int
	// Window is within which failures add up; default 10 minutes.
	Window time.Duration
	// Lock is how long the first refusal lasts; each further one in a row lasts
	// twice as long, up to Longest. Defaults 30 seconds and 15 minutes.
	Lock, Longest time.Duration
	// Loopback counts the logins of this machine too, which are not otherwise.
	Loopback bool
	// Entries is how many counters are kept; default 100,000.
	Entries int
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Logins counts failed logins.
type Logins struct {
	cfg  LoginsConfig
	mu   sync.Mutex
	seen *bounded.Map[attempt, record]
}

var _ authn.Logins = (*Logins)(nil)

// attempt is what is counted: a name from an address, a name, an address. What
// does not count is empty.
type attempt struct {
	workspace, name string
	address         netip.Prefix
}

type record struct {
	failures int
	// since is when the first of them was.
	since time.Time
	// until is when the lock ends; locks is how many there were in a row.
	until time.Time
	locks int
}

// NewLogins checks cfg and makes the counters.
func NewLogins(cfg LoginsConfig) (*Logins, error) {
	for _, n := range []struct {
		value *int
		def   int
	}{{&cfg.Failures, 5}, {&cfg.NameFailures, 50}, {&cfg.AddressFailures, 100}, {&cfg.Entries, 100_000}} {
		if *n.value < 0 {
			return nil, fmt.Errorf("limit: a negative number of logins: %w", policy.ErrInvalid)
		}
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&cfg.Window, 10 * time.Minute}, {&cfg.Lock, 30 * time.Second}, {&cfg.Longest, 15 * time.Minute}} {
		if *d.value < 0 {
			return nil, fmt.Errorf("limit: a negative time: %w", policy.ErrInvalid)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Logins{cfg: cfg, seen: bounded.New[attempt, record](cfg.Entries)}, nil
}

// Admit answers [policy.ErrLimited], with how long to wait, for a name or an
// address that failed too often.
func (l *Logins) Admit(workspace, name, address string) error {
	keys, ok := l.attempts(workspace, name, address)
	if !ok {
		return nil
	}
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait time.Duration
	for _, k := range keys {
		if r, there := l.seen.Use(k.attempt); there {
			wait = max(wait, r.until.Sub(now))
		}
	}
	if wait <= 0 {
		return nil
	}
	return tooMany("too many failed logins", wait)
}

// Failed counts a login that failed.
func (l *Logins) Failed(workspace, name, address string) {
	keys, ok := l.attempts(workspace, name, address)
	if !ok {
		return
	}
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		r, _ := l.seen.Use(k.attempt)
		l.seen.Put(k.attempt, l.failed(r, k.most, now))
	}
}

// failed is the record after one more failure. A lock that ended a window ago is
// forgotten; one that ended before that doubles the next.
func (l *Logins) failed(r record, most int, now time.Time) record {
	if now.Sub(r.since) > l.cfg.Window {
		r.failures, r.since = 0, now
	}
	if now.Sub(r.until) > l.cfg.Window {
		r.locks = 0
	}
	if r.failures++; r.failures < most {
		return r
	}
	lock := l.cfg.Longest
	if r.locks < 20 {
		lock = min(lock, l.cfg.Lock<<r.locks)
	}
	r.failures, r.since = 0, now
	r.locks++
	r.until = now.Add(lock)
	return r
}

// Passed forgets the failures of the name from that address: people mistype. The
// other counters stay, or one known password would reset them for all guesses.
func (l *Logins) Passed(workspace, name, address string) {
	keys, ok := l.attempts(workspace, name, address)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen.Drop(keys[0].attempt)
}

type bound struct {
	attempt attempt
	most    int
}

// attempts are the counters that a login falls under; ok is false for one that is
// not counted.
func (l *Logins) attempts(workspace, name, address string) (keys [3]bound, ok bool) {
	at, loopback := network(address)
	if !at.IsValid() || loopback && !l.cfg.Loopback {
		return keys, false
	}
	return [3]bound{
		{attempt{workspace, name, at}, l.cfg.Failures},
		{attempt{workspace: workspace, name: name}, l.cfg.NameFailures},
		{attempt{address: at}, l.cfg.AddressFailures},
	}, true
}

// network is what one client has of addresses: one of IPv4, a /64 of IPv6. It is
// invalid for the socket of the file system.
func network(address string) (at netip.Prefix, loopback bool) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}, false
	}
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	at, _ = ip.Prefix(bits) // fails for a number of bits out of range only
	return at, ip.IsLoopback()
}

// tooMany is the 429 with the time to wait, rounded up to whole seconds.
func tooMany(what string, wait time.Duration) error {
	seconds := strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
	return errcode.New(errcode.TooManyRequests, what+"; try again in "+seconds+" s").
		Because(policy.ErrLimited).With("Retry-After", seconds)
}
