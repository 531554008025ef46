package token

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// grantExchange is the grant type of RFC 8693, section 2.1.
const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// The types of token that an exchange knows (RFC 8693, section 3).
const (
	TypeJWT         = "urn:ietf:params:oauth:token-type:jwt"
	TypeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// Exchanger knows whom a token of somebody else's stands for: the workloads of a
// CI system, people with an ID token.
//
// It answers [policy.ErrNotFound] for a token of an issuer that is not its own; the
// next is asked then. Any other error ends the search: [policy.ErrUnauthenticated]
// for a token that is off, [policy.ErrUnavailable] when it cannot know.
type Exchanger interface {
	// Exchange is given a token of [TypeJWT] or [TypeIDToken], nothing of which is
	// verified. The principal that it answers ends with the token.
	Exchange(ctx context.Context, workspace, tokenType, raw string) (policy.Principal, error)
}

// The error codes of RFC 6749, section 5.2, RFC 8693, section 2.2.2 and RFC 8628,
// section 3.5 that an exchange answers with.
const (
	oauthInvalidRequest = "invalid_request"
	oauthInvalidGrant   = "invalid_grant"
	oauthInvalidScope   = "invalid_scope"
	oauthInvalidTarget  = "invalid_target"
	oauthAccessDenied   = "access_denied"
)

// readExchange reads an exchange of somebody else's token for one of ours.
func (e *Endpoint) readExchange(r *http.Request, from authn.Caller) (ask, error) {
	a := ask{oauth: true, exchange: true}
	form := r.PostForm
	for _, name := range []string{"grant_type", "subject_token", "subject_token_type", "requested_token_type", "scope", "actor_token", "actor_token_type"} {
		if len(form[name]) > 1 {
			return a, badExchange(oauthInvalidRequest, name+" is there more than once")
		}
	}
	kind, raw := form.Get("subject_token_type"), form.Get("subject_token")
	switch wanted := form.Get("requested_token_type"); {
	case raw == "":
		return a, badExchange(oauthInvalidRequest, "subject_token is missing")
	case kind == TypeAccessToken:
		// One of ours could stretch its own life; one of others says nothing that
		// was meant for us.
		return a, badExchange(oauthInvalidRequest, "an access token cannot be exchanged: send the token that proves who you are")
	case kind != TypeJWT && kind != TypeIDToken:
		return a, badExchange(oauthInvalidRequest, "subject_token_type must be "+TypeJWT+" or "+TypeIDToken)
	case wanted != "" && wanted != TypeAccessToken:
		return a, badExchange(oauthInvalidRequest, "requested_token_type must be "+TypeAccessToken)
	case form.Has("actor_token") || form.Has("actor_token_type"):
		return a, badExchange(oauthInvalidRequest, "nobody can act for somebody else here")
	}
	for _, target := range [2][]string{form["audience"], form["resource"]} {
		for _, name := range target {
			if !e.target(name, r.Host) {
				return a, badExchange(oauthInvalidTarget, "this endpoint issues tokens for another service")
			}
		}
	}
	var err error
	if a.principal, err = e.exchanged(r.Context(), from.Principal.Workspace, kind, raw); err != nil {
		return a, err
	}
	a.scopes, err = e.common(form, r.Host)
	return a, err
}

// exchanged asks the exchangers in order.
func (e *Endpoint) exchanged(ctx context.Context, workspace, kind, raw string) (policy.Principal, error) {
	for _, x := range e.exchange {
		p, err := x.Exchange(ctx, workspace, kind, raw)
		switch {
		case err == nil && (p.Anonymous() || p.Workspace != workspace || p.Until.IsZero()):
			return policy.Principal{}, refused("a token was exchanged for nobody, for another workspace or for ever")
		case err == nil:
			return p, nil
		case !errors.Is(err, policy.ErrNotFound):
			return policy.Principal{}, err
		}
	}
	return policy.Principal{}, refused("nobody knows who issued the token")
}

// target reports whether a client that names a target means this service: by its
// name, by the host that it talks to, or by an address at that host.
func (e *Endpoint) target(name, host string) bool {
	if name == e.service.Name() || name == host {
		return true
	}
	u, err := url.Parse(name)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil && u.Fragment == "" &&
		strings.EqualFold(u.Host, host)
}

func badExchange(code, message string) error {
	e := errcode.New(errcode.BadRequest, message)
	e.OAuth = code
	return e
}

// exchangeRefusal says no to an exchange as OAuth2 does. All that may be off about
// a token is one answer.
func exchangeRefusal(err error) error {
	var said *errcode.Error
	switch {
	case errors.As(err, &said):
		e := *said
		switch {
		case e.OAuth != "":
		case e.Code == errcode.DeniedCode:
			e.OAuth = oauthAccessDenied
		case e.Code == errcode.BadRequest: // of what all ways have in common, only the service
			e.OAuth = oauthInvalidTarget
		}
		return &e
	case errors.Is(err, policy.ErrUnauthenticated):
		e := errcode.New(errcode.BadRequest, "the token is not accepted").Because(err)
		e.OAuth = oauthInvalidGrant
		return e
	case errors.Is(err, policy.ErrInvalid):
		e := errcode.New(errcode.BadRequest, "the scope is not valid").Because(err)
		e.OAuth = oauthInvalidScope
		return e
	default:
		return fmt.Errorf("token: an exchange: %w", err)
	}
}
