package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// maxForm bounds the body and the query of a token request, in bytes.
const maxForm = 64 << 10

// Gate decides what a token may carry.
type Gate interface {
	Admit(ctx context.Context, req policy.Request) (policy.Decision, error)
}

// Passwords answers who somebody is by name and password, and reads the
// Authorization header: [authn.Authenticator].
type Passwords interface {
	Caller(ctx context.Context, from authn.Caller, header http.Header) (authn.Caller, error)
	Password(ctx context.Context, from authn.Caller, name, password string) (policy.Principal, error)
}

// EndpointConfig is what an [Endpoint] needs; all of it but Exchange, Scopes and Auto.
type EndpointConfig struct {
	Service *Service
	Authn   Passwords
	Gate    Gate
	// Exchange are asked in this order whom a token of somebody else's stands for.
	Exchange []Exchanger
	// Scopes is how many scopes one request may ask for; [MaxScopes] when zero,
	// and never more.
	Scopes int
	// Auto is the operator's setting of whose push makes a project, for the rules;
	// empty when nobody's does.
	Auto string
}

// Endpoint is /token: distribution's GET, its OAuth2 POST, and the exchange of
// RFC 8693.
type Endpoint struct {
	service  *Service
	authn    Passwords
	gate     Gate
	exchange []Exchanger
	auto     string
	scopes   int
}

// NewEndpoint checks cfg and makes the endpoint.
func NewEndpoint(cfg EndpointConfig) (*Endpoint, error) {
	if cfg.Service == nil || cfg.Authn == nil || cfg.Gate == nil {
		return nil, fmt.Errorf("token: the endpoint needs a service, an authenticator and a gate: %w", policy.ErrInvalid)
	}
	if cfg.Scopes <= 0 || cfg.Scopes > MaxScopes {
		cfg.Scopes = MaxScopes
	}
	if slices.Contains(cfg.Exchange, nil) {
		return nil, fmt.Errorf("token: an exchanger is nil: %w", policy.ErrInvalid)
	}
	return &Endpoint{
		service: cfg.Service, authn: cfg.Authn, gate: cfg.Gate, exchange: cfg.Exchange, auto: cfg.Auto, scopes: cfg.Scopes,
	}, nil
}

// ask is one token request, whichever way it came.
type ask struct {
	principal policy.Principal
	scopes    []policy.Scope
	offline   bool
	// oauth answers as RFC 6749 does: the granted scopes are spelled out.
	oauth bool
	// exchange answers as RFC 8693 does: what was issued is named.
	exchange bool
	// again checks the credential once more; nil for a request that gets no
	// refresh token.
	again func(context.Context) error
}

// Serve answers one request. from says where it came from (workspace, request
// id, address) and is nobody: a token is got with a password or a refresh token,
// never with another token, which could stretch its own life.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	w.Header().Set("Cache-Control", "no-store")
	var (
		a   ask
		err error
	)
	switch r.Method {
	case http.MethodGet:
		a, err = e.readGet(r, from)
	case http.MethodPost:
		a, err = e.readPost(w, r, from)
	default:
		return errcode.New(errcode.Unsupported, "the token endpoint answers GET and POST").With("Allow", "GET, POST")
	}
	if err != nil && !a.exchange {
		return refusal(err)
	}
	if err == nil {
		err = e.answer(w, r, from, a)
	}
	if err != nil && a.exchange {
		return exchangeRefusal(err)
	}
	return err
}

func (e *Endpoint) readGet(r *http.Request, from authn.Caller) (ask, error) {
	if len(r.URL.RawQuery) > maxForm {
		return ask{}, fmt.Errorf("token: the query: %w", policy.ErrTooLarge)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return ask{}, errcode.New(errcode.BadRequest, "the query is not well-formed").Because(err)
	}
	c, err := e.authn.Caller(r.Context(), from, r.Header)
	if err != nil {
		return ask{}, err
	}
	if c.Scoped {
		return ask{}, refused("a token is not got with a token")
	}
	// Only after the password: a stranger learns nothing from what is off.
	a := ask{principal: c.Principal, offline: !c.Principal.Anonymous() &&
		(query.Get("offline_token") == "true" || query.Get("access_type") == "offline")}
	a.again = func(ctx context.Context) error {
		_, err := e.authn.Caller(ctx, from, r.Header)
		return err
	}
	a.scopes, err = e.common(query, r.Host)
	return a, err
}

