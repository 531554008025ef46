package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// The rights that a grant may give (rego/rules/rbac). Only the shipped role of
// the system's administrator and robots of the system have "admin".
var (
	allRights     = []string{"admin", "delete", "list", "manage", "members", "pull", "push"}
	projectRights = []string{"delete", "list", "manage", "members", "pull", "push"}
	partRights    = []string{"delete", "list", "pull", "push"}
)

// Role is a role that somebody made beside the shipped ones: a name for a set of
// rights in a project.
type Role struct {
	Workspace   string    `json:"workspace"`
	Name        string    `json:"name"`
	Rights      []string  `json:"rights"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created,omitzero"`
}

// checkRights refuses rights beyond the given ones, and none at all; it answers
// them sorted, each once.
func checkRights(rights, from []string) ([]string, error) {
	if len(rights) == 0 {
		return nil, fmt.Errorf("rights are missing: %w", policy.ErrInvalid)
	}
	for _, right := range rights {
		if !slices.Contains(from, right) {
			return nil, fmt.Errorf("right %q is none of %v: %w", right, from, policy.ErrInvalid)
		}
	}
	sorted := slices.Clone(rights)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}

// CreateRole adds a role. The name of a shipped one, or one that is taken, is
// policy.ErrConflict.
func (s *Store) CreateRole(ctx context.Context, r Role) error {
	r.Workspace = workspaceOf(r.Workspace)
	if r.Created.IsZero() {
		r.Created = time.Now()
	}
	rights, err := r.check()
	if err != nil {
		return wrap(err, "create role %q", r.Name)
	}
	err = s.changeRole(ctx, r.Workspace, r.Name, func(ctx context.Context, tx querier) error {
		_, err := tx.exec(ctx, "INSERT INTO roles ("+roleColumns+") VALUES ($1, $2, $3, $4, $5)",
			r.Workspace, r.Name, rights, r.Description, micros(r.Created))
		return err
	})
	return wrap(err, "create role %q", r.Name)
}

// UpdateRole gives a role other rights and another description.
func (s *Store) UpdateRole(ctx context.Context, r Role) error {
	r.Workspace = workspaceOf(r.Workspace)
	rights, err := r.check()
	if err != nil {
		return wrap(err, "update role %q", r.Name)
	}
	err = s.changeRole(ctx, r.Workspace, r.Name, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, "UPDATE roles SET rights = $3, description = $4 WHERE workspace = $1 AND name = $2",
			r.Workspace, r.Name, rights, r.Description))
	})
	return wrap(err, "update role %q", r.Name)
}

func (r Role) check() (rights string, err error) {
	if slices.Contains(roleNames[:], r.Name) {
		return "", fmt.Errorf("a shipped role is called so: %w", policy.ErrConflict)
	}
	if strings.ContainsAny(r.Name, " /$+") {
		return "", fmt.Errorf("a role's name has none of the characters space, /, $, +: %w", policy.ErrInvalid)
	}
	if err := checkName("a role's name", r.Name); err != nil {
		return "", err
	}
	if err := checkText("a description", r.Description); err != nil {
		return "", err
	}
	sorted, err := checkRights(r.Rights, projectRights)
	if err != nil {
		return "", err
	}
	return encoded("rights", sorted)
}

// DeleteRole removes a role. While somebody has it that is policy.ErrConflict.
func (s *Store) DeleteRole(ctx context.Context, workspace, name string) error {
	workspace = workspaceOf(workspace)
	err := s.changeRole(ctx, workspace, name, func(ctx context.Context, tx querier) error {
		// Before the question: who gives the role holds its row until it is given.
		if err := affectsOne(tx.exec(ctx, "DELETE FROM roles WHERE workspace = $1 AND name = $2", workspace, name)); err != nil {
			return err
		}
		err := exists(ctx, tx, "member", "SELECT 1 FROM members WHERE workspace = $1 AND role = $2 LIMIT 1", workspace, name)
		switch {
		case err == nil:
			return fmt.Errorf("somebody has it: %w", policy.ErrConflict)
		case isNotFound(err):
			return nil
		default:
			return err
		}
	})
	return wrap(err, "delete role %q", name)
}

const roleColumns = "workspace, name, rights, description, created"

func scanRole(scan func(...any) error) (r Role, err error) {
	var rights string
	var created int64
	if err := scan(&r.Workspace, &r.Name, &rights, &r.Description, &created); err != nil {
		return r, err
	}
	r.Created = fromMicros(created)
	return r, decoded("rights", rights, &r.Rights)
}

// Roles lists the roles that were made in a workspace, by name.
func (s *Store) Roles(ctx context.Context, workspace string) ([]Role, error) {
	rows, err := s.reads.rows(ctx, "SELECT "+roleColumns+" FROM roles WHERE workspace = $1 ORDER BY name", workspaceOf(workspace))
	all, err := collect(rows, err, each(scanRole))
	return all, wrap(err, "list roles")
}

// Role answers one role that was made, or policy.ErrNotFound.
func (s *Store) Role(ctx context.Context, workspace, name string) (Role, error) {
	r, err := scanRole(s.reads.row(ctx, "SELECT "+roleColumns+" FROM roles WHERE workspace = $1 AND name = $2",
		workspaceOf(workspace), name).Scan)
	return r, wrap(err, "role %q", name)
}

// holdRole refuses a role that nobody can be given, and keeps one that was made
// from being deleted until the transaction ends.
func (s *Store) holdRole(ctx context.Context, tx querier, workspace, name string) error {
	if _, ok := memberRole(name); ok {
		return nil
	}
	err := s.hold(ctx, tx, "role", "SELECT 1 FROM roles WHERE workspace = $1 AND name = $2", workspace, name)
	if isNotFound(err) {
		return fmt.Errorf("role %q of a member is none of %v and was not made: %w", name, roleNames[1:], policy.ErrInvalid)
	}
	return err
}

func (s *Store) changeRole(ctx context.Context, workspace, name string, fn func(context.Context, querier) error) error {
	return s.changeDirectory(ctx, part{changedRole, workspace, name}, fn)
}

// readRoles reads the rights of roles: of all, or of one.
func readRoles(ctx context.Context, q querier, workspace, name string) (map[named][]string, error) {
	where, args := oneOrAll(workspace, name)
	rows, err := q.rows(ctx, "SELECT "+roleColumns+" FROM roles"+where, args...)
	all := map[named][]string{}
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		r, err := scanRole(rows.Scan)
		all[named{r.Workspace, r.Name}] = r.Rights
		return struct{}{}, err
	})
	return all, err
}

// oneOrAll is the condition for a named row, or for all rows when the name is empty.
func oneOrAll(workspace, name string) (where string, args []any) {
	if name == "" {
		return "", nil
	}
	return " WHERE workspace = $1 AND name = $2", []any{workspace, name}
}
