package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/gateway/authn/local"
	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/decisionlog"
	"github.com/bondgate/bondgate/storage/metadata"
)

// The gateway and storage never meet: each type here lets a room of the one have
// what a room of the other knows, and adds nothing.

// accounts are the store's users as the management API sees them.
type accounts struct{ *metadata.Store }

func (a accounts) Users(ctx context.Context, workspace string) ([]api.User, error) {
	all, err := a.Store.Users(ctx, workspace)
	if err != nil {
		return nil, err
	}
	out := make([]api.User, 0, len(all))
	for _, u := range all {
		out = append(out, accountOf(u))
	}
	return out, nil
}

func (a accounts) User(ctx context.Context, workspace, name string) (api.User, error) {
	u, err := a.Store.User(ctx, workspace, name)
	return accountOf(u), err
}

func (a accounts) CreateUser(ctx context.Context, workspace string, u api.User, passwordHash string) error {
	_, err := a.Store.CreateUser(ctx, metadata.Person{
		Workspace: workspace, Name: u.Name, Email: u.Email, RealName: u.RealName,
		SystemAdmin: u.Admin, Disabled: u.Disabled, Created: u.Created,
	}, passwordHash)
	return err
}

func accountOf(u metadata.Person) api.User {
	return api.User{
		Name: u.Name, Email: u.Email, RealName: u.RealName,
		Admin: u.SystemAdmin, Disabled: u.Disabled, Created: u.Created,
	}
}

// passwords makes hashes.
type passwords struct{}

func (passwords) Hash(password string) (string, error) { return local.Hash(password) }

// projects are the store's projects as the management API sees them.
type projects struct{ store *metadata.Store }

func (p projects) Projects(ctx context.Context, workspace string) ([]policy.Project, error) {
	all, _, err := p.store.Projects(ctx, workspace, metadata.ProjectQuery{})
	out := make([]policy.Project, 0, len(all))
	for _, x := range all {
		out = append(out, x.Project)
	}
	return out, err
}

func (p projects) Project(ctx context.Context, workspace, name string) (policy.Project, error) {
	x, err := p.store.Project(ctx, workspace, name)
	return x.Project, err
}

func (p projects) CreateProject(ctx context.Context, x policy.Project) error {
	_, err := p.store.CreateProject(ctx, metadata.Project{Project: x})
	return err
}

func (p projects) UpdateProject(ctx context.Context, x policy.Project) error {
	was, err := p.store.Project(ctx, x.Workspace, x.Name)
	if err != nil {
		return err
	}
	was.Project = x
	return p.store.UpdateProject(ctx, was)
}

// members are the store's members as the management API sees them.
type members struct{ store *metadata.Store }

func (m members) Members(ctx context.Context, workspace, project string) ([]api.Member, error) {
	all, _, err := m.store.Members(ctx, workspace, project, metadata.MemberQuery{})
	if err != nil {
		return nil, err
	}
	out := make([]api.Member, 0, len(all))
	for _, x := range all {
		out = append(out, api.Member{
			Project: x.Project, Issuer: x.Issuer, Kind: x.Kind, Name: x.Name, Role: x.Role,
			Repositories: x.Repositories, Claims: x.Claims,
		})
	}
	return out, nil
}

func (m members) SetMember(ctx context.Context, workspace string, x api.Member) error {
	_, err := m.store.SetMember(ctx, memberOf(workspace, x))
	return err
}

func (m members) RemoveMember(ctx context.Context, workspace string, x api.Member) error {
	return m.store.RemoveMember(ctx, memberOf(workspace, x))
}

func (m members) FoundProject(ctx context.Context, p policy.Project, first ...api.Member) error {
	all := make([]metadata.Member, 0, len(first))
	for _, x := range first {
		all = append(all, memberOf(p.Workspace, x))
	}
	_, err := m.store.FoundProject(ctx, metadata.Project{Project: p}, all...)
	return err
}

