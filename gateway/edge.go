package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// Handler serves the part of the paths that it is made for, and gives back the
// error that the edge is to write; nothing has been written then. The protocol,
// the token endpoint and the management API are handlers.
type Handler interface {
	Serve(w http.ResponseWriter, r *http.Request, c authn.Caller) error
}

// Authenticator reads who is asking from the Authorization header:
// [authn.Authenticator].
type Authenticator interface {
	Caller(ctx context.Context, from authn.Caller, header http.Header) (authn.Caller, error)
}

// Gate decides who may see metrics and details of readiness.
type Gate interface {
	Admit(ctx context.Context, req policy.Request) (policy.Decision, error)
}

// Keys are the public keys of the token service and the name that it goes by.
type Keys interface {
	JWKS() []byte
	Name() string
}

// Config is what an [Edge] is made of.
type Config struct {
	Authn Authenticator
	Gate  Gate
	// Protocol serves /v2/, with the caller's own rights.
	Protocol Handler
	// Token serves /token. It is given an anonymous caller, which says where the
	// request came from: it reads the credential itself.
	Token Handler
	Keys  Keys
	// API serves /api/; nil for none.
	API Handler
	// Decisions serves the page of a decision below /d/, for whoever signed in; nil
	// for none.
	Decisions Handler
	// Parts are what must be well for /readyz to say so.
	Parts []Part
	// Metrics gets the edge's own and answers /metrics with all that is in it.
	Metrics *prometheus.Registry
	// Log gets one line for each request and the causes of errors.
	Log *slog.Logger
	// BehindTLSProxy says that clients reach a proxy by https which forwards to
	// plain HTTP here.
	BehindTLSProxy bool
	// TrustedProxies are the peers whose X-Forwarded-For is believed. Nothing
	// else that they say is.
	TrustedProxies []netip.Prefix
	// Workspaces is nil when every host is of the default workspace.
	Workspaces Workspaces
	// Origins are where people reach the workspaces (scheme://host), by name; one
	// that is not there is reached at the host that was asked.
	Origins map[string]string
	// Rates is nil when everybody may ask as often as they like.
	Rates Rates
	// Certificates is nil when a client's certificate says nothing.
	Certificates Certificates
	// Sessions is nil when no browser logs in; Login serves the pages where it does,
	// below /login/ and at /logout, and /.well-known/bondgate.
	Sessions Sessions
	Login    Handler
	// Patience is how long the body of a request that is no push may take; a
	// minute when zero.
	Patience time.Duration
	// Stalled is how long a client may take nothing of an answer on one of several
	// streams of a connection; two minutes when zero. Where a connection has one
	// answer at a time the connection's own limit does.
	Stalled time.Duration
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

func (c *Config) complete() error {
	for name, missing := range map[string]bool{
		"authenticator": c.Authn == nil, "gate": c.Gate == nil, "protocol": c.Protocol == nil, "token endpoint": c.Token == nil,
		"keys": c.Keys == nil, "metrics registry": c.Metrics == nil,
	} {
		if missing {
			return fmt.Errorf("gateway: no %s: %w", name, policy.ErrInvalid)
		}
	}
	for _, p := range c.Parts {
		if p.Name == "" || p.Check == nil {
			return fmt.Errorf("gateway: a part of readiness has no name or no check: %w", policy.ErrInvalid)
		}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Patience <= 0 {
		c.Patience = time.Minute
	}
	c.Stalled = orDefault(c.Stalled, 2*time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// Edge answers every request.
type Edge struct {
	cfg     Config
	metrics *metrics
	health  *health
	site    *gin.Engine
}

var _ http.Handler = (*Edge)(nil)

// New checks cfg, registers the edge's metrics and makes the edge.
func New(cfg Config) (*Edge, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	e := &Edge{cfg: cfg, metrics: m, health: &health{parts: cfg.Parts, now: cfg.Now}}
	e.site = e.routes()
	return e, nil
}

// ServeHTTP answers a request of the network.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.serve(w, r, false) }

// Operator serves the management API, health and metrics to whoever may open the
// socket in the data folder: the principal of [policy.KindOperator]. It must be
// reachable by nothing else.
func (e *Edge) Operator() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, true) })
}

