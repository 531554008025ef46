package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// What a client is bounded by unless its [ClientConfig] says otherwise.
const (
	DefaultTimeout = 30 * time.Second
	DefaultMaxBody = 4 << 20 // bytes, after decompression

	maxHeader    = 64 << 10 // bytes of an answer's header
	maxRedirects = 5
	maxIdle      = 8 // connections that are kept for one host
	handshake    = 10 * time.Second
	idle         = 60 * time.Second
)

// Redirects says which redirects a client follows.
type Redirects int

const (
	// RedirectsRefused makes a redirect an error. It is the zero value: a redirect
	// lets the other side choose where our credentials and our reach go next.
	RedirectsRefused Redirects = iota
	// RedirectsSameHost follows redirects that keep scheme, host and port.
	RedirectsSameHost
	// RedirectsGuarded follows redirects to whatever the guard permits, never from
	// https to http. net/http takes Authorization and Cookie off on the way to
	// another domain.
	RedirectsGuarded
)

// ClientConfig is what one purpose needs of its client. The zero value speaks
// https only, with the system's roots.
type ClientConfig struct {
	// Timeout bounds the whole exchange, the body included; default
	// [DefaultTimeout].
	Timeout time.Duration
	// MaxBody is how many bytes of an answer's body may be read before reading it
	// fails with [policy.ErrTooLarge]; default [DefaultMaxBody].
	MaxBody int64
	// RootCAs are the authorities that servers are verified with; nil for the
	// system's.
	RootCAs *x509.CertPool
	// Certificates are shown to a server that asks for one.
	Certificates []tls.Certificate
	// Certificate, when it is given, answers the one that is shown, at each
	// connection: short-lived ones change while the client lives.
	Certificate func() *tls.Certificate
	Redirects   Redirects
	// InsecurePlaintext lets http:// URLs pass: credentials and answers cross the
	// network in the open and can be changed on the way.
	InsecurePlaintext bool
}

// Client makes an HTTP client that dials through the guard. Each call makes one
// with its own connections: keep it.
func (g *Guard) Client(cfg ClientConfig) *http.Client {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	transport := &http.Transport{
		Proxy:                  nil, // never the environment's
		DialContext:            g.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs, Certificates: cfg.Certificates},
		TLSHandshakeTimeout:    handshake,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idle,
		MaxResponseHeaderBytes: maxHeader,
	}
	if cfg.Certificate != nil {
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return cfg.Certificate(), nil
		}
	}
	if g.proxy != nil {
		transport.Proxy = http.ProxyURL(g.proxy)
		transport.DialContext = g.dialProxy
	}
	return &http.Client{
		Transport:     &bounded{guard: g, next: transport, cfg: cfg},
		CheckRedirect: cfg.Redirects.check,
		Timeout:       cfg.Timeout,
	}
}

// dialProxy dials the proxy, which the operator named, and nothing else.
func (g *Guard) dialProxy(ctx context.Context, network, address string) (net.Conn, error) {
	return g.dial(ctx, network, address, g.proxy.Hostname(), true)
}

func (r Redirects) check(req *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("egress: more than %d redirects: %w", maxRedirects, ErrRefused)
	case r == RedirectsGuarded && (req.URL.Scheme == "https" || from.Scheme == "http"):
		return nil
	case r == RedirectsSameHost && sameHost(from, req.URL):
		return nil
	}
	return fmt.Errorf("egress: a redirect to %s://%s: %w", req.URL.Scheme, req.URL.Host, ErrRefused)
}

func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && canonical(a.Hostname()) == canonical(b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// bounded refuses what the dialer does not see, and bounds the body.
type bounded struct {
	guard *Guard
	next  *http.Transport
	cfg   ClientConfig
}

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := b.check(req.URL); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	// An answer that switches protocols has a connection for a body.
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &limitedBody{Limited: Limit(resp.Body, b.cfg.MaxBody), Closer: resp.Body}
	}
	return resp, nil
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] looks for.
func (b *bounded) CloseIdleConnections() { b.next.CloseIdleConnections() }

func (b *bounded) check(u *url.URL) error {
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && b.cfg.InsecurePlaintext:
	default:
		return fmt.Errorf("egress: the scheme %q: %w", u.Scheme, ErrRefused)
	}
	if b.guard.proxy == nil {
		return nil // the dialer judges it
	}
	if canonical(u.Hostname()) == "localhost" {
		return b.guard.Permits(u.Hostname(), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return b.guard.Permits(u.Hostname(), addr)
	}
	return nil
}

type limitedBody struct {
	*Limited
	io.Closer
}

// Limited is a reader that fails with [policy.ErrTooLarge] where a plain limit
// would answer a short but well-formed end.
type Limited struct {
	from io.Reader
	left int64 // may be read
}

// Limit makes a [Limited] of at most limit bytes.
func Limit(from io.Reader, limit int64) *Limited { return &Limited{from: from, left: limit} }

func (l *Limited) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	// One byte more than is left tells an end from too much.
	if int64(len(p))-1 > l.left {
		p = p[:l.left+1]
	}
	n, err := l.from.Read(p)
	if int64(n) > l.left {
		n, err = int(l.left), fmt.Errorf("egress: the answer is longer than allowed: %w", policy.ErrTooLarge)
	}
	l.left -= int64(n)
	return n, err
}