func memberOf(workspace string, x api.Member) metadata.Member {
	return metadata.Member{
		Workspace: workspace, Project: x.Project, Issuer: x.Issuer, Kind: x.Kind, Name: x.Name, Role: x.Role,
		Repositories: x.Repositories, Claims: x.Claims,
	}
}

// decisions is the record as the management API sees it.
type decisions struct{ log *decisionlog.Log }

func (d decisions) Tail(ctx context.Context, q api.DecisionQuery) ([]api.DecisionRecord, error) {
	all, err := d.log.Tail(ctx, queryOf(q))
	if err != nil {
		return nil, err
	}
	out := make([]api.DecisionRecord, 0, len(all))
	for i := range all {
		out = append(out, recordOf(&all[i]))
	}
	return out, nil
}

func (d decisions) Export(ctx context.Context, q api.DecisionQuery, yield func(any) error) error {
	return d.log.Export(ctx, queryOf(q), yield)
}

func queryOf(q api.DecisionQuery) decisionlog.Query {
	return decisionlog.Query{
		Workspace: q.Workspace, Project: q.Project, Subject: q.Subject, Issuer: q.Issuer, Rule: q.Rule,
		Action: q.Action, Verdict: q.Verdict, Since: q.Since, Until: q.Until,
		After: q.After, Before: q.Before, Limit: q.Limit,
	}
}

func (d decisions) Show(ctx context.Context, workspace, id string) (api.DecisionRecord, error) {
	e, err := d.log.Show(ctx, id)
	if err != nil {
		return api.DecisionRecord{}, err
	}
	if e.Workspace != workspace {
		return api.DecisionRecord{}, fmt.Errorf("decision %s: %w", id, policy.ErrNotFound)
	}
	return recordOf(&e), nil
}

func recordOf(e *decisionlog.Entry) api.DecisionRecord {
	return api.DecisionRecord{
		Cursor: e.Cursor, ID: e.ID, At: e.At, Count: e.Count, Repeats: e.Repeats, RequestID: e.RequestID,
		Workspace: e.Workspace, Action: e.Action, Purpose: e.Purpose, Subject: e.Subject, Issuer: e.Issuer,
		Project: e.Project, Repository: e.Repository, Reference: e.Reference, Digest: e.Digest,
		Verdict: e.Verdict, Deny: e.Deny, Warn: e.Warn, Dryrun: e.Dryrun, Waived: e.Waived,
		Obligations: e.Obligation, Granted: e.Granted, Visible: e.Visible, Message: e.Message,
		RetryAfter: e.RetryAfter, Revision: e.Revision, Outage: e.Outage, Replayable: e.Replayable,
		BreakGlass: e.BreakGlass, Masked: e.Masked, Packs: e.Packs,
		Input: e.Input, Writer: e.Writer, Seq: e.Seq, Hash: e.Hash,
	}
}

// tokenKeys keeps the token service's keys among the store's secrets.
type tokenKeys struct{ store *metadata.Store }

// tokenKeyKind is the kind of secret that token keys are.
const tokenKeyKind = "token-key"

func (k tokenKeys) TokenKeys(ctx context.Context) ([]token.Key, error) {
	all, err := k.store.Secrets(ctx, tokenKeyKind)
	if err != nil {
		return nil, err
	}
	keys := make([]token.Key, 0, len(all))
	for _, s := range all {
		keys = append(keys, token.Key{ID: s.ID, PKCS8: s.Data, Created: s.Created})
	}
	return keys, nil
}

func (k tokenKeys) AddTokenKey(ctx context.Context, key token.Key) error {
	return k.store.AddSecret(ctx, metadata.Secret{
		Kind: tokenKeyKind, ID: key.ID, Data: key.PKCS8, Created: key.Created,
	})
}

func (k tokenKeys) DeleteTokenKey(ctx context.Context, id string) error {
	err := k.store.DeleteSecret(ctx, tokenKeyKind, id)
	if errors.Is(err, policy.ErrNotFound) {
		return nil
	}
	return err
}
