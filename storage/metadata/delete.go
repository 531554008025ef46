package metadata

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// DeleteTag removes a tag that is still at from; at wherever it is when from is
// empty. A tag elsewhere is policy.ErrConflict, none is policy.ErrNotFound.
//
// This and the other deletions are among [Store.Removals] until storage is told
// of them, which [Store.Removed] says.
func (s *Store) DeleteTag(ctx context.Context, repo policy.Repository, tag string, from digest.Digest) error {
	repo = canonical(repo)
	was := from
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		var d string
		err := tx.row(ctx, `DELETE FROM tags WHERE workspace = $1 AND repository = $2 AND name = $3
			AND ($4 = '' OR digest = $4) RETURNING digest`, repo.Workspace, repo.Name, tag, string(from)).Scan(&d)
		if errors.Is(err, sql.ErrNoRows) {
			if err := exists(ctx, tx, "tag", "SELECT 1 FROM tags WHERE workspace = $1 AND repository = $2 AND name = $3",
				repo.Workspace, repo.Name, tag); err != nil {
				return err
			}
			return fmt.Errorf("it moved meanwhile: %w", policy.ErrConflict)
		}
		if err != nil {
			return err
		}
		was = digest.Digest(d)
		if err := remove(ctx, tx, repo, policy.RemovedTag, tag); err != nil {
			return err
		}
		return s.recordRepository(ctx, tx, repo)
	})
	s.cache.changed(repo, []cacheKey{{cachedTag, repo, tag}, {cachedArtifact, repo, string(was)}})
	return wrap(err, "delete tag %s of %s", tag, repo)
}

// DeleteManifest removes a manifest, by its digest or an alias, with its tags,
// which it answers sorted. Manifests that refer to it stay. None is
// policy.ErrNotFound.
//
// judged are the tags that whoever decided knew of. When there is another on it,
// from another replica perhaps, nothing happens and the error is
// policy.ErrConflict.
func (s *Store) DeleteManifest(ctx context.Context, repo policy.Repository, d digest.Digest, judged []string) (tags []string, err error) {
	repo = canonical(repo)
	err = s.update(ctx, func(ctx context.Context, tx querier) error {
		c, err := readAlias(ctx, tx, repo, d)
		if err != nil {
			return err
		}
		if tags, err = deleteManifest(ctx, tx, repo, c); err != nil {
			return err
		}
		for _, tag := range tags {
			if !slices.Contains(judged, tag) {
				return fmt.Errorf("tag %s came meanwhile: %w", tag, policy.ErrConflict)
			}
			if err := remove(ctx, tx, repo, policy.RemovedTag, tag); err != nil {
				return err
			}
		}
		if err := remove(ctx, tx, repo, policy.RemovedManifest, string(c)); err != nil {
			return err
		}
		return s.recordRepository(ctx, tx, repo)
	})
	s.cache.changedAll(repo)
	if err != nil {
		return nil, wrap(err, "delete manifest %s of %s", d, repo)
	}
	return tags, nil
}

func deleteManifest(ctx context.Context, tx querier, repo policy.Repository, d digest.Digest) ([]string, error) {
	key := []any{repo.Workspace, repo.Name, string(d)}
	var body string
	var pushedAt int64
	if err := tx.row(ctx, `DELETE FROM artifacts WHERE workspace = $1 AND repository = $2 AND digest = $3
		RETURNING body, pushed_at`, key...).Scan(&body, &pushedAt); err != nil {
		return nil, err
	}
	var a policy.Artifact
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	if namesByAlias(&a) {
		// Which digest its rows have depends on what was known when: look for
		// them all.
		for _, table := range []string{"manifest_blobs", "manifest_children"} {
			if _, err := tx.exec(ctx, "DELETE FROM "+table+" WHERE workspace = $1 AND repository = $2 AND digest = $3",
				key...); err != nil {
				return nil, err
			}
		}
	}
	for _, blob := range blobsOf(&a) {
		if _, err := tx.exec(ctx, `DELETE FROM manifest_blobs
			WHERE workspace = $1 AND repository = $2 AND blob = $3 AND pushed_at = $4 AND digest = $5`,
			repo.Workspace, repo.Name, string(blob), pushedAt, string(d)); err != nil {
			return nil, err
		}
	}
	for _, child := range childrenOf(&a) {
		if _, err := tx.exec(ctx, `DELETE FROM manifest_children
			WHERE workspace = $1 AND repository = $2 AND child = $3 AND digest = $4`,
			repo.Workspace, repo.Name, string(child), string(d)); err != nil {
			return nil, err
		}
	}
	if err := dropAliases(ctx, tx, repo, d); err != nil {
		return nil, err
	}
	rows, err := tx.rows(ctx, `DELETE FROM tags WHERE workspace = $1 AND repository = $2 AND digest = $3
		RETURNING name`, key...)
	tags, err := collect(rows, err, scanString[string])
	slices.Sort(tags)
	return tags, err
}
