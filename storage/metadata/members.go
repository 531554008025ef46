package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/bondgate/bondgate/policy"
)

// The kinds of member.
const (
	MemberUser  = "user"
	MemberGroup = "group"
)

// Member is a user or a group of an issuer with a role in a project. One member
// has one role in a project.
type Member struct {
	Workspace string `json:"workspace"`
	Project   string `json:"project"`
	Issuer    string `json:"issuer"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Role      string `json:"role"`
}

func (m Member) withDefaults() Member {
	m.Workspace = workspaceOf(m.Workspace)
	if m.Issuer == "" {
		m.Issuer = policy.LocalIssuer
	}
	if m.Kind == "" {
		m.Kind = MemberUser
	}
	return m
}

// SetMember adds a member or changes its role. An unknown role or kind is
// policy.ErrInvalid; an unknown project, or an unknown user of the local issuer,
// is policy.ErrNotFound. An empty issuer is the local one, an empty kind a user.
func (s *Store) SetMember(ctx context.Context, m Member) error {
	m = m.withDefaults()
	err := s.changeProject(ctx, m.Workspace, m.Project, func(ctx context.Context, tx querier) error {
		if err := exists(ctx, tx, "project", "SELECT 1 FROM projects WHERE workspace = $1 AND name = $2",
			m.Workspace, m.Project); err != nil {
			return err
		}
		return setMember(ctx, tx, m)
	})
	return wrap(err, "set member %q of project %q", m.Name, m.Project)
}

func setMember(ctx context.Context, tx querier, m Member) error {
	if _, ok := memberRole(m.Role); !ok {
		return fmt.Errorf("metadata: role %q of a member is none of %v: %w", m.Role, roleNames[1:], policy.ErrInvalid)
	}
	if m.Name == "" || (m.Kind != MemberUser && m.Kind != MemberGroup) {
		return fmt.Errorf("metadata: a member is a user or a group with a name: %w", policy.ErrInvalid)
	}
	if m.Issuer == policy.LocalIssuer && m.Kind == MemberUser {
		if err := exists(ctx, tx, "user", "SELECT 1 FROM users WHERE workspace = $1 AND name = $2",
			m.Workspace, m.Name); err != nil {
			return err
		}
	}
	_, err := tx.exec(ctx, `INSERT INTO members (workspace, project, issuer, kind, name, role)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (workspace, project, issuer, kind, name) DO UPDATE SET role = excluded.role`,
		m.Workspace, m.Project, m.Issuer, m.Kind, m.Name, m.Role)
	return err
}

// exists fails with policy.ErrNotFound, and says what was not found, when the
// query has no row.
func exists(ctx context.Context, tx querier, what, query string, args ...any) error {
	var one int
	err := tx.row(ctx, query, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", what, policy.ErrNotFound)
	}
	return err
}

// RemoveMember takes a member out of a project; its role does not matter. A
// member that is not there is policy.ErrNotFound.
func (s *Store) RemoveMember(ctx context.Context, m Member) error {
	m = m.withDefaults()
	err := s.changeProject(ctx, m.Workspace, m.Project, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, `DELETE FROM members
			WHERE workspace = $1 AND project = $2 AND issuer = $3 AND kind = $4 AND name = $5`,
			m.Workspace, m.Project, m.Issuer, m.Kind, m.Name))
	})
	return wrap(err, "remove member %q of project %q", m.Name, m.Project)
}

const memberColumns = "workspace, project, issuer, kind, name, role"

func scanMember(rows *sql.Rows) (m Member, err error) {
	err = rows.Scan(&m.Workspace, &m.Project, &m.Issuer, &m.Kind, &m.Name, &m.Role)
	return m, err
}

// Members lists the members of a project by issuer, kind and name.
func (s *Store) Members(ctx context.Context, workspace, project string) ([]Member, error) {
	rows, err := s.reads.rows(ctx, "SELECT "+memberColumns+
		" FROM members WHERE workspace = $1 AND project = $2 ORDER BY issuer, kind, name",
		workspaceOf(workspace), project)
	all, err := collect(rows, err, scanMember)
	return all, wrap(err, "list members of project %q", project)
}
