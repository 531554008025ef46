package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// Passwords is a provider that knows people by name and password.
//
// It answers [policy.ErrNotFound] for a name that is not its own, after as much
// work as a wrong password costs; the next provider is asked then. Any other
// error ends the search: [policy.ErrUnauthenticated] for a wrong password or a
// disabled account, [policy.ErrLimited] when it has too much to do,
// [policy.ErrUnavailable] when it cannot know.
type Passwords interface {
	Authenticate(ctx context.Context, workspace, name, password string) (policy.Principal, error)
}

// Tokens verifies bearer tokens. A token of another workspace, or off in any
// way, is [policy.ErrUnauthenticated].
type Tokens interface {
	Verify(ctx context.Context, workspace, raw string) (Caller, error)
}

// Logins bounds how often somebody may try. Its answers must not depend on
// whether anybody has the name.
type Logins interface {
	// Admit is asked before a password is looked at; it answers
	// [policy.ErrLimited] for one try too many.
	Admit(workspace, name, address string) error
	// Failed and Passed are told how a try that was let through ended. An outage is
	// neither.
	Failed(workspace, name, address string)
	Passed(workspace, name, address string)
}

// Config is what an [Authenticator] asks.
type Config struct {
	// Passwords are asked in this order.
	Passwords []Passwords
	// Logins is nil when passwords may be tried without end.
	Logins Logins
	// Tokens is nil when no bearer token is accepted.
	Tokens Tokens
}

// Authenticator turns a request's header into a [Caller].
type Authenticator struct {
	passwords []Passwords
	logins    Logins
	tokens    Tokens
}

// New makes an authenticator. Without any provider nobody could ever be known,
// which is a mistake of the configuration.
func New(cfg Config) (*Authenticator, error) {
	if len(cfg.Passwords) == 0 && cfg.Tokens == nil {
		return nil, fmt.Errorf("authn: no provider: %w", policy.ErrInvalid)
	}
	for _, p := range cfg.Passwords {
		if p == nil {
			return nil, fmt.Errorf("authn: a provider is nil: %w", policy.ErrInvalid)
		}
	}
	return &Authenticator{passwords: cfg.Passwords, logins: cfg.Logins, tokens: cfg.Tokens}, nil
}

// Caller reads the Authorization header of a request that comes from somewhere
// and from nobody yet: from says in which workspace, under which request id and
// from which address. No header leaves it at that, the anonymous caller; a header
// that is there and off is [policy.ErrUnauthenticated], never anonymous: whoever
// mistypes a password must learn of it.
func (a *Authenticator) Caller(ctx context.Context, from Caller, header http.Header) (Caller, error) {
	values := header["Authorization"]
	if len(values) == 0 {
		return from, nil
	}
	if len(values) > 1 {
		return Caller{}, unauthenticated("more than one Authorization header")
	}
	scheme, rest, err := splitHeader(values[0])
	if err != nil {
		return Caller{}, err
	}
	switch scheme {
	case "bearer":
		if a.tokens == nil {
			return Caller{}, unauthenticated("bearer tokens are not accepted")
		}
		if err := checkToken(rest); err != nil {
			return Caller{}, err
		}
		c, err := a.tokens.Verify(ctx, from.Principal.Workspace, rest)
		if err != nil {
			return Caller{}, err
		}
		c.RequestID, c.ClientIP, c.PeerSPIFFE = from.RequestID, from.ClientIP, from.PeerSPIFFE
		return c, nil
	case "basic":
		name, password, err := ParseBasic(rest)
		if err != nil {
			return Caller{}, err
		}
		if from.Principal, err = a.Password(ctx, from, name, password); err != nil {
			return Caller{}, err
		}
		return from, nil
	default:
		return Caller{}, unauthenticated("an unknown scheme of authorization")
	}
}

// Password asks who name with password is, if there was not too much of that
// lately from where the request comes from.
func (a *Authenticator) Password(ctx context.Context, from Caller, name, password string) (policy.Principal, error) {
	if err := CheckCredential(name, password); err != nil {
		return policy.Principal{}, err
	}
	workspace := from.Principal.Workspace
	if a.logins == nil || beyondGuessing(password) {
		return a.ask(ctx, workspace, name, password)
	}
	if err := a.logins.Admit(workspace, name, from.ClientIP); err != nil {
		return policy.Principal{}, err
	}
	p, err := a.ask(ctx, workspace, name, password)
	switch {
	case err == nil:
		a.logins.Passed(workspace, name, from.ClientIP)
	case errors.Is(err, policy.ErrUnauthenticated):
		a.logins.Failed(workspace, name, from.ClientIP)
	}
	return p, err
}

// beyondGuessing reports whether a password has the form of something that nobody
// finds by trying: a secret that we made, or a signed token. Jobs behind one address
// share a name that means nothing, and one with an old token must not lock the
// others out.
func beyondGuessing(password string) bool {
	return IsSecret(PrefixAccessToken, password) || IsSecret(PrefixRobot, password) ||
		len(password) > 128 && strings.Count(password, ".") == 2 && strings.HasPrefix(password, "eyJ")
}

// ask asks the providers in order.
func (a *Authenticator) ask(ctx context.Context, workspace, name, password string) (policy.Principal, error) {
	for _, provider := range a.passwords {
		p, err := provider.Authenticate(ctx, workspace, name, password)
		switch {
		case err == nil && (p.Anonymous() || p.Workspace != workspace):
			return policy.Principal{}, unauthenticated("a provider answered for nobody or for another workspace")
		case err == nil:
			return p, nil
		case !errors.Is(err, policy.ErrNotFound):
			return policy.Principal{}, err
		}
	}
	return policy.Principal{}, unauthenticated("nobody knows the name")
}

func unauthenticated(why string) error {
	return fmt.Errorf("authn: %s: %w", why, policy.ErrUnauthenticated)
}
