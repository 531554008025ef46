package metadata

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/bondgate/bondgate/policy"
)

// PutWaiver adds a waiver or replaces the one with its id. Without an id, a
// rule, an owner, an end and a state it is policy.ErrInvalid, as is a pattern that can
// never match a repository.
func (s *Store) PutWaiver(ctx context.Context, w policy.Waiver) error {
	w.Workspace = workspaceOf(w.Workspace)
	if w.ID == "" || w.Rule == "" || w.Owner == "" || w.Expires.IsZero() || w.State == "" {
		return fmt.Errorf("metadata: a waiver needs an id, a rule, an owner, an end and a state: %w", policy.ErrInvalid)
	}
	for _, pattern := range w.Repositories {
		if !policy.ValidWaiverPattern(pattern) {
			return fmt.Errorf("metadata: pattern %q of waiver %q: %w", pattern, w.ID, policy.ErrInvalid)
		}
	}
	body, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("metadata: waiver %q: %w: %w", w.ID, policy.ErrInvalid, err)
	}
	err = s.changeDirectory(ctx, part{changedWaivers, w.Workspace, w.ID}, func(ctx context.Context, tx querier) error {
		_, err := tx.exec(ctx, `INSERT INTO waivers (workspace, id, body, expires) VALUES ($1, $2, $3, $4)
			ON CONFLICT (workspace, id) DO UPDATE SET body = excluded.body, expires = excluded.expires`,
			w.Workspace, w.ID, string(body), micros(w.Expires))
		return err
	})
	return wrap(err, "put waiver %q", w.ID)
}

// DeleteWaiver removes a waiver, or fails with policy.ErrNotFound.
func (s *Store) DeleteWaiver(ctx context.Context, workspace, id string) error {
	workspace = workspaceOf(workspace)
	err := s.changeDirectory(ctx, part{changedWaivers, workspace, id}, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, "DELETE FROM waivers WHERE workspace = $1 AND id = $2", workspace, id))
	})
	return wrap(err, "delete waiver %q", id)
}

// Waivers lists the waivers of a workspace by id, expired ones included.
func (s *Store) Waivers(ctx context.Context, workspace string) ([]policy.Waiver, error) {
	workspace = workspaceOf(workspace)
	all, err := readWaivers(ctx, s.reads, workspace)
	return all[workspace], wrap(err, "list waivers")
}

// readWaivers reads the waivers of one workspace, or of all when it is empty.
func readWaivers(ctx context.Context, q querier, workspace string) (map[string][]policy.Waiver, error) {
	query, args := "SELECT workspace, body FROM waivers ORDER BY workspace, id", []any(nil)
	if workspace != "" {
		query, args = "SELECT workspace, body FROM waivers WHERE workspace = $1 ORDER BY id", []any{workspace}
	}
	all := map[string][]policy.Waiver{}
	rows, err := q.rows(ctx, query, args...)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var w policy.Waiver
		var body string
		if err = rows.Scan(&w.Workspace, &body); err == nil {
			err = json.Unmarshal([]byte(body), &w)
		}
		if w.Origin = policy.WaiverOfAPI; w.State == "" {
			w.State = policy.WaiverApproved // it is from before waivers had to be approved
		}
		all[w.Workspace] = append(all[w.Workspace], w)
		return struct{}{}, err
	})
	return all, err
}
