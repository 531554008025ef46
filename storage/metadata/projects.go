package metadata

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// CreateProject adds a project. A name that is taken is policy.ErrConflict, so
// that of several creators at once exactly one succeeds.
func (s *Store) CreateProject(ctx context.Context, p policy.Project) error {
	return s.FoundProject(ctx, p)
}

// FoundProject makes a project together with its first members: nobody sees the
// one without the others, neither a second upload of the same push nor a server
// that is started after a crash. The members' project is this one. It fails as
// CreateProject and SetMember do.
func (s *Store) FoundProject(ctx context.Context, p policy.Project, members ...Member) error {
	p.Workspace = workspaceOf(p.Workspace)
	if p.Name == "" || strings.Contains(p.Name, "/") {
		return fmt.Errorf("metadata: a project needs a name without a slash: %w", policy.ErrInvalid)
	}
	labels, packs, err := projectJSON(p)
	if err != nil {
		return err
	}
	err = s.changeProject(ctx, p.Workspace, p.Name, func(ctx context.Context, tx querier) error {
		_, err := tx.exec(ctx, `INSERT INTO projects (workspace, name, public, owner, labels, packs, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			p.Workspace, p.Name, p.Public, p.Owner, labels, packs, time.Now().UnixMicro())
		if err != nil {
			return err
		}
		for _, m := range members {
			m.Workspace, m.Project = p.Workspace, p.Name
			if err := setMember(ctx, tx, m.withDefaults()); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "create project %q", p.Name)
}

// UpdateProject replaces everything about a project but its name and members.
func (s *Store) UpdateProject(ctx context.Context, p policy.Project) error {
	p.Workspace = workspaceOf(p.Workspace)
	labels, packs, err := projectJSON(p)
	if err != nil {
		return err
	}
	err = s.changeProject(ctx, p.Workspace, p.Name, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, `UPDATE projects SET public = $3, owner = $4, labels = $5, packs = $6
			WHERE workspace = $1 AND name = $2`, p.Workspace, p.Name, p.Public, p.Owner, labels, packs))
	})
	return wrap(err, "update project %q", p.Name)
}

func projectJSON(p policy.Project) (labels, packs string, err error) {
	l, err := json.Marshal(p.Labels)
	if err != nil {
		return "", "", fmt.Errorf("metadata: labels of project %q: %w: %w", p.Name, policy.ErrInvalid, err)
	}
	k, err := json.Marshal(p.Packs)
	if err != nil {
		return "", "", fmt.Errorf("metadata: packs of project %q: %w: %w", p.Name, policy.ErrInvalid, err)
	}
	return string(l), string(k), nil
}

const projectColumns = "workspace, name, public, owner, labels, packs"

func scanProject(scan func(...any) error) (p policy.Project, err error) {
	var labels, packs string
	if err := scan(&p.Workspace, &p.Name, &p.Public, &p.Owner, &labels, &packs); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(labels), &p.Labels); err != nil {
		return p, fmt.Errorf("labels of %q: %w", p.Name, err)
	}
	if err := json.Unmarshal([]byte(packs), &p.Packs); err != nil {
		return p, fmt.Errorf("packs of %q: %w", p.Name, err)
	}
	return p, nil
}

// Projects lists the projects of a workspace by name.
func (s *Store) Projects(ctx context.Context, workspace string) ([]policy.Project, error) {
	rows, err := s.reads.rows(ctx,
		"SELECT "+projectColumns+" FROM projects WHERE workspace = $1 ORDER BY name", workspaceOf(workspace))
	all, err := collect(rows, err, func(rows *sql.Rows) (policy.Project, error) { return scanProject(rows.Scan) })
	return all, wrap(err, "list projects")
}

// Project answers one project, or policy.ErrNotFound.
func (s *Store) Project(ctx context.Context, workspace, name string) (policy.Project, error) {
	p, err := scanProject(s.reads.row(ctx,
		"SELECT "+projectColumns+" FROM projects WHERE workspace = $1 AND name = $2", workspaceOf(workspace), name).Scan)
	return p, wrap(err, "project %q", name)
}

func (s *Store) changeProject(ctx context.Context, workspace, name string, fn func(context.Context, querier) error) error {
	return s.changeDirectory(ctx, part{changedProject, workspace, name}, fn)
}

// readProjects reads what the view knows of projects, members included: all, or one.
func readProjects(ctx context.Context, q querier, workspace, name string) (map[named]*projectFacts, error) {
	all := map[named]*projectFacts{}
	where, args := oneOrAll(workspace, name)
	rows, err := q.rows(ctx, "SELECT "+projectColumns+" FROM projects"+where, args...)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		p, err := scanProject(rows.Scan)
		all[named{p.Workspace, p.Name}] = &projectFacts{project: p}
		return struct{}{}, err
	})
	if err != nil {
		return nil, err
	}
	rows, err = q.rows(ctx, "SELECT "+memberColumns+" FROM members"+
		strings.Replace(where, "name", "project", 1), args...)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		m, err := scanMember(rows)
		if facts := all[named{m.Workspace, m.Project}]; err == nil && facts != nil {
			facts.add(m)
		}
		return struct{}{}, err
	})
	return all, err
}

// add files a member. A role that this version does not know gives nothing.
func (p *projectFacts) add(m Member) {
	role, ok := memberRole(m.Role)
	if !ok {
		return
	}
	into := &p.users
	if m.Kind == MemberGroup {
		into = &p.groups
	}
	if *into == nil {
		*into = map[identity]roles{}
	}
	(*into)[identity{m.Issuer, m.Name}] |= role
}
