package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/gateway/authn/robot"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata"
)

// harbor joins the store with the part of the API that Harbor has too.
func (a *App) harbor() *api.HarborConfig {
	h := harborStore{a.store}
	cfg := &api.HarborConfig{
		People: h, Changes: h, Links: links{a.store}, Groups: groups{a.store}, Projects: h, Members: h, Robots: robots{a.store}, RobotSecrets: a.store,
		AccessTokens: tokensOf{a.store}, Roles: roles{a.store}, Workspaces: workspaces{a.store}, View: a.store,
		RobotPrefix: a.cfg.Identity.Robots.Prefix,
		RobotName:   func(project, name string) string { return robot.Name(a.cfg.Identity.Robots.Prefix, project, name) },
		Overlap:     time.Duration(a.cfg.Identity.Robots.Overlap), Version: a.opts.Version,
	}
	for _, d := range a.identity.directories {
		cfg.Directories = append(cfg.Directories, d)
	}
	return cfg
}

// mapped is all as the other room has it.
func mapped[T, R any](all []T, err error, as func(T) R) ([]R, error) {
	if err != nil {
		return nil, err
	}
	out := make([]R, 0, len(all))
	for _, x := range all {
		out = append(out, as(x))
	}
	return out, nil
}

// harborStore are the store's people, projects and members.
type harborStore struct{ store *metadata.Store }

func personOf(p metadata.Person) api.Person {
	return api.Person{
		ID: p.ID, Issuer: p.Issuer, Subject: p.Subject, Name: p.Name, Email: p.Email, RealName: p.RealName, Comment: p.Comment,
		SystemAdmin: p.SystemAdmin, Disabled: p.Disabled, Created: p.Created, Updated: p.Seen,
	}
}

func (h harborStore) People(ctx context.Context, workspace string) ([]api.Person, error) {
	all, _, err := h.store.People(ctx, workspace, metadata.PeopleQuery{})
	return mapped(all, err, personOf)
}

func (h harborStore) PersonByID(ctx context.Context, workspace string, id int64) (api.Person, error) {
	p, err := h.store.PersonByID(ctx, workspace, id)
	return personOf(p), err
}

func (h harborStore) PersonByName(ctx context.Context, workspace, name string) (api.Person, error) {
	p, err := h.store.PersonByName(ctx, workspace, name)
	return personOf(p), err
}

func (h harborStore) PersonBySubject(ctx context.Context, workspace, issuer, subject string) (api.Person, error) {
	p, err := h.store.PersonBySubject(ctx, workspace, issuer, subject)
	return personOf(p), err
}

func (h harborStore) UpdatePerson(ctx context.Context, workspace string, p api.Person) error {
	return h.store.UpdatePerson(ctx, metadata.Person{
		ID: p.ID, Workspace: workspace, Email: p.Email, RealName: p.RealName, Comment: p.Comment,
	})
}

func (h harborStore) SetPersonAdmin(ctx context.Context, workspace string, id int64, admin bool) error {
	return h.store.SetPersonAdmin(ctx, workspace, id, admin)
}

func (h harborStore) SetPersonDisabled(ctx context.Context, workspace string, id int64, disabled bool) error {
	return h.store.SetPersonDisabled(ctx, workspace, id, disabled)
}

func (h harborStore) DeletePerson(ctx context.Context, workspace string, id int64) error {
	return h.store.DeletePerson(ctx, workspace, id)
}

func detailOf(p metadata.Project, repositories int) (api.ProjectDetail, error) {
	out := api.ProjectDetail{
		Project: p.Project, ID: p.ID, Description: p.Description, Created: p.Created, Updated: p.Created, Metadata: p.Metadata,
		Repositories: repositories,
	}
	if len(p.Policies) > 0 {
		if err := json.Unmarshal(p.Policies, &out.Policies); err != nil {
			return out, fmt.Errorf("read the policies of project %s: %w", p.Name, err)
		}
	}
	return out, nil
}

