package egress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// ErrRefused says that the destination is none that this guard lets anybody
// reach. It comes from a dial, so a caller that cannot tell it from an outage is
// still closed.
var ErrRefused = errors.New("the destination is not permitted")

// DefaultDialTimeout is how long a connection may take to be made, resolution
// included.
const DefaultDialTimeout = 10 * time.Second

// Config is what a [Guard] permits besides public addresses. The zero Config
// permits nothing else.
type Config struct {
	// Allow are ranges that may be reached under any name, link-local included if
	// it is written here.
	Allow []netip.Prefix
	// AllowHosts are names, or addresses as they are written in a URL, that may be
	// in the operator's own network. A name opens private addresses; loopback only
	// as "localhost"; link-local, metadata services and multicast never.
	AllowHosts []string
	// Proxy, if not nil, is where HTTP clients send everything: a proxy's URL with
	// the scheme http or https. Its own address is permitted. The proxy resolves
	// the names then, so it has to be the guard for them; only destinations that
	// are written as an address are still judged here. The environment's
	// HTTP_PROXY is never read.
	Proxy *url.URL
	// DialTimeout bounds one dial; default [DefaultDialTimeout].
	DialTimeout time.Duration
	// Resolver looks names up; nil for the system's.
	Resolver *net.Resolver
}

// Guard dials what it permits. It is safe for concurrent use.
type Guard struct {
	allow    []netip.Prefix
	hosts    map[string]struct{}
	proxy    *url.URL
	timeout  time.Duration
	resolver *net.Resolver
}

// New checks cfg and makes a guard.
func New(cfg Config) (*Guard, error) {
	g := &Guard{hosts: map[string]struct{}{}, timeout: cfg.DialTimeout, resolver: cfg.Resolver}
	for _, p := range cfg.Allow {
		if !p.IsValid() || p != p.Masked() {
			return nil, fmt.Errorf("egress: %q is no range of addresses: %w", p, policy.ErrInvalid)
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("egress: write the IPv4 range itself instead of %q: %w", p, policy.ErrInvalid)
		}
		g.allow = append(g.allow, p)
	}
	if err := g.add(cfg.AllowHosts); err != nil {
		return nil, err
	}
	switch {
	case cfg.DialTimeout < 0:
		return nil, fmt.Errorf("egress: the dial timeout is negative: %w", policy.ErrInvalid)
	case cfg.DialTimeout == 0:
		g.timeout = DefaultDialTimeout
	}
	if cfg.Proxy != nil {
		if (cfg.Proxy.Scheme != "http" && cfg.Proxy.Scheme != "https") || cfg.Proxy.Hostname() == "" {
			return nil, fmt.Errorf("egress: a proxy is http:// or https:// and a host: %w", policy.ErrInvalid)
		}
		// A copy: whoever made the configuration may change theirs.
		p := *cfg.Proxy
		g.proxy = &p
	}
	return g, nil
}

// Naming is a guard that also permits hosts, as [Config.AllowHosts] does. It is
// for one purpose whose destinations the operator wrote down, such as the servers
// of a directory: what they open for it stays closed for everybody else.
func (g *Guard) Naming(hosts ...string) (*Guard, error) {
	more := *g
	more.hosts = maps.Clone(g.hosts)
	if err := more.add(hosts); err != nil {
		return nil, err
	}
	return &more, nil
}

func (g *Guard) add(hosts []string) error {
	for _, h := range hosts {
		name := canonical(h)
		if name == "" || strings.ContainsAny(name, "/@ *?#[]\\%") {
			return fmt.Errorf("egress: %q is no name of a host: %w", h, policy.ErrInvalid)
		}
		if strings.Contains(name, ":") {
			if _, err := netip.ParseAddr(name); err != nil {
				return fmt.Errorf("egress: %q is a host with a port, a host is wanted: %w", h, policy.ErrInvalid)
			}
		}
		g.hosts[name] = struct{}{}
	}
	return nil
}

// canonical is the form in which names of hosts are compared. Addresses are
// compared as addresses: "::1" has many spellings.
func canonical(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return plain(addr).String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Permits is nil if a connection to addr may be made for a destination that was
// called host (a name or an address, without a port), and [ErrRefused] otherwise.
func (g *Guard) Permits(host string, addr netip.Addr) error {
	_, named := g.hosts[canonical(host)]
	return g.judge(host, addr, named)
}

func (g *Guard) judge(host string, addr netip.Addr, named bool) error {
	addr = plain(addr)
	far, what := reachOf(addr)
	if far == public {
		return nil
	}
	for _, p := range g.allow {
		if p.Contains(addr) {
			return nil
		}
	}
	name := canonical(host)
	switch {
	case !named:
	case name == addr.String(): // the operator wrote this very address
		return nil
	case far == inside:
		return nil
	case far == itself && name == "localhost":
		return nil
	}
	return fmt.Errorf("egress: %s is at %s, which is %s: %w", host, addr, what, ErrRefused)
}

// DialContext connects to address, a host:port, over TCP, if the guard permits
// the address that the host turns out to have.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("egress: the destination: %w: %w", err, policy.ErrInvalid)
	}
	_, named := g.hosts[canonical(host)]
	return g.dial(ctx, network, address, host, named)
}

func (g *Guard) dial(ctx context.Context, network, address, host string, named bool) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default: // a unix socket has no address to judge
		return nil, fmt.Errorf("egress: network %q: %w", network, ErrRefused)
	}
	d := net.Dialer{
		Timeout:  g.timeout,
		Resolver: g.resolver,
		// Called with the address of each attempt, between socket and connect: no
		// second resolution can come after it.
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("egress: %q is no address: %w", address, ErrRefused)
			}
			return g.judge(host, at.Addr(), named)
		},
	}
	return d.DialContext(ctx, network, address)
}
