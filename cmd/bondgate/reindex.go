package main

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata"
	"github.com/bondgate/bondgate/storage/registry"
)

// maxSkipped bounds the list of what a rebuilding could not use.
const maxSkipped = 1000

// reindexer rebuilds the index from storage alone, repository by repository,
// while the server serves. What is read is judged by nobody here: the index only
// says what there is.
type reindexer struct {
	engine *registry.Engine
	store  *metadata.Store
	writes *writeGuard
	log    *slog.Logger

	running sync.Mutex
}

// run rebuilds everything; a second call while one runs is [policy.ErrLimited].
func (x *reindexer) run(ctx context.Context) (api.ReindexReport, error) {
	if !x.running.TryLock() {
		return api.ReindexReport{}, fmt.Errorf("the index is being rebuilt already: %w", policy.ErrLimited)
	}
	defer x.running.Unlock()
	run := reindexing{reindexer: x, sha512: map[digest.Digest]digest.Digest{}}
	err := x.engine.Walk(ctx, run.repository)
	if err != nil {
		return run.report, fmt.Errorf("rebuild the index: %w", err)
	}
	x.log.Info("the index was rebuilt", "repositories", run.report.Repositories,
		"manifests", run.report.Manifests, "tags", run.report.Tags, "blobs", run.report.Blobs, "skipped", len(run.report.Skipped))
	return run.report, nil
}

// reindexing is one run.
type reindexing struct {
	*reindexer
	report api.ReindexReport
	// sha512 are the other names of blobs that were hashed so far.
	sha512 map[digest.Digest]digest.Digest
}

// repository rebuilds one: most of the reading is done while pushes go on, then
// they wait while it is looked at again and its rows are replaced.
func (x *reindexing) repository(ctx context.Context, found registry.Repo) error {
	repo := found.Repository
	if err := x.project(ctx, repo); err != nil {
		return err
	}
	known := map[digest.Digest]*policy.Artifact{}
	if err := x.read(ctx, found, known); err != nil {
		return err
	}
	unlock := x.writes.stop()
	defer unlock()
	found, err := x.engine.Describe(ctx, repo)
	if err != nil {
		return err
	}
	if err := x.read(ctx, found, known); err != nil {
		return err
	}
	artifacts := make([]*policy.Artifact, 0, len(found.Manifests))
	for _, d := range found.Manifests {
		if a := known[d]; a != nil {
			artifacts = append(artifacts, a)
		}
	}
	tags := attachTags(artifacts, found.Tags)
	blobs, aliases, err := x.blobs(ctx, found, artifacts)
	if err != nil {
		return err
	}
	if err := x.store.Rebuild(ctx, repo, artifacts, blobs, aliases); err != nil {
		return err
	}
	for _, path := range found.Damaged {
		x.skip("%s: the link %s names nothing", repo, path)
	}
	x.report.Repositories++
	x.report.Manifests += len(artifacts)
	x.report.Tags += tags
	x.report.Blobs += len(blobs)
	return nil
}

// project makes the repository's project again, private, where the database that
// knew it is lost: what nobody may see is safe, and an administrator can go on.
func (x *reindexing) project(ctx context.Context, repo policy.Repository) error {
	err := x.store.CreateProject(ctx, policy.Project{Workspace: repo.Workspace, Name: repo.Project()})
	if err != nil && !errors.Is(err, policy.ErrConflict) {
		return fmt.Errorf("make project %s: %w", repo.Project(), err)
	}
	return nil
}

// read parses the manifests that are not known yet. One that cannot be
// understood is left out and told; only storage that does not answer ends the run.
func (x *reindexing) read(ctx context.Context, found registry.Repo, known map[digest.Digest]*policy.Artifact) error {
	for _, d := range found.Manifests {
		if _, seen := known[d]; seen {
			continue
		}
		a, err := x.artifact(ctx, found.Repository, d)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, policy.ErrUnavailable):
			// One damaged body must not keep all the others away.
			if down := x.engine.Check(ctx); down != nil {
				return down
			}
			fallthrough
		case err != nil:
			known[d] = nil
			x.skip("%s@%s: %v", found.Repository, d, err)
		default:
			known[d] = a
		}
	}
	return nil
}

