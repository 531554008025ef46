package gateway

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

var errHost = errcode.New(errcode.BadRequest, "the Host header is not a host")

// validHost allows a name or an address with an optional port: what may stand in
// a realm between quotes and in a log.
func validHost(host string) bool {
	if host == "" || len(host) > 255 {
		return false
	}
	for i := range len(host) {
		c := host[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(".-_:[]", rune(c)) {
			return false
		}
	}
	return true
}

// hostname is the host without its port, in lower case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// HeaderWorkspace names the workspace of a request that comes by the socket,
// where no host name can. The network's requests cannot choose by it.
const HeaderWorkspace = "X-Bondgate-Workspace"

func (e *Edge) workspace(r *http.Request, v *visit) (string, error) {
	if v.operator {
		return cmp.Or(r.Header.Get(HeaderWorkspace), policy.DefaultWorkspace), nil
	}
	if e.cfg.Workspaces == nil {
		return policy.DefaultWorkspace, nil
	}
	w, err := e.cfg.Workspaces.Workspace(hostname(r.Host))
	return cmp.Or(w, policy.DefaultWorkspace), err
}

// peer is the address at the other end of the connection; the zero Addr for a
// socket of the file system.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// clientIP is the peer, or when that is a trusted proxy the last address in
// X-Forwarded-For that is not one: those before it are the client's own words.
func clientIP(r *http.Request, trusted []netip.Prefix) netip.Addr {
	ip := peer(r)
	if len(trusted) == 0 || !within(ip, trusted) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return ip
		}
		if ip = hop.Unmap().WithZone(""); !within(ip, trusted) {
			return ip
		}
	}
	return ip
}

func within(ip netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// local reports whether a request comes from this machine and was meant for it:
// the peer is loopback, no proxy says that it passed it on, and the host is one
// that no foreign name server could have pointed here.
func local(r *http.Request) bool {
	if !peer(r).IsLoopback() {
		return false
	}
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if _, there := r.Header[name]; there {
			return false
		}
	}
	name := hostname(r.Host)
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// newRequestID makes an id that nobody else has: 96 random bits. It is a name,
// not a secret.
func newRequestID() string {
	var raw [12]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint32(raw[8:], rand.Uint32())
	return hex.EncodeToString(raw[:])
}
