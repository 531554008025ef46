package metadata

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// Push takes a manifest and the moves of tags onto it into the index, in one
// transaction. When a tag is no longer where a move believes it to be (nowhere,
// for an empty From), nothing happens and the error is policy.ErrConflict.
//
// A digest that the repository has already keeps the time and the author of its
// first push.
func (s *Store) Push(ctx context.Context, a *policy.Artifact, moves []policy.TagMove) error {
	repo := canonical(a.Repository)
	row, err := newArtifactRow(repo, a)
	if err != nil {
		return err
	}
	// Two pushes take the locks of their tags in one order.
	moves = slices.Clone(moves)
	slices.SortFunc(moves, func(x, y policy.TagMove) int { return strings.Compare(x.Tag, y.Tag) })
	err = s.update(ctx, func(ctx context.Context, tx querier) error {
		if err := row.put(ctx, tx); err != nil {
			return err
		}
		if err := s.pin(ctx, tx, repo, a.Digest); err != nil {
			return err
		}
		for _, move := range moves {
			if err := moveTag(ctx, tx, repo, move, a.Digest); err != nil {
				return err
			}
		}
		return s.recordRepository(ctx, tx, repo)
	})
	// Even after an error: a commit may have happened whose answer was lost.
	if len(a.Aliases) > 0 || namesByAlias(a) {
		s.cache.changedAll(repo)
	} else {
		s.cache.changed(repo, touched(repo, a, moves))
	}
	return wrap(err, "push %s to %s", a.Digest, repo)
}

// touched names the cached answers that a push changes.
func touched(repo policy.Repository, a *policy.Artifact, moves []policy.TagMove) []cacheKey {
	keys := []cacheKey{{cachedArtifact, repo, string(a.Digest)}}
	for _, move := range moves {
		keys = append(keys, cacheKey{cachedTag, repo, move.Tag})
		if move.From != "" && move.From != a.Digest {
			keys = append(keys, cacheKey{cachedArtifact, repo, string(move.From)})
		}
	}
	for _, child := range a.Manifests {
		keys = append(keys, cacheKey{cachedArtifact, repo, string(child.Digest)})
	}
	for _, blob := range blobsOf(a) {
		keys = append(keys, cacheKey{cachedBlobManifests, repo, string(blob)})
	}
	if a.Subject != nil {
		keys = append(keys,
			cacheKey{cachedArtifact, repo, string(a.Subject.Digest)},
			cacheKey{cachedReferrers, repo, string(a.Subject.Digest)})
	}
	return keys
}

// pin keeps a manifest from being deleted until the transaction ends. On SQLite
// there is one writer; on PostgreSQL a deletion could find no tag, and a push the
// manifest, and a tag would be left on nothing.
func (s *Store) pin(ctx context.Context, tx querier, repo policy.Repository, d digest.Digest) error {
	if !s.source.postgres {
		return nil
	}
	var one int
	err := tx.row(ctx, `SELECT 1 FROM artifacts WHERE workspace = $1 AND repository = $2 AND digest = $3 FOR KEY SHARE`,
		repo.Workspace, repo.Name, string(d)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("manifest %s went meanwhile: %w", d, policy.ErrConflict)
	}
	return err
}

