package egress

import (
	"net/netip"
)

// reach says how far an address is from being a public one, and with it who can
// permit it.
type reach int

const (
	// public needs no permission.
	public reach = iota
	// inside is the operator's own network: a permitted host or range opens it.
	inside
	// itself is this machine's loopback. A permitted host opens it only if it is
	// called localhost or is the address itself: somebody else's DNS could
	// otherwise point a permitted name at the services beside the gateway.
	itself
	// never is opened by a permitted range, or by naming the address itself: no
	// name of a host has a reason to resolve to it.
	never
)

// ranges are the special-purpose registries of IANA (RFC 6890 and its updates),
// and the metadata services of clouds that lie outside of them. The first that
// holds an address decides.
var ranges = []struct {
	prefix netip.Prefix
	reach  reach
	what   string
}{
	{netip.MustParsePrefix("168.63.129.16/32"), never, "a cloud's metadata service"},   // Azure, in public space
	{netip.MustParsePrefix("100.100.100.200/32"), never, "a cloud's metadata service"}, // Alibaba
	{netip.MustParsePrefix("fd00:ec2::/32"), never, "a cloud's metadata service"},      // AWS
	{netip.MustParsePrefix("fd20:ce::/32"), never, "a cloud's metadata service"},       // Google

	{netip.MustParsePrefix("10.0.0.0/8"), inside, "private"},
	{netip.MustParsePrefix("172.16.0.0/12"), inside, "private"},
	{netip.MustParsePrefix("192.168.0.0/16"), inside, "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), inside, "shared by a carrier"},
	{netip.MustParsePrefix("198.18.0.0/15"), inside, "for benchmarks"},
	{netip.MustParsePrefix("127.0.0.0/8"), itself, "loopback"},
	{netip.MustParsePrefix("0.0.0.0/8"), never, "unspecified"}, // Linux connects it to the loopback
	{netip.MustParsePrefix("169.254.0.0/16"), never, "link-local"},
	{netip.MustParsePrefix("192.0.0.0/24"), never, "reserved"}, // Oracle's metadata service is here
	{netip.MustParsePrefix("192.0.2.0/24"), never, "for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), never, "a relay of 6to4"},
	{netip.MustParsePrefix("198.51.100.0/24"), never, "for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), never, "for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), never, "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), never, "reserved"},

	{netip.MustParsePrefix("::1/128"), itself, "loopback"},
	{netip.MustParsePrefix("fc00::/7"), inside, "private"},
	{netip.MustParsePrefix("fe80::/10"), never, "link-local"},
	{netip.MustParsePrefix("ff00::/8"), never, "multicast"},
	// Tunnels carry an IPv4 address to wherever their end is.
	{netip.MustParsePrefix("2001::/23"), never, "reserved"}, // Teredo is 2001::/32
	{netip.MustParsePrefix("2002::/16"), never, "6to4"},
	{netip.MustParsePrefix("2001:db8::/32"), never, "for documentation"},
	{netip.MustParsePrefix("3fff::/20"), never, "for documentation"},
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 is the well-known prefix of RFC 6052: the last four bytes are the IPv4
	// address that a translator of the network connects to. The prefix for local
	// use (64:ff9b:1::/48) hides it at a place of the network's choice and lies
	// outside of global unicast.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// plain is the address that a packet to addr arrives at: without the zone, and
// as IPv4 if it stands for one.
func plain(addr netip.Addr) netip.Addr {
	addr = addr.WithZone("").Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

// reachOf judges a plain address, and says what it is in words.
func reachOf(addr netip.Addr) (reach, string) {
	if !addr.IsValid() {
		return never, "no address"
	}
	for _, r := range ranges {
		if r.prefix.Contains(addr) {
			return r.reach, r.what
		}
	}
	// All of IPv6 that is not known to be global is reserved, deprecated
	// (IPv4-compatible, site-local) or a translator's own.
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return never, "reserved"
	}
	return public, "public"
}
