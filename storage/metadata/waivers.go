package metadata

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// AddWaiver keeps a new waiver and answers it with its version. One that is wrong,
// or has no state, is policy.ErrInvalid; an id that is taken is policy.ErrConflict.
func (s *Store) AddWaiver(ctx context.Context, w policy.Waiver) (policy.Waiver, error) {
	return s.putWaiver(ctx, w, func(ctx context.Context, tx querier, w policy.Waiver, body string) error {
		_, err := tx.exec(ctx, "INSERT INTO waivers (workspace, id, body, expires, version) VALUES ($1, $2, $3, $4, $5)",
			w.Workspace, w.ID, body, micros(w.Expires), w.Version)
		return err
	})
}

// ChangeWaiver replaces the waiver of the id and the version by w, and answers it with
// its new version. One that changed since is policy.ErrConflict, one that is gone
// policy.ErrNotFound.
func (s *Store) ChangeWaiver(ctx context.Context, w policy.Waiver) (policy.Waiver, error) {
	was := w.Version
	return s.putWaiver(ctx, w, func(ctx context.Context, tx querier, w policy.Waiver, body string) error {
		return s.oneVersion(ctx, tx, w.Workspace, w.ID)(tx.exec(ctx,
			"UPDATE waivers SET body = $1, expires = $2, version = $3 WHERE workspace = $4 AND id = $5 AND version = $6",
			body, micros(w.Expires), w.Version, w.Workspace, w.ID, was))
	})
}

func (s *Store) putWaiver(ctx context.Context, w policy.Waiver, put func(context.Context, querier, policy.Waiver, string) error) (policy.Waiver, error) {
	w.Workspace, w.Origin, w.Version = workspaceOf(w.Workspace), policy.WaiverOfAPI, rand.Text()
	if err := w.Check(); err != nil {
		return policy.Waiver{}, wrap(err, "keep waiver %q", w.ID)
	}
	if w.State == "" {
		return policy.Waiver{}, wrap(fmt.Errorf("it has no state: %w", policy.ErrInvalid), "keep waiver %q", w.ID)
	}
	body, err := json.Marshal(w)
	if err != nil {
		return policy.Waiver{}, fmt.Errorf("metadata: waiver %q: %w: %w", w.ID, policy.ErrInvalid, err)
	}
	err = s.changeDirectory(ctx, part{changedWaivers, w.Workspace, w.ID}, func(ctx context.Context, tx querier) error {
		return put(ctx, tx, w, string(body))
	})
	return w, wrap(err, "keep waiver %q", w.ID)
}

// DeleteWaiver removes the waiver of an id and a version. One that changed since is
// policy.ErrConflict, one that is gone policy.ErrNotFound.
func (s *Store) DeleteWaiver(ctx context.Context, workspace, id, version string) error {
	workspace = workspaceOf(workspace)
	err := s.changeDirectory(ctx, part{changedWaivers, workspace, id}, func(ctx context.Context, tx querier) error {
		return s.oneVersion(ctx, tx, workspace, id)(tx.exec(ctx,
			"DELETE FROM waivers WHERE workspace = $1 AND id = $2 AND version = $3", workspace, id, version))
	})
	return wrap(err, "delete waiver %q", id)
}