func moveTag(ctx context.Context, tx querier, repo policy.Repository, move policy.TagMove, to digest.Digest) error {
	var affected int64
	var err error
	if move.From == "" {
		affected, err = tx.exec(ctx, `INSERT INTO tags (workspace, repository, name, digest, updated)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			repo.Workspace, repo.Name, move.Tag, string(to), time.Now().UnixMicro())
	} else {
		affected, err = tx.exec(ctx, `UPDATE tags SET digest = $5, updated = $6
			WHERE workspace = $1 AND repository = $2 AND name = $3 AND digest = $4`,
			repo.Workspace, repo.Name, move.Tag, string(move.From), string(to), time.Now().UnixMicro())
	}
	if err == nil && affected == 0 {
		return fmt.Errorf("tag %s moved meanwhile: %w", move.Tag, policy.ErrConflict)
	}
	return err
}

// artifactRow is an artifact as its tables hold it.
type artifactRow struct {
	repo     policy.Repository
	artifact *policy.Artifact
	body     string
	subject  string
	pushedAt int64
}

func newArtifactRow(repo policy.Repository, a *policy.Artifact) (*artifactRow, error) {
	if !isCanonical(a.Digest) || repo.Name == "" {
		return nil, fmt.Errorf("metadata: manifest %q of %q has no canonical digest or no repository: %w",
			a.Digest, repo.Name, policy.ErrInvalid)
	}
	// Aliases have a table; what is the same for every push stays in the body.
	facts := *a
	facts.Aliases = nil
	body, err := json.Marshal(&facts)
	if err != nil {
		return nil, fmt.Errorf("metadata: facts of %s: %w: %w", a.Digest, policy.ErrInvalid, err)
	}
	row := &artifactRow{repo: repo, artifact: a, body: string(body), pushedAt: micros(a.PushedAt)}
	if a.Subject != nil {
		row.subject = string(a.Subject.Digest)
	}
	return row, nil
}

// put adds the row and its graph. A digest that is there keeps its push; its
// facts are replaced, because a newer version may read more from the same bytes.
func (r *artifactRow) put(ctx context.Context, tx querier) error {
	a, ws, name, d := r.artifact, r.repo.Workspace, r.repo.Name, string(r.artifact.Digest)
	subject, err := resolve(ctx, tx, r.repo, digest.Digest(r.subject))
	if err != nil {
		return err
	}
	added, err := tx.exec(ctx, `INSERT INTO artifacts
		(workspace, repository, digest, subject, size, body, pushed_at, pushed_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		ws, name, d, string(subject), a.Size, r.body, r.pushedAt, a.PushedBy)
	if err != nil {
		return err
	}
	if err := addAliases(ctx, tx, r.repo, a.Digest, a.Aliases...); err != nil {
		return err
	}
	if added == 0 {
		_, err := tx.exec(ctx, `UPDATE artifacts SET body = $4
			WHERE workspace = $1 AND repository = $2 AND digest = $3 AND body <> $4`, ws, name, d, r.body)
		return err
	}
	if _, err := tx.exec(ctx, "INSERT INTO repositories (workspace, name, created) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		ws, name, r.pushedAt); err != nil {
		return err
	}
	var blobs, children [][]any
	for _, blob := range blobsOf(a) {
		if blob, err = resolve(ctx, tx, r.repo, blob); err != nil {
			return err
		}
		blobs = append(blobs, []any{ws, name, string(blob), r.pushedAt, d})
	}
	for _, child := range childrenOf(a) {
		if child, err = resolve(ctx, tx, r.repo, child); err != nil {
			return err
		}
		children = append(children, []any{ws, name, string(child), d})
	}
	if err := insert(ctx, tx, "manifest_blobs (workspace, repository, blob, pushed_at, digest)",
		" ON CONFLICT DO NOTHING", 5, blobs); err != nil {
		return err
	}
	return insert(ctx, tx, "manifest_children (workspace, repository, child, digest)",
		" ON CONFLICT DO NOTHING", 4, children)
}

// blobsOf lists the blobs that a manifest names, config included, each once.
func blobsOf(a *policy.Artifact) []digest.Digest {
	var all []digest.Digest
	if a.ConfigBlob != nil {
		all = append(all, a.ConfigBlob.Digest)
	}
	for _, layer := range a.Layers {
		all = append(all, layer.Digest)
	}
	return distinct(all)
}

// childrenOf lists the manifests that an index names, each once.
func childrenOf(a *policy.Artifact) []digest.Digest {
	all := make([]digest.Digest, 0, len(a.Manifests))
	for _, child := range a.Manifests {
		all = append(all, child.Digest)
	}
	return distinct(all)
}

// distinct sorts, so that transactions meet each other's rows in one order.
func distinct(all []digest.Digest) []digest.Digest {
	slices.Sort(all)
	return slices.Compact(all)
}
