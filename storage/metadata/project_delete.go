package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// DeleteProject removes a project with its members, robots and waivers, and takes it out
// of what robots of the system, access tokens and other waivers reach: a project that gets the
// name later belongs to others. While it has a manifest that is policy.ErrConflict.
// The time between a push that was allowed and its arrival here is not covered:
// who deletes a project that is being pushed to may find the push without one.
func (s *Store) DeleteProject(ctx context.Context, workspace, name string) error {
	workspace = workspaceOf(workspace)
	var repositories []string
	err := s.change(ctx, func(ctx context.Context, tx querier) (parts []part, err error) {
		// First, so that whoever hangs something on it waits, or is waited for.
		if err := affectsOne(tx.exec(ctx, "DELETE FROM projects WHERE workspace = $1 AND name = $2", workspace, name)); err != nil {
			return nil, err
		}
		if repositories, err = s.dropRepositories(ctx, tx, workspace, name); err != nil {
			return nil, err
		}
		parts = append(parts, part{changedProject, workspace, name})
		robots, err := s.dropRobots(ctx, tx, workspace, name)
		if err != nil {
			return nil, err
		}
		parts = append(parts, robots...)
		glass, err := s.endGrantsIn(ctx, tx, workspace, name)
		if err != nil {
			return nil, err
		}
		waivers, err := s.endWaiversIn(ctx, tx, workspace, name)
		if err != nil {
			return nil, err
		}
		parts = append(append(parts, glass...), waivers...)
		for _, reach := range []struct {
			table, column string
			touched       func(workspace string, id int64) part
		}{{"robots", "grants", robotPart}, {"access_tokens", "limits", tokenPart}} {
			more, err := s.forgetProject(ctx, tx, reach.table, reach.column, workspace, name, reach.touched)
			if err != nil {
				return nil, err
			}
			parts = append(parts, more...)
		}
		return parts, nil
	})
	for _, repo := range repositories {
		s.cache.changedAll(policy.Repository{Workspace: workspace, Name: repo})
	}
	return wrap(err, "delete project %q", name)
}

// inProject is the condition for the repositories of a project: those that begin
// with its name and a slash ('0' is the character after it), and the one of its name.
const inProject = " WHERE workspace = $1 AND (repository = $2 OR repository > $2 || '/' AND repository < $2 || '0')"

// dropRepositories takes what is left of repositories without manifests out of
// the index, and answers their names.
func (s *Store) dropRepositories(ctx context.Context, tx querier, workspace, project string) ([]string, error) {
	err := exists(ctx, tx, "manifest", "SELECT 1 FROM artifacts"+inProject+" LIMIT 1", workspace, project)
	if err == nil {
		return nil, fmt.Errorf("it has repositories: %w", policy.ErrConflict)
	}
	if !isNotFound(err) {
		return nil, err
	}
	rows, err := tx.rows(ctx, `SELECT repository FROM (SELECT workspace, name AS repository FROM repositories
		UNION SELECT workspace, repository FROM blobs`+inProject+`) known`+inProject, workspace, project)
	names, err := collect(rows, err, scanString[string])
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		for _, statement := range []string{
			"DELETE FROM repositories WHERE workspace = $1 AND name = $2",
			"DELETE FROM blobs WHERE workspace = $1 AND repository = $2",
			"DELETE FROM aliases WHERE workspace = $1 AND repository = $2",
		} {
			if _, err := tx.exec(ctx, statement, workspace, name); err != nil {
				return nil, err
			}
		}
		if err := s.recordRepository(ctx, tx, policy.Repository{Workspace: workspace, Name: name}); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// dropRobots removes the robots of a project, and whatever roles they had
// anywhere.
func (s *Store) dropRobots(ctx context.Context, tx querier, workspace, project string) ([]part, error) {
	rows, err := tx.rows(ctx, "DELETE FROM robots WHERE workspace = $1 AND project = $2 RETURNING id, name", workspace, project)
	gone, err := collect(rows, err, func(rows *sql.Rows) (r Robot, err error) {
		r.Project = project
		return r, rows.Scan(&r.ID, &r.Name)
	})
	var parts []part
	for _, r := range gone {
		parts = append(parts, robotPart(workspace, r.ID))
		more, err := dropMember(ctx, tx, workspace, MemberRobot, RobotIssuer, r.FullName())
		if err != nil {
			return nil, err
		}
		parts = append(parts, more...)
	}
	return parts, err
}

// forgetProject takes a project out of a column of grants. What reached that
// project alone reaches nothing then, and is there still.
func (s *Store) forgetProject(ctx context.Context, tx querier, table, column, workspace, project string,
	touched func(string, int64) part,
) ([]part, error) {
	type reach struct {
		id     int64
		grants []RobotGrant
	}
	rows, err := tx.rows(ctx, "SELECT id, "+column+" FROM "+table+" WHERE workspace = $1"+s.forUpdate(), workspace)
	all, err := collect(rows, err, func(rows *sql.Rows) (r reach, err error) {
		var text string
		if err := rows.Scan(&r.id, &text); err != nil {
			return r, err
		}
		return r, decoded(column, text, &r.grants)
	})
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, r := range all {
		left := slices.DeleteFunc(slices.Clone(r.grants), func(g RobotGrant) bool { return g.Project == project })
		if len(left) == len(r.grants) {
			continue
		}
		text, err := encoded(column, left)
		if err != nil {
			return nil, err
		}
		if _, err := tx.exec(ctx, "UPDATE "+table+" SET "+column+" = $3 WHERE workspace = $1 AND id = $2",
			workspace, r.id, text); err != nil {
			return nil, err
		}
		parts = append(parts, touched(workspace, r.id))
	}
	return parts, nil
}
