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
