package metadata

import (
	"context"
	"database/sql"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// Rebuild replaces everything that the index has of a repository: the manifests
// with their Tags and Aliases, the sizes of blobs by canonical digest, and other
// names of blobs (alias to canonical). A manifest that the index had keeps the
// time and the author of its push. With nothing at all the repository is gone.
func (s *Store) Rebuild(ctx context.Context, repo policy.Repository, artifacts []*policy.Artifact,
	blobs map[digest.Digest]int64, aliases map[digest.Digest]digest.Digest,
) error {
	repo = canonical(repo)
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		if err := rebuild(ctx, tx, repo, artifacts, blobs, aliases); err != nil {
			return err
		}
		return s.recordRepository(ctx, tx, repo)
	})
	s.cache.changedAll(repo)
	return wrap(err, "rebuild %s", repo)
}

func rebuild(ctx context.Context, tx querier, repo policy.Repository, artifacts []*policy.Artifact,
	blobs map[digest.Digest]int64, aliases map[digest.Digest]digest.Digest,
) error {
	type push struct {
		digest string
		at     int64
		by     string
	}
	rows, err := tx.rows(ctx, "SELECT digest, pushed_at, pushed_by FROM artifacts WHERE workspace = $1 AND repository = $2",
		repo.Workspace, repo.Name)
	pushes, err := collect(rows, err, func(rows *sql.Rows) (p push, err error) {
		return p, rows.Scan(&p.digest, &p.at, &p.by)
	})
	if err != nil {
		return err
	}
	known := map[string]push{}
	for _, p := range pushes {
		known[p.digest] = p
	}
	// Other names are true of the same bytes for ever, and storage does not know
	// them: those of blobs that no manifest names yet would be gone.
	rows, err = tx.rows(ctx, "SELECT alias, digest FROM aliases WHERE workspace = $1 AND repository = $2", repo.Workspace, repo.Name)
	names, err := collect(rows, err, func(rows *sql.Rows) (n [2]digest.Digest, err error) {
		return n, rows.Scan(&n[0], &n[1])
	})
	if err != nil {
		return err
	}
	for _, table := range []string{"artifacts", "tags", "aliases", "blobs", "manifest_blobs", "manifest_children"} {
		if _, err := tx.exec(ctx, "DELETE FROM "+table+" WHERE workspace = $1 AND repository = $2",
			repo.Workspace, repo.Name); err != nil {
			return err
		}
	}
	if len(artifacts) == 0 {
		if _, err := tx.exec(ctx, "DELETE FROM repositories WHERE workspace = $1 AND name = $2",
			repo.Workspace, repo.Name); err != nil {
			return err
		}
	}
	for _, n := range names {
		if _, there := blobs[n[1]]; !there {
			continue
		}
		if err := addAliases(ctx, tx, repo, n[1], n[0]); err != nil {
			return err
		}
	}
	// Other names first: the manifests' rows then have canonical digests at once.
	for alias, d := range aliases {
		if err := addAliases(ctx, tx, repo, d, alias); err != nil {
			return err
		}
	}
	for _, a := range artifacts {
		if err := addAliases(ctx, tx, repo, a.Digest, a.Aliases...); err != nil {
			return err
		}
	}
	for _, a := range artifacts {
		if p, ok := known[string(a.Digest)]; ok {
			kept := *a
			kept.PushedAt, kept.PushedBy = fromMicros(p.at), p.by
			a = &kept
		}
		row, err := newArtifactRow(repo, a)
		if err != nil {
			return err
		}
		if err := row.put(ctx, tx); err != nil {
			return err
		}
		for _, tag := range a.Tags {
			if err := moveTag(ctx, tx, repo, policy.TagMove{Tag: tag}, a.Digest); err != nil {
				return err
			}
		}
	}
	var rowsOf [][]any
	for d, size := range blobs {
		rowsOf = append(rowsOf, []any{repo.Workspace, repo.Name, string(d), size})
	}
	return insert(ctx, tx, "blobs (workspace, repository, digest, size)", " ON CONFLICT DO NOTHING", 4, rowsOf)
}