// endWaiversIn takes a project that is deleted out of what waivers are for, and removes
// those that were for it alone: a project that gets the name later belongs to others.
func (s *Store) endWaiversIn(ctx context.Context, tx querier, workspace, project string) ([]part, error) {
	all, err := readWaivers(ctx, tx, workspace)
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, w := range all[workspace] {
		reach, bounded := w.Reach()
		if !bounded || !slices.Contains(reach, project) {
			continue
		}
		parts = append(parts, part{changedWaivers, workspace, w.ID})
		if len(reach) == 1 {
			if _, err := tx.exec(ctx, "DELETE FROM waivers WHERE workspace = $1 AND id = $2", workspace, w.ID); err != nil {
				return nil, err
			}
			continue
		}
		w.Projects = slices.DeleteFunc(w.Projects, func(name string) bool { return name == project })
		if len(w.Projects) == 0 {
			w.Repositories = slices.DeleteFunc(w.Repositories, func(pattern string) bool {
				return pattern == project || strings.HasPrefix(pattern, project+"/")
			})
		}
		w.Version = rand.Text()
		body, err := json.Marshal(w)
		if err != nil {
			return nil, err
		}
		if _, err := tx.exec(ctx, "UPDATE waivers SET body = $1, version = $2 WHERE workspace = $3 AND id = $4",
			string(body), w.Version, workspace, w.ID); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// oneVersion tells a waiver that is gone from one that changed since it was read.
func (s *Store) oneVersion(ctx context.Context, tx querier, workspace, id string) func(int64, error) error {
	return func(affected int64, err error) error {
		if err != nil || affected > 0 {
			return err
		}
		if err := exists(ctx, tx, "waiver", "SELECT 1 FROM waivers WHERE workspace = $1 AND id = $2", workspace, id); err != nil {
			return err
		}
		return fmt.Errorf("it changed meanwhile: %w", policy.ErrConflict)
	}
}

// Waivers lists the waivers of a workspace by id, expired ones included.
func (s *Store) Waivers(ctx context.Context, workspace string) ([]policy.Waiver, error) {
	workspace = workspaceOf(workspace)
	all, err := readWaivers(ctx, s.reads, workspace)
	return all[workspace], wrap(err, "list waivers")
}

// AllWaivers lists the waivers of all workspaces.
func (s *Store) AllWaivers(ctx context.Context) ([]policy.Waiver, error) {
	all, err := readWaivers(ctx, s.reads, "")
	var out []policy.Waiver
	for _, list := range all {
		out = append(out, list...)
	}
	return out, wrap(err, "list all waivers")
}

// keepWaiverEnds is how long it is known that a waiver's end was told.
const keepWaiverEnds = 7 * 24 * time.Hour

// ClaimWaiverEnd answers true to the first of all replicas that asks about the end of
// a waiver, and false to the others.
func (s *Store) ClaimWaiverEnd(ctx context.Context, w policy.Waiver) (bool, error) {
	var first bool
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		_, err := tx.exec(ctx, "DELETE FROM waiver_ends WHERE expires < $1", micros(w.Expires.Add(-keepWaiverEnds)))
		if err != nil {
			return err
		}
		n, err := tx.exec(ctx, `INSERT INTO waiver_ends (workspace, origin, id, expires) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, workspaceOf(w.Workspace), w.Origin, w.ID, micros(w.Expires))
		first = n == 1
		return err
	})
	return first, wrap(err, "claim the end of waiver %q", w.ID)
}

// OnePerson reports whether two identities (issuer and id) are one person of a
// workspace: the same, or linked.
func (s *Store) OnePerson(ctx context.Context, workspace string, a, b policy.Principal) (bool, error) {
	if a.Issuer == b.Issuer && a.ID == b.ID {
		return true, nil
	}
	const main = `SELECT COALESCE(l.main, p.id) FROM people p
		LEFT JOIN links l ON l.workspace = p.workspace AND l.person = p.id
		WHERE p.workspace = $1 AND p.issuer = $2 AND p.subject = $3`
	var mains [2]int64
	for i, who := range []policy.Principal{a, b} {
		err := s.reads.row(ctx, main, workspaceOf(workspace), who.Issuer, who.ID).Scan(&mains[i])
		if isNotFound(err) {
			return false, nil // whoever never came here is linked to nobody
		}
		if err != nil {
			return false, wrap(err, "compare two people")
		}
	}
	return mains[0] == mains[1], nil
}

// readWaivers reads the waivers of one workspace, or of all when it is empty.
func readWaivers(ctx context.Context, q querier, workspace string) (map[string][]policy.Waiver, error) {
	query, args := "SELECT workspace, body, version FROM waivers ORDER BY workspace, id", []any(nil)
	if workspace != "" {
		query, args = "SELECT workspace, body, version FROM waivers WHERE workspace = $1 ORDER BY id", []any{workspace}
	}
	all := map[string][]policy.Waiver{}
	rows, err := q.rows(ctx, query, args...)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var w policy.Waiver
		var body, version string
		if err = rows.Scan(&w.Workspace, &body, &version); err == nil {
			err = json.Unmarshal([]byte(body), &w)
		}
		w.Origin, w.Version = policy.WaiverOfAPI, version
		if w.State == "" {
			w.State = policy.WaiverApproved // it is from before waivers had to be approved
		}
		all[w.Workspace] = append(all[w.Workspace], w)
		return struct{}{}, err
	})
	return all, err
}
