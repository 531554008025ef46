package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// HarborProject is Harbor's Project.
type HarborProject struct {
	ProjectID int64             `json:"project_id"`
	Name      string            `json:"name"`
	OwnerName string            `json:"owner_name"`
	Created   time.Time         `json:"creation_time"`
	Updated   time.Time         `json:"update_time"`
	Deleted   bool              `json:"deleted"`
	RepoCount int               `json:"repo_count"`
	RoleID    int64             `json:"current_user_role_id"`
	RoleIDs   []int64           `json:"current_user_role_ids"`
	Metadata  map[string]string `json:"metadata"`
}

// HarborProjectRequest is Harbor's ProjectReq, to make and to change. Quotas and
// proxied registries are not there yet, so of storage_limit and registry_id only
// the values that ask for none are taken.
type HarborProjectRequest struct {
	Name         string            `json:"project_name,omitempty"`
	Public       *bool             `json:"public,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	StorageLimit *int64            `json:"storage_limit,omitempty"`
	RegistryID   *int64            `json:"registry_id,omitempty"`
}

// HarborSummary is Harbor's ProjectSummary.
type HarborSummary struct {
	RepoCount         int `json:"repo_count"`
	ProjectAdminCount int `json:"project_admin_count"`
	MaintainerCount   int `json:"maintainer_count"`
	DeveloperCount    int `json:"developer_count"`
	GuestCount        int `json:"guest_count"`
	LimitedGuestCount int `json:"limited_guest_count"`
}

// HarborDeletable is Harbor's ProjectDeletable.
type HarborDeletable struct {
	Deletable bool   `json:"deletable"`
	Message   string `json:"message"`
}

var projectFields = []field[ProjectDetail]{
	{"name", func(p ProjectDetail) any { return p.Name }},
	{"project_id", func(p ProjectDetail) any { return p.ID }},
	{"public", func(p ProjectDetail) any { return p.Public }},
	{"owner_name", func(p ProjectDetail) any { return p.Owner }},
	{"creation_time", func(p ProjectDetail) any { return p.Created }},
	{"update_time", func(p ProjectDetail) any { return p.Updated }},
}

// harborProject shows a project to somebody who has a role in it, or none.
func (a *API) harborProject(c *call, p ProjectDetail) HarborProject {
	out := HarborProject{
		ProjectID: p.ID, Name: p.Name, OwnerName: p.Owner, Created: p.Created, Updated: p.Updated,
		RepoCount: p.Repositories, RoleIDs: []int64{}, Metadata: metadataOf(p),
	}
	if view, err := a.harbor.View.View(); err == nil {
		for _, role := range view.Subject(c.caller.Principal, p.Name, c.now).Roles {
			if id, ok := roleIDs[role]; ok {
				out.RoleIDs = append(out.RoleIDs, id)
			}
		}
		if len(out.RoleIDs) > 0 {
			out.RoleID = out.RoleIDs[0]
		}
	}
	return out
}

func metadataOf(p ProjectDetail) map[string]string {
	m := maps.Clone(p.Metadata)
	if m == nil {
		m = map[string]string{}
	}
	m[metadataPublic] = strconv.FormatBool(p.Public)
	return m
}

func detailDoc(p ProjectDetail) map[string]any {
	return map[string]any{
		"name": p.Name, "public": p.Public, "owner": p.Owner, "labels": p.Labels, "packs": p.Packs,
		"description": p.Description, "metadata": metadataOf(p), "policies": p.Policies,
	}
}

func (a *API) harborListProjects(c *call) (plan, error) {
	l, err := readListing(c)
	if err != nil {
		return plan{}, err
	}
	if name := c.query("name"); name != "" {
		l.where = append(l.where, condition{field: "name", fuzzy: true, values: []string{name}})
	}
	if owner := c.query("owner"); owner != "" {
		l.where = append(l.where, condition{field: "owner_name", values: []string{owner}})
	}
	if public := c.query("public"); public != "" {
		l.where = append(l.where, condition{field: metadataPublic, values: []string{public}})
	}
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.Projects.ProjectDetails(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		if all, err = inSight(a, c, all, func(p ProjectDetail) policy.Project { return p.Project }); err != nil {
			return nil, err
		}
		return paged(l, all, "name", projectFields, func(p ProjectDetail) HarborProject { return a.harborProject(c, p) })
	}}, nil
}

// inSight leaves of all projects those that the caller may read. Whoever has
// nothing to do with a project that is not public is not worth a decision; about
// everything else the gate is asked as it is about reading that project alone.
func inSight[T any](a *API, c *call, all []T, as func(T) policy.Project) ([]T, error) {
	if a.cfg.Harbor == nil {
		return visible(a, c, all, as, nil)
	}
	view, err := a.harbor.View.View()
	if err != nil {
		return nil, err
	}
	return visible(a, c, all, as, view)
}

func visible[T any](a *API, c *call, all []T, as func(T) policy.Project, view policy.View) ([]T, error) {
	if view != nil {
		if s := view.Subject(c.caller.Principal, "", c.now); hasRole(s, "admin") && !s.Limited && !s.Disabled {
			return all, nil
		}
	}
	out := all[:0:0]
	for _, item := range all {
		p := as(item)
		if view != nil && !p.Public {
			if s := view.Subject(c.caller.Principal, p.Name, c.now); len(s.Roles) == 0 && len(s.Grants) == 0 {
				continue
			}
		}
		switch err := a.admit(c, route{action: policy.AdminAPI, resource: "project", verb: "read"}, plan{project: p.Name, id: p.Name}); {
		case err == nil:
			out = append(out, item)
		case errcode.Is(err, errcode.DeniedCode), errcode.Is(err, errcode.NotFound), errcode.Is(err, errcode.Unauthorised):
		default:
			return nil, err
		}
	}
	return out, nil
}

// detailOf is the project of the path, by name or by number. A name of digits alone
// is a number unless X-Is-Resource-Name says otherwise, as in Harbor.
func (a *API) detailOf(c *call) (ProjectDetail, error) {
	key := c.path("project_name_or_id")
	if key == "" {
		key = c.path("project")
	}
	id, notNumber := strconv.ParseInt(key, 10, 64)
	if byName, _ := strconv.ParseBool(c.r.Header.Get("X-Is-Resource-Name")); byName || notNumber != nil {
		if err := CheckProjectName(key); err != nil {
			return ProjectDetail{}, err
		}
		p, err := a.harbor.Projects.ProjectDetail(c.r.Context(), c.workspace(), key)
		if err != nil {
			p.Name = key // for the gate: who may know that it is not there
		}
		return p, err
	}
	all, err := a.harbor.Projects.ProjectDetails(c.r.Context(), c.workspace())
	if err != nil {
		return ProjectDetail{}, err
	}
	for _, p := range all {
		if p.ID == id {
			return p, nil
		}
	}
	return nowhere(key), fmt.Errorf("find project %d: %w", id, policy.ErrNotFound)
}

// nowhere is the project that the gate is asked about where a number names none. No
// project can be called so, so the answer is the same as for one that the caller may
// not know of.
func nowhere(key string) ProjectDetail {
	return ProjectDetail{Project: policy.Project{Name: nowherePrefix + key}}
}

const nowherePrefix = "#"

func isNowhere(project string) bool { return strings.HasPrefix(project, nowherePrefix) }

func (a *API) harborReadProject(c *call) (plan, error) {
	p, err := a.detailOf(c)
	return plan{project: p.Name, id: cmp.Or(p.Name, c.path("project_name_or_id")), do: func(context.Context) (any, error) {
		return a.harborProject(c, p), nil
	}}, err
}

func (a *API) harborHeadProject(c *call) (plan, error) {
	name := c.query("project_name")
	if err := CheckProjectName(name); err != nil {
		return plan{}, err
	}
	_, err := a.harbor.Projects.ProjectDetail(c.r.Context(), c.workspace(), name)
	return plan{project: name, id: name, do: func(context.Context) (any, error) { return done, nil }}, err
}

func (a *API) harborCreateProject(c *call) (plan, error) {
	body, _ := c.body.(*HarborProjectRequest)
	now := ProjectDetail{Project: policy.Project{Workspace: c.workspace(), Name: body.Name, Owner: c.caller.Principal.Label()}, Metadata: map[string]string{}}
	if err := body.into(&now); err != nil {
		return plan{}, err
	}
	if err := checkProject(now.Project); err != nil {
		return plan{}, err
	}
	return plan{project: now.Name, id: now.Name, after: detailDoc(now), do: func(ctx context.Context) (any, error) {
		if err := a.cfg.Projects.CreateProject(ctx, now.Project); err != nil {
			return nil, err
		}
		if len(now.Metadata) > 0 {
			if err := a.harbor.Projects.UpdateProjectDetail(ctx, c.workspace(), now); err != nil {
				return nil, err
			}
		}
		made, err := a.harbor.Projects.ProjectDetail(ctx, c.workspace(), now.Name)
		return located(c, made.ID), err
	}}, nil
}

// into puts what the request asks for into p.
func (b *HarborProjectRequest) into(p *ProjectDetail) error {
	if b.StorageLimit != nil && *b.StorageLimit > 0 {
		return refuse("storage_limit: projects have no quotas yet; -1 is none")
	}
	if b.RegistryID != nil && *b.RegistryID != 0 {
		return refuse("registry_id: no project is a proxy of another registry yet")
	}
	if err := checkMetadata(b.Metadata); err != nil {
		return err
	}
	for k, v := range b.Metadata {
		if k != metadataPublic {
			p.Metadata[k] = v
			continue
		}
		p.Public, _ = strconv.ParseBool(v) // checked
	}
	if b.Public != nil {
		p.Public = *b.Public
	}
	return nil
}

// changed is a plan to change a project's settings from was to now.
func (a *API) changed(c *call, was, now ProjectDetail) plan {
	return plan{
		project: was.Name, id: was.Name, before: detailDoc(was), after: detailDoc(now),
		do: func(ctx context.Context) (any, error) {
			a.one.Lock()
			defer a.one.Unlock()
			if err := a.unchanged(ctx, was.Project); err != nil {
				return nil, err
			}
			if err := a.cfg.Projects.UpdateProject(ctx, now.Project); err != nil {
				return nil, err
			}
			return done, a.harbor.Projects.UpdateProjectDetail(ctx, c.workspace(), now)
		},
	}
}

func (a *API) harborUpdateProject(c *call) (plan, error) {
	body, _ := c.body.(*HarborProjectRequest)
	was, err := a.detailOf(c)
	if err != nil {
		return plan{project: was.Name, id: c.path("project_name_or_id")}, err
	}
	if body.Name != "" && body.Name != was.Name {
		return plan{project: was.Name, id: was.Name}, refuse("a project keeps its name")
	}
	now := was
	if now.Metadata = maps.Clone(was.Metadata); now.Metadata == nil {
		now.Metadata = map[string]string{}
	}
	if err := body.into(&now); err != nil {
		return plan{project: was.Name, id: was.Name}, err
	}
	return a.changed(c, was, now), nil
}

func (a *API) harborDeleteProject(c *call) (plan, error) {
	was, err := a.detailOf(c)
	if err != nil {
		return plan{project: was.Name, id: c.path("project_name_or_id")}, err
	}
	return plan{project: was.Name, id: was.Name, before: detailDoc(was), do: func(ctx context.Context) (any, error) {
		err := a.harbor.Projects.DeleteProject(ctx, c.workspace(), was.Name)
		if errors.Is(err, policy.ErrConflict) {
			return nil, errcode.New(errcode.Conflict, "the project "+was.Name+" has repositories; delete them first").Because(err)
		}
		return done, err
	}}, nil
}

func (a *API) harborDeletable(c *call) (plan, error) {
	p, err := a.detailOf(c)
	return plan{project: p.Name, id: cmp.Or(p.Name, c.path("project_name_or_id")), do: func(context.Context) (any, error) {
		if p.Repositories > 0 {
			return HarborDeletable{Message: "the project has repositories; delete them first"}, nil
		}
		return HarborDeletable{Deletable: true}, nil
	}}, err
}

func (a *API) harborSummary(c *call) (plan, error) {
	p, err := a.detailOf(c)
	return plan{project: p.Name, id: cmp.Or(p.Name, c.path("project_name_or_id")), do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.Members.Memberships(ctx, c.workspace(), p.Name)
		if err != nil {
			return nil, err
		}
		s := HarborSummary{RepoCount: p.Repositories}
		counts := map[string]*int{
			"projectAdmin": &s.ProjectAdminCount, "maintainer": &s.MaintainerCount, "developer": &s.DeveloperCount,
			"guest": &s.GuestCount, "limitedGuest": &s.LimitedGuestCount,
		}
		for _, m := range all {
			if n := counts[m.Role]; n != nil {
				*n++
			}
		}
		return s, nil
	}}, err
}
