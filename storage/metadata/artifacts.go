package metadata

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// ResolveTag answers the digest that a tag has, or policy.ErrNotFound.
func (s *Store) ResolveTag(ctx context.Context, repo policy.Repository, tag string) (digest.Digest, error) {
	repo = canonical(repo)
	key := cacheKey{cachedTag, repo, tag}
	if v, ok := s.cache.get(key); ok {
		return v.(digest.Digest), nil
	}
	t := s.cache.begin(repo)
	var d string
	err := s.reads.row(ctx, "SELECT digest FROM tags WHERE workspace = $1 AND repository = $2 AND name = $3",
		repo.Workspace, repo.Name, tag).Scan(&d)
	if err != nil {
		return "", wrap(err, "tag %s of %s", tag, repo)
	}
	s.cache.install(t, key, digest.Digest(d), int64(len(d)))
	return digest.Digest(d), nil
}

// Artifact answers what is known of a manifest, by its digest or by an alias,
// or policy.ErrNotFound. The answer is sealed and shared: it must not be changed.
func (s *Store) Artifact(ctx context.Context, repo policy.Repository, d digest.Digest) (*policy.Artifact, error) {
	repo = canonical(repo)
	d, err := s.dealias(ctx, repo, d)
	if err != nil {
		return nil, wrap(err, "manifest %s of %s", d, repo)
	}
	key := cacheKey{cachedArtifact, repo, string(d)}
	if v, ok := s.cache.get(key); ok {
		return v.(*policy.Artifact), nil
	}
	t := s.cache.begin(repo)
	a, cost, err := readArtifact(ctx, s.reads, repo, d)
	if err != nil {
		return nil, wrap(err, "manifest %s of %s", d, repo)
	}
	s.cache.install(t, key, a, cost)
	return a, nil
}

// artifactQuery reads a manifest and what hangs on it in one statement, which is
// one journey and one snapshot: a push in between is seen whole or not at all.
const artifactQuery = `
SELECT 'artifact', body, pushed_by, pushed_at FROM artifacts
	WHERE workspace = $1 AND repository = $2 AND digest = $3
UNION ALL SELECT 'tag', name, '', 0 FROM tags
	WHERE workspace = $1 AND repository = $2 AND digest = $3
UNION ALL SELECT 'alias', alias, '', 0 FROM aliases
	WHERE workspace = $1 AND repository = $2 AND digest = $3
UNION ALL SELECT 'parent', digest, '', 0 FROM manifest_children
	WHERE workspace = $1 AND repository = $2 AND child = $3
UNION ALL SELECT 'referrers', '', '', COUNT(*) FROM artifacts
	WHERE workspace = $1 AND repository = $2 AND subject = $3 AND subject <> ''`

// readArtifact reads and seals an artifact, and estimates its size in memory.
func readArtifact(ctx context.Context, q querier, repo policy.Repository, d digest.Digest) (*policy.Artifact, int64, error) {
	rows, err := q.rows(ctx, artifactQuery, repo.Workspace, repo.Name, string(d))
	a := &policy.Artifact{}
	found, cost := false, int64(0)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var what, text, by string
		var n int64
		if err = rows.Scan(&what, &text, &by, &n); err != nil {
			return
		}
		cost += int64(len(text)) + 32
		if what == rowArtifact {
			found = true
			cost += 2*int64(len(text)) + 512
		}
		return struct{}{}, take(a, what, text, by, n)
	})
	if err != nil {
		return nil, 0, err
	}
	if !found {
		return nil, 0, policy.ErrNotFound
	}
	a.Repository = repo
	return whole(a), cost, nil
}

// rowArtifact is the kind of the row that is the manifest itself; the others of
// artifactQuery hang on it.
const rowArtifact = "artifact"

// take adds a row, as artifactQuery has them, to what is known of a manifest.
func take(a *policy.Artifact, what, text, by string, n int64) error {
	switch what {
	case rowArtifact:
		a.PushedBy, a.PushedAt = by, fromMicros(n)
		return json.Unmarshal([]byte(text), a)
	case "tag":
		a.Tags = append(a.Tags, text)
	case "alias":
		a.Aliases = append(a.Aliases, digest.Digest(text))
	case "parent":
		a.Parents = append(a.Parents, digest.Digest(text))
	case "referrers":
		a.Referrers = int(n)
	}
	return nil
}

// whole seals a manifest of which every row was taken, in whatever order.
func whole(a *policy.Artifact) *policy.Artifact {
	slices.Sort(a.Tags)
	slices.Sort(a.Aliases)
	slices.Sort(a.Parents)
	return a.Seal()
}

const parentsQuery = `SELECT digest FROM manifest_children
	WHERE workspace = $1 AND repository = $2 AND child = $3 ORDER BY digest`

// Parents lists the indexes of the repository that name the digest as a child,
// sorted. The child need not exist: an index may have come before it.
func (s *Store) Parents(ctx context.Context, repo policy.Repository, child digest.Digest) ([]digest.Digest, error) {
	repo = canonical(repo)
	rows, err := s.reads.rows(ctx, parentsQuery, repo.Workspace, repo.Name, string(child))
	list, err := collect(rows, err, scanString[digest.Digest])
	return list, wrap(err, "parents of %s in %s", child, repo)
}

const referrersQuery = `SELECT body FROM artifacts
	WHERE workspace = $1 AND repository = $2 AND subject = $3 AND subject <> ''
	ORDER BY pushed_at, digest`

// Referrers lists the manifests whose subject is the digest, oldest push first.
// The subject need not exist; nothing refers to it then, or something does.
func (s *Store) Referrers(ctx context.Context, repo policy.Repository, subject digest.Digest) ([]policy.Descriptor, error) {
	repo = canonical(repo)
	if c, err := s.dealias(ctx, repo, subject); err == nil {
		subject = c
	}
	key := cacheKey{cachedReferrers, repo, string(subject)}
	if v, ok := s.cache.get(key); ok {
		return v.([]policy.Descriptor), nil
	}
	t := s.cache.begin(repo)
	cost := int64(0)
	rows, err := s.reads.rows(ctx, referrersQuery, repo.Workspace, repo.Name, string(subject))
	list, err := collect(rows, err, func(rows *sql.Rows) (d policy.Descriptor, err error) {
		var body string
		if err = rows.Scan(&body); err != nil {
			return
		}
		var a policy.Artifact
		if err = json.Unmarshal([]byte(body), &a); err != nil {
			return d, fmt.Errorf("facts of a referrer: %w", err)
		}
		cost += int64(len(body))
		return descriptor(&a), nil
	})
	if err != nil {
		return nil, wrap(err, "referrers of %s in %s", subject, repo)
	}
	if len(list) > 0 {
		s.cache.install(t, key, list, cost)
	}
	return list, nil
}

// descriptor is how the referrers list names an artifact: without a type of its
// own it has its config's.
func descriptor(a *policy.Artifact) policy.Descriptor {
	d := policy.Descriptor{
		Digest: a.Digest, Size: a.Size, MediaType: a.MediaType,
		ArtifactType: a.ArtifactType, Annotations: a.Annotations,
	}
	if d.ArtifactType == "" && a.ConfigBlob != nil {
		d.ArtifactType = a.ConfigBlob.MediaType
	}
	return d
}