func (h harborStore) ProjectDetails(ctx context.Context, workspace string) ([]api.ProjectDetail, error) {
	all, _, err := h.store.Projects(ctx, workspace, metadata.ProjectQuery{})
	if err != nil {
		return nil, err
	}
	repositories, err := h.store.RepositoryCounts(ctx, workspace)
	if err != nil {
		return nil, err
	}
	out := make([]api.ProjectDetail, 0, len(all))
	for _, p := range all {
		d, err := detailOf(p, repositories[p.Name])
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func (h harborStore) ProjectDetail(ctx context.Context, workspace, name string) (api.ProjectDetail, error) {
	p, err := h.store.Project(ctx, workspace, name)
	if err != nil {
		return api.ProjectDetail{}, err
	}
	n, err := h.store.CountRepositories(ctx, workspace, name)
	if err != nil {
		return api.ProjectDetail{}, err
	}
	return detailOf(p, n)
}

func (h harborStore) UpdateProjectDetail(ctx context.Context, workspace string, d api.ProjectDetail) error {
	p, err := h.store.Project(ctx, workspace, d.Name)
	if err != nil {
		return err
	}
	p.Description, p.Metadata, p.Policies = d.Description, d.Metadata, nil
	if len(d.Policies) > 0 {
		if p.Policies, err = json.Marshal(d.Policies); err != nil {
			return fmt.Errorf("write the policies of project %s: %w", d.Name, err)
		}
	}
	return h.store.UpdateProject(ctx, p)
}

func (h harborStore) DeleteProject(ctx context.Context, workspace, name string) error {
	return h.store.DeleteProject(ctx, workspace, name)
}

func membershipOf(m metadata.Member) api.Membership {
	return api.Membership{
		ID: m.ID, Project: m.Project, Issuer: m.Issuer, Kind: m.Kind, Name: m.Name, Role: m.Role,
		Repositories: m.Repositories, Claims: m.Claims,
	}
}

func (h harborStore) Memberships(ctx context.Context, workspace, project string) ([]api.Membership, error) {
	all, _, err := h.store.Members(ctx, workspace, project, metadata.MemberQuery{})
	return mapped(all, err, membershipOf)
}

func (h harborStore) PutMembership(ctx context.Context, workspace string, m api.Membership) (api.Membership, error) {
	made, err := h.store.SetMember(ctx, metadata.Member{
		Workspace: workspace, Project: m.Project, Issuer: m.Issuer, Kind: m.Kind, Name: m.Name, Role: m.Role,
		Repositories: m.Repositories, Claims: m.Claims,
	})
	return membershipOf(made), err
}

func (h harborStore) DeleteMembership(ctx context.Context, workspace, project string, id int64) error {
	return h.store.RemoveMemberByID(ctx, workspace, project, id)
}

type groups struct{ store *metadata.Store }

func groupOf(g metadata.Group) api.Group {
	return api.Group{ID: g.ID, Issuer: g.Issuer, Name: g.Name, DN: g.DN, Admin: g.Admin, Created: g.Created}
}

func (g groups) Groups(ctx context.Context, workspace string) ([]api.Group, error) {
	all, _, err := g.store.Groups(ctx, workspace, metadata.GroupQuery{})
	return mapped(all, err, groupOf)
}

func (g groups) CreateGroup(ctx context.Context, workspace string, x api.Group) (api.Group, error) {
	made, err := g.store.CreateGroup(ctx, metadata.Group{Workspace: workspace, Issuer: x.Issuer, Name: x.Name, DN: x.DN})
	return groupOf(made), err
}

func (g groups) RenameGroup(ctx context.Context, workspace string, id int64, name string) error {
	was, err := g.store.GroupByID(ctx, workspace, id)
	if err != nil {
		return err
	}
	was.Name = name
	return g.store.UpdateGroup(ctx, was)
}

func (g groups) DeleteGroup(ctx context.Context, workspace string, id int64) error {
	return g.store.DeleteGroup(ctx, workspace, id)
}

func (g groups) SetGroupAdmin(ctx context.Context, workspace string, id int64, admin bool) error {
	return g.store.SetGroupAdmin(ctx, workspace, id, admin)
}

type links struct{ *metadata.Store }

func (l links) Links(ctx context.Context, workspace string) ([]api.Link, error) {
	all, err := l.Store.Links(ctx, workspace)
	return mapped(all, err, func(x metadata.Link) api.Link { return api.Link(x) })
}

type robots struct{ store *metadata.Store }

func grantsOf(all []metadata.RobotGrant) []api.RobotGrant {
	out, _ := mapped(all, nil, func(g metadata.RobotGrant) api.RobotGrant {
		return api.RobotGrant{Project: g.Project, Repositories: g.Repositories, Rights: g.Rights}
	})
	return out
}

func grantRows(all []api.RobotGrant) []metadata.RobotGrant {
	out, _ := mapped(all, nil, func(g api.RobotGrant) metadata.RobotGrant {
		return metadata.RobotGrant{Project: g.Project, Repositories: g.Repositories, Rights: g.Rights}
	})
	return out
}

func robotOf(r metadata.Robot) api.Robot {
	return api.Robot{
		ID: r.ID, Project: r.Project, Name: r.Name, Description: r.Description, Disabled: r.Disabled,
		Created: r.Created, Updated: r.Created, Expires: r.Expires, CreatorIssuer: r.CreatorIssuer, Creator: r.Creator,
		Grants: grantsOf(r.Grants), Permissions: r.Permissions,
	}
}

func robotRow(workspace string, r api.Robot) metadata.Robot {
	return metadata.Robot{
		ID: r.ID, Workspace: workspace, Project: r.Project, Name: r.Name, Description: r.Description, Disabled: r.Disabled,
		Created: r.Created, Expires: r.Expires, CreatorIssuer: r.CreatorIssuer, Creator: r.Creator,
		Grants: grantRows(r.Grants), Permissions: r.Permissions,
	}
}

func (r robots) Robots(ctx context.Context, workspace string) ([]api.Robot, error) {
	all, _, err := r.store.Robots(ctx, workspace, metadata.RobotQuery{})
	return mapped(all, err, robotOf)
}

func (r robots) CreateRobot(ctx context.Context, workspace string, x api.Robot, hash []byte) (api.Robot, error) {
	made, err := r.store.CreateRobot(ctx, robotRow(workspace, x), hash)
	return robotOf(made), err
}

func (r robots) UpdateRobot(ctx context.Context, workspace string, x api.Robot) error {
	return r.store.UpdateRobot(ctx, robotRow(workspace, x))
}

func (r robots) DeleteRobot(ctx context.Context, workspace string, id int64) error {
	return r.store.DeleteRobot(ctx, workspace, id)
}

type tokensOf struct{ store *metadata.Store }

func accessTokenOf(t metadata.AccessToken) api.AccessToken {
	return api.AccessToken{
		ID: t.ID, Issuer: t.Issuer, Owner: t.Owner, OwnerName: t.OwnerName, Name: t.Name, Limited: t.Limited,
		Limits: grantsOf(t.Limits), Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed,
	}
}

func (t tokensOf) AccessTokens(ctx context.Context, workspace, issuer, owner string) ([]api.AccessToken, error) {
	all, err := t.store.AccessTokens(ctx, workspace, issuer, owner)
	return mapped(all, err, accessTokenOf)
}

func (t tokensOf) CreateAccessToken(ctx context.Context, workspace string, x api.AccessToken, hash []byte) (api.AccessToken, error) {
	made, err := t.store.CreateAccessToken(ctx, metadata.AccessToken{
		Workspace: workspace, Issuer: x.Issuer, Owner: x.Owner, OwnerName: x.OwnerName, Name: x.Name,
		Limited: x.Limited, Limits: grantRows(x.Limits), Created: x.Created, Expires: x.Expires,
	}, hash)
	return accessTokenOf(made), err
}

func (t tokensOf) DeleteAccessToken(ctx context.Context, workspace string, id int64) error {
	return t.store.DeleteAccessToken(ctx, workspace, id)
}

type roles struct{ store *metadata.Store }

func (r roles) Roles(ctx context.Context, workspace string) ([]api.Role, error) {
	all, err := r.store.Roles(ctx, workspace)
	return mapped(all, err, func(x metadata.Role) api.Role {
		return api.Role{Name: x.Name, Description: x.Description, Rights: x.Rights, Created: x.Created}
	})
}

func (r roles) PutRole(ctx context.Context, workspace string, x api.Role) error {
	row := metadata.Role{Workspace: workspace, Name: x.Name, Description: x.Description, Rights: x.Rights, Created: x.Created}
	err := r.store.UpdateRole(ctx, row)
	if errors.Is(err, policy.ErrNotFound) {
		return r.store.CreateRole(ctx, row)
	}
	return err
}

func (r roles) DeleteRole(ctx context.Context, workspace, name string) error {
	return r.store.DeleteRole(ctx, workspace, name)
}

type workspaces struct{ store *metadata.Store }

func (w workspaces) Workspaces(ctx context.Context) ([]api.Workspace, error) {
	all, err := w.store.Workspaces(ctx)
	return mapped(all, err, func(x metadata.Workspace) api.Workspace {
		if x.Hosts == nil {
			x.Hosts = []string{}
		}
		return api.Workspace{Name: x.Name, Description: x.Description, Hosts: x.Hosts, Created: x.Created}
	})
}

func workspaceRow(x api.Workspace) metadata.Workspace {
	return metadata.Workspace{Name: x.Name, Description: x.Description, Hosts: x.Hosts, Created: x.Created}
}

func (w workspaces) CreateWorkspace(ctx context.Context, x api.Workspace) error {
	return w.store.CreateWorkspace(ctx, workspaceRow(x))
}

func (w workspaces) UpdateWorkspace(ctx context.Context, x api.Workspace) error {
	return w.store.UpdateWorkspace(ctx, workspaceRow(x))
}

func (w workspaces) DeleteWorkspace(ctx context.Context, name string) error {
	return w.store.DeleteWorkspace(ctx, name)
}
