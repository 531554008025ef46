package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/api"
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
	r := newReading(x, repo)
	if err := r.read(ctx, found); err != nil {
		return err
	}
	unlock := x.writes.stop()
	defer unlock()
	if err := repairRepository(ctx, x.engine, x.store, repo); err != nil {
		return err
	}
	found, err := x.engine.Describe(ctx, repo)
	if err != nil {
		return err
	}
	if err := r.read(ctx, found); err != nil {
		return err
	}
	for _, d := range slices.Sorted(maps.Keys(r.odd)) {
		x.skip("%s@%s: %s", repo, d, r.odd[d])
	}
	artifacts := r.artifacts(found)
	if err := x.store.Rebuild(ctx, repo, artifacts, r.sizes, r.aliases); err != nil {
		return err
	}
	for _, path := range found.Damaged {
		x.skip("%s: the link %s names nothing", repo, path)
	}
	x.report.Repositories++
	x.report.Manifests += len(artifacts)
	x.report.Blobs += len(r.sizes)
	for _, a := range artifacts {
		x.report.Tags += len(a.Tags)
	}
	return nil
}

// project makes the repository's project again, private, where the database that
// knew it is lost: what nobody may see is safe, and an administrator can go on.
func (x *reindexing) project(ctx context.Context, repo policy.Repository) error {
	_, err := x.store.CreateProject(ctx, metadata.Project{
		Project: policy.Project{Workspace: repo.Workspace, Name: repo.Project()},
	})
	if err != nil && !errors.Is(err, policy.ErrConflict) {
		return fmt.Errorf("make project %s: %w", repo.Project(), err)
	}
	return nil
}

func (x *reindexing) skip(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if len(x.report.Skipped) < maxSkipped {
		x.report.Skipped = append(x.report.Skipped, what)
	}
	x.log.Warn("left out of the index", "what", what)
}
