package session

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// Origin is a scheme and a host with its port, as a browser compares them.
type Origin struct{ Scheme, Host string }

// String is the origin as it stands in an Origin header.
func (o Origin) String() string { return o.Scheme + "://" + o.Host }

// Secure reports whether cookies of the origin never travel in the clear.
func (o Origin) Secure() bool { return o.Scheme == "https" }

// Site knows under which origin browsers reach each workspace. The zero Site
// knows loopback only.
type Site struct{ external map[string]Origin }

// NewSite takes the configured external URL of each workspace: https, or http on
// this machine.
func NewSite(external map[string]string) (Site, error) {
	s := Site{external: make(map[string]Origin, len(external))}
	for workspace, raw := range external {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
			return Site{}, fmt.Errorf("session: the external URL %q is not scheme://host[:port]: %w", raw, policy.ErrInvalid)
		}
		o := Origin{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}
		if o.Scheme != "https" && (o.Scheme != "http" || !loopback(o.Host)) {
			return Site{}, fmt.Errorf("session: the external URL %q is not https: browsers would send the session in the clear: %w", raw, policy.ErrInvalid)
		}
		if (o.Scheme == "https" && u.Port() == "443") || (o.Scheme == "http" && u.Port() == "80") {
			o.Host = strings.TrimSuffix(o.Host, ":"+u.Port()) // as browsers write it
		}
		s.external[workspace] = o
	}
	return s, nil
}

// Origin answers the origin of a workspace: the configured one, whatever host the
// request names. Without configuration it is the request's own host, and only
// when that is a loopback name: any other Host header is the client's word, and
// an address that the provider sends people to must not be.
func (s Site) Origin(workspace string, r *http.Request) (Origin, error) {
	if o, ok := s.external[workspace]; ok {
		return o, nil
	}
	if !loopback(r.Host) {
		return Origin{}, fmt.Errorf("session: the external URL of workspace %q is not configured: %w", workspace, policy.ErrUnsupported)
	}
	o := Origin{Scheme: "http", Host: strings.ToLower(r.Host)}
	if r.TLS != nil {
		o.Scheme = "https"
	}
	return o, nil
}

// SameOrigin refuses a request unless it can change nothing, or the browser says
// that a page of this origin sent it: by Sec-Fetch-Site, and by Origin where that
// is there. A browser without either is refused: every one that is maintained
// sends one of them with such a request.
func (o Origin) SameOrigin(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	site, origin := r.Header.Values("Sec-Fetch-Site"), r.Header.Values("Origin")
	ok := len(site) <= 1 && len(origin) <= 1 && len(site)+len(origin) > 0 &&
		(len(site) == 0 || site[0] == "same-origin") &&
		(len(origin) == 0 || origin[0] == o.String())
	if !ok {
		return errcode.New(errcode.DeniedCode, "the request does not come from a page of this site")
	}
	return nil
}

// loopback reports whether a host, with or without port, names this machine
// without asking a name server.
func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}
