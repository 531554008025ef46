package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// feed reads the changes table onwards.
type feed interface {
	// next answers the changes that were not answered before. With own it answers
	// those of this process too.
	next(ctx context.Context, own bool) ([]part, error)
}

func newFeed(ctx context.Context, s *Store) (feed, error) {
	if s.source.postgres {
		f := &snapshotFeed{store: s}
		err := s.reads.row(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text").Scan(&f.horizon)
		return f, err
	}
	f := &sequenceFeed{store: s}
	err := s.reads.row(ctx, "SELECT COALESCE(MAX(seq), 0) FROM changes").Scan(&f.last)
	return f, err
}

// sequenceFeed is for SQLite, whose one writer commits in the order of seq. It
// also notices when the file is not there any more, which open files do not.
type sequenceFeed struct {
	store *Store
	last  int64
}

func (f *sequenceFeed) next(ctx context.Context, own bool) ([]part, error) {
	now, err := os.Stat(f.store.source.path)
	if err != nil {
		return nil, fmt.Errorf("the database file: %w", err)
	}
	if !os.SameFile(now, f.store.file) {
		return nil, fmt.Errorf("the database file was replaced: %w", policy.ErrUnavailable)
	}
	var newest int64
	if err := f.store.reads.row(ctx, "SELECT COALESCE(MAX(seq), 0) FROM changes").Scan(&newest); err != nil {
		return nil, err
	}
	if newest == f.last {
		return nil, nil
	}
	ours := f.store.origin
	if own {
		ours = ""
	}
	rows, err := f.store.reads.rows(ctx,
		"SELECT workspace, kind, key FROM changes WHERE seq > $1 AND seq <= $2 AND origin <> $3 ORDER BY seq",
		f.last, newest, ours)
	parts, err := collect(rows, err, func(rows *sql.Rows) (p part, err error) {
		return p, rows.Scan(&p.workspace, &p.kind, &p.key)
	})
	if err != nil {
		return nil, err
	}
	f.last = newest
	return parts, nil
}

// snapshotFeed is for PostgreSQL, where a row with a smaller seq may appear after
// one with a larger. Every row whose transaction was still running at the last
// reading, or began after it, has an xid at or above that reading's horizon: those are
// read again, and the ones answered already are left out.
type snapshotFeed struct {
	store   *Store
	horizon string
	seen    map[int64]struct{}
}

func (f *snapshotFeed) next(ctx context.Context, own bool) ([]part, error) {
	// One statement, so one snapshot: the next horizon is exactly as old as the rows.
	rows, err := f.store.reads.rows(ctx, `
		SELECT h.horizon, c.seq, c.workspace, c.kind, c.key, c.origin
		FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon) h
		LEFT JOIN changes c ON c.xid >= $1::text::xid8
		ORDER BY c.seq`, f.horizon)
	horizon := f.horizon
	seen := map[int64]struct{}{}
	parts, err := collect(rows, err, func(rows *sql.Rows) (p part, err error) {
		var seq sql.NullInt64
		var workspace, kind, key, origin sql.NullString
		if err := rows.Scan(&horizon, &seq, &workspace, &kind, &key, &origin); err != nil || !seq.Valid {
			return p, err
		}
		seen[seq.Int64] = struct{}{}
		if _, old := f.seen[seq.Int64]; old || (origin.String == f.store.origin && !own) {
			return p, nil
		}
		return part{kind: kind.String, workspace: workspace.String, key: key.String}, nil
	})
	if err != nil {
		return nil, err
	}
	f.horizon, f.seen = horizon, seen
	fresh := parts[:0]
	for _, p := range parts {
		if p.kind != "" {
			fresh = append(fresh, p)
		}
	}
	return fresh, nil
}

const (
	// keepChanges is how long rows of the feed are kept. A replica that could
	// not ask for that long reads everything anew.
	keepChanges = 10 * time.Minute
	pruneEvery  = time.Minute
	// pruneRows is how many rows one transaction removes: pushes wait for it.
	pruneRows = 5000
)

// poll follows the feed until ctx ends.
func (d *directory) poll(ctx context.Context) {
	ticker := time.NewTicker(d.store.cfg.Poll)
	defer ticker.Stop()
	pruned, failing := d.now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := d.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			d.store.cfg.Logger.Error("metadata: cannot follow changes", "err", err)
		case err == nil && failing:
			d.store.cfg.Logger.Info("metadata: following changes again")
		}
		failing = err != nil
		if !failing && d.now()-pruned > pruneEvery {
			pruned = d.now()
			if err := d.prune(ctx); err != nil {
				d.store.cfg.Logger.Warn("metadata: cannot remove old changes", "err", err)
			}
		}
	}
}

// follow takes the feed's news into the view and the cache.
func (d *directory) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(d.store.cfg.Grace/2, time.Second))
	defer cancel()
	at := d.now()
	parts, err := d.feed.next(ctx, at < time.Duration(d.doubtful.Load()))
	if err != nil {
		return err
	}
	// After a silence rows may have been removed that nobody here has read.
	if d.stale.Load() || at-time.Duration(d.polled.Load()) > keepChanges/2 {
		d.store.cache.clear()
		return d.reload(ctx)
	}
	var changed []part
	done := map[part]bool{}
	for _, p := range parts {
		if done[p] {
			continue
		}
		done[p] = true
		if p.kind == changedRepository {
			d.store.cache.changedAll(policy.Repository{Workspace: p.workspace, Name: p.key})
		} else {
			changed = append(changed, p)
		}
	}
	if len(changed) > 0 {
		if err := d.refresh(ctx, changed...); err != nil {
			return err
		}
	}
	d.polled.Store(int64(at))
	return nil
}

// prune removes rows that every replica has read, in whole portions only: the
// newest stay, so that a revision never goes back.
func (d *directory) prune(ctx context.Context) error {
	for {
		var seq, at int64
		err := d.store.reads.row(ctx, "SELECT seq, at FROM changes ORDER BY seq LIMIT 1 OFFSET $1",
			pruneRows).Scan(&seq, &at)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && at > time.Now().Add(-keepChanges).UnixMicro()) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.store.update(ctx, func(ctx context.Context, tx querier) error {
			_, err := tx.exec(ctx, "DELETE FROM changes WHERE seq < $1", seq)
			return err
		}); err != nil {
			return err
		}
	}
}

// recordRepository adds the row that tells other replicas to forget a repository.
func (s *Store) recordRepository(ctx context.Context, tx querier, repo policy.Repository) error {
	return s.record(ctx, tx, changedRepository, repo.Workspace, repo.Name)
}
