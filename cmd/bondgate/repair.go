package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata"
	"github.com/bondgate/bondgate/storage/registry"
)

// finishRemovals tells storage what the index let go of before a crash, or while
// storage failed. Without it a reindex would bring back what was deleted.
func finishRemovals(ctx context.Context, engine *registry.Engine, store *metadata.Store, writes *writeGuard, log *slog.Logger) error {
	left, err := store.Removals(ctx, policy.Repository{})
	if err != nil {
		return fmt.Errorf("finish removals: %w", err)
	}
	for _, r := range left {
		unlock := writes.stop()
		err := finishRemoval(ctx, engine, store, r)
		unlock()
		if err != nil {
			return fmt.Errorf("finish removals: %w", err)
		}
	}
	if len(left) > 0 {
		log.Info("removals were finished that had been cut short", "removals", len(left))
	}
	return nil
}

// finishRemoval does one, unless it was pushed again since. Nobody writes.
func finishRemoval(ctx context.Context, engine *registry.Engine, store *metadata.Store, r policy.Removal) error {
	var known, err error
	switch r.Kind {
	case policy.RemovedTag:
		if _, known = store.ResolveTag(ctx, r.Repository, r.Name); errors.Is(known, policy.ErrNotFound) {
			err = engine.Untag(ctx, r.Repository, r.Name)
		}
	case policy.RemovedManifest:
		if _, known = store.Artifact(ctx, r.Repository, digest.Digest(r.Name)); errors.Is(known, policy.ErrNotFound) {
			err = engine.DeleteManifest(ctx, r.Repository, digest.Digest(r.Name))
		}
	case policy.RemovedBlob:
		if _, _, known = store.Blob(ctx, r.Repository, digest.Digest(r.Name)); errors.Is(known, policy.ErrNotFound) {
			err = engine.DeleteBlob(ctx, r.Repository, digest.Digest(r.Name))
		}
	}
	for _, err := range []error{known, err} {
		if err != nil && !errors.Is(err, policy.ErrNotFound) {
			return err
		}
	}
	return store.Removed(ctx, r)
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
			found, err := engine.TagLinks(ctx, repo)
			if err != nil {
				return err
			}
			at, links = repo, found
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

// repairRepository makes storage say of one repository what the index says, before
// storage is believed: while there is a database it is the truth for what was
// removed and for where tags are. Nobody writes.
func repairRepository(ctx context.Context, engine *registry.Engine, store *metadata.Store, repo policy.Repository) error {
	left, err := store.Removals(ctx, repo)
	if err != nil {
		return err
	}
	for _, r := range left {
		if err := finishRemoval(ctx, engine, store, r); err != nil {
			return err
		}
	}
	links, err := engine.TagLinks(ctx, repo)
	if err != nil {
		return err
	}
	for after := ""; ; {
		tags, err := store.Tags(ctx, repo, after, tagPage)
		if err != nil && !errors.Is(err, policy.ErrNotFound) {
			return err
		}
		for _, tag := range tags {
			d, err := store.ResolveTag(ctx, repo, tag)
			if err == nil && links[tag] != d {
				err = engine.Tag(ctx, repo, tag, d)
			}
			// A row of what storage no longer has is what a reindex is for.
			if err != nil && !errors.Is(err, policy.ErrNotFound) {
				return err
			}
			after = tag
		}
		if len(tags) < tagPage {
			return nil
		}
	}
}

// tagPage is how many tags are read at a time.
const tagPage = 1000
