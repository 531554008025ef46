package gateway

import (
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// visitKey finds a request's visit: gin hands on nothing but the request.
type visitKey struct{}

// quiet keeps gin from writing its own lines to the standard output; the mode is
// gin's global, so it is set once.
var quiet = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })

// page serves one path of the site.
type page func(w http.ResponseWriter, r *http.Request, v *visit) error

// routes is everything but the registry.
func (e *Edge) routes() *gin.Engine {
	quiet()
	g := gin.New()
	// A path is served as it came, or not at all; addresses are read in client.go.
	g.RedirectTrailingSlash, g.RedirectFixedPath = false, false
	g.ForwardedByClientIP = false
	g.HandleMethodNotAllowed = true
	_ = g.SetTrustedProxies(nil) // fails for malformed addresses only

	get := func(path, label string, p page) {
		g.GET(path, e.page(label, p))
		g.HEAD(path, e.page(label, p))
	}
	get("/livez", "livez", e.livez)
	get("/readyz", "readyz", e.readyz)
	get("/metrics", "metrics", e.scrape())
	get("/.well-known/jwks.json", "jwks", e.jwks)
	token := e.page("token", e.token)
	g.GET("/token", token)
	g.POST("/token", token)
	if e.cfg.API != nil {
		g.Any("/api/*path", e.page("api", e.api))
	}
	if e.cfg.Decisions != nil {
		get(errcode.PathOfDecision+":id", "decision", e.decision)
	}
	if e.cfg.Login != nil {
		login := e.page("login", e.login)
		for _, path := range []string{"/login", "/login/*path", "/.well-known/bondgate"} {
			g.GET(path, login)
			g.HEAD(path, login)
		}
		g.POST("/login/*path", login)
		g.POST("/logout", login)
	}
	g.NoRoute(e.page(labelOther, func(http.ResponseWriter, *http.Request, *visit) error {
		return errcode.New(errcode.NotFound, "no such page")
	}))
	g.NoMethod(e.page(labelOther, func(http.ResponseWriter, *http.Request, *visit) error {
		return errcode.New(errcode.Unsupported, "the method is not supported here")
	}))
	return g
}

// page is the one way from gin to a page and from its error to the answer.
func (e *Edge) page(label string, p page) gin.HandlerFunc {
	return func(c *gin.Context) {
		v, ok := c.Request.Context().Value(visitKey{}).(*visit)
		if !ok { // the engine is reached through dispatch only
			c.AbortWithStatus(http.StatusInternalServerError)
			return
		}
		v.label = label
		c.Status(http.StatusOK) // gin begins a page that it does not know with 404
		if err := p(c.Writer, c.Request, v); err != nil {
			e.fail(c.Writer, c.Request, v, err)
		}
	}
}

func (e *Edge) token(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.operator {
		return errcode.New(errcode.NotFound, "no tokens are issued by the socket")
	}
	return e.cfg.Token.Serve(w, r, v.from())
}

func (e *Edge) jwks(w http.ResponseWriter, _ *http.Request, _ *visit) error {
	h := w.Header()
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Cache-Control", "public, max-age=60")
	_, _ = w.Write(e.cfg.Keys.JWKS()) // a client that went away is nobody's error
	return nil
}

func (e *Edge) api(w http.ResponseWriter, r *http.Request, v *visit) error {
	w.Header().Set("Cache-Control", "no-store")
	c, err := e.manager(r, v)
	if err != nil {
		return err
	}
	v.caller = c.Principal
	if err := e.counted(v, c.Principal); err != nil {
		return err
	}
	return e.cfg.API.Serve(w, r, c)
}

// decision is the page of one decision. Whoever is nobody is asked who they are
// before anything is looked for.
func (e *Edge) decision(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := e.manager(r, v)
	if err != nil {
		return err
	}
	v.caller = c.Principal
	if err := e.counted(v, c.Principal); err != nil {
		return err
	}
	if c.Principal.Anonymous() {
		return errcode.Unauthorized("", false)
	}
	return e.cfg.Decisions.Serve(w, r, c)
}

func (e *Edge) login(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.operator {
		return errcode.New(errcode.NotFound, "nobody logs in by the socket")
	}
	return e.cfg.Login.Serve(w, r, v.from())
}

// operator is whoever may open the socket.
func operator(workspace string) policy.Principal {
	return policy.Principal{Workspace: workspace, Issuer: "socket", ID: "operator", Kind: policy.KindOperator, Auth: "socket"}
}

func (e *Edge) scrape() page {
	h := promhttp.HandlerFor(e.cfg.Metrics, promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		if err := e.admitted(r, v, "metrics"); err != nil {
			return err
		}
		h.ServeHTTP(w, r)
		return nil
	}
}

// admitted lets the operator and peers on the same machine see what is inside,
// and asks the gate about everybody else. It wants a password: a registry's
// token is made for images.
func (e *Edge) admitted(r *http.Request, v *visit, resource string) error {
	if v.operator || (!e.cfg.BehindTLSProxy && local(r)) {
		return nil
	}
	c, err := e.cfg.Authn.Caller(r.Context(), v.from(), r.Header)
	if err != nil {
		return err
	}
	if c.Scoped || c.Principal.Anonymous() {
		return errcode.Unauthorized("", false)
	}
	v.caller = c.Principal
	d, err := e.cfg.Gate.Admit(r.Context(), policy.Request{
		ID: v.id(), At: v.start, Principal: c.Principal, Action: policy.AdminAPI, Purpose: policy.Use,
		HTTP: policy.HTTP{
			Method: r.Method, Path: r.URL.Path, ClientIP: v.address, UserAgent: r.UserAgent(), Host: r.Host,
			PeerSPIFFE: c.PeerSPIFFE,
		},
		Admin: &policy.AdminCall{Resource: resource, Verb: "read"},
	})
	switch {
	case err != nil:
		return err
	case !d.Allowed():
		return errcode.Denied(d, nil)
	}
	return nil
}