// visit is one request on its way through the edge.
type visit struct {
	start time.Time
	// ids is the request's id, as its answer's header has it.
	ids [1]string
	// address is the client's; empty for a request of the socket, which has none.
	address   string
	workspace string
	// operator says that the request came by the socket.
	operator bool
	// label is what the metrics call it: an action, or a part of the site.
	label string
	route ociroute.Route
	// body is what has to come in time; nil for a push, and where there is none.
	body *patient
	// certificate is who the connection's certificate names; empty for none.
	certificate policy.Principal
	// caller is for the log; empty until it is known.
	caller policy.Principal
	// answer is here so that a request needs one piece of memory rather than two.
	answer answer
}

func (v *visit) id() string { return v.ids[0] }

// from is who a request comes from before its header is read: nobody, or whoever
// the connection's certificate names.
func (v *visit) from() authn.Caller {
	c := authn.Caller{Principal: v.certificate, RequestID: v.id(), ClientIP: v.address, PeerSPIFFE: v.certificate.ID}
	c.Principal.Workspace = v.workspace
	return c
}

func (e *Edge) serve(w http.ResponseWriter, r *http.Request, operator bool) {
	v := &visit{
		start: e.cfg.Now(), ids: [1]string{newRequestID()}, operator: operator, label: labelOther,
		answer: answer{ResponseWriter: w},
	}
	if ip := clientIP(r, e.cfg.TrustedProxies); ip.IsValid() {
		v.address = ip.String()
	}
	a := &v.answer
	if r.ProtoMajor > 1 {
		a.stalled = e.cfg.Stalled
	}
	h := w.Header()
	h["X-Request-Id"] = v.ids[:]
	h["X-Content-Type-Options"] = nosniff
	e.metrics.inFlight.Inc()
	defer func() {
		p := recover()
		if p != nil {
			e.recovered(a, r, v, p)
		}
		e.metrics.inFlight.Dec()
		took := e.cfg.Now().Sub(v.start)
		e.metrics.observe(v.label, a.status, took, a.written)
		e.log(r, v, a, took)
		if p != nil && a.broken {
			// The client must see that the body ended too early.
			panic(http.ErrAbortHandler)
		}
	}()
	if err := e.dispatch(a, r, v); err != nil {
		e.fail(a, r, v, err)
	}
}

var nosniff = []string{"nosniff"}

func (e *Edge) dispatch(a *answer, r *http.Request, v *visit) error {
	path := r.URL.Path
	// A load balancer that asks after health in HTTP/1.0 names no host.
	health := path == "/livez" || path == "/readyz"
	unnamed := r.Host == "" && health
	if !v.operator && !unnamed && !validHost(r.Host) {
		return errHost
	}
	var err error
	// Health is nobody's in particular: it is told while nothing else can be.
	if v.workspace, err = e.workspace(r, v); err != nil && !health {
		return err
	}
	if e.cfg.Rates != nil && !v.operator && !health {
		if err := e.cfg.Rates.Address(v.address); err != nil {
			return err
		}
	}
	if err := e.certified(r, v); err != nil {
		return err
	}
	if !v.operator && (path == "/v2" || strings.HasPrefix(path, "/v2/")) {
		return e.registry(a, r, v)
	}
	v.body = bounded(a, r, e.cfg.Patience)
	e.site.ServeHTTP(a, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	return nil
}

// registry answers what lies under /v2/.
func (e *Edge) registry(a *answer, r *http.Request, v *visit) error {
	a.Header()["Docker-Distribution-Api-Version"] = apiVersion
	// The protocol parses again what it is given; here it is only for the names
	// in metrics and challenges, so a refusal is not the edge's to make.
	v.label = labelUnrouted
	if route, err := ociroute.Parse(r.Method, r.URL.EscapedPath(), r.URL.RawQuery); err == nil {
		v.route, v.label = route, route.Action
	}
	c, err := e.cfg.Authn.Caller(r.Context(), v.from(), r.Header)
	if err != nil {
		return err
	}
	v.caller = c.Principal
	if err := e.counted(v, c.Principal); err != nil {
		return err
	}
	return e.cfg.Protocol.Serve(a, r, c)
}

var apiVersion = []string{"registry/2.0"}
