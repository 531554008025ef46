package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// DirectoryPerson is what a directory has of somebody, and what follows from it
// here. Nobody was logged in for it, and no password was asked for.
type DirectoryPerson struct {
	DN       string `json:"dn"`
	ID       string `json:"id"`
	Login    string `json:"login"`
	Email    string `json:"email,omitempty"`
	RealName string `json:"real_name,omitempty"`
	// Disabled says why the account is closed there; empty for one that is open.
	Disabled string   `json:"disabled,omitempty"`
	Groups   []string `json:"groups"`
	// Issuer vouches for the person here.
	Issuer string `json:"issuer"`
	// Known is whether the person has logged in here; nobody has a role before.
	Known bool             `json:"known"`
	Roles []RolesInProject `json:"roles"`
}

// RolesInProject are somebody's roles in a project, or in a part of it.
type RolesInProject struct {
	Project string   `json:"project"`
	Roles   []string `json:"roles"`
}

// lookUp asks a directory about somebody.
func (a *API) lookUp(c *call) (plan, error) {
	name, user := c.path("directory"), c.path("user")
	p := plan{id: name + ":" + user}
	i := slices.IndexFunc(a.harbor.Directories, func(d Directory) bool { return d.Name() == name && d.Workspace() == c.workspace() })
	if i < 0 {
		return p, fmt.Errorf("find directory %s: %w", show(name), policy.ErrNotFound)
	}
	p.do = func(ctx context.Context) (any, error) {
		who, err := a.harbor.Directories[i].Person(ctx, user)
		switch {
		case errors.Is(err, policy.ErrUnsupported):
			return nil, refuse("the directory %s has no account that could search it", name)
		case errors.Is(err, policy.ErrConflict):
			return nil, errcode.New(errcode.Conflict, "several entries of the directory go by that name").Because(err)
		case err != nil:
			return nil, err
		}
		_, err = a.harbor.People.PersonBySubject(ctx, c.workspace(), who.Issuer, who.ID)
		if who.Known = err == nil; err != nil && !errors.Is(err, policy.ErrNotFound) {
			return nil, err
		}
		who.Roles, err = a.rolesOf(ctx, policy.Principal{
			Workspace: c.workspace(), Issuer: who.Issuer, ID: who.ID, Name: who.Login, Kind: policy.KindUser, Groups: who.Groups,
		}, c)
		return who, err
	}
	return p, nil
}

// rolesOf are the roles that somebody would have now, in every project.
func (a *API) rolesOf(ctx context.Context, who policy.Principal, c *call) ([]RolesInProject, error) {
	view, err := a.harbor.View.View()
	if err != nil {
		return nil, err
	}
	all, err := a.cfg.Projects.Projects(ctx, c.workspace())
	if err != nil {
		return nil, err
	}
	out := []RolesInProject{}
	for _, p := range all {
		s := view.Subject(who, p.Name, c.now)
		roles := slices.Clone(s.Roles)
		for _, g := range s.Grants {
			role := g.Role
			if g.Repositories != "" {
				role += " (" + g.Repositories + ")"
			}
			roles = append(roles, role)
		}
		if len(roles) > 0 {
			out = append(out, RolesInProject{Project: p.Name, Roles: roles})
		}
	}
	return out, nil
}
