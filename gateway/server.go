package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// ConnectionLimits bound what a connection may cost. There is none on the time of
// a whole request: layers are as large as they are. A zero field is its default.
type ConnectionLimits struct {
	// HeaderTime is how long the header of a request may take, 10 s, and
	// HeaderBytes how large it may be, 64 KiB.
	HeaderTime  time.Duration
	HeaderBytes int
	// Idle is how long a connection may wait for its next request; 2 minutes.
	Idle time.Duration
	// Stalled is how long the other end may take nothing of what is sent; 2 minutes.
	Stalled time.Duration
	// Connections is how many are open at a time; 10,000.
	Connections int
}

func (l ConnectionLimits) withDefaults() ConnectionLimits {
	l.HeaderTime = orDefault(l.HeaderTime, 10*time.Second)
	l.HeaderBytes = orDefault(l.HeaderBytes, 64<<10)
	l.Idle = orDefault(l.Idle, 2*time.Minute)
	l.Stalled = orDefault(l.Stalled, 2*time.Minute)
	l.Connections = orDefault(l.Connections, 10_000)
	return l
}

func orDefault[N int | time.Duration](n, def N) N {
	if n <= 0 {
		return def
	}
	return n
}

// ServerConfig is what a [Server] needs.
type ServerConfig struct {
	// Address is host:port; an empty host is every address of the machine.
	Address string
	Handler http.Handler
	// TLS is nil for plain HTTP, which is served on loopback only, unless:
	TLS *tls.Config
	// BehindTLSProxy says that a proxy ends TLS in front of this server and that
	// the way between them is private.
	BehindTLSProxy bool
	Limits         ConnectionLimits
	Log            *slog.Logger
}

// Server is a listener with the edge's limits.
type Server struct {
	cfg      ServerConfig
	http     *http.Server
	listener net.Listener
}

// NewServer checks cfg; nothing listens yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Handler == nil {
		return nil, fmt.Errorf("gateway: a server without a handler: %w", policy.ErrInvalid)
	}
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("gateway: the address %q: %w: %w", cfg.Address, policy.ErrInvalid, err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.TLS == nil && !cfg.BehindTLSProxy && host != "localhost" {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
			return nil, errPlain(cfg.Address)
		}
	}
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Server{cfg: cfg, http: newHTTP(cfg.Handler, cfg.Limits, cfg.Log)}
	s.http.ConnState = watch
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(true)
	if cfg.TLS != nil {
		s.http.TLSConfig = cfg.TLS.Clone()
		s.http.TLSConfig.MinVersion = max(s.http.TLSConfig.MinVersion, tls.VersionTLS12)
		s.http.Protocols.SetHTTP2(true)
	}
	return s, nil
}

// NewSocketServer is a server with the default limits for a listener that somebody
// else made, such as the socket in the data folder. It counts no connections: who
// opens them may do everything anyway.
func NewSocketServer(l net.Listener, h http.Handler, log *slog.Logger) *Server {
	if log == nil {
		log = slog.Default()
	}
	return &Server{http: newHTTP(h, ConnectionLimits{}.withDefaults(), log), listener: l}
}

func newHTTP(h http.Handler, limits ConnectionLimits, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: limits.HeaderTime, IdleTimeout: limits.Idle, MaxHeaderBytes: limits.HeaderBytes,
		// "OPTIONS *" is a request like any other.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func errPlain(address string) error {
	return fmt.Errorf("gateway: plain HTTP on %s would send passwords in the clear: configure TLS, "+
		"say that a proxy terminates it, or listen on localhost: %w", address, policy.ErrInvalid)
}

// Listen begins to listen and answers the address, with the port that the system
// chose for 0. A name that turns out to be no loopback address is refused like
// the address itself.
func (s *Server) Listen(ctx context.Context) (net.Addr, error) {
	if s.listener != nil {
		return s.listener.Addr(), nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("gateway: listening: %w", err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); s.cfg.TLS == nil && !s.cfg.BehindTLSProxy && (!ok || !tcp.IP.IsLoopback()) {
		return nil, errors.Join(errPlain(l.Addr().String()), l.Close())
	}
	s.listener = newCrowd(l, s.cfg.Limits, s.cfg.TLS == nil)
	return l.Addr(), nil
}

// Serve answers requests until [Server.Shutdown]; it wants [Server.Listen] first.
func (s *Server) Serve() error {
	if s.listener == nil {
		return fmt.Errorf("gateway: nothing is listening: %w", policy.ErrInvalid)
	}
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("gateway: serving: %w", err)
}

// Shutdown takes no more requests and waits for those that are being answered;
// when ctx is over it cuts them.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("gateway: stopping: %w", err), s.http.Close())
	}
	return nil
}
