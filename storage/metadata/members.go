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
	MemberUser     = "user"
	MemberGroup    = "group"
	MemberRobot    = "robot"
	MemberWorkload = "workload"
)

// RobotIssuer vouches for robots, which are the gateway's own.
const RobotIssuer = "robot"

// Member is one grant: a role in a project, or in a part of its repositories,
// for somebody of an issuer. Somebody may have several, for several parts.
type Member struct {
	// ID is known by outside and is never given to another.
	ID        int64  `json:"id"`
	Workspace string `json:"workspace"`
	Project   string `json:"project"`
	Issuer    string `json:"issuer"`
	Kind      string `json:"kind"`
	// Name is a user's subject, a group's name, a robot's [Robot.FullName] or a
	// workload's subject. With Claims it is only what people call the grant.
	Name string `json:"name"`
	Role string `json:"role"`
	// Repositories is a pattern of full names, "payments/web-*"; empty is the
	// whole project with its settings.
	Repositories string `json:"repositories,omitempty"`
	// Claims are what a workload's token must say, all of it, for the grant to be
	// the workload's, whatever its subject is.
	Claims map[string]string `json:"claims,omitempty"`
}

// MemberQuery is a page of members. It is sorted by id, name, kind, issuer or
// role; by issuer, kind, name and repositories without a key.
type MemberQuery struct {
	Page
	Name   Text
	Issuer string
	Kind   string
	Role   string
}

func (m Member) withDefaults() Member {
	m.Workspace = workspaceOf(m.Workspace)
	if m.Kind == "" {
		m.Kind = MemberUser
	}
	if m.Issuer == "" {
		m.Issuer = policy.LocalIssuer
		if m.Kind == MemberRobot {
			m.Issuer = RobotIssuer
		}
	}
	return m
}

func (m Member) check() error {
	switch m.Kind {
	case MemberUser, MemberGroup, MemberWorkload:
	case MemberRobot:
		if m.Issuer != RobotIssuer {
			return fmt.Errorf("robots are of the issuer %q: %w", RobotIssuer, policy.ErrInvalid)
		}
	default:
		return fmt.Errorf("a member is a user, a group, a robot or a workload: %w", policy.ErrInvalid)
	}
	if err := checkIssuer(m.Issuer); err != nil {
		return err
	}
	if err := checkName("a member's name", m.Name); err != nil {
		return err
	}
	if len(m.Claims) > 0 && m.Kind != MemberWorkload {
		return fmt.Errorf("only workloads have claims: %w", policy.ErrInvalid)
	}
	for claim, value := range m.Claims {
		// A claim that nobody has to fill would be met by every token with an empty one.
		if claim == "" || value == "" {
			return fmt.Errorf("a claim needs a name and a value: %w", policy.ErrInvalid)
		}
	}
	return checkPattern(m.Repositories, m.Project)
}

// SetMember adds a grant, or gives the one of the same member and repositories
// another role and other claims; it answers the grant with its number. An unknown role
// or kind is policy.ErrInvalid; an unknown project, robot or user of the local
// issuer is policy.ErrNotFound; a group that nobody named before is made. An
// empty issuer is the local one, an empty kind a user.
func (s *Store) SetMember(ctx context.Context, m Member) (Member, error) {
	return s.putMember(ctx, m, ` ON CONFLICT (workspace, project, issuer, kind, name, repositories)
		DO UPDATE SET role = excluded.role, claims = excluded.claims`)
}

// AddMember is SetMember for a grant that must not be there yet: policy.ErrConflict.
func (s *Store) AddMember(ctx context.Context, m Member) (Member, error) {
	return s.putMember(ctx, m, "")
}

func (s *Store) putMember(ctx context.Context, m Member, conflict string) (Member, error) {
	m = m.withDefaults()
	err := s.changeProject(ctx, m.Workspace, m.Project, func(ctx context.Context, tx querier) error {
		err := s.holdProject(ctx, tx, m.Workspace, m.Project)
		if err == nil {
			m, err = s.addMember(ctx, tx, m, conflict)
		}
		return err
	})
	if err != nil {
		return Member{}, wrap(err, "set member %q of project %q", m.Name, m.Project)
	}
	return m, nil
}

func (s *Store) addMember(ctx context.Context, tx querier, m Member, conflict string) (Member, error) {
	err := m.check()
	if err == nil {
		err = s.holdRole(ctx, tx, m.Workspace, m.Role)
	}
	if err == nil {
		err = s.holdWho(ctx, tx, m)
	}
	if err != nil {
		return m, err
	}
	claims, err := encoded("claims", m.Claims)
	if err != nil {
		return m, err
	}
	if m.ID, err = number(ctx, tx, numberMember); err != nil {
		return m, err
	}
	err = tx.row(ctx, `INSERT INTO members (workspace, id, project, issuer, kind, name, repositories, role, claims)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`+conflict+" RETURNING id",
		m.Workspace, m.ID, m.Project, m.Issuer, m.Kind, m.Name, m.Repositories, m.Role, claims).Scan(&m.ID)
	return m, err
}