func (x *reindexing) artifact(ctx context.Context, repo policy.Repository, d digest.Digest) (*policy.Artifact, error) {
	body, err := x.engine.Manifest(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	m, err := manifest.Parse("", body)
	if err != nil {
		return nil, err
	}
	a := m.Artifact
	a.Repository = repo
	// Which other name a client used is lost with the database, so every
	// manifest gets its sha512 name: it is as true as the other.
	a.Aliases = []digest.Digest{digest.SHA512.FromBytes(body)}
	if a.Kind == policy.KindImage && a.ConfigBlob != nil {
		if a.Config, err = x.config(ctx, repo, *a.ConfigBlob); err != nil {
			// As at a push: an image without a readable configuration is judged
			// as one whose configuration says nothing.
			a.Config = nil
		}
	}
	return a, nil
}

func (x *reindexing) config(ctx context.Context, repo policy.Repository, desc policy.Descriptor) (*policy.ImageConfig, error) {
	if desc.Digest.Algorithm() != digest.SHA256 {
		canonical, _, err := x.store.Blob(ctx, repo, desc.Digest)
		if err != nil {
			return nil, err
		}
		desc.Digest = canonical
	}
	f, size, err := x.engine.OpenBlob(ctx, repo, desc.Digest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if size > manifest.MaxConfig {
		return nil, fmt.Errorf("a configuration of %d bytes: %w", size, policy.ErrTooLarge)
	}
	body, err := io.ReadAll(io.LimitReader(f, manifest.MaxConfig+1))
	if err != nil {
		return nil, err
	}
	return manifest.ParseConfig(body)
}

// attachTags puts the tags on the artifacts that they name and counts them.
func attachTags(artifacts []*policy.Artifact, tags map[string]digest.Digest) int {
	byDigest := map[digest.Digest]*policy.Artifact{}
	for _, a := range artifacts {
		a.Tags = nil
		byDigest[a.Digest] = a
	}
	n := 0
	for tag, d := range tags {
		if a := byDigest[d]; a != nil {
			a.Tags = append(a.Tags, tag)
			n++
		}
	}
	for _, a := range artifacts {
		slices.Sort(a.Tags)
	}
	return n
}

// blobs are the sizes of the repository's blobs and the other names that its
// manifests use for them.
func (x *reindexing) blobs(ctx context.Context, found registry.Repo, artifacts []*policy.Artifact) (
	sizes map[digest.Digest]int64, aliases map[digest.Digest]digest.Digest, err error,
) {
	sizes = make(map[digest.Digest]int64, len(found.Blobs))
	for _, d := range found.Blobs {
		size, err := x.engine.StatBlob(ctx, found.Repository, d)
		switch {
		case err == nil:
			sizes[d] = size
		case errors.Is(err, policy.ErrNotFound):
			x.skip("%s: the blob %s is linked and not there", found.Repository, d)
		default:
			return nil, nil, err
		}
	}
	wanted := otherNames(artifacts)
	aliases = map[digest.Digest]digest.Digest{}
	for d := range sizes {
		if len(wanted) == 0 {
			break
		}
		other, err := x.hash(ctx, found.Repository, d)
		if err != nil {
			return nil, nil, err
		}
		if wanted[other] {
			aliases[other] = d
			delete(wanted, other)
		}
	}
	return sizes, aliases, nil
}

// otherNames are the blobs that manifests name by something else than sha256.
func otherNames(artifacts []*policy.Artifact) map[digest.Digest]bool {
	wanted := map[digest.Digest]bool{}
	note := func(d digest.Digest) {
		if d.Algorithm() != digest.SHA256 {
			wanted[d] = true
		}
	}
	for _, a := range artifacts {
		if a.ConfigBlob != nil {
			note(a.ConfigBlob.Digest)
		}
		for _, l := range a.Layers {
			note(l.Digest)
		}
	}
	return wanted
}

func (x *reindexing) hash(ctx context.Context, repo policy.Repository, d digest.Digest) (digest.Digest, error) {
	if other, ok := x.sha512[d]; ok {
		return other, nil
	}
	f, _, err := x.engine.OpenBlob(ctx, repo, d)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read blob %s: %w: %w", d, policy.ErrUnavailable, err)
	}
	x.sha512[d] = digest.NewDigest(digest.SHA512, h)
	return x.sha512[d], nil
}

func (x *reindexing) skip(format string, args ...any) {
	if len(x.report.Skipped) < maxSkipped {
		x.report.Skipped = append(x.report.Skipped, fmt.Sprintf(format, args...))
	}
	x.log.Warn("left out of the index", "what", fmt.Sprintf(format, args...))
}

// repairTagLinks points the engine's tag links, which are the backup of the
// rows, to where the rows say. A server that was killed between the two left
// some behind.
func repairTagLinks(ctx context.Context, engine *registry.Engine, store *metadata.Store, writes *writeGuard, log *slog.Logger) error {
	fixed := 0
	links := map[string]digest.Digest{}
	var at policy.Repository
	err := store.TagLinks(ctx, func(repo policy.Repository, tag string, d digest.Digest) error {
		if repo != at {
			found, err := engine.Describe(ctx, repo)
			if err != nil {
				return err
			}
			at, links = repo, found.Tags
		}
		if links[tag] == d {
			return nil
		}
		changed, err := repairTag(ctx, engine, store, writes, repo, tag)
		if changed {
			fixed++
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("repair tag links: %w", err)
	}
	if fixed > 0 {
		log.Info("tag links were repaired from the index", "links", fixed)
	}
	return nil
}

// repairTag looks again while nobody pushes: what was read before may be older
// than a push that went on in the meantime.
func repairTag(ctx context.Context, engine *registry.Engine, store *metadata.Store, writes *writeGuard, repo policy.Repository, tag string) (bool, error) {
	unlock := writes.stop()
	defer unlock()
	d, err := store.ResolveTag(ctx, repo, tag)
	if errors.Is(err, policy.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, engine.Tag(ctx, repo, tag, d)
}
