package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func newGuard(t testing.TB, cfg Config) *Guard {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestTheZeroConfigurationReachesPublicAddressesOnly(t *testing.T) {
	g := newGuard(t, Config{})
	for _, c := range []struct {
		sentence, addr string
		ok             bool
	}{
		{"a public address", "93.184.216.34", true},
		{"a public address as IPv6 writes it", "::ffff:93.184.216.34", true},
		{"a public IPv6 address", "2606:2800:220:1:248:1893:25c8:1946", true},
		{"a public address through NAT64", "64:ff9b::5db8:d822", true},
		{"loopback", "127.0.0.1", false},
		{"the far end of loopback", "127.255.255.254", false},
		{"loopback as IPv6 writes it", "::ffff:127.0.0.1", false},
		{"loopback in IPv6", "::1", false},
		{"loopback, IPv4-compatible", "::127.0.0.1", false},
		{"unspecified, which Linux takes for loopback", "0.0.0.0", false},
		{"unspecified in IPv6", "::", false},
		{"this network", "0.1.2.3", false},
		{"private, ten", "10.0.0.1", false},
		{"private, 172.16", "172.16.0.1", false},
		{"private, the last of 172.31", "172.31.255.255", false},
		{"just behind it is public", "172.32.0.0", true},
		{"private, 192.168", "192.168.1.1", false},
		{"private, mapped", "::ffff:10.0.0.1", false},
		{"private through NAT64", "64:ff9b::a00:1", false},
		{"private through a network's own NAT64", "64:ff9b:1::a00:1", false},
		{"private through 6to4", "2002:a00:1::1", false},
		{"anything through Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2", false},
		{"unique local", "fd12:3456:789a::1", false},
		{"site-local, deprecated", "fec0::1", false},
		{"carrier-grade NAT", "100.64.0.1", false},
		{"the metadata service", "169.254.169.254", false},
		{"the metadata service, mapped", "::ffff:169.254.169.254", false},
		{"the metadata service through NAT64", "64:ff9b::a9fe:a9fe", false},
		{"AWS's metadata service in IPv6", "fd00:ec2::254", false},
		{"Azure's, in public space", "168.63.129.16", false},
		{"Alibaba's", "100.100.100.200", false},
		{"link-local in IPv6", "fe80::1", false},
		{"link-local with a zone", "fe80::1%eth0", false},
		{"multicast", "224.0.0.1", false},
		{"multicast in IPv6", "ff02::1", false},
		{"broadcast", "255.255.255.255", false},
		{"reserved", "240.0.0.1", false},
		{"documentation", "192.0.2.1", false},
		{"documentation in IPv6", "2001:db8::1", false},
		{"benchmarks", "198.18.0.1", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			err := g.Permits("service.example.com", netip.MustParseAddr(c.addr))
			if c.ok != (err == nil) || (err != nil && !errors.Is(err, ErrRefused)) {
				t.Fatalf("%s: %v", c.addr, err)
			}
		})
	}
	if err := g.Permits("x", netip.Addr{}); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
}

func TestWhatTheOperatorPermits(t *testing.T) {
	g := newGuard(t, Config{
		Allow:      []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")},
		AllowHosts: []string{"Ldap.Corp.", "localhost", "192.168.7.7", "fd99:0::1"},
	})
	for _, c := range []struct {
		sentence, host, addr string
		ok                   bool
	}{
		{"a range, under any name", "anything", "10.1.2.3", true},
		{"a range, mapped", "anything", "::ffff:10.1.2.3", true},
		{"a range through NAT64", "anything", "64:ff9b::a01:203", true},
		{"beside the range", "anything", "10.2.0.1", false},
		{"a range of IPv6", "anything", "fd12::1", true},
		{"a host that is private", "ldap.corp", "10.2.0.1", true},
		{"in another case and with a dot", "LDAP.corp.", "10.2.0.1", true},
		{"a host below it", "x.ldap.corp", "10.2.0.1", false},
		{"a permitted host whose DNS answers loopback", "ldap.corp", "127.0.0.1", false},
		{"a permitted host whose DNS answers the metadata service", "ldap.corp", "169.254.169.254", false},
		{"a permitted host whose DNS answers AWS's", "ldap.corp", "fd00:ec2::254", false},
		{"localhost that is loopback", "localhost", "127.0.0.1", true},
		{"localhost that is loopback in IPv6", "localhost", "::1", true},
		{"loopback by its address was not named", "127.0.0.1", "127.0.0.1", false},
		{"an address that was named", "192.168.7.7", "192.168.7.7", true},
		{"that address under another name", "evil.example.com", "192.168.7.7", false},
		{"an address in another spelling", "fd99::1", "fd99::1", true},
		{"an address in the mapped spelling", "::ffff:192.168.7.7", "192.168.7.7", true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			err := g.Permits(c.host, netip.MustParseAddr(c.addr))
			if c.ok != (err == nil) || (err != nil && !errors.Is(err, ErrRefused)) {
				t.Fatalf("%s at %s: %v", c.host, c.addr, err)
			}
		})
	}
	t.Run("what is named for one purpose stays closed for the others", func(t *testing.T) {
		more, err := g.Naming("db.corp", "169.254.1.2")
		if err != nil {
			t.Fatal(err)
		}
		at := netip.MustParseAddr("10.9.9.9")
		if more.Permits("db.corp", at) != nil || more.Permits("ldap.corp", at) != nil || g.Permits("db.corp", at) == nil {
			t.Fatal("a permission is in the wrong guard")
		}
		if link := netip.MustParseAddr("169.254.1.2"); more.Permits("169.254.1.2", link) != nil || more.Permits("db.corp", link) == nil {
			t.Fatal("an address that was written down is permitted, and only so")
		}
	})
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for sentence, cfg := range map[string]Config{
		"a range with bits behind its length": {Allow: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}},
		"no range":                            {Allow: []netip.Prefix{{}}},
		"a mapped range, which nothing meets": {Allow: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
		"an empty host":                       {AllowHosts: []string{""}},
		"a host of any name":                  {AllowHosts: []string{"*"}},
		"a pattern":                           {AllowHosts: []string{"*.corp"}},
		"a URL":                               {AllowHosts: []string{"https://corp"}},
		"a host and port":                     {AllowHosts: []string{"corp:389"}},
		"a negative time":                     {DialTimeout: -time.Second},
		"a proxy of an unknown kind":          {Proxy: &url.URL{Scheme: "socks5", Host: "proxy:1080"}},
		"a proxy without a host":              {Proxy: &url.URL{Scheme: "http"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			if _, err := New(cfg); !errors.Is(err, policy.ErrInvalid) {
				t.Fatal(err)
			}
		})
	}
}

