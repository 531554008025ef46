package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// The paths of the pages.
const (
	// LoginPath shows who is logged in, or the providers; LoginPath/{provider} begins
	// a login and LoginPath/{provider}/callback ends it.
	LoginPath = "/login"
	// LogoutPath takes a POST.
	LogoutPath = "/logout"

	home = LoginPath
)

// Sessions begin and end here: [session.Sessions].
type Sessions interface {
	Begin(ctx context.Context, w http.ResponseWriter, r *http.Request, p policy.Principal, token string) error
	End(ctx context.Context, workspace string, w http.ResponseWriter, r *http.Request) error
	Caller(ctx context.Context, workspace string, r *http.Request) (policy.Principal, error)
}

// Gate decides whether somebody whom a provider vouches for may log in here.
type Gate interface {
	Admit(ctx context.Context, req policy.Request) (policy.Decision, error)
}

// PagesConfig is what the [Pages] are made of; all of it but Log and Now.
type PagesConfig struct {
	Providers *Providers
	Sessions  Sessions
	Gate      Gate
	Site      session.Site
	// Key seals logins that are under way; the same on every replica.
	Key []byte
	Log *slog.Logger
	Now func() time.Time
}

// Pages are the login in a browser. They need no script and no other page of the
// gateway's, and they answer every failure by themselves: a person reads it, and a
// challenge would make the browser ask for a password.
type Pages struct {
	cfg   PagesConfig
	flows *flows
	mux   *http.ServeMux
}

// NewPages checks cfg and makes the pages.
func NewPages(cfg PagesConfig) (*Pages, error) {
	if cfg.Providers == nil || cfg.Sessions == nil || cfg.Gate == nil {
		return nil, fmt.Errorf("authn/oidc: the pages need providers, sessions and a gate: %w", policy.ErrInvalid)
	}
	fs, err := newFlows(cfg.Key)
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Pages{cfg: cfg, flows: fs, mux: http.NewServeMux()}
	p.mux.HandleFunc("GET "+LoginPath, p.page((*Pages).home))
	p.mux.HandleFunc("GET "+LoginPath+"/{provider}", p.page((*Pages).begin))
	p.mux.HandleFunc("GET "+LoginPath+"/{provider}/callback", p.page((*Pages).callback))
	p.mux.HandleFunc("POST "+LogoutPath, p.page((*Pages).logout))
	return p, nil
}

// Serve answers one request: from says in which workspace it is, and under which
// id. The error is always nil but for paths that are no page.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	h, pattern := p.mux.Handler(r)
	if pattern == "" || h == nil {
		return errcode.New(errcode.NotFound, "no such page")
	}
	p.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), fromKey{}, from)))
	return nil
}

type fromKey struct{}

// page writes what fails in a page as a page.
func (p *Pages) page(serve func(*Pages, http.ResponseWriter, *http.Request, authn.Caller) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, _ := r.Context().Value(fromKey{}).(authn.Caller)
		strict(w.Header())
		if err := serve(p, w, r, from); err != nil {
			p.fail(w, r, from, err)
		}
	}
}

// home says who is logged in, or how to.
func (p *Pages) home(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	workspace := from.Principal.Workspace
	who, err := p.cfg.Sessions.Caller(r.Context(), workspace, r)
	if err != nil && !errors.Is(err, policy.ErrUnauthenticated) && !errors.Is(err, policy.ErrNotFound) {
		return err
	}
	if err != nil {
		var links []link
		for _, provider := range p.cfg.Providers.all {
			if provider.cfg.Workspace == workspace {
				links = append(links, link{Title: provider.cfg.Title, Path: LoginPath + "/" + provider.cfg.Name})
			}
		}
		return write(w, http.StatusOK, content{Title: "Log in", Ended: errors.Is(err, policy.ErrUnauthenticated), Providers: links})
	}
	provider := who.Issuer
	if known := p.cfg.Providers.issuing(workspace, who.Issuer); known != nil {
		provider = known.cfg.Title
	}
	return write(w, http.StatusOK, content{Title: "Logged in", Name: who.Label(), Subject: who.ID, Provider: provider, Groups: who.Groups})
}

// begin sends the browser to the provider.
func (p *Pages) begin(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	provider, origin, err := p.where(r, from)
	if err != nil {
		return err
	}
	back, err := returnPath(r.URL.Query().Get("return"))
	if err != nil {
		return errcode.New(errcode.BadRequest, "the login cannot lead back to that address").Because(err)
	}
	f := newFlow(provider.cfg.Name, back, p.cfg.Now().UTC())
	to, err := provider.authorizeURL(r.Context(), f, redirectURI(origin, provider))
	if err != nil {
		return err
	}
	if err := p.flows.keep(w, origin, provider.cfg.Workspace, f); err != nil {
		return err
	}
	redirect(w, to)
	return nil
}

