package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/jwt"
	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/policy"
)

// Providers are all that are configured, in the order in which people see them.
type Providers struct {
	all      []*Provider
	enroller authn.Enroller
}

var (
	_ session.Provider = (*Providers)(nil)
	_ authn.Passwords  = (*Providers)(nil)
)

// New checks the configuration of every provider; it reaches none of them. Within
// a workspace names and issuers are each there once: a person is found by issuer.
func New(enroller authn.Enroller, configs ...Config) (*Providers, error) {
	if enroller == nil {
		return nil, fmt.Errorf("authn/oidc: nobody enrolls people: %w", policy.ErrInvalid)
	}
	ps := &Providers{enroller: enroller}
	for _, cfg := range configs {
		p, err := newProvider(cfg)
		if err != nil {
			return nil, err
		}
		for _, other := range ps.all {
			if other.cfg.Workspace != p.cfg.Workspace {
				continue
			}
			if other.cfg.Name == p.cfg.Name || other.cfg.Issuer == p.cfg.Issuer {
				return nil, fmt.Errorf("authn/oidc: the providers %s and %s of workspace %s have one name or one issuer: %w",
					other.cfg.Name, p.cfg.Name, p.cfg.Workspace, policy.ErrInvalid)
			}
		}
		ps.all = append(ps.all, p)
	}
	return ps, nil
}

// Run keeps the providers' keys fresh, so that no login waits for them. It ends
// with ctx.
func (ps *Providers) Run(ctx context.Context) error {
	done := make(chan error, len(ps.all))
	for _, p := range ps.all {
		go func() { done <- p.keys.Run(ctx) }()
	}
	var err error
	for range ps.all {
		err = errors.Join(err, <-done)
	}
	return err
}

func (ps *Providers) named(workspace, name string) *Provider {
	return ps.find(func(p *Provider) bool { return p.cfg.Workspace == workspace && p.cfg.Name == name })
}

func (ps *Providers) issuing(workspace, issuer string) *Provider {
	return ps.find(func(p *Provider) bool { return p.cfg.Workspace == workspace && p.cfg.Issuer == issuer })
}

func (ps *Providers) find(is func(*Provider) bool) *Provider {
	if i := slices.IndexFunc(ps.all, is); i >= 0 {
		return ps.all[i]
	}
	return nil
}

// TokenType is the type of token that [Providers.Exchange] takes (RFC 8693,
// section 3).
const TokenType = "urn:ietf:params:oauth:token-type:id_token"

// Exchange answers whom an ID token is about. [policy.ErrNotFound] is for tokens
// of another type and of issuers that are not ours in this workspace. The token
// must be for one of the provider's two clients and no older than its TokenAge;
// the principal ends with the token, and within the provider's Refresh.
func (ps *Providers) Exchange(ctx context.Context, workspace, tokenType, raw string) (policy.Principal, error) {
	if tokenType != TokenType {
		return policy.Principal{}, fmt.Errorf("authn/oidc: the type of the token: %w", policy.ErrNotFound)
	}
	issuer, ok := jwt.Issuer(raw)
	if !ok {
		return policy.Principal{}, fmt.Errorf("authn/oidc: no token: %w", policy.ErrNotFound)
	}
	p := ps.issuing(workspace, issuer)
	if p == nil {
		return policy.Principal{}, fmt.Errorf("authn/oidc: the token's issuer: %w", policy.ErrNotFound)
	}
	token, err := p.verify(ctx, p.cli, p.cfg.CLIClientID, raw, "")
	if errors.Is(err, policy.ErrUnauthenticated) {
		token, err = p.verify(ctx, p.web, p.cfg.ClientID, raw, "")
	}
	if err != nil {
		return policy.Principal{}, err
	}
	who, profile, err := p.person(ctx, token.Subject, token.Claims, nil)
	if err != nil {
		return policy.Principal{}, err
	}
	if who, err = ps.enroll(ctx, who, profile); err != nil {
		return policy.Principal{}, err
	}
	who.Until = token.Expires
	if last := token.IssuedAt.Add(p.cfg.Refresh); last.Before(who.Until) {
		who.Until = last
	}
	return who, nil
}

// Authenticate takes an ID token for a password, which is how a docker credential
// helper hands one over. The name is not looked at. A password that is no token of
// ours is [policy.ErrNotFound].
func (ps *Providers) Authenticate(ctx context.Context, workspace, _, password string) (policy.Principal, error) {
	return ps.Exchange(ctx, workspace, TokenType, password)
}

// enroll notes the person and makes sure that nobody else comes back.
func (ps *Providers) enroll(ctx context.Context, p policy.Principal, profile authn.Profile) (policy.Principal, error) {
	known, err := ps.enroller.Enroll(ctx, p, profile)
	switch {
	case err != nil:
		return policy.Principal{}, fmt.Errorf("authn/oidc: enroll: %w", err)
	case known.Workspace != p.Workspace || known.Issuer != p.Issuer || known.ID != p.ID:
		return policy.Principal{}, fmt.Errorf("authn/oidc: enroll: somebody else was enrolled: %w", policy.ErrUnauthenticated)
	}
	return known, nil
}

// Terms say how sessions of an issuer's people are renewed.
func (ps *Providers) Terms(workspace, issuer string) (session.Terms, bool) {
	p := ps.issuing(workspace, issuer)
	if p == nil {
		return session.Terms{}, false
	}
	return session.Terms{Refresh: p.cfg.Refresh, Grace: p.cfg.Grace}, true
}

// Renew asks the provider whether it still vouches for who.
func (ps *Providers) Renew(ctx context.Context, who policy.Principal, refreshToken string) (policy.Principal, string, error) {
	p := ps.issuing(who.Workspace, who.Issuer)
	if p == nil {
		return policy.Principal{}, "", fmt.Errorf("authn/oidc: the provider is not configured: %w", policy.ErrUnauthenticated)
	}
	fresh, profile, next, err := p.renew(ctx, who.ID, refreshToken)
	if err != nil {
		return policy.Principal{}, "", err
	}
	if fresh, err = ps.enroll(ctx, fresh, profile); err != nil {
		return policy.Principal{}, "", err
	}
	return fresh, next, nil
}
