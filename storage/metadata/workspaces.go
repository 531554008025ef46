package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Workspace is a tenant of the installation: with its own projects, people and
// policies, reached under hosts of its own.
type Workspace struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Hosts lead to the workspace, sorted, in lower case. One with a port is that
	// port alone, one without is every port.
	Hosts   []string  `json:"hosts"`
	Created time.Time `json:"created,omitzero"`
}

// CreateWorkspace adds a workspace. A name or a host that is taken is policy.ErrConflict.
func (s *Store) CreateWorkspace(ctx context.Context, w Workspace) error {
	if w.Created.IsZero() {
		w.Created = time.Now()
	}
	if err := w.check(); err != nil {
		return wrap(err, "create workspace %q", w.Name)
	}
	err := s.changeDirectory(ctx, workspacePart(w.Name), func(ctx context.Context, tx querier) error {
		if _, err := tx.exec(ctx, "INSERT INTO workspaces (name, description, created) VALUES ($1, $2, $3)",
			w.Name, w.Description, micros(w.Created)); err != nil {
			return err
		}
		return putHosts(ctx, tx, w)
	})
	return wrap(err, "create workspace %q", w.Name)
}

// UpdateWorkspace replaces a workspace's description and hosts.
func (s *Store) UpdateWorkspace(ctx context.Context, w Workspace) error {
	if err := w.check(); err != nil {
		return wrap(err, "update workspace %q", w.Name)
	}
	err := s.changeDirectory(ctx, workspacePart(w.Name), func(ctx context.Context, tx querier) error {
		if err := affectsOne(tx.exec(ctx, "UPDATE workspaces SET description = $2 WHERE name = $1", w.Name, w.Description)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, "DELETE FROM workspace_hosts WHERE workspace = $1", w.Name); err != nil {
			return err
		}
		return putHosts(ctx, tx, w)
	})
	return wrap(err, "update workspace %q", w.Name)
}

func putHosts(ctx context.Context, tx querier, w Workspace) error {
	for _, host := range w.Hosts {
		if _, err := tx.exec(ctx, "INSERT INTO workspace_hosts (host, workspace) VALUES ($1, $2)", lower(host), w.Name); err != nil {
			return err
		}
	}
	return nil
}

func (w Workspace) check() error {
	if w.Name == "" || len(w.Name) > 63 || strings.Trim(w.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("a workspace's name is of lower-case letters, digits and dashes: %w", policy.ErrInvalid)
	}
	for _, host := range w.Hosts {
		if host == "" || strings.ContainsAny(host, "/@?# ") || checkText("a host", host) != nil {
			return fmt.Errorf("%q is no host: %w", host, policy.ErrInvalid)
		}
	}
	return checkText("a description", w.Description)
}

// ownedByWorkspace are the tables whose rows end with their workspace, in an
// order that their references allow. Sessions and access tokens end with people.
var ownedByWorkspace = []string{"people", "user_groups", "robots", "roles", "waivers", "breakglass", "repositories", "blobs", "aliases"}

// DeleteWorkspace removes a workspace with its people, groups, robots, roles,
// waivers and grants for an emergency. While it has a project or a manifest that is policy.ErrConflict, as it is for the
// default workspace.
func (s *Store) DeleteWorkspace(ctx context.Context, name string) error {
	if name == policy.DefaultWorkspace {
		return wrap(fmt.Errorf("it is the default one: %w", policy.ErrConflict), "delete workspace %q", name)
	}
	err := s.changeDirectory(ctx, part{changedWorkspace, name, everythingOf}, func(ctx context.Context, tx querier) error {
		if err := affectsOne(tx.exec(ctx, "DELETE FROM workspaces WHERE name = $1", name)); err != nil {
			return err
		}
		err := exists(ctx, tx, "project", `SELECT 1 FROM projects WHERE workspace = $1
			UNION ALL SELECT 1 FROM artifacts WHERE workspace = $1 LIMIT 1`, name)
		if err == nil {
			return fmt.Errorf("it has projects or manifests: %w", policy.ErrConflict)
		}
		if !isNotFound(err) {
			return err
		}
		for _, table := range ownedByWorkspace {
			if _, err := tx.exec(ctx, "DELETE FROM "+table+" WHERE workspace = $1", name); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "delete workspace %q", name)
}

// Workspaces lists all workspaces by name.
func (s *Store) Workspaces(ctx context.Context) ([]Workspace, error) {
	all, err := readWorkspaces(ctx, s.reads, "")
	return all, wrap(err, "list workspaces")
}

// WorkspaceByName answers one workspace, or policy.ErrNotFound.
func (s *Store) WorkspaceByName(ctx context.Context, name string) (Workspace, error) {
	all, err := readWorkspaces(ctx, s.reads, workspaceOf(name))
	if err == nil && len(all) == 0 {
		err = policy.ErrNotFound
	}
	if err != nil {
		return Workspace{}, wrap(err, "workspace %q", name)
	}
	return all[0], nil
}

func readWorkspaces(ctx context.Context, q querier, name string) ([]Workspace, error) {
	rows, err := q.rows(ctx, `SELECT w.name, w.description, w.created, COALESCE(h.host, '')
		FROM workspaces w LEFT JOIN workspace_hosts h ON h.workspace = w.name
		WHERE $1 = '' OR w.name = $1 ORDER BY w.name, h.host`, name)
	var all []Workspace
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var w Workspace
		var created int64
		var host string
		if err = rows.Scan(&w.Name, &w.Description, &created, &host); err != nil {
			return
		}
		if len(all) == 0 || all[len(all)-1].Name != w.Name {
			w.Created = fromMicros(created)
			all = append(all, w)
		}
		if host != "" {
			last := &all[len(all)-1]
			last.Hosts = append(last.Hosts, host)
		}
		return
	})
	return all, err
}

// WorkspaceOfHost answers which workspace a host leads to, from memory, as the
// view's Workspace does. A host that nobody gave to a workspace leads to none:
// whether the default one stands in is the caller's to say.
func (s *Store) WorkspaceOfHost(host string) (name string, ok bool, err error) {
	v, err := s.newest()
	if err != nil {
		return "", false, err
	}
	name, ok = v.Workspace(host)
	return name, ok, nil
}

// everythingOf is the key of a change that nothing less than a new reading of a
// whole workspace shows.
const everythingOf = "*"

// workspacePart is what a change of a workspace's hosts touches in the view.
func workspacePart(name string) part { return part{changedWorkspace, name, ""} }

// readHosts reads which workspace each host leads to.
func readHosts(ctx context.Context, q querier) (map[string]string, error) {
	rows, err := q.rows(ctx, "SELECT host, workspace FROM workspace_hosts")
	all := map[string]string{}
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		var host, workspace string
		err := rows.Scan(&host, &workspace)
		all[host] = workspace
		return struct{}{}, err
	})
	return all, err
}