// callback takes the provider's answer.
func (p *Pages) callback(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	provider, origin, err := p.where(r, from)
	if err != nil {
		return err
	}
	q, err := answerOf(r.URL.RawQuery)
	if err != nil {
		return err
	}
	f, err := p.flows.take(w, r, origin, provider.cfg.Workspace, provider.cfg.Name, q.Get("state"), p.cfg.Now().UTC())
	if err != nil {
		return errcode.New(errcode.BadRequest, "the login was begun in another browser, too long ago, or twice: begin again").Because(err)
	}
	// RFC 9207: an answer of another provider's must not be redeemed at this one.
	if q.Has("iss") && q.Get("iss") != provider.cfg.Issuer {
		return errcode.New(errcode.BadRequest, "another provider answers than was asked: begin again").
			Because(stale("the answer is of another issuer"))
	}
	if q.Has("error") {
		return errcode.New(errcode.DeniedCode, provider.cfg.Title+" did not log you in: "+errcode.Line(q.Get("error"), 64))
	}
	who, profile, token, err := provider.redeem(r.Context(), f, redirectURI(origin, provider), q.Get("code"))
	if err != nil {
		return err
	}
	if who, err = p.cfg.Providers.enroll(r.Context(), who, profile); err != nil {
		return err
	}
	if err := p.admitted(r, from, who); err != nil {
		return err
	}
	if err := p.cfg.Sessions.Begin(r.Context(), w, r, who, token); err != nil {
		return err
	}
	redirect(w, f.Return)
	return nil
}

// admitted asks the gate whether who may log in.
func (p *Pages) admitted(r *http.Request, from authn.Caller, who policy.Principal) error {
	d, err := p.cfg.Gate.Admit(r.Context(), policy.Request{
		ID: from.RequestID, At: p.cfg.Now(), Principal: who, Action: policy.SessionLogin, Purpose: policy.Use,
		HTTP: policy.HTTP{Method: r.Method, Path: r.URL.Path, ClientIP: from.ClientIP, UserAgent: r.UserAgent(), Host: r.Host, PeerSPIFFE: from.PeerSPIFFE},
	})
	switch {
	case err != nil:
		return fmt.Errorf("authn/oidc: asking the gate: %w", err)
	case !d.Allowed():
		return errcode.Denied(d, nil)
	}
	return nil
}

func (p *Pages) logout(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	if err := p.cfg.Sessions.End(r.Context(), from.Principal.Workspace, w, r); err != nil {
		return err
	}
	redirect(w, home)
	return nil
}

// where finds the provider of the path and the site's own address.
func (p *Pages) where(r *http.Request, from authn.Caller) (*Provider, session.Origin, error) {
	provider := p.cfg.Providers.named(from.Principal.Workspace, r.PathValue("provider"))
	if provider == nil {
		return nil, session.Origin{}, errcode.New(errcode.NotFound, "no such provider")
	}
	origin, err := p.cfg.Site.Origin(provider.cfg.Workspace, r)
	if err != nil {
		return nil, session.Origin{}, errcode.New(errcode.Unavailable,
			"logins in a browser need external_url in the gateway's configuration").Because(err)
	}
	return provider, origin, nil
}

// redirectURI is the address that is registered at the provider. Each provider has
// one of its own, so that their answers cannot be mistaken for each other (RFC
// 9700, section 4.4.2.2).
func redirectURI(o session.Origin, p *Provider) string {
	return o.String() + LoginPath + "/" + p.cfg.Name + "/callback"
}

// answerOf reads the provider's answer: a code or an error, and nothing twice,
// which two readers might read differently.
func answerOf(query string) (url.Values, error) {
	bad := errcode.New(errcode.BadRequest, "that is no answer of a login provider: begin again")
	if len(query) > 16<<10 {
		return nil, bad
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, bad
	}
	for _, name := range []string{"code", "state", "error", "iss"} {
		if len(q[name]) > 1 {
			return nil, bad
		}
	}
	if (q.Get("code") == "") == (q.Get("error") == "") {
		return nil, bad
	}
	return q, nil
}

// redirect has no body: an address has no place in one.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// fail says what a person can do about it, and tells the log the rest.
func (p *Pages) fail(w http.ResponseWriter, r *http.Request, from authn.Caller, err error) {
	answer := errcode.From(err)
	shown := content{Title: "Not logged in", Message: answer.Message, RequestID: from.RequestID}
	var coded *errcode.Error
	switch {
	case errors.As(err, &coded):
	case errors.Is(err, policy.ErrUnauthenticated):
		answer.Status = http.StatusForbidden
		shown.Message = "The provider's answer was not accepted, or this account may not log in here. " +
			"If that is a surprise, tell whoever looks after the gateway the number below: its log has the reason."
	case errors.Is(err, policy.ErrUnavailable):
		shown.Message = "This login does not work at the moment. Try again in a while; other ways to log in are not affected."
		if provider := p.cfg.Providers.named(from.Principal.Workspace, r.PathValue("provider")); provider != nil {
			shown.Message = "The login provider " + provider.cfg.Title + " cannot be reached at the moment. " +
				"Try again in a while; other ways to log in are not affected."
		}
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	p.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "login failed", slog.String("request_id", from.RequestID),
		slog.Int("status", answer.Status), slog.String("provider", errcode.Line(r.PathValue("provider"), 32)),
		slog.String("error", errcode.Line(err.Error(), 1000)))
	_ = write(w, answer.Status, shown) // a client that went away is nobody's error
}
