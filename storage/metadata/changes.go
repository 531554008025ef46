package metadata

import (
	"context"

	"github.com/bondgate/bondgate/policy"
)

// change runs fn in a transaction, records what it touched and installs the view
// with it before it returns. It may run fn more than once.
func (s *Store) change(ctx context.Context, fn func(context.Context, querier) ([]part, error)) error {
	var parts []part
	err := s.update(ctx, func(ctx context.Context, tx querier) (err error) {
		if parts, err = fn(ctx, tx); err != nil {
			return err
		}
		for _, p := range parts {
			if err := s.record(ctx, tx, p.kind, p.workspace, p.key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(parts) == 0 {
		return err
	}
	return s.directory.refresh(ctx, parts...)
}

// changeDirectory is change for one part that is known before.
func (s *Store) changeDirectory(ctx context.Context, p part, fn func(context.Context, querier) error) error {
	return s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		return []part{p}, fn(ctx, tx)
	})
}

// affectsOne turns a change of nothing into policy.ErrNotFound.
func affectsOne(affected int64, err error) error {
	if err == nil && affected == 0 {
		return policy.ErrNotFound
	}
	return err
}

// hold keeps the row that a query names from being deleted until the transaction
// ends: what is hung on it would be left on nothing. Without the row it fails with
// policy.ErrNotFound and says what was not found.
func (s *Store) hold(ctx context.Context, tx querier, what, query string, args ...any) error {
	if s.source.postgres { // SQLite has one writer
		query += " FOR KEY SHARE"
	}
	return exists(ctx, tx, what, query, args...)
}

func (s *Store) holdProject(ctx context.Context, tx querier, workspace, name string) error {
	return s.hold(ctx, tx, "project", "SELECT 1 FROM projects WHERE workspace = $1 AND name = $2", workspace, name)
}

// forUpdate is the end of a reading that is written back in the same transaction.
func (s *Store) forUpdate() string {
	if s.source.postgres {
		return " FOR UPDATE"
	}
	return ""
}