// listen answers a loopback listener that counts who connects.
func listen(t *testing.T) (port string, met *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	met = &atomic.Int64{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			met.Add(1)
			c.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, met
}

// nameserver is a resolver on the loopback that asks answer for each A record.
func nameserver(t *testing.T, answer func() netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := reply(buf[:n], answer); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// reply answers a query of one question: an A record with no time to live, and
// nothing for other types.
func reply(query []byte, answer func() netip.Addr) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5 // the root label, type and class
	if end > len(query) {
		return nil
	}
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	if binary.BigEndian.Uint16(query[end-4:]) == 1 {
		out[7] = 1
		addr := answer().As4()
		out = append(append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), addr[:]...)
	}
	return out
}

func TestTheAddressThatIsDialledIsJudged(t *testing.T) {
	port, met := listen(t)
	loopback := netip.MustParseAddr("127.0.0.1")

	t.Run("a name that was public when it was asked and is loopback when it is dialled", func(t *testing.T) {
		var asked atomic.Int64
		resolver := nameserver(t, func() netip.Addr {
			if asked.Add(1) == 1 {
				return netip.MustParseAddr("93.184.216.34")
			}
			return loopback
		})
		g := newGuard(t, Config{Resolver: resolver})
		first, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example.com")
		if err != nil || g.Permits("rebind.example.com", first[0]) != nil {
			t.Fatalf("whoever only looks the name up finds nothing wrong: %v %v", first, err)
		}
		if _, err := g.DialContext(t.Context(), "tcp", "rebind.example.com:"+port); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		if asked.Load() < 2 || met.Load() != 0 {
			t.Fatalf("asked %d times, connected %d times", asked.Load(), met.Load())
		}
	})

	resolver := nameserver(t, func() netip.Addr { return loopback })
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "",
		// Spellings that C libraries take for 127.0.0.1. Here they are names, which
		// the resolver refuses by itself or answers, and then the answer is judged.
		"2130706433", "0x7f000001", "0177.0.0.1", "127.1",
		"service.example.com",
	} {
		t.Run("the host "+host, func(t *testing.T) {
			g := newGuard(t, Config{Resolver: resolver})
			conn, err := g.DialContext(t.Context(), "tcp", host+":"+port)
			if err == nil {
				conn.Close()
				t.Fatal("connected")
			}
			var unknown *net.DNSError
			if !errors.Is(err, ErrRefused) && !errors.As(err, &unknown) {
				t.Fatal(err)
			}
		})
	}
	if n := met.Load(); n != 0 {
		t.Fatalf("%d connections were made", n)
	}

	t.Run("what is permitted is reached", func(t *testing.T) {
		for _, cfg := range []Config{
			{Allow: []netip.Prefix{netip.PrefixFrom(loopback, 32)}},
			{AllowHosts: []string{"127.0.0.1"}},
		} {
			conn, err := newGuard(t, cfg).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
	})
	t.Run("only TCP goes out", func(t *testing.T) {
		g := newGuard(t, Config{Allow: []netip.Prefix{netip.PrefixFrom(loopback, 32)}})
		for _, network := range []string{"unix", "udp", "ip4:icmp", ""} {
			if _, err := g.DialContext(t.Context(), network, "127.0.0.1:"+port); !errors.Is(err, ErrRefused) {
				t.Fatalf("%s: %v", network, err)
			}
		}
	})
	t.Run("a destination without a port", func(t *testing.T) {
		if _, err := newGuard(t, Config{}).DialContext(t.Context(), "tcp", "example.com"); !errors.Is(err, policy.ErrInvalid) {
			t.Fatal(err)
		}
	})
}

func FuzzPermitsIsClosedForInnerAddresses(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add(netip.MustParseAddr("64:ff9b::a9fe:a9fe").AsSlice())
	g, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		addr, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		inner := plain(addr)
		if g.Permits("x", addr) == nil && (inner.IsLoopback() || inner.IsPrivate() || inner.IsMulticast() ||
			inner.IsUnspecified() || inner.IsLinkLocalUnicast() || !inner.IsGlobalUnicast()) {
			t.Fatalf("%s is permitted", addr)
		}
		if strings.Contains(addr.String(), "169.254.169.254") && g.Permits("x", addr) == nil {
			t.Fatalf("%s is permitted", addr)
		}
	})
}
