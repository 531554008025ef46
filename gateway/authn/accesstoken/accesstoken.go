// Package accesstoken knows personal access tokens: secrets that a person made to
// be used in place of a password, named, limited, expiring and revocable.
//
// It refuses a token under another name than its owner's, and hands nothing that
// looks like one on to another provider. It says who is asking and by which token;
// what the token reaches, and whether it still holds, the directory says at every
// decision.
//
// cmd/bondgate puts it into the authenticator's chain, before people.
package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// Token is an access token as far as logging in goes.
type Token struct {
	ID int64
	// Owner is the person, without groups: those are as old as the token.
	Owner policy.Principal
	// Expires is zero for a token that does not.
	Expires time.Time
	// Disabled says that the owner is.
	Disabled bool
}

// Store has the tokens.
type Store interface {
	// AccessTokenByHash answers [policy.ErrNotFound] for a token that is not there.
	AccessTokenByHash(ctx context.Context, workspace string, hash []byte) (Token, error)
	// AccessTokenUsed notes that a token was used; it does not wait.
	AccessTokenUsed(id int64, at time.Time)
}

// Renewer answers who somebody is now, groups included, as far as the source of
// that person can say: [policy.ErrUnauthenticated] for somebody who is gone.
type Renewer interface {
	Renew(ctx context.Context, p policy.Principal) (policy.Principal, error)
}

// Config is what a [Provider] needs; all of it but Now.
type Config struct {
	Store Store
	Renew Renewer
	Now   func() time.Time
}

// Provider is an [authn.Passwords] for access tokens.
type Provider struct{ cfg Config }

var _ authn.Passwords = (*Provider)(nil)

// New checks cfg and makes a provider.
func New(cfg Config) (*Provider, error) {
	if cfg.Store == nil || cfg.Renew == nil {
		return nil, fmt.Errorf("authn/accesstoken: a store and a renewer are needed: %w", policy.ErrInvalid)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Provider{cfg: cfg}, nil
}

// Authenticate answers whose token it is: see [authn.Passwords] for the errors.
func (p *Provider) Authenticate(ctx context.Context, workspace, name, secret string) (policy.Principal, error) {
	if !strings.HasPrefix(secret, authn.PrefixAccessToken) {
		return policy.Principal{}, fmt.Errorf("authn/accesstoken: the password: %w", policy.ErrNotFound)
	}
	if !authn.IsSecret(authn.PrefixAccessToken, secret) {
		return policy.Principal{}, refused("no token that we made")
	}
	t, err := p.cfg.Store.AccessTokenByHash(ctx, workspace, authn.HashSecret(secret))
	switch {
	case errors.Is(err, policy.ErrNotFound):
		return policy.Principal{}, refused("unknown or revoked")
	case err != nil:
		return policy.Principal{}, fmt.Errorf("authn/accesstoken: reading a token: %w", err)
	}
	now := p.cfg.Now()
	switch {
	case t.Owner.Workspace != workspace:
		return policy.Principal{}, refused("it is of another workspace")
	case name != t.Owner.ID && name != t.Owner.Label():
		return policy.Principal{}, refused("it is somebody else's")
	case t.Disabled:
		return policy.Principal{}, refused("its owner is disabled")
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return policy.Principal{}, refused("it has expired")
	}
	who, err := p.cfg.Renew.Renew(ctx, t.Owner)
	if err != nil {
		return policy.Principal{}, fmt.Errorf("authn/accesstoken: who its owner is now: %w", err)
	}
	p.cfg.Store.AccessTokenUsed(t.ID, now)
	who.Auth = policy.AuthAccessToken
	who.Credential = policy.CredentialAccessToken + ":" + strconv.FormatInt(t.ID, 10)
	return who, nil
}

func refused(why string) error {
	return fmt.Errorf("authn/accesstoken: %s: %w", why, policy.ErrUnauthenticated)
}
