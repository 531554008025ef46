package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/jwt"
	"github.com/bondgate/bondgate/policy"
)

const (
	// discoveryHolds is how long what a provider says of itself holds. Its keys are
	// read on their own terms.
	discoveryHolds = time.Hour
	// discoveryAgain is the least time between two tries: people who press the button
	// again do not make it worse for a provider that is coming back.
	discoveryAgain = 5 * time.Second
	// patience is how long one call to a provider may take.
	patience = 10 * time.Second
)

// Provider is one OpenID provider. Nothing of it is read before it is needed, so
// one that is away stops no server from starting.
type Provider struct {
	cfg  Config
	keys *jwt.KeySet
	// web and cli verify ID tokens for the two clients; cli is nil without one.
	web, cli *jwt.Verifier

	mu   sync.Mutex
	meta jwt.Metadata
	// read is when meta was read, zero before; tried is the last try and failed how
	// it ended.
	read, tried time.Time
	failed      error
}

func newProvider(cfg Config) (*Provider, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	keys, err := jwt.NewKeySet(jwt.KeysConfig{
		Issuer: cfg.Issuer, Client: cfg.Client, PlainHTTP: cfg.PlainHTTP, Keep: cfg.Keep, Now: cfg.Now, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("authn/oidc: provider %s: %w", cfg.Name, err)
	}
	p := &Provider{cfg: cfg, keys: keys}
	if p.web, err = p.verifier(cfg.ClientID); err != nil {
		return nil, err
	}
	if cfg.CLIClientID != "" {
		if p.cli, err = p.verifier(cfg.CLIClientID); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Provider) verifier(audience string) (*jwt.Verifier, error) {
	v, err := jwt.NewVerifier(p.keys, jwt.Rules{Audience: audience, Authorized: true, MaxAge: p.cfg.TokenAge, Now: p.cfg.Now})
	if err != nil {
		return nil, fmt.Errorf("authn/oidc: provider %s: %w", p.cfg.Name, err)
	}
	return v, nil
}

// metadata is what the provider says of itself: of the last hour, or older while
// it is away. Without any it is [policy.ErrUnavailable].
func (p *Provider) metadata(ctx context.Context) (jwt.Metadata, error) {
	p.mu.Lock() // one tries, the others want to know how that ends
	defer p.mu.Unlock()
	now := p.cfg.Now()
	if !p.read.IsZero() && now.Before(p.read.Add(discoveryHolds)) {
		return p.meta, nil
	}
	if p.tried.IsZero() || !now.Before(p.tried.Add(discoveryAgain)) {
		p.discover(ctx, now)
	}
	if p.read.IsZero() {
		return jwt.Metadata{}, p.away(p.failed)
	}
	return p.meta, nil
}

// discover wants the lock.
func (p *Provider) discover(ctx context.Context, now time.Time) {
	// What one request finds is for all: it does not end with that request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	meta, err := jwt.Discover(ctx, p.cfg.Client, p.cfg.Issuer, p.cfg.PlainHTTP)
	if err == nil && (meta.AuthorizationEndpoint == "" || meta.TokenEndpoint == "") {
		err = errors.New("it names no endpoint for logins")
	}
	p.tried, p.failed = now, err
	if err != nil {
		p.cfg.Log.WarnContext(ctx, "an OpenID provider could not be discovered", "provider", p.cfg.Name, "error", err)
		return
	}
	p.meta, p.read = meta, now
}

// away is an outage of the provider, by its name.
func (p *Provider) away(err error) error {
	why := "it does not answer"
	if err != nil {
		why = err.Error()
	}
	return authn.Away(p.cfg.Name, fmt.Errorf("authn/oidc: the provider %s cannot be reached: %s: %w", p.cfg.Name, why, policy.ErrUnavailable))
}

func (p *Provider) refused(why string) error {
	return fmt.Errorf("authn/oidc: the provider %s: %s: %w", p.cfg.Name, why, policy.ErrUnauthenticated)
}

// verify verifies an ID token for one of the two clients. accessToken is what came
// with it, to which it is bound by at_hash if it has one; empty for none.
func (p *Provider) verify(ctx context.Context, v *jwt.Verifier, audience, raw, accessToken string) (jwt.Token, error) {
	if v == nil {
		return jwt.Token{}, p.refused("there is no such client")
	}
	keys := &keySet{verifier: v}
	token, err := oidc.NewVerifier(p.cfg.Issuer, keys, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: jwt.Algorithms(), Now: p.cfg.Now,
	}).Verify(ctx, raw)
	switch {
	case errors.Is(keys.err, policy.ErrUnavailable):
		return jwt.Token{}, p.away(keys.err)
	case keys.err != nil:
		return jwt.Token{}, p.refused(keys.err.Error())
	case err != nil:
		// go-oidc's words may have parts of the token in them.
		return jwt.Token{}, p.refused("its ID token does not verify")
	case accessToken != "" && token.AccessTokenHash != "" && token.VerifyAccessToken(accessToken) != nil:
		return jwt.Token{}, p.refused("its ID token was issued with another access token")
	}
	return keys.token, nil
}

// keySet is go-oidc's view of one verification by our own verifier, which is
// stricter about headers, keys and times and keeps keys over an outage. go-oidc
// loses the class of an error, so that is kept here.
type keySet struct {
	verifier *jwt.Verifier
	token    jwt.Token
	err      error
}

var _ oidc.KeySet = (*keySet)(nil)

// VerifySignature verifies the token whole and answers its payload.
func (k *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	if k.token, k.err = k.verifier.Verify(ctx, raw); k.err != nil {
		return nil, k.err
	}
	return base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
}
