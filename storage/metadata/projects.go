package metadata

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Project is a project as it is kept: what decisions know of it, and what only
// people and the management API do.
type Project struct {
	policy.Project
	// ID is known by outside and is never given to another.
	ID          int64
	Description string
	Created     time.Time
	// Metadata are Harbor's settings of a project, kept and answered.
	Metadata map[string]string
	// Policies is what a project's configuration says under that name, kept and answered.
	Policies json.RawMessage
}

// ProjectQuery is a page of projects. It is sorted by id, name, owner or
// created; by name without a key.
type ProjectQuery struct {
	Page
	Name   Text
	Owner  string
	Public *bool
}

// CreateProject adds a project and answers it with its number. A name that is
// taken is policy.ErrConflict, so that of several creators at once exactly one
// succeeds.
func (s *Store) CreateProject(ctx context.Context, p Project) (Project, error) {
	return s.FoundProject(ctx, p)
}

// FoundProject makes a project together with its first members: nobody sees the
// one without the others, neither a second upload of the same push nor a server
// that is started after a crash. The members' project is this one. It fails as
// CreateProject and SetMember do.
func (s *Store) FoundProject(ctx context.Context, p Project, members ...Member) (Project, error) {
	p.Workspace = workspaceOf(p.Workspace)
	if p.Created.IsZero() {
		p.Created = time.Now()
	}
	row, err := newProjectRow(p)
	if err != nil {
		return Project{}, wrap(err, "create project %q", p.Name)
	}
	err = s.changeProject(ctx, p.Workspace, p.Name, func(ctx context.Context, tx querier) error {
		if p.ID, err = number(ctx, tx, numberProject); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `INSERT INTO projects
				(workspace, name, id, public, owner, labels, packs, created, description, metadata, policies)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			p.Workspace, p.Name, p.ID, p.Public, p.Owner, row.labels, row.packs, micros(p.Created),
			p.Description, row.metadata, row.policies); err != nil {
			return err
		}
		for _, m := range members {
			m.Workspace, m.Project = p.Workspace, p.Name
			if _, err := s.addMember(ctx, tx, m.withDefaults(), ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Project{}, wrap(err, "create project %q", p.Name)
	}
	p.Created = fromMicros(micros(p.Created))
	return p, nil
}

// UpdateProject replaces everything about a project but its name, number,
// members and the time it was made.
func (s *Store) UpdateProject(ctx context.Context, p Project) error {
	p.Workspace = workspaceOf(p.Workspace)
	row, err := newProjectRow(p)
	if err != nil {
		return wrap(err, "update project %q", p.Name)
	}
	err = s.changeProject(ctx, p.Workspace, p.Name, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, `UPDATE projects SET public = $3, owner = $4, labels = $5, packs = $6,
				description = $7, metadata = $8, policies = $9 WHERE workspace = $1 AND name = $2`,
			p.Workspace, p.Name, p.Public, p.Owner, row.labels, row.packs, p.Description, row.metadata, row.policies))
	})
	return wrap(err, "update project %q", p.Name)
}

// projectRow is what of a project is JSON in its row.
type projectRow struct{ labels, packs, metadata, policies string }

func newProjectRow(p Project) (row projectRow, err error) {
	if p.Name == AnyProject || strings.ContainsAny(p.Name, "/+ ") {
		return row, fmt.Errorf("a project's name has no slash, plus or space, and is not a star: %w", policy.ErrInvalid)
	}
	if err := checkName("a project's name", p.Name); err != nil {
		return row, err
	}
	if row.labels, err = encoded("labels", p.Labels); err != nil {
		return row, err
	}
	if row.packs, err = encoded("packs", p.Packs); err != nil {
		return row, err
	}
	if row.metadata, err = encoded("metadata", p.Metadata); err != nil {
		return row, err
	}
	row.policies, err = verbatim("policies", p.Policies)
	return row, err
}

const projectColumns = "workspace, name, id, public, owner, labels, packs, created, description, metadata, policies"

func scanProject(scan func(...any) error) (p Project, err error) {
	var row projectRow
	var created int64
	if err := scan(&p.Workspace, &p.Name, &p.ID, &p.Public, &p.Owner, &row.labels, &row.packs, &created,
		&p.Description, &row.metadata, &row.policies); err != nil {
		return p, err
	}
	p.Created, p.Policies = fromMicros(created), document(row.policies)
	for _, column := range []struct {
		what, text string
		into       any
	}{{"labels", row.labels, &p.Labels}, {"packs", row.packs, &p.Packs}, {"metadata", row.metadata, &p.Metadata}} {
		if err := decoded(column.what+" of project "+p.Name, column.text, column.into); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Projects answers a page of a workspace's projects and how many there are on all pages.
func (s *Store) Projects(ctx context.Context, workspace string, q ProjectQuery) ([]Project, int, error) {
	l := &listing{
		columns: projectColumns, from: "projects", order: "name",
		sorts: map[string]string{"id": "id", "name": "name", "owner": "owner", "created": "created"},
	}
	l.equal("workspace", workspaceOf(workspace))
	l.equalIf("owner", q.Owner)
	l.text("name", q.Name)
	l.flag("public", q.Public)
	all, total, err := list(ctx, s, l, q.Page, scanProject)
	return all, total, wrap(err, "list projects")
}

// Project answers one project, or policy.ErrNotFound.
func (s *Store) Project(ctx context.Context, workspace, name string) (Project, error) {
	p, err := readProject(ctx, s.reads, workspaceOf(workspace), byName, name)
	return p, wrap(err, "project %q", name)
}

// ProjectByID answers one project, or policy.ErrNotFound.
func (s *Store) ProjectByID(ctx context.Context, workspace string, id int64) (Project, error) {
	p, err := readProject(ctx, s.reads, workspaceOf(workspace), byID, id)
	return p, wrap(err, "project %d", id)
}

func readProject(ctx context.Context, q querier, workspace, condition string, arg any) (Project, error) {
	return scanProject(q.row(ctx, "SELECT "+projectColumns+" FROM projects WHERE workspace = $1 AND "+condition,
		workspace, arg).Scan)
}

func (s *Store) changeProject(ctx context.Context, workspace, name string, fn func(context.Context, querier) error) error {
	return s.changeDirectory(ctx, part{changedProject, workspace, name}, fn)
}
