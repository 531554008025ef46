package api

import (
	"cmp"
	"context"
	"fmt"

	"github.com/bondgate/bondgate/policy"
)

// HarborMember is Harbor's ProjectMemberEntity.
type HarborMember struct {
	ID         int64  `json:"id"`
	ProjectID  int64  `json:"project_id"`
	EntityName string `json:"entity_name"`
	RoleName   string `json:"role_name"`
	RoleID     int64  `json:"role_id"`
	EntityID   int64  `json:"entity_id"`
	// EntityType is "u" for a user, "g" for a group, "r" for a robot, "w" for a
	// workload.
	EntityType string `json:"entity_type"`
	// Repositories and Issuer are ours: the part of the project, and who vouches.
	Repositories string `json:"repositories,omitempty"`
	Issuer       string `json:"issuer"`
}

// HarborMemberRequest is Harbor's ProjectMember.
type HarborMemberRequest struct {
	RoleID int64          `json:"role_id"`
	User   *HarborUserRef `json:"member_user,omitempty"`
	Group  *HarborGroup   `json:"member_group,omitempty"`
	// Repositories is ours: a pattern of the repositories that the role reaches.
	Repositories string `json:"repositories,omitempty"`
}

// HarborUserRef names a user by number or by name.
type HarborUserRef struct {
	UserID   int64  `json:"user_id,omitempty"`
	Username string `json:"username,omitempty"`
}

// HarborRole is Harbor's RoleRequest.
type HarborRole struct {
	RoleID int64 `json:"role_id"`
}

