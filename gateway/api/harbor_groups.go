package api

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// HarborGroup is Harbor's UserGroup. The type is 1 for a directory's group, 2 for
// one of the gateway's own, 3 for one of an identity provider.
type HarborGroup struct {
	ID     int64  `json:"id,omitempty"`
	Name   string `json:"group_name"`
	Type   int64  `json:"group_type"`
	DN     string `json:"ldap_group_dn,omitempty"`
	Issuer string `json:"issuer,omitempty"`
}

// HarborGroupFound is Harbor's UserGroupSearchItem.
type HarborGroupFound struct {
	ID   int64  `json:"id"`
	Name string `json:"group_name"`
	Type int64  `json:"group_type"`
}

// Harbor's types of groups.
const (
	groupOfDirectory = 1
	groupOfGateway   = 2
	groupOfProvider  = 3
)

// ldapIssuer is what the issuers of directories begin with.
const ldapIssuer = "ldap:"

var groupFields = []field[Group]{
	{"group_name", func(g Group) any { return g.Name }},
	{"id", func(g Group) any { return g.ID }},
	{"group_type", func(g Group) any { return groupType(g.Issuer) }},
	{"ldap_group_dn", func(g Group) any { return g.DN }},
	{"creation_time", func(g Group) any { return g.Created }},
}

func groupType(issuer string) int64 {
	switch {
	case strings.HasPrefix(issuer, ldapIssuer):
		return groupOfDirectory
	case issuer == policy.LocalIssuer:
		return groupOfGateway
	default:
		return groupOfProvider
	}
}

func harborGroup(g Group) HarborGroup {
	return HarborGroup{ID: g.ID, Name: g.Name, Type: groupType(g.Issuer), DN: g.DN, Issuer: g.Issuer}
}

func groupDoc(g Group) map[string]any {
	return map[string]any{"name": g.Name, "issuer": g.Issuer, "dn": g.DN, "admin": g.Admin}
}

func (a *API) harborListGroups(c *call) (plan, error) {
	l, err := readListing(c)
	if err != nil {
		return plan{}, err
	}
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.Groups.Groups(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		if name := c.query("group_name"); name != "" {
			l.where = append(l.where, condition{field: "group_name", fuzzy: true, values: []string{name}})
		}
		if dn := c.query("ldap_group_dn"); dn != "" {
			l.where = append(l.where, condition{field: "ldap_group_dn", values: []string{dn}})
		}
		return paged(l, all, "group_name", groupFields, harborGroup)
	}}, nil
}

func (a *API) harborSearchGroups(c *call) (plan, error) {
	name := c.query("groupname")
	if name == "" {
		return plan{}, refuse("groupname is required")
	}
	l, err := readListing(c)
	if err != nil {
		return plan{}, err
	}
	l.where = append(l.where, condition{field: "group_name", fuzzy: true, values: []string{name}})
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.Groups.Groups(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		return paged(l, all, "group_name", groupFields, func(g Group) HarborGroupFound {
			return HarborGroupFound{g.ID, g.Name, groupType(g.Issuer)}
		})
	}}, nil
}

func (a *API) harborCreateGroup(c *call) (plan, error) {
	body, _ := c.body.(*HarborGroup)
	g, err := a.newGroup(c.workspace(), *body)
	if err != nil {
		return plan{}, err
	}
	return plan{id: g.Name, after: groupDoc(g), do: func(ctx context.Context) (any, error) {
		made, err := a.harbor.Groups.CreateGroup(ctx, c.workspace(), g)
		return located(c, made.ID), err
	}}, nil
}

// newGroup finds out whose group is meant. Harbor has one directory or one
// provider; where there are several, the issuer has to be named.
func (a *API) newGroup(workspace string, in HarborGroup) (Group, error) {
	g := Group{Issuer: in.Issuer, Name: in.Name, DN: in.DN}
	if g.Name == "" {
		g.Name = g.DN
	}
	if g.Name == "" {
		return g, refuse("a group has a name")
	}
	if err := checkText("a group's name", g.Name, maxText); err != nil {
		return g, err
	}
	if err := checkText("a group's DN", g.DN, maxText); err != nil {
		return g, err
	}
	if g.Issuer == "" {
		var err error
		if g.Issuer, err = a.issuerOf(workspace, in.Type); err != nil {
			return g, err
		}
	}
	if err := checkText("an issuer", g.Issuer, maxName); err != nil {
		return g, err
	}
	if in.Type != 0 && groupType(g.Issuer) != in.Type {
		return g, refuse("a group of type %d is not one of %s", in.Type, show(g.Issuer))
	}
	return g, nil
}

// directoriesOf are those of a workspace: another one's are none of its business.
func (a *API) directoriesOf(workspace string) []Directory {
	var out []Directory
	for _, d := range a.harbor.Directories {
		if d.Workspace() == workspace {
			out = append(out, d)
		}
	}
	return out
}

func (a *API) issuerOf(workspace string, kind int64) (string, error) {
	directories := a.directoriesOf(workspace)
	switch {
	case kind == groupOfDirectory && len(directories) == 1:
		return ldapIssuer + directories[0].Name(), nil
	case kind == groupOfDirectory && len(directories) == 0:
		return "", refuse("no directory is configured")
	case kind == groupOfGateway:
		return policy.LocalIssuer, nil
	default:
		return "", refuse("name the issuer of the group")
	}
}

func (a *API) groupOf(c *call) (Group, error) {
	id, err := c.id("group_id")
	if err != nil {
		return Group{}, err
	}
	all, err := a.harbor.Groups.Groups(c.r.Context(), c.workspace())
	if err != nil {
		return Group{}, err
	}
	for _, g := range all {
		if g.ID == id {
			return g, nil
		}
	}
	return Group{}, fmt.Errorf("find group %d: %w", id, policy.ErrNotFound)
}

func (a *API) harborReadGroup(c *call) (plan, error) {
	g, err := a.groupOf(c)
	return plan{id: cmp.Or(g.Name, c.path("group_id")), do: func(context.Context) (any, error) { return harborGroup(g), nil }}, err
}

func (a *API) harborUpdateGroup(c *call) (plan, error) {
	body, _ := c.body.(*HarborGroup)
	if err := checkText("a group's name", body.Name, maxText); err != nil || body.Name == "" {
		return plan{}, refuse("a group has a name of at most %d bytes", maxText)
	}
	was, err := a.groupOf(c)
	if err != nil {
		return plan{id: c.path("group_id")}, err
	}
	now := was
	now.Name = body.Name
	return plan{id: was.Name, before: groupDoc(was), after: groupDoc(now), do: func(ctx context.Context) (any, error) {
		return done, a.harbor.Groups.RenameGroup(ctx, c.workspace(), was.ID, now.Name)
	}}, nil
}

func (a *API) harborDeleteGroup(c *call) (plan, error) {
	was, err := a.groupOf(c)
	if err != nil {
		return plan{id: c.path("group_id")}, err
	}
	return plan{id: was.Name, before: groupDoc(was), do: func(ctx context.Context) (any, error) {
		return done, a.harbor.Groups.DeleteGroup(ctx, c.workspace(), was.ID)
	}}, nil
}
