package token

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// Issued is a token that was just written.
type Issued struct {
	Raw              string
	IssuedAt, Expiry time.Time
}

// Issue writes a bearer token for p that carries scopes. The caller has asked the
// gate what they may be. It holds no longer than the proof of who p is.
func (s *Service) Issue(p policy.Principal, scopes []policy.Scope) (Issued, error) {
	if len(scopes) > MaxScopes {
		return Issued{}, fmt.Errorf("token: %d scopes, %d are allowed: %w", len(scopes), MaxScopes, policy.ErrTooLarge)
	}
	if scopes == nil {
		scopes = []policy.Scope{}
	}
	now := s.cfg.Now()
	ttl := s.cfg.TTL
	if !p.Until.IsZero() {
		// In whole seconds, like the token's own time: rounding must not add one.
		ttl = min(ttl, p.Until.Truncate(time.Second).Sub(now.Truncate(time.Second)))
	}
	if ttl <= 0 {
		return Issued{}, refused("the proof of who asks has ended")
	}
	k := s.keys.Load().signing(now)
	return s.write(k, k.access, p, s.cfg.Service, now, ttl, scopes, "")
}

// refreshAudience is no service that a bearer token could be for.
func (s *Service) refreshAudience() string { return s.cfg.Service + "#refresh" }

// IssueRefresh writes a refresh token for p, bound to p's present credential.
// Nobody in particular, or somebody without a lasting credential of their own, gets
// [policy.ErrUnauthenticated].
func (s *Service) IssueRefresh(ctx context.Context, p policy.Principal) (Issued, error) {
	if p.Anonymous() {
		return Issued{}, refused("nobody gets no refresh token")
	}
	if !p.Until.IsZero() || p.Kind == policy.KindWorkload {
		return Issued{}, refused("a proof that ends by itself gets no refresh token")
	}
	stamp, err := s.cfg.Credentials.Stamp(ctx, p)
	if err != nil {
		return Issued{}, fmt.Errorf("token: stamping a refresh token: %w", err)
	}
	now := s.cfg.Now()
	k := s.keys.Load().signing(now)
	return s.write(k, k.refresh, p, s.refreshAudience(), now, s.cfg.RefreshTTL, []policy.Scope{}, stamp)
}

func (s *Service) write(k *signer, header string, p policy.Principal, aud string, now time.Time, ttl time.Duration,
	scopes []policy.Scope, stamp string,
) (Issued, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	now = now.Truncate(time.Second)
	exp := now.Add(ttl)
	raw, err := k.sign(header, &claims{
		Issuer: s.cfg.Issuer, Subject: p.ID, Audience: aud, ID: base64.RawURLEncoding.EncodeToString(id[:]),
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: exp.Unix(), Access: scopes,
		Who: who{
			Workspace: p.Workspace, Issuer: p.Issuer, Name: p.Name, Kind: p.Kind, Auth: p.Auth, Credential: p.Credential,
			Groups: p.Groups, Claims: p.Claims, Stamp: stamp,
		},
	})
	if err != nil {
		return Issued{}, err
	}
	return Issued{Raw: raw, IssuedAt: now, Expiry: exp}, nil
}

var _ authn.Tokens = (*Service)(nil)

// Verify answers who a bearer token of the workspace stands for and what it
// carries. Every fault is [policy.ErrUnauthenticated]. A token is verified once
// and remembered until it expires or the keys change; the answer is shared and
// must not be changed.
func (s *Service) Verify(ctx context.Context, workspace, raw string) (authn.Caller, error) {
	if len(raw) > MaxToken {
		return authn.Caller{}, refused("it is longer than any that we write")
	}
	now := s.cfg.Now()
	set := s.keys.Load()
	if caller, ok := s.seen.Get(raw, set.revision, now); ok && caller.Principal.Workspace == workspace {
		return caller, nil
	}
	c, known, err := open(raw, set.access)
	if !known && s.reload(ctx) {
		set = s.keys.Load()
		c, _, err = open(raw, set.access)
	}
	if err != nil {
		return authn.Caller{}, err
	}
	if err := c.check(s.cfg.Issuer, s.cfg.Service, workspace, time.Hour, now); err != nil {
		return authn.Caller{}, err
	}
	caller := authn.Caller{Principal: c.principal(), Scopes: c.Access, Scoped: true}
	s.seen.Put(raw, caller, set.revision, time.Unix(c.Expires, 0))
	return caller, nil
}

// Refresh answers who a refresh token of the workspace stands for. It is refused
// once the credential that it was got with has changed, and while its owner is
// disabled.
func (s *Service) Refresh(ctx context.Context, workspace, raw string) (policy.Principal, error) {
	c, known, err := open(raw, s.keys.Load().refresh)
	if !known && s.reload(ctx) {
		c, _, err = open(raw, s.keys.Load().refresh)
	}
	if err != nil {
		return policy.Principal{}, err
	}
	if err := c.check(s.cfg.Issuer, s.refreshAudience(), workspace, s.cfg.RefreshTTL, s.cfg.Now()); err != nil {
		return policy.Principal{}, err
	}
	p := c.principal()
	if p.Anonymous() || c.Who.Stamp == "" {
		return policy.Principal{}, refused("it is bound to no credential")
	}
	stamp, err := s.cfg.Credentials.Stamp(ctx, p)
	if err != nil {
		return policy.Principal{}, fmt.Errorf("token: checking a refresh token's credential: %w", err)
	}
	if stamp != c.Who.Stamp {
		return policy.Principal{}, refused("the credential that it was got with has changed")
	}
	if p, err = s.cfg.Credentials.Renew(ctx, p); err != nil {
		return policy.Principal{}, fmt.Errorf("token: who a refresh token stands for now: %w", err)
	}
	return p, nil
}