// roleIDs are Harbor's numbers of its roles. A role that somebody made has none.
var roleIDs = map[string]int64{"projectAdmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}

func roleOf(id int64) (string, error) {
	for name, n := range roleIDs {
		if n == id {
			return name, nil
		}
	}
	return "", refuse("role_id is 1 (projectAdmin), 2 (developer), 3 (guest), 4 (maintainer) or 5 (limitedGuest), not %d", id)
}

var memberFields = []field[HarborMember]{
	{"entity_name", func(m HarborMember) any { return m.EntityName }},
	{"id", func(m HarborMember) any { return m.ID }},
	{"role_id", func(m HarborMember) any { return m.RoleID }},
	{"role_name", func(m HarborMember) any { return m.RoleName }},
	{"entity_type", func(m HarborMember) any { return m.EntityType }},
}

// entityTypes are Harbor's letters for the kinds of members, and ours for those
// that it has not.
var entityTypes = map[string]string{memberUser: "u", memberGroup: "g", "robot": "r", "workload": "w"}

func membershipDoc(m Membership) map[string]any {
	return map[string]any{
		"project": m.Project, "issuer": m.Issuer, "kind": m.Kind, "name": m.Name, "role": m.Role,
		"repositories": m.Repositories, "claims": m.Claims,
	}
}

// memberDoc is a member who is there: with what the role gives, where somebody made
// it. A rule judges by that who may take it away.
func (a *API) memberDoc(c *call, m Membership) (map[string]any, error) {
	doc := membershipDoc(m)
	as := Member{Role: m.Role}
	err := a.checkRole(c, &as)
	doc["rights"] = orEmpty(as.Rights)
	return doc, err
}

// memberEntities shows members with the names and numbers that people know.
func (a *API) memberEntities(ctx context.Context, workspace string, p ProjectDetail, all []Membership) ([]HarborMember, error) {
	people, err := a.harbor.People.People(ctx, workspace)
	if err != nil {
		return nil, err
	}
	groups, err := a.harbor.Groups.Groups(ctx, workspace)
	if err != nil {
		return nil, err
	}
	out := make([]HarborMember, 0, len(all))
	for _, m := range all {
		e := HarborMember{
			ID: m.ID, ProjectID: p.ID, EntityName: m.Name, RoleName: m.Role, RoleID: roleIDs[m.Role],
			EntityType: entityTypes[m.Kind], Repositories: m.Repositories, Issuer: m.Issuer,
		}
		for _, who := range people {
			if m.Kind == memberUser && who.Issuer == m.Issuer && who.Subject == m.Name {
				e.EntityID, e.EntityName = who.ID, who.Name
			}
		}
		for _, g := range groups {
			if m.Kind == memberGroup && g.Issuer == m.Issuer && g.Name == m.Name {
				e.EntityID = g.ID
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func (a *API) harborListMembers(c *call) (plan, error) {
	l, err := readListing(c)
	if err != nil {
		return plan{}, err
	}
	if name := c.query("entityname"); name != "" {
		l.where = append(l.where, condition{field: "entity_name", fuzzy: true, values: []string{name}})
	}
	p, err := a.detailOf(c)
	return plan{project: p.Name, id: p.Name, do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.Members.Memberships(ctx, c.workspace(), p.Name)
		if err != nil {
			return nil, err
		}
		shown, err := a.memberEntities(ctx, c.workspace(), p, all)
		if err != nil {
			return nil, err
		}
		return paged(l, shown, "id", memberFields, func(m HarborMember) HarborMember { return m })
	}}, err
}

func (a *API) harborAddMember(c *call) (plan, error) {
	body, _ := c.body.(*HarborMemberRequest)
	role, err := roleOf(body.RoleID)
	if err != nil {
		return plan{}, err
	}
	if (body.User == nil) == (body.Group == nil) {
		return plan{}, refuse("a member is a member_user or a member_group")
	}
	if err := checkPattern(body.Repositories); err != nil {
		return plan{}, err
	}
	p, err := a.detailOf(c)
	if err != nil {
		return plan{project: p.Name, id: c.path("project_name_or_id")}, err
	}
	m := Membership{Project: p.Name, Role: role, Repositories: body.Repositories}
	planned := plan{project: p.Name, id: p.Name, after: membershipDoc(m)}
	if body.User != nil {
		err = a.userMember(c, body.User, &m)
	} else {
		err = a.groupMember(c, body.Group, &m)
	}
	planned.id, planned.after = m.Kind+":"+m.Issuer+":"+m.Name, membershipDoc(m)
	planned.do = func(ctx context.Context) (any, error) {
		all, err := a.harbor.Members.Memberships(ctx, c.workspace(), p.Name)
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			if o.Issuer == m.Issuer && o.Kind == m.Kind && o.Name == m.Name && o.Repositories == m.Repositories {
				return nil, fmt.Errorf("a member already: %w", policy.ErrConflict)
			}
		}
		made, err := a.harbor.Members.PutMembership(ctx, c.workspace(), m)
		return located(c, made.ID), err
	}
	return planned, err
}

func (a *API) userMember(c *call, ref *HarborUserRef, m *Membership) error {
	m.Kind, m.Name = memberUser, ref.Username
	var p Person
	var err error
	switch {
	case ref.UserID > 0:
		p, err = a.harbor.People.PersonByID(c.r.Context(), c.workspace(), ref.UserID)
	case ref.Username != "":
		p, err = a.harbor.People.PersonByName(c.r.Context(), c.workspace(), ref.Username)
	default:
		return refuse("member_user has a user_id or a username")
	}
	m.Issuer, m.Name = p.Issuer, cmp.Or(p.Subject, ref.Username)
	return err
}

// groupMember finds the group, or makes one that the directory has and nobody
// named here yet.
func (a *API) groupMember(c *call, ref *HarborGroup, m *Membership) error {
	m.Kind = memberGroup
	all, err := a.harbor.Groups.Groups(c.r.Context(), c.workspace())
	if err != nil {
		return err
	}
	for _, g := range all {
		if ref.ID > 0 && g.ID == ref.ID || ref.ID == 0 && ref.Name != "" && g.Name == ref.Name && (ref.Issuer == "" || ref.Issuer == g.Issuer) ||
			ref.ID == 0 && ref.DN != "" && g.DN == ref.DN {
			m.Issuer, m.Name = g.Issuer, g.Name
			return nil
		}
	}
	if ref.ID > 0 {
		return fmt.Errorf("find group %d: %w", ref.ID, policy.ErrNotFound)
	}
	g, err := a.newGroup(c.workspace(), *ref)
	m.Issuer, m.Name = g.Issuer, g.Name
	return err
}

// membershipOf is the member of the path, in the project of the path.
func (a *API) membershipOf(c *call) (ProjectDetail, Membership, error) {
	p, err := a.detailOf(c)
	if err != nil {
		return p, Membership{}, err
	}
	id, err := c.id("mid")
	if err != nil {
		return p, Membership{}, err
	}
	all, err := a.harbor.Members.Memberships(c.r.Context(), c.workspace(), p.Name)
	if err != nil {
		return p, Membership{}, err
	}
	for _, m := range all {
		if m.ID == id {
			return p, m, nil
		}
	}
	return p, Membership{}, fmt.Errorf("find member %d of project %s: %w", id, p.Name, policy.ErrNotFound)
}

func (a *API) harborReadMember(c *call) (plan, error) {
	p, m, err := a.membershipOf(c)
	return plan{project: p.Name, id: c.path("mid"), do: func(ctx context.Context) (any, error) {
		shown, err := a.memberEntities(ctx, c.workspace(), p, []Membership{m})
		if err != nil {
			return nil, err
		}
		return shown[0], nil
	}}, err
}

func (a *API) harborUpdateMember(c *call) (plan, error) {
	body, _ := c.body.(*HarborRole)
	role, err := roleOf(body.RoleID)
	if err != nil {
		return plan{}, err
	}
	p, was, err := a.membershipOf(c)
	if err != nil {
		return plan{project: p.Name, id: c.path("mid")}, err
	}
	now := was
	now.Role = role
	before, err := a.memberDoc(c, was)
	if err != nil {
		return plan{project: p.Name, id: c.path("mid")}, err
	}
	return plan{project: p.Name, id: c.path("mid"), before: before, after: membershipDoc(now), do: func(ctx context.Context) (any, error) {
		_, err := a.harbor.Members.PutMembership(ctx, c.workspace(), now)
		return done, err
	}}, nil
}

func (a *API) harborRemoveMember(c *call) (plan, error) {
	p, was, err := a.membershipOf(c)
	if err != nil {
		return plan{project: p.Name, id: c.path("mid")}, err
	}
	before, err := a.memberDoc(c, was)
	if err != nil {
		return plan{project: p.Name, id: c.path("mid")}, err
	}
	return plan{project: p.Name, id: c.path("mid"), before: before, do: func(ctx context.Context) (any, error) {
		return done, a.harbor.Members.DeleteMembership(ctx, c.workspace(), p.Name, was.ID)
	}}, nil
}

// checkPattern allows repository names with stars: one within a component, two
// across them.
func checkPattern(pattern string) error {
	if pattern == "" {
		return nil
	}
	if len(pattern) > maxName {
		return refuse("a pattern has at most %d bytes", maxName)
	}
	for i := range len(pattern) {
		switch c := pattern[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-', c == '/', c == '*':
		default:
			return refuse("a pattern is a repository's name with stars: %s", show(pattern))
		}
	}
	return nil
}
