package metadata

import (
	"context"
	"database/sql"

	"github.com/bondgate/bondgate/policy"
)

// Removals lists what deletions have taken out of the index and storage was not
// yet told of, of one repository, or of all when its name is empty. Mostly that
// is nothing: what is found was left by a crash or by storage that failed.
func (s *Store) Removals(ctx context.Context, repo policy.Repository) ([]policy.Removal, error) {
	repo = canonical(repo)
	rows, err := s.reads.rows(ctx, `SELECT workspace, repository, kind, name FROM removals
		WHERE $2 = '' OR workspace = $1 AND repository = $2
		ORDER BY workspace, repository, kind, name`, repo.Workspace, repo.Name)
	list, err := collect(rows, err, func(rows *sql.Rows) (r policy.Removal, err error) {
		return r, rows.Scan(&r.Repository.Workspace, &r.Repository.Name, &r.Kind, &r.Name)
	})
	return list, wrap(err, "removals of %s", repo)
}

// Removed forgets removals that storage was told of. One that is not known is no
// error.
func (s *Store) Removed(ctx context.Context, removals ...policy.Removal) error {
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		for _, r := range removals {
			repo := canonical(r.Repository)
			if _, err := tx.exec(ctx, `DELETE FROM removals
				WHERE workspace = $1 AND repository = $2 AND kind = $3 AND name = $4`,
				repo.Workspace, repo.Name, string(r.Kind), r.Name); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "forget %d removals", len(removals))
}

// remove notes a removal in the transaction that takes the row away.
func remove(ctx context.Context, tx querier, repo policy.Repository, kind policy.RemovalKind, name string) error {
	_, err := tx.exec(ctx, `INSERT INTO removals (workspace, repository, kind, name)
		VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, repo.Workspace, repo.Name, string(kind), name)
	return err
}
