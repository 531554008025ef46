package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// The kinds of member.
const (
	memberUser     = "user"
	memberGroup    = "group"
	memberRobot    = "robot"
	memberWorkload = "workload"
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
	m := Member{
		Issuer: c.query("issuer"), Kind: c.path("kind"), Name: c.path("name"), Role: body.Role,
		Repositories: c.query("repositories"), Claims: body.Claims,
	}
	if err := checkMember(&m); err != nil {
		return plan{}, err
	}
	project, err := a.projectOfCall(c)
	m.Project = project
	p := plan{project: project, id: memberID(m), after: m}
	if err != nil {
		return p, err
	}
	if err := a.checkRole(c, &m); err != nil {
		return p, err
	}
	p.after = m
	was, found, err := a.member(c, m)
	if err != nil {
		return p, err
	}
	if found {
		if err := a.checkRole(c, &was); err != nil {
			return p, err
		}
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
	m := Member{Issuer: c.query("issuer"), Kind: c.path("kind"), Name: c.path("name"), Repositories: c.query("repositories")}
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
	if err := a.checkRole(c, &was); err != nil {
		return p, err
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
		return o.Issuer == m.Issuer && o.Kind == m.Kind && o.Name == m.Name && o.Repositories == m.Repositories
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
		if m.Kind == memberRobot {
			m.Issuer = memberRobot
		}
	}
	if err := errors.Join(checkText("an issuer", m.Issuer, maxName), checkPattern(m.Repositories), checkClaims(m.Claims)); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{memberUser, memberGroup, memberRobot, memberWorkload}, m.Kind):
		return refuse("a member is a user, a group, a robot or a workload, not %s", show(m.Kind))
	case m.Kind == memberWorkload && m.Issuer == policy.LocalIssuer:
		return refuse("a workload has an issuer of its own; name it with issuer=")
	case m.Kind != memberWorkload && len(m.Claims) > 0:
		return refuse("claims are a workload's")
	case m.Name == "":
		return refuse("a member has a name")
	case m.Kind == memberUser && m.Issuer == policy.LocalIssuer:
		return CheckUserName(m.Name)
	default:
		return checkText("a member's name", m.Name, maxName)
	}
}

func checkClaims(claims map[string]string) error {
	if len(claims) > 32 {
		return refuse("a workload is known by at most 32 claims")
	}
	for name, value := range claims {
		if name == "" || value == "" {
			return refuse("a claim has a name and a value")
		}
		if err := errors.Join(checkText("a claim's name", name, maxName), checkText("a claim's value", value, maxName)); err != nil {
			return err
		}
	}
	return nil
}

// checkRole says what is wrong with a member's role, and completes one that
// somebody made with the rights that it gives: a rule has to see what is handed on.
func (a *API) checkRole(c *call, m *Member) error {
	if slices.Contains(Roles(), m.Role) {
		return nil
	}
	r, err := a.role(c.r.Context(), c.workspace(), m.Role)
	if errors.Is(err, policy.ErrNotFound) {
		return refuse("a role is one of %s or one that somebody made, not %s", strings.Join(Roles(), ", "), show(m.Role))
	}
	m.Rights = r.Rights
	return err
}

func memberID(m Member) string {
	id := m.Kind + ":" + m.Issuer + ":" + m.Name
	if m.Repositories != "" {
		id += " " + m.Repositories
	}
	return id
}
