package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// The kinds of member.
const (
	memberUser  = "user"
	memberGroup = "group"
)

func (a *API) listMembers(c *call) (plan, error) {
	project, err := a.projectOfCall(c)
	if err != nil {
		return plan{project: project}, err
	}
	return plan{project: project, do: func(ctx context.Context) (any, error) {
		return list(a.cfg.Members.Members(ctx, c.workspace(), project))
	}}, nil
}

func (a *API) setMember(c *call) (plan, error) {
	body, _ := c.body.(*NewMember)
	m := Member{Issuer: c.query("issuer"), Kind: c.path("kind"), Name: c.path("name"), Role: body.Role}
	if err := checkMember(&m); err != nil {
		return plan{}, err
	}
	if !slices.Contains(Roles(), m.Role) {
		return plan{}, refuse("a role is one of %s, not %s", strings.Join(Roles(), ", "), show(m.Role))
	}
	project, err := a.projectOfCall(c)
	m.Project = project
	p := plan{project: project, id: memberID(m), after: m}
	if err != nil {
		return p, err
	}
	was, found, err := a.member(c, m)
	if err != nil {
		return p, err
	}
	if found {
		p.before = was
	}
	if m.Kind == memberUser && m.Issuer == policy.LocalIssuer {
		// A role for a name that nobody has would wait for whoever takes it next.
		if _, err := a.cfg.Accounts.User(c.r.Context(), c.workspace(), m.Name); err != nil {
			return p, err
		}
	}
	p.do = func(ctx context.Context) (any, error) {
		return m, a.cfg.Members.SetMember(ctx, c.workspace(), m)
	}
	return p, nil
}

func (a *API) removeMember(c *call) (plan, error) {
	m := Member{Issuer: c.query("issuer"), Kind: c.path("kind"), Name: c.path("name")}
	if err := checkMember(&m); err != nil {
		return plan{}, err
	}
	project, err := a.projectOfCall(c)
	m.Project = project
	p := plan{project: project, id: memberID(m)}
	if err != nil {
		return p, err
	}
	was, found, err := a.member(c, m)
	if err != nil {
		return p, err
	}
	if !found {
		return p, fmt.Errorf("find member %s: %w", m.Name, policy.ErrNotFound)
	}
	p.before = was
	p.do = func(ctx context.Context) (any, error) {
		return nil, a.cfg.Members.RemoveMember(ctx, c.workspace(), was)
	}
	return p, nil
}

// projectOfCall is the project of the path, which must exist.
func (a *API) projectOfCall(c *call) (string, error) {
	name := c.path("project")
	if err := CheckProjectName(name); err != nil {
		return "", err
	}
	_, err := a.cfg.Projects.Project(c.r.Context(), c.workspace(), name)
	return name, err
}

func (a *API) member(c *call, m Member) (Member, bool, error) {
	all, err := a.cfg.Members.Members(c.r.Context(), c.workspace(), m.Project)
	if err != nil {
		return Member{}, false, err
	}
	i := slices.IndexFunc(all, func(o Member) bool {
		return o.Issuer == m.Issuer && o.Kind == m.Kind && o.Name == m.Name
	})
	if i < 0 {
		return Member{}, false, nil
	}
	return all[i], true, nil
}

// checkMember completes who is meant and says what is wrong with it.
func checkMember(m *Member) error {
	if m.Issuer == "" {
		m.Issuer = policy.LocalIssuer
	}
	if err := checkText("an issuer", m.Issuer, maxName); err != nil {
		return err
	}
	switch {
	case m.Kind != memberUser && m.Kind != memberGroup:
		return refuse("a member is a user or a group, not %s", show(m.Kind))
	case m.Name == "":
		return refuse("a member has a name")
	case m.Kind == memberUser && m.Issuer == policy.LocalIssuer:
		return CheckUserName(m.Name)
	default:
		return checkText("a member's name", m.Name, maxName)
	}
}

func memberID(m Member) string { return m.Kind + ":" + m.Issuer + ":" + m.Name }
