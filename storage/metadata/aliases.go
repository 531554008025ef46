package metadata

import (
	"context"
	"database/sql"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// An alias is a digest of another algorithm than sha256 that a client named bytes
// by. Manifests may name blobs, children and subjects by one; the graph's rows
// have the canonical digest as soon as the repository knows it.

func isCanonical(d digest.Digest) bool {
	const prefix = digest.Digest(digest.SHA256) + ":"
	return len(d) > len(prefix) && d[:len(prefix)] == prefix
}

// namesByAlias reports whether a manifest names anything by an alias.
func namesByAlias(a *policy.Artifact) bool {
	for _, refs := range [][]digest.Digest{blobsOf(a), childrenOf(a)} {
		for _, d := range refs {
			if !isCanonical(d) {
				return true
			}
		}
	}
	return a.Subject != nil && !isCanonical(a.Subject.Digest)
}

// dealias gives the canonical digest. A sha256 digest is canonical itself.
func (s *Store) dealias(ctx context.Context, repo policy.Repository, d digest.Digest) (digest.Digest, error) {
	if isCanonical(d) {
		return d, nil
	}
	key := cacheKey{cachedAlias, repo, string(d)}
	if v, ok := s.cache.get(key); ok {
		return v.(digest.Digest), nil
	}
	t := s.cache.begin(repo)
	c, err := readAlias(ctx, s.reads, repo, d)
	if err != nil {
		return d, err
	}
	s.cache.install(t, key, c, int64(len(c)))
	return c, nil
}

func readAlias(ctx context.Context, q querier, repo policy.Repository, d digest.Digest) (digest.Digest, error) {
	if isCanonical(d) {
		return d, nil
	}
	var c string
	err := q.row(ctx, "SELECT digest FROM aliases WHERE workspace = $1 AND repository = $2 AND alias = $3",
		repo.Workspace, repo.Name, string(d)).Scan(&c)
	return digest.Digest(c), err
}

// resolve is readAlias for a name that the repository need not know: such a name
// stays as it is until addAliases learns it.
func resolve(ctx context.Context, q querier, repo policy.Repository, d digest.Digest) (digest.Digest, error) {
	if d == "" {
		return d, nil
	}
	c, err := readAlias(ctx, q, repo, d)
	if errors.Is(err, sql.ErrNoRows) {
		return d, nil
	}
	return c, err
}

// addAliases notes other names of a digest and points rows that were waiting for
// such a name at it.
func addAliases(ctx context.Context, tx querier, repo policy.Repository, d digest.Digest, aliases ...digest.Digest) error {
	for _, alias := range aliases {
		if alias == "" || isCanonical(alias) {
			continue
		}
		added, err := tx.exec(ctx, `INSERT INTO aliases (workspace, repository, alias, digest)
			VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, repo.Workspace, repo.Name, string(alias), string(d))
		if err != nil {
			return err
		}
		if added == 0 {
			continue
		}
		for _, at := range []struct{ table, column string }{
			{"artifacts", "subject"}, {"manifest_blobs", "blob"}, {"manifest_children", "child"},
		} {
			if _, err := tx.exec(ctx, "UPDATE "+at.table+" SET "+at.column+" = $4 WHERE workspace = $1 AND repository = $2 AND "+
				at.column+" = $3 AND "+at.column+" <> ''", repo.Workspace, repo.Name, string(alias), string(d)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropAliases forgets the other names of a digest unless the repository still has
// a blob or a manifest of it, or a manifest that names it: that one's row has the
// canonical digest now, and is looked for by the name that it was given.
func dropAliases(ctx context.Context, tx querier, repo policy.Repository, d digest.Digest) error {
	query := "DELETE FROM aliases WHERE workspace = $1 AND repository = $2 AND digest = $3"
	for _, at := range []string{
		"blobs WHERE digest", "artifacts WHERE digest", "artifacts WHERE subject <> '' AND subject",
		"manifest_blobs WHERE blob", "manifest_children WHERE child",
	} {
		query += " AND NOT EXISTS (SELECT 1 FROM " + at + " = $3 AND workspace = $1 AND repository = $2)"
	}
	_, err := tx.exec(ctx, query, repo.Workspace, repo.Name, string(d))
	return err
}