// holdWho keeps whom the gateway itself knows from being deleted meanwhile.
// People of other issuers may be given roles before they ever log in.
func (s *Store) holdWho(ctx context.Context, tx querier, m Member) error {
	switch {
	case m.Kind == MemberUser && m.Issuer == policy.LocalIssuer:
		return s.hold(ctx, tx, "user", "SELECT 1 FROM people WHERE workspace = $1 AND "+bySubject,
			m.Workspace, m.Issuer, m.Name)
	case m.Kind == MemberGroup:
		return s.holdGroup(ctx, tx, groupOf(m))
	case m.Kind == MemberRobot:
		project, name := robotNames(m.Name)
		return s.hold(ctx, tx, "robot", "SELECT 1 FROM robots WHERE workspace = $1 AND "+robotByName,
			m.Workspace, project, name)
	default:
		return nil
	}
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

// SetMemberRole gives a grant, found by its number, another role.
func (s *Store) SetMemberRole(ctx context.Context, workspace, project string, id int64, role string) error {
	workspace = workspaceOf(workspace)
	err := s.changeProject(ctx, workspace, project, func(ctx context.Context, tx querier) error {
		if err := s.holdRole(ctx, tx, workspace, role); err != nil {
			return err
		}
		return affectsOne(tx.exec(ctx, "UPDATE members SET role = $4 WHERE workspace = $1 AND project = $2 AND id = $3",
			workspace, project, id, role))
	})
	return wrap(err, "change member %d of project %q", id, project)
}

// RemoveMember takes a member out of a project: the grant for its Repositories,
// or all of the member's when that is empty. A member that is not there is
// policy.ErrNotFound.
func (s *Store) RemoveMember(ctx context.Context, m Member) error {
	m = m.withDefaults()
	err := s.changeProject(ctx, m.Workspace, m.Project, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, `DELETE FROM members
			WHERE workspace = $1 AND project = $2 AND issuer = $3 AND kind = $4 AND name = $5
				AND ($6 = '' OR repositories = $6)`,
			m.Workspace, m.Project, m.Issuer, m.Kind, m.Name, m.Repositories))
	})
	return wrap(err, "remove member %q of project %q", m.Name, m.Project)
}

// RemoveMemberByID takes one grant away, or fails with policy.ErrNotFound.
func (s *Store) RemoveMemberByID(ctx context.Context, workspace, project string, id int64) error {
	workspace = workspaceOf(workspace)
	err := s.changeProject(ctx, workspace, project, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, "DELETE FROM members WHERE workspace = $1 AND project = $2 AND id = $3",
			workspace, project, id))
	})
	return wrap(err, "remove member %d of project %q", id, project)
}

const memberColumns = "workspace, id, project, issuer, kind, name, role, repositories, claims"

func scanMember(scan func(...any) error) (m Member, err error) {
	var claims string
	if err := scan(&m.Workspace, &m.ID, &m.Project, &m.Issuer, &m.Kind, &m.Name, &m.Role, &m.Repositories, &claims); err != nil {
		return m, err
	}
	return m, decoded("claims", claims, &m.Claims)
}

// Members answers a page of a project's grants and how many there are on all pages.
func (s *Store) Members(ctx context.Context, workspace, project string, q MemberQuery) ([]Member, int, error) {
	l := &listing{
		columns: memberColumns, from: "members", order: "issuer, kind, name, repositories",
		sorts: map[string]string{"id": "id", "name": "name", "kind": "kind", "issuer": "issuer", "role": "role"},
	}
	l.equal("workspace", workspaceOf(workspace))
	l.equal("project", project)
	l.equalIf("issuer", q.Issuer)
	l.equalIf("kind", q.Kind)
	l.equalIf("role", q.Role)
	l.text("name", q.Name)
	all, total, err := list(ctx, s, l, q.Page, scanMember)
	return all, total, wrap(err, "list members of project %q", project)
}

// MemberByID answers one grant of a project, or policy.ErrNotFound.
func (s *Store) MemberByID(ctx context.Context, workspace, project string, id int64) (Member, error) {
	m, err := scanMember(s.reads.row(ctx, "SELECT "+memberColumns+
		" FROM members WHERE workspace = $1 AND project = $2 AND id = $3", workspaceOf(workspace), project, id).Scan)
	return m, wrap(err, "member %d of project %q", id, project)
}

// dropMember takes somebody out of all projects and answers those.
func dropMember(ctx context.Context, tx querier, workspace, kind, issuer, name string) ([]part, error) {
	return projectsChanged(ctx, tx, workspace, `DELETE FROM members
		WHERE workspace = $1 AND kind = $2 AND issuer = $3 AND name = $4 RETURNING project`, workspace, kind, issuer, name)
}

// projectsChanged runs a change of members and answers the projects it touched.
func projectsChanged(ctx context.Context, tx querier, workspace, query string, args ...any) ([]part, error) {
	rows, err := tx.rows(ctx, query, args...)
	projects, err := collect(rows, err, scanString[string])
	seen := map[string]bool{}
	var parts []part
	for _, project := range projects {
		if !seen[project] {
			seen[project] = true
			parts = append(parts, part{changedProject, workspace, project})
		}
	}
	return parts, err
}
