package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// User is a person in the gateway's own database.
type User struct {
	Workspace   string    `json:"workspace"`
	Name        string    `json:"name"`
	Email       string    `json:"email,omitempty"`
	RealName    string    `json:"real_name,omitempty"`
	SystemAdmin bool      `json:"system_admin"`
	Disabled    bool      `json:"disabled"`
	Created     time.Time `json:"created,omitzero"`
}

// CreateUser adds a user; Created is set to now when it is zero. A name that is
// taken is policy.ErrConflict.
func (s *Store) CreateUser(ctx context.Context, u User, passwordHash string) error {
	u.Workspace = workspaceOf(u.Workspace)
	if u.Name == "" {
		return fmt.Errorf("metadata: a user needs a name: %w", policy.ErrInvalid)
	}
	if u.Created.IsZero() {
		u.Created = time.Now()
	}
	err := s.changeUser(ctx, u.Workspace, u.Name, func(ctx context.Context, tx querier) error {
		_, err := tx.exec(ctx, `INSERT INTO users
			(workspace, name, email, real_name, password, admin, disabled, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			u.Workspace, u.Name, u.Email, u.RealName, passwordHash, u.SystemAdmin, u.Disabled, micros(u.Created))
		return err
	})
	return wrap(err, "create user %q", u.Name)
}

const userColumns = "workspace, name, email, real_name, admin, disabled, created"

func scanUser(scan func(...any) error) (u User, err error) {
	var created int64
	err = scan(&u.Workspace, &u.Name, &u.Email, &u.RealName, &u.SystemAdmin, &u.Disabled, &created)
	u.Created = fromMicros(created)
	return u, err
}

// Users lists the users of a workspace by name.
func (s *Store) Users(ctx context.Context, workspace string) ([]User, error) {
	rows, err := s.reads.rows(ctx,
		"SELECT "+userColumns+" FROM users WHERE workspace = $1 ORDER BY name", workspaceOf(workspace))
	users, err := collect(rows, err, func(rows *sql.Rows) (User, error) { return scanUser(rows.Scan) })
	return users, wrap(err, "list users")
}

// User answers one user, or policy.ErrNotFound.
func (s *Store) User(ctx context.Context, workspace, name string) (User, error) {
	u, err := scanUser(s.reads.row(ctx,
		"SELECT "+userColumns+" FROM users WHERE workspace = $1 AND name = $2", workspaceOf(workspace), name).Scan)
	return u, wrap(err, "user %q", name)
}

// PasswordHash answers a user's hash and whether the user is disabled, from the
// database and not from memory.
func (s *Store) PasswordHash(ctx context.Context, workspace, name string) (hash string, disabled bool, err error) {
	err = s.reads.row(ctx, "SELECT password, disabled FROM users WHERE workspace = $1 AND name = $2",
		workspaceOf(workspace), name).Scan(&hash, &disabled)
	return hash, disabled, wrap(err, "password of user %q", name)
}

// SetPasswordHash replaces a user's hash. The view's revision grows, so that
// whoever remembers a successful login can forget it.
func (s *Store) SetPasswordHash(ctx context.Context, workspace, name, hash string) error {
	workspace = workspaceOf(workspace)
	err := s.changeUser(ctx, workspace, name, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx,
			"UPDATE users SET password = $3 WHERE workspace = $1 AND name = $2", workspace, name, hash))
	})
	return wrap(err, "set the password of user %q", name)
}

// SetUserDisabled disables or enables a user. Disabling the last enabled
// administrator of the workspace is policy.ErrConflict.
func (s *Store) SetUserDisabled(ctx context.Context, workspace, name string, disabled bool) error {
	workspace = workspaceOf(workspace)
	err := s.changeUser(ctx, workspace, name, func(ctx context.Context, tx querier) error {
		if disabled {
			if err := s.keepAnAdmin(ctx, tx, workspace, name); err != nil {
				return err
			}
		}
		return affectsOne(tx.exec(ctx,
			"UPDATE users SET disabled = $3 WHERE workspace = $1 AND name = $2", workspace, name, disabled))
	})
	return wrap(err, "set whether user %q is disabled", name)
}

func (s *Store) keepAnAdmin(ctx context.Context, tx querier, workspace, name string) error {
	if s.source.postgres {
		// Two administrators who disable each other at once would both find the other.
		if _, err := tx.exec(ctx, "LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
	}
	var lastOne bool
	err := tx.row(ctx, `SELECT admin AND NOT disabled AND NOT EXISTS (
			SELECT 1 FROM users o WHERE o.workspace = $1 AND o.name <> $2 AND o.admin AND NOT o.disabled)
		FROM users WHERE workspace = $1 AND name = $2`, workspace, name).Scan(&lastOne)
	if err != nil {
		return err
	}
	if lastOne {
		return fmt.Errorf("it is the last enabled administrator: %w", policy.ErrConflict)
	}
	return nil
}

// changeUser runs a change of one user and takes it into the view.
func (s *Store) changeUser(ctx context.Context, workspace, name string, fn func(context.Context, querier) error) error {
	return s.changeDirectory(ctx, part{changedUser, workspace, name}, fn)
}

// changeDirectory runs fn, records the change and installs the view with it.
func (s *Store) changeDirectory(ctx context.Context, p part, fn func(context.Context, querier) error) error {
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return s.record(ctx, tx, p.kind, p.workspace, p.key)
	})
	if err != nil {
		return err
	}
	return s.directory.refresh(ctx, p)
}

// affectsOne turns a change of nothing into policy.ErrNotFound.
func affectsOne(affected int64, err error) error {
	if err == nil && affected == 0 {
		return policy.ErrNotFound
	}
	return err
}

// readUsers reads what the view knows of users: all, or one.
func readUsers(ctx context.Context, q querier, workspace, name string) (map[named]userFacts, error) {
	where, args := oneOrAll(workspace, name)
	rows, err := q.rows(ctx, "SELECT workspace, name, admin, disabled FROM users"+where, args...)
	all := map[named]userFacts{}
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var at named
		var u userFacts
		err = rows.Scan(&at.workspace, &at.name, &u.admin, &u.disabled)
		all[at] = u
		return
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
