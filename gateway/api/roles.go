package api

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Role is a role that somebody made: a name for some of the rights in a project.
type Role struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Rights      []string  `json:"rights"`
	Created     time.Time `json:"created,omitzero"`
}

// NewRole is a role to be made or changed.
type NewRole struct {
	Description string   `json:"description,omitempty"`
	Rights      []string `json:"rights" jsonschema:"enum=pull,enum=list,enum=push,enum=delete,enum=members,enum=manage"`
}

// CustomRoles are the roles of a workspace beside the shipped ones. A shipped
// role's name, and deleting one that somebody has, is [policy.ErrConflict].
type CustomRoles interface {
	Roles(ctx context.Context, workspace string) ([]Role, error)
	PutRole(ctx context.Context, workspace string, r Role) error
	DeleteRole(ctx context.Context, workspace, name string) error
}

// projectRights are the rights that a role can give in a project.
var projectRights = []string{"pull", "list", "push", "delete", "members", "manage"}

var roleName = regexp.MustCompile(`^[a-z][a-zA-Z0-9_-]{0,62}$`)

func (a *API) listRoles(c *call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		return list(a.harbor.Roles.Roles(ctx, c.workspace()))
	}}, nil
}

// role is a role that somebody made; [policy.ErrNotFound] for the shipped ones.
func (a *API) role(ctx context.Context, workspace, name string) (Role, error) {
	if a.harbor.Roles != nil {
		all, err := a.harbor.Roles.Roles(ctx, workspace)
		if err != nil {
			return Role{}, err
		}
		if i := slices.IndexFunc(all, func(r Role) bool { return r.Name == name }); i >= 0 {
			return all[i], nil
		}
	}
	return Role{}, fmt.Errorf("find role %s: %w", show(name), policy.ErrNotFound)
}

func (a *API) putRole(c *call) (plan, error) {
	body, _ := c.body.(*NewRole)
	r := Role{Name: c.path("role"), Description: body.Description, Rights: slices.Compact(slices.Sorted(slices.Values(body.Rights))), Created: c.now}
	switch {
	case !roleName.MatchString(r.Name):
		return plan{}, refuse("a role's name is a letter and up to 62 more letters, digits, _ or -: %s", show(r.Name))
	case slices.Contains(Roles(), r.Name) || r.Name == "admin":
		return plan{}, refuse("%s is a role that is there always", r.Name)
	case len(r.Rights) == 0:
		return plan{}, refuse("a role gives a right: %v", projectRights)
	}
	for _, right := range r.Rights {
		if !slices.Contains(projectRights, right) {
			return plan{}, refuse("a right is one of %v, not %s", projectRights, show(right))
		}
	}
	if err := checkText("a description", r.Description, maxText); err != nil {
		return plan{}, err
	}
	p := plan{id: r.Name, after: r}
	was, err := a.role(c.r.Context(), c.workspace(), r.Name)
	if err == nil {
		p.before, r.Created = was, was.Created
	}
	p.do = func(ctx context.Context) (any, error) { return r, a.harbor.Roles.PutRole(ctx, c.workspace(), r) }
	return p, nil
}

func (a *API) deleteRole(c *call) (plan, error) {
	was, err := a.role(c.r.Context(), c.workspace(), c.path("role"))
	if err != nil {
		return plan{id: c.path("role")}, err
	}
	return plan{id: was.Name, before: was, do: func(ctx context.Context) (any, error) {
		return nil, inUse(a.harbor.Roles.DeleteRole(ctx, c.workspace(), was.Name), "somebody has the role "+was.Name)
	}}, nil
}
