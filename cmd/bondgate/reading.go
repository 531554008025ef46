package main

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

// reading is what storage says of one repository, in the index's terms. It may be
// read twice: what is known already is not read again.
type reading struct {
	*reindexing
	repo policy.Repository
	// known are the manifests that can be used, and odd says what is wrong with
	// those that cannot, or that are kept as the index has them.
	known map[digest.Digest]*policy.Artifact
	odd   map[digest.Digest]string
	sizes map[digest.Digest]int64
	// named are the blobs that manifests call by something else than sha256, and
	// aliases those of them that were found.
	named   map[digest.Digest]bool
	aliases map[digest.Digest]digest.Digest
	// other are the sha512 names of the manifests.
	other map[digest.Digest]digest.Digest
}

func newReading(x *reindexing, repo policy.Repository) *reading {
	return &reading{
		reindexing: x, repo: repo, known: map[digest.Digest]*policy.Artifact{}, odd: map[digest.Digest]string{}, sizes: map[digest.Digest]int64{},
		named: map[digest.Digest]bool{}, aliases: map[digest.Digest]digest.Digest{}, other: map[digest.Digest]digest.Digest{},
	}
}

// read reads what is there now: manifests, then blobs, then what the ones say of
// the others, under the names that the index has for them.
func (r *reading) read(ctx context.Context, found registry.Repo) error {
	for _, d := range found.Manifests {
		if err := r.manifest(ctx, d); err != nil {
			return err
		}
	}
	if err := r.blobs(ctx, found.Blobs); err != nil {
		return err
	}
	for d, a := range r.known {
		if r.odd[d] != "" {
			continue // kept as it is, and shared with the index's cache
		}
		r.rename(a)
		if a.Role == policy.RoleImage && a.ConfigBlob != nil && a.Config == nil {
			if err := r.config(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// manifest parses one that is not known yet. One that cannot be understood is
// left out and told; only storage that does not answer ends the run. One that
// cannot be read, for the moment perhaps, stays in the index as it is.
func (r *reading) manifest(ctx context.Context, d digest.Digest) error {
	if _, seen := r.known[d]; seen {
		return nil
	}
	body, err := r.engine.Manifest(ctx, r.repo, d)
	var m *manifest.Manifest
	if err == nil {
		m, err = manifest.Parse("", body)
	}
	if err != nil {
		r.odd[d] = err.Error()
		if err := r.down(ctx, err); err != nil {
			return err
		}
		if errors.Is(err, policy.ErrUnavailable) {
			return r.keep(ctx, d)
		}
		return nil
	}
	delete(r.odd, d)
	a := m.Artifact
	a.Repository = r.repo
	// Which other name a client used is lost with the database, so every
	// manifest gets its sha512 name: it is as true as the other.
	alias := digest.SHA512.FromBytes(body)
	a.Aliases = []digest.Digest{alias}
	r.other[alias] = a.Digest
	r.known[d] = a
	for _, blob := range blobsOf(a) {
		if blob.Digest.Algorithm() != digest.SHA256 {
			r.named[blob.Digest] = true
		}
	}
	return nil
}

// keep takes what the index has of a manifest that cannot be read; nothing, where
// the index does not have it.
func (r *reading) keep(ctx context.Context, d digest.Digest) error {
	was, err := r.store.Artifact(ctx, r.repo, d)
	switch {
	case errors.Is(err, policy.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	kept := *was
	r.known[d] = &kept
	return nil
}

// down tells damaged content from storage that does not answer: one damaged body
// must not keep all the others away.
func (r *reading) down(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, policy.ErrUnavailable) {
		return r.engine.Check(ctx)
	}
	return nil
}

// blobs learns sizes, and looks for those that manifests name by sha512.
func (r *reading) blobs(ctx context.Context, linked []digest.Digest) error {
	clear(r.sizes)
	for _, d := range linked {
		size, err := r.engine.StatBlob(ctx, r.repo, d)
		if errors.Is(err, policy.ErrUnavailable) {
			// It is linked, and cannot be looked at now: what is known of it holds.
			if err := r.down(ctx, err); err != nil {
				return err
			}
			var was int64
			switch _, was, err = r.store.Blob(ctx, r.repo, d); {
			case err == nil:
				size = was
			case !errors.Is(err, policy.ErrNotFound):
				return err
			}
		}
		if err != nil {
			r.skip("%s: blob %s: %v", r.repo, d, err)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		r.sizes[d] = size
	}
	for d := range r.sizes {
		if len(r.aliases) == len(r.named) {
			return nil
		}
		other, err := r.hash(ctx, d)
		if err != nil {
			if err := r.down(ctx, err); err != nil {
				return err
			}
			continue
		}
		if r.named[other] {
			r.aliases[other] = d
		}
	}
	return nil
}

func (r *reading) hash(ctx context.Context, d digest.Digest) (digest.Digest, error) {
	if other, ok := r.sha512[d]; ok {
		return other, nil
	}
	f, _, err := r.engine.OpenBlob(ctx, r.repo, d)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read blob %s: %w: %w", d, policy.ErrUnavailable, err)
	}
	r.sha512[d] = digest.NewDigest(digest.SHA512, h)
	return r.sha512[d], nil
}

// rename gives what the artifact names its canonical name, as a push does.
func (r *reading) rename(a *policy.Artifact) {
	for _, blob := range blobsOf(a) {
		if c, ok := r.aliases[blob.Digest]; ok {
			blob.Digest = c
		}
	}
	for i := range a.Manifests {
		if c, ok := r.other[a.Manifests[i].Digest]; ok {
			a.Manifests[i].Digest = c
		}
	}
	if a.Subject != nil {
		if c, ok := r.other[a.Subject.Digest]; ok {
			a.Subject.Digest = c
		}
	}
}

// blobsOf are the places where a manifest names blobs.
func blobsOf(a *policy.Artifact) []*policy.Descriptor {
	out := make([]*policy.Descriptor, 0, len(a.Layers)+1)
	if a.ConfigBlob != nil {
		out = append(out, a.ConfigBlob)
	}
	for i := range a.Layers {
		out = append(out, &a.Layers[i])
	}
	return out
}

// config reads an image's configuration. An image without one that can be read
// stays one of which nothing is known, the worst case for every rule.
func (r *reading) config(ctx context.Context, a *policy.Artifact) error {
	if _, there := r.sizes[a.ConfigBlob.Digest]; !there {
		return nil
	}
	f, size, err := r.engine.OpenBlob(ctx, r.repo, a.ConfigBlob.Digest)
	if err != nil {
		return r.keepConfig(ctx, a, err)
	}
	defer func() { _ = f.Close() }()
	if size > manifest.MaxConfig {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(f, manifest.MaxConfig))
	if err != nil {
		return r.keepConfig(ctx, a, fmt.Errorf("%w: %w", policy.ErrUnavailable, err))
	}
	if c, err := manifest.ParseConfig(body); err == nil {
		a.Config = c
	}
	return nil
}

// keepConfig takes what the index has read of a configuration before.
func (r *reading) keepConfig(ctx context.Context, a *policy.Artifact, failed error) error {
	if err := r.down(ctx, failed); err != nil {
		return err
	}
	was, err := r.store.Artifact(ctx, r.repo, a.Digest)
	if err == nil {
		a.Config = was.Config
	}
	if errors.Is(err, policy.ErrNotFound) {
		return nil
	}
	return err
}

// artifacts are the manifests that are there now, with the tags that name them.
func (r *reading) artifacts(found registry.Repo) []*policy.Artifact {
	out := make([]*policy.Artifact, 0, len(found.Manifests))
	for _, d := range found.Manifests {
		if a := r.known[d]; a != nil {
			a.Tags = nil
			out = append(out, a)
		}
	}
	for tag, d := range found.Tags {
		if a := r.known[d]; a != nil {
			a.Tags = append(a.Tags, tag)
		}
	}
	for _, a := range out {
		slices.Sort(a.Tags)
	}
	return out
}
