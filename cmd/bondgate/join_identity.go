package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/accesstoken"
	"github.com/bondgate/bondgate/gateway/authn/robot"
	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata"
)

// robotAccounts are the store's robots as logging in sees them.
type robotAccounts struct{ store *metadata.Store }

func (r robotAccounts) RobotAccount(ctx context.Context, workspace, project, name string) (robot.Account, error) {
	x, secrets, err := r.store.RobotSecrets(ctx, workspace, project, name)
	if err != nil {
		return robot.Account{}, err
	}
	out := robot.Account{ID: x.ID, Disabled: x.Disabled, Expires: x.Expires}
	for _, s := range secrets {
		out.Secrets = append(out.Secrets, robot.Secret{Hash: s.Hash, Until: s.Until})
	}
	return out, nil
}

func (r robotAccounts) RobotUsed(id int64, at time.Time) {
	r.store.TouchCredential(policy.CredentialRobot, id, at)
}

// personalTokens are the store's access tokens as logging in sees them.
type personalTokens struct{ store *metadata.Store }

func (p personalTokens) AccessTokenByHash(ctx context.Context, workspace string, hash []byte) (accesstoken.Token, error) {
	t, owner, err := p.store.AccessTokenByHash(ctx, workspace, hash)
	if err != nil {
		return accesstoken.Token{}, err
	}
	return accesstoken.Token{
		ID: t.ID, Expires: t.Expires, Disabled: owner.Disabled,
		Owner: policy.Principal{
			Workspace: owner.Workspace, Issuer: owner.Issuer, ID: owner.Subject, Name: owner.Name, Kind: policy.KindUser,
		},
	}, nil
}

func (p personalTokens) AccessTokenUsed(id int64, at time.Time) {
	p.store.TouchCredential(policy.CredentialAccessToken, id, at)
}

// enroller notes people whom others vouch for.
type enroller struct{ store *metadata.Store }

var _ authn.Enroller = enroller{}

func (e enroller) Enroll(ctx context.Context, p policy.Principal, profile authn.Profile) (policy.Principal, error) {
	known, err := e.store.Enroll(ctx, metadata.Person{
		Workspace: p.Workspace, Issuer: p.Issuer, Subject: p.ID, Name: p.Label(),
		Email: profile.Email, RealName: profile.RealName, Groups: p.Groups,
	})
	switch {
	case err != nil:
		return policy.Principal{}, err
	case known.Disabled:
		return policy.Principal{}, fmt.Errorf("%s is disabled: %w", known.Name, policy.ErrUnauthenticated)
	}
	p.Name = known.Name
	return p, nil
}

// browserSessions are the store's sessions as the gateway sees them.
type browserSessions struct{ store *metadata.Store }

var _ session.Store = browserSessions{}

func (b browserSessions) CreateSession(ctx context.Context, s session.Session) error {
	row, err := sessionRow(s)
	if err != nil {
		return err
	}
	return b.store.CreateSession(ctx, row)
}

func (b browserSessions) Session(ctx context.Context, workspace, id string) (session.Session, error) {
	x, err := b.store.Session(ctx, workspace, id, time.Now())
	if err != nil {
		return session.Session{}, err
	}
	out := session.Session{
		ID: x.ID, Created: x.Created, Expires: x.Expires, Refreshed: x.Refreshed, Refresh: x.Refresh,
		Principal: policy.Principal{Workspace: x.Workspace, Issuer: x.Issuer, ID: x.Subject, Name: x.Name, Groups: x.Groups},
	}
	if len(x.Claims) > 0 {
		if err := json.Unmarshal(x.Claims, &out.Principal.Claims); err != nil {
			return session.Session{}, fmt.Errorf("read the claims of a session: %w", err)
		}
	}
	return out, nil
}

func (b browserSessions) UpdateSession(ctx context.Context, s session.Session, was []byte) error {
	row, err := sessionRow(s)
	if err != nil {
		return err
	}
	return b.store.UpdateSession(ctx, row, was)
}

func (b browserSessions) DeleteSession(ctx context.Context, workspace, id string) error {
	err := b.store.DeleteSession(ctx, workspace, id)
	if errors.Is(err, policy.ErrNotFound) {
		return nil
	}
	return err
}

func (b browserSessions) DeleteExpiredSessions(ctx context.Context, now time.Time) error {
	_, err := b.store.DeleteExpiredSessions(ctx, now)
	return err
}

func sessionRow(s session.Session) (metadata.Session, error) {
	p := s.Principal
	claims, err := json.Marshal(p.Claims)
	if err != nil {
		return metadata.Session{}, fmt.Errorf("write the claims of a session: %w", err)
	}
	return metadata.Session{
		ID: s.ID, Workspace: p.Workspace, Issuer: p.Issuer, Subject: p.ID, Name: p.Name, Groups: p.Groups, Claims: claims,
		Created: s.Created, Expires: s.Expires, Refreshed: s.Refreshed, Refresh: s.Refresh,
	}, nil
}

// hosts are the workspaces' host names as the edge asks for them.
type hosts struct{ store *metadata.Store }

func (h hosts) Workspace(host string) (string, error) {
	name, _, err := h.store.WorkspaceOfHost(host)
	return name, err
}
