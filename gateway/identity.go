package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// Workspaces says which workspace a host name belongs to.
type Workspaces interface {
	// Workspace answers for a name in lower case and without port; an empty answer
	// is the default workspace. It fails with [policy.ErrUnavailable] when it
	// cannot know: a tenant's host must not be taken for another's.
	Workspace(host string) (string, error)
}

// Rates bounds how often somebody may ask: limit.Requests. Both answer
// [policy.ErrLimited] for one request too many.
type Rates interface {
	// Address counts a request before anybody is known.
	Address(address string) error
	// Caller counts it for who asks and for the project, which may be empty.
	Caller(p policy.Principal, project, address string) error
}

// Certificates says who a client is by the certificate of its connection, which
// the server has verified.
type Certificates interface {
	// Caller answers the zero principal for a connection without a certificate, and
	// [policy.ErrUnauthenticated] for one that names nobody.
	Caller(workspace string, r *http.Request) (policy.Principal, error)
}

// Sessions says who a browser belongs to. Only the management API asks: nothing
// that a registry client does comes with a cookie.
type Sessions interface {
	// Caller answers [policy.ErrNotFound] for a request without a session's cookie,
	// and [policy.ErrUnauthenticated] for one whose session has ended or that
	// another site could have made.
	Caller(ctx context.Context, workspace string, r *http.Request) (policy.Principal, error)
}

// certified notes who the connection's certificate names; a header of the request
// that says otherwise has its say later.
func (e *Edge) certified(r *http.Request, v *visit) error {
	if e.cfg.Certificates == nil || r.TLS == nil {
		return nil
	}
	p, err := e.cfg.Certificates.Caller(v.workspace, r)
	if err != nil {
		return err
	}
	v.certificate = p
	return nil
}

// counted asks whether the request is one too many for who sends it.
func (e *Edge) counted(v *visit, p policy.Principal) error {
	if e.cfg.Rates == nil || v.operator {
		return nil
	}
	return e.cfg.Rates.Caller(p, policy.Repository{Name: v.route.Name}.Project(), v.address)
}

// manager is who calls the management API: the operator, whoever the header names,
// or a browser's session.
func (e *Edge) manager(r *http.Request, v *visit) (authn.Caller, error) {
	c := v.from()
	if v.operator {
		c.Principal = operator(v.workspace)
		return c, nil
	}
	if _, header := r.Header["Authorization"]; header || e.cfg.Sessions == nil {
		return e.cfg.Authn.Caller(r.Context(), c, r.Header)
	}
	p, err := e.cfg.Sessions.Caller(r.Context(), v.workspace, r)
	switch {
	case err == nil:
		c.Principal = p
		return c, nil
	case errors.Is(err, policy.ErrNotFound):
		return c, nil
	default:
		return authn.Caller{}, err
	}
}
