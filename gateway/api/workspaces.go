package api

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// Workspace is a tenant: its own people, projects and policies behind host names of
// its own.
type Workspace struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Hosts       []string  `json:"hosts"`
	Created     time.Time `json:"created,omitzero"`
}

// NewWorkspace is a workspace to be made, with the first administrator of it: one
// without would be closed for ever.
type NewWorkspace struct {
	Name          string   `json:"name"`
	Description   string   `json:"description,omitempty"`
	Hosts         []string `json:"hosts"`
	Admin         string   `json:"admin"`
	AdminPassword string   `json:"admin_password"`
}

// WorkspaceChange changes what it names and leaves the rest.
type WorkspaceChange struct {
	Description *string   `json:"description,omitempty"`
	Hosts       *[]string `json:"hosts,omitempty"`
}

// Workspaces are the tenants of the installation. A host of another workspace, and
// deleting one that has projects, is [policy.ErrConflict].
type Workspaces interface {
	Workspaces(ctx context.Context) ([]Workspace, error)
	CreateWorkspace(ctx context.Context, w Workspace) error
	UpdateWorkspace(ctx context.Context, w Workspace) error
	DeleteWorkspace(ctx context.Context, name string) error
}

var (
	workspaceName = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)*$`)
	hostName      = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$`)
)

func (w Workspace) check() error {
	if len(w.Name) > maxProject || !workspaceName.MatchString(w.Name) {
		return refuse("a workspace's name is 1 to %d of a-z 0-9 with single - between them: %s", maxProject, show(w.Name))
	}
	if len(w.Hosts) > 20 {
		return refuse("a workspace has at most 20 hosts")
	}
	for _, h := range w.Hosts {
		if len(h) > 253 || !hostName.MatchString(h) {
			return refuse("a host is a name in lower case without a port: %s", show(h))
		}
	}
	return checkText("a description", w.Description, maxText)
}

// workspaceExists keeps the operator, who names a workspace by word and not by host,
// from making things where nobody will ever find them.
func (a *API) workspaceExists(ctx context.Context, name string) error {
	if name == policy.DefaultWorkspace || a.cfg.Harbor == nil {
		return nil
	}
	all, err := a.harbor.Workspaces.Workspaces(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(w Workspace) bool { return w.Name == name }) {
		return errcode.New(errcode.NotFound, "there is no workspace "+show(name))
	}
	return nil
}

func (a *API) workspaceOf(c *call) (Workspace, error) {
	all, err := a.harbor.Workspaces.Workspaces(c.r.Context())
	if err != nil {
		return Workspace{}, err
	}
	name := c.path("workspace")
	i := slices.IndexFunc(all, func(w Workspace) bool { return w.Name == name })
	if i < 0 {
		return Workspace{}, fmt.Errorf("find workspace %s: %w", show(name), policy.ErrNotFound)
	}
	return all[i], nil
}

func (a *API) listWorkspaces(*call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) { return list(a.harbor.Workspaces.Workspaces(ctx)) }}, nil
}

func (a *API) readWorkspace(c *call) (plan, error) {
	w, err := a.workspaceOf(c)
	return plan{id: c.path("workspace"), do: func(context.Context) (any, error) { return w, nil }}, err
}

func (a *API) createWorkspace(c *call) (plan, error) {
	body, _ := c.body.(*NewWorkspace)
	w := Workspace{Name: body.Name, Description: body.Description, Hosts: body.Hosts, Created: c.now}
	if w.Hosts == nil {
		w.Hosts = []string{}
	}
	if err := errors.Join(w.check(), CheckUserName(body.Admin), CheckPassword(body.AdminPassword)); err != nil {
		return plan{}, err
	}
	return plan{id: w.Name, after: w, do: func(ctx context.Context) (any, error) {
		hash, err := a.cfg.Passwords.Hash(body.AdminPassword)
		if err != nil {
			return nil, err
		}
		if err := a.harbor.Workspaces.CreateWorkspace(ctx, w); err != nil {
			return nil, inUse(err, "the workspace or one of its hosts is there already")
		}
		first := User{Name: body.Admin, Admin: true, Created: c.now}
		return w, a.cfg.Accounts.CreateUser(ctx, w.Name, first, hash)
	}}, nil
}

func (a *API) updateWorkspace(c *call) (plan, error) {
	body, _ := c.body.(*WorkspaceChange)
	was, err := a.workspaceOf(c)
	if err != nil {
		return plan{id: c.path("workspace")}, err
	}
	now := was
	if body.Description != nil {
		now.Description = *body.Description
	}
	if body.Hosts != nil {
		now.Hosts = *body.Hosts
	}
	if err := now.check(); err != nil {
		return plan{id: was.Name}, err
	}
	return plan{id: was.Name, before: was, after: now, do: func(ctx context.Context) (any, error) {
		return now, inUse(a.harbor.Workspaces.UpdateWorkspace(ctx, now), "a host is another workspace's")
	}}, nil
}

func (a *API) deleteWorkspace(c *call) (plan, error) {
	was, err := a.workspaceOf(c)
	if err != nil {
		return plan{id: c.path("workspace")}, err
	}
	if was.Name == policy.DefaultWorkspace {
		return plan{id: was.Name}, refuse("the workspace %s is there always", was.Name)
	}
	return plan{id: was.Name, before: was, do: func(ctx context.Context) (any, error) {
		return nil, inUse(a.harbor.Workspaces.DeleteWorkspace(ctx, was.Name), "the workspace "+was.Name+" has projects; delete them first")
	}}, nil
}

// inUse puts a conflict into words.
func inUse(err error, why string) error {
	if errors.Is(err, policy.ErrConflict) {
		return errcode.New(errcode.Conflict, strings.TrimSpace(why)).Because(err)
	}
	return err
}