func (e *Endpoint) readPost(w http.ResponseWriter, r *http.Request, from authn.Caller) (ask, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return ask{}, errcode.New(errcode.BadRequest, "the body must be a form").WithStatus(http.StatusUnsupportedMediaType)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return ask{}, err
		}
		return ask{}, errcode.New(errcode.BadRequest, "the form is not well-formed").Because(err)
	}
	form := r.PostForm // never the query: what is there ends in logs
	a := ask{oauth: true}
	switch form.Get("grant_type") {
	case "password":
		check := func(ctx context.Context) (policy.Principal, error) {
			return e.authn.Password(ctx, from, form.Get("username"), form.Get("password"))
		}
		a.principal, err = check(r.Context())
		a.again = func(ctx context.Context) error {
			_, err := check(ctx)
			return err
		}
		a.offline = form.Get("access_type") == "offline"
	case grantExchange:
		return e.readExchange(r, from)
	case "refresh_token":
		a.principal, err = e.service.Refresh(r.Context(), from.Principal.Workspace, form.Get("refresh_token"))
	default:
		err = errcode.New(errcode.BadRequest, "grant_type must be password, refresh_token or "+grantExchange)
	}
	if err != nil {
		return ask{}, err
	}
	a.scopes, err = e.common(form, r.Host)
	return a, err
}

// common reads what both ways have: the service, which must be ours where it is
// named (some clients name the host that they talk to), and the scopes. The token
// is for our own name in any case.
func (e *Endpoint) common(values url.Values, host string) ([]policy.Scope, error) {
	for _, service := range values["service"] {
		if service != "" && service != e.service.Name() && service != host {
			return nil, errcode.New(errcode.BadRequest, "this endpoint issues tokens for another service")
		}
	}
	scopes, err := ParseScopes(values["scope"])
	if err == nil && len(scopes) > e.scopes {
		return nil, fmt.Errorf("token: %d scopes, %d are allowed: %w", len(scopes), e.scopes, policy.ErrTooLarge)
	}
	return scopes, err
}

// reply is what clients read; token and access_token are the same, since some
// know one and some the other.
type reply struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	ExpiresIn    int64  `json:"expires_in"`
	IssuedAt     string `json:"issued_at"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	// These two are of RFC 8693, section 2.2.1.
	IssuedType string `json:"issued_token_type,omitempty"`
	Type       string `json:"token_type,omitempty"`
}

func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request, from authn.Caller, a ask) error {
	d, err := e.gate.Admit(r.Context(), policy.Request{
		ID: from.RequestID, At: e.service.cfg.Now(), Principal: a.principal, Action: policy.TokenIssue, Purpose: policy.Token,
		HTTP: policy.HTTP{
			Method: r.Method, Path: r.URL.Path, ClientIP: from.ClientIP, UserAgent: r.UserAgent(), Host: r.Host,
			PeerSPIFFE: from.PeerSPIFFE,
		},
		Token: &policy.TokenRequest{
			Service: e.service.Name(), Requested: a.scopes, TTL: e.service.cfg.TTL, Offline: a.offline, Auto: e.auto,
		},
	})
	switch {
	case err != nil:
		return fmt.Errorf("token: asking the gate: %w", err)
	case !d.Allowed() && a.principal.Anonymous():
		return errcode.Unauthorized("", false)
	case !d.Allowed():
		return errcode.Denied(d, nil)
	}
	granted := within(d.Granted, a.scopes)
	issued, err := e.service.Issue(a.principal, answered(granted, a.scopes))
	if err != nil {
		return err
	}
	out := reply{
		Token: issued.Raw, AccessToken: issued.Raw, IssuedAt: issued.IssuedAt.UTC().Format(time.RFC3339),
		ExpiresIn: int64(issued.Expiry.Sub(issued.IssuedAt) / time.Second),
	}
	if a.oauth {
		out.Scope = FormatScopes(granted)
	}
	if a.exchange {
		out.IssuedType, out.Type = TypeAccessToken, "Bearer"
	}
	if a.offline {
		refresh, err := e.service.IssueRefresh(r.Context(), a.principal)
		switch {
		case err == nil:
			// The stamp is that of now. If the password was changed since it was
			// checked, the old one must not have got a token of the new one's.
			if err := a.again(r.Context()); err != nil {
				return refusal(err)
			}
			out.RefreshToken = refresh.Raw
		case !errors.Is(err, policy.ErrUnauthenticated): // somebody without a lasting credential gets none
			return err
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("token: encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a client that went away is nobody's error
	return nil
}

// refusal keeps the words of a scope's error, which a person can act on, and
// nobody else's.
func refusal(err error) error {
	var e *errcode.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, policy.ErrUnauthenticated):
		return errcode.Unauthorized("", false).Because(err)
	case errors.Is(err, policy.ErrInvalid):
		return errcode.New(errcode.BadRequest, "the scope is not valid").Because(err)
	case errors.Is(err, policy.ErrTooLarge):
		return errcode.New(errcode.TooLarge, "too much is asked for at once").Because(err)
	default:
		return err
	}
}
