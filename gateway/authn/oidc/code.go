package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/jwt"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// gone are the answers of a token endpoint by which it takes its word back (RFC
// 6749, section 5.2; OpenID Connect Core 1.0, section 3.1.2.6). Every other one
// is about us or about the provider, and no reason to log anybody out.
var gone = []string{"invalid_grant", "access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required"}

// client is the provider's view of us. redirect is empty where nobody is sent
// anywhere.
func (p *Provider) client(meta jwt.Metadata, redirect string) *oauth2.Config {
	style := oauth2.AuthStyleInHeader // the default of OpenID Connect Discovery 1.0, section 3
	methods := meta.TokenEndpointAuthMethods
	if p.cfg.ClientSecret == "" || (len(methods) > 0 && !slices.Contains(methods, "client_secret_basic")) {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, RedirectURL: redirect, Scopes: p.cfg.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: meta.AuthorizationEndpoint, TokenURL: meta.TokenEndpoint, AuthStyle: style},
	}
}

// authorizeURL is where the browser is sent.
func (p *Provider) authorizeURL(ctx context.Context, f flow, redirect string) (string, error) {
	meta, err := p.metadata(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)}
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Parameters)) {
		options = append(options, oauth2.SetAuthURLParam(name, p.cfg.Parameters[name]))
	}
	return p.client(meta, redirect).AuthCodeURL(f.State, options...), nil
}

// redeem answers whom an authorization code is about, and a refresh token if the
// provider gave one.
func (p *Provider) redeem(ctx context.Context, f flow, redirect, code string) (policy.Principal, authn.Profile, string, error) {
	none := func(err error) (policy.Principal, authn.Profile, string, error) {
		return policy.Principal{}, authn.Profile{}, "", err
	}
	meta, err := p.metadata(ctx)
	if err != nil {
		return none(err)
	}
	calling, cancel := p.calling(ctx)
	defer cancel()
	tokens, err := p.client(meta, redirect).Exchange(calling, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return none(p.failure(ctx, "redeem a code", err))
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok || raw == "" {
		return none(p.refused("it gave no ID token"))
	}
	token, err := p.verify(ctx, p.web, p.cfg.ClientID, raw, tokens.AccessToken)
	if err != nil {
		return none(err)
	}
	if subtle.ConstantTimeCompare([]byte(token.Text("nonce")), []byte(f.Nonce)) != 1 || f.Nonce == "" {
		return none(p.refused("its ID token is of another login"))
	}
	who, profile, err := p.person(ctx, token.Subject, token.Claims, tokens)
	if err != nil {
		return none(err)
	}
	return who, profile, tokens.RefreshToken, nil
}

// renew answers what the provider says now of the person with the subject, and the
// refresh token for the next time.
func (p *Provider) renew(ctx context.Context, subject, refreshToken string) (policy.Principal, authn.Profile, string, error) {
	none := func(err error) (policy.Principal, authn.Profile, string, error) {
		return policy.Principal{}, authn.Profile{}, "", err
	}
	meta, err := p.metadata(ctx)
	if err != nil {
		return none(err)
	}
	calling, cancel := p.calling(ctx)
	defer cancel()
	tokens, err := p.client(meta, "").TokenSource(calling, &oauth2.Token{RefreshToken: refreshToken}).Token()
	if err != nil {
		return none(p.failure(ctx, "renew", err))
	}
	claims := map[string]any{}
	if raw, ok := tokens.Extra("id_token").(string); ok && raw != "" {
		token, err := p.verify(ctx, p.web, p.cfg.ClientID, raw, tokens.AccessToken)
		if err != nil {
			return none(err)
		}
		if token.Subject != subject {
			return none(p.refused("it renewed somebody else"))
		}
		claims = token.Claims
	} else if !p.cfg.UserInfo {
		// An ID token is optional here (OpenID Connect Core 1.0, section 12.2). Without
		// it nothing is known of the groups, which is not the same as none.
		return none(p.refused("it renews without an ID token: configure userinfo"))
	}
	who, profile, err := p.person(ctx, subject, claims, tokens)
	if err != nil {
		return none(err)
	}
	return who, profile, tokens.RefreshToken, nil
}

func (p *Provider) calling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, p.cfg.Client), patience)
}

// failure tells a provider that says no from one that cannot answer. Of what it
// answers only the code of the error is kept: the rest may have secrets in it.
func (p *Provider) failure(ctx context.Context, doing string, err error) error {
	var answered *oauth2.RetrieveError
	if !errors.As(err, &answered) || answered.Response == nil {
		return p.away(fmt.Errorf("%s: %w", doing, unwrapped(err)))
	}
	code := errcode.Line(answered.ErrorCode, 64)
	if answered.Response.StatusCode < http.StatusInternalServerError && slices.Contains(gone, code) {
		return p.refused(doing + ": " + code)
	}
	p.cfg.Log.ErrorContext(ctx, "an OpenID provider refuses the gateway's request",
		"provider", p.cfg.Name, "doing", doing, "status", answered.Response.StatusCode, "code", code)
	return p.away(fmt.Errorf("%s: it answers %d %s", doing, answered.Response.StatusCode, code))
}

// unwrapped keeps errors of the transport, which are ours, and no words about an
// answer's body.
func unwrapped(err error) error {
	var transport interface{ Timeout() bool }
	if errors.As(err, &transport) {
		return err
	}
	return errors.New("the answer cannot be understood")
}
