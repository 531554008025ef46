package metadata

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// blobFacts is a cached blob.
type blobFacts struct {
	digest digest.Digest
	size   int64
}

// Blob answers the canonical digest and the size in bytes of a blob that the
// repository has, by its digest or an alias; else policy.ErrNotFound.
func (s *Store) Blob(ctx context.Context, repo policy.Repository, d digest.Digest) (digest.Digest, int64, error) {
	repo = canonical(repo)
	key := cacheKey{cachedBlob, repo, string(d)}
	if v, ok := s.cache.get(key); ok {
		b := v.(*blobFacts)
		return b.digest, b.size, nil
	}
	t := s.cache.begin(repo)
	c, err := readAlias(ctx, s.reads, repo, d)
	if err != nil {
		return "", 0, wrap(err, "blob %s of %s", d, repo)
	}
	b := &blobFacts{digest: c}
	err = s.reads.row(ctx, "SELECT size FROM blobs WHERE workspace = $1 AND repository = $2 AND digest = $3",
		repo.Workspace, repo.Name, string(c)).Scan(&b.size)
	if err != nil {
		return "", 0, wrap(err, "blob %s of %s", d, repo)
	}
	s.cache.install(t, key, b, 120)
	return b.digest, b.size, nil
}

// AddBlob notes that the repository has a blob of size bytes, and another digest
// that a client named it by, empty for none. A blob that is there already is no
// error. Nobody holds the absence of a blob in memory, so no change is recorded
// without an alias.
func (s *Store) AddBlob(ctx context.Context, repo policy.Repository, d, alias digest.Digest, size int64) error {
	repo = canonical(repo)
	if !isCanonical(d) || repo.Name == "" {
		return fmt.Errorf("metadata: blob %q of %q has no canonical digest or no repository: %w",
			d, repo.Name, policy.ErrInvalid)
	}
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		_, err := tx.exec(ctx, `INSERT INTO blobs (workspace, repository, digest, size)
			VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, repo.Workspace, repo.Name, string(d), size)
		if err != nil {
			return err
		}
		if alias == "" || isCanonical(alias) {
			return nil
		}
		if err := addAliases(ctx, tx, repo, d, alias); err != nil {
			return err
		}
		return s.recordRepository(ctx, tx, repo)
	})
	if alias != "" {
		s.cache.changedAll(repo)
	}
	return wrap(err, "add blob %s to %s", d, repo)
}

// DeleteBlob forgets a blob of the repository, by its digest or an alias, or
// fails with policy.ErrNotFound. Manifests that name it stay.
func (s *Store) DeleteBlob(ctx context.Context, repo policy.Repository, d digest.Digest) error {
	repo = canonical(repo)
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		c, err := readAlias(ctx, tx, repo, d)
		if err != nil {
			return err
		}
		if err := affectsOne(tx.exec(ctx, "DELETE FROM blobs WHERE workspace = $1 AND repository = $2 AND digest = $3",
			repo.Workspace, repo.Name, string(c))); err != nil {
			return err
		}
		if err := dropAliases(ctx, tx, repo, c); err != nil {
			return err
		}
		if err := remove(ctx, tx, repo, policy.RemovedBlob, string(c)); err != nil {
			return err
		}
		return s.recordRepository(ctx, tx, repo)
	})
	s.cache.changedAll(repo)
	return wrap(err, "delete blob %s of %s", d, repo)
}

// blobManifests is a cached list; complete when there are no more than it has.
type blobManifests struct {
	digests  []digest.Digest
	complete bool
}

const blobManifestsQuery = `SELECT digest FROM manifest_blobs
	WHERE workspace = $1 AND repository = $2 AND blob = $3
	ORDER BY pushed_at DESC, digest DESC LIMIT $4`

// BlobManifests lists at most limit manifests of the repository that name the
// blob as their config or a layer, the latest pushed first. None is an empty
// list.
func (s *Store) BlobManifests(ctx context.Context, repo policy.Repository, blob digest.Digest, limit int) ([]digest.Digest, error) {
	repo = canonical(repo)
	if c, err := s.dealias(ctx, repo, blob); err == nil {
		blob = c
	}
	key := cacheKey{cachedBlobManifests, repo, string(blob)}
	if v, ok := s.cache.get(key); ok {
		if b := v.(*blobManifests); b.complete || limit <= len(b.digests) {
			return b.digests[:min(limit, len(b.digests))], nil
		}
	}
	t := s.cache.begin(repo)
	asked := max(limit, 16)
	rows, err := s.reads.rows(ctx, blobManifestsQuery, repo.Workspace, repo.Name, string(blob), asked)
	list, err := collect(rows, err, scanString[digest.Digest])
	if err != nil {
		return nil, wrap(err, "manifests of blob %s in %s", blob, repo)
	}
	if len(list) > 0 {
		s.cache.install(t, key, &blobManifests{list, len(list) < asked}, int64(len(list)*96))
	}
	return list[:min(limit, len(list))], nil
}
