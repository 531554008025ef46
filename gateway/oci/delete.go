package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// attempts is how often something is decided anew because a tag moved meanwhile.
const attempts = 4

// deleteTag serves DELETE of a tag. The manifest stays.
func (p *Protocol) deleteTag(ctx context.Context, c *call) error {
	if err := c.carries(policy.TagDelete); err != nil {
		return err
	}
	var missing *policy.Request
	err := p.persist(c, []string{c.route.Tag}, func(held bool) error {
		req := c.request(policy.TagDelete)
		a, err := p.find(ctx, c, &req)
		if errors.Is(err, policy.ErrNotFound) {
			missing = &req
			return nil
		}
		if err != nil {
			return err
		}
		req.Artifact = a
		if err := p.decide(ctx, c, req, nil); err != nil {
			return err
		}
		if !held {
			defer p.locks.hold(c.repo, c.route.Tag)()
		}
		if err := p.untag(context.WithoutCancel(ctx), c, req); err != nil {
			return err
		}
		c.done(http.StatusAccepted)
		return nil
	})
	if err == nil && missing != nil {
		return p.gone(ctx, c, *missing, manifestUnknown())
	}
	return err
}

// untag removes the tag from the index, which is the truth, and then its link.
func (p *Protocol) untag(ctx context.Context, c *call, req policy.Request) error {
	err := p.index.DeleteTag(ctx, c.repo, c.route.Tag, req.Reference.Current)
	if errors.Is(err, policy.ErrNotFound) {
		// It went since it was judged: look again, and say so if it stays away.
		return fmt.Errorf("%w: %w", policy.ErrConflict, err)
	}
	if err != nil {
		return err
	}
	return p.unlink(ctx, policy.Removal{Repository: c.repo, Kind: policy.RemovedTag, Name: c.route.Tag})
}

// persist tries until nothing moved between the judgement and the deed. The first
// time others may come in between; after that the names are held from before the
// judgement, so that in one process somebody always gets on.
func (p *Protocol) persist(c *call, names []string, try func(held bool) error) error {
	for n := range attempts {
		err := func() error {
			if n > 0 {
				defer p.locks.hold(c.repo, names...)()
			}
			return try(n > 0)
		}()
		if !errors.Is(err, policy.ErrConflict) {
			return err
		}
	}
	return contended()
}

// deleteManifest serves DELETE of a manifest: it and the tags on it are gone.
func (p *Protocol) deleteManifest(ctx context.Context, c *call) error {
	if err := c.carries(policy.ManifestDelete); err != nil {
		return err
	}
	for range attempts {
		req := c.request(policy.ManifestDelete)
		a, err := p.find(ctx, c, &req)
		if errors.Is(err, policy.ErrNotFound) {
			return p.gone(ctx, c, req, manifestUnknown())
		}
		if err != nil {
			return err
		}
		req.Artifact = a
		if err := p.decide(ctx, c, req, nil); err != nil {
			return err
		}
		err = p.unlist(context.WithoutCancel(ctx), c, a)
		switch {
		case errors.Is(err, policy.ErrConflict), errors.Is(err, policy.ErrNotFound):
			continue // it got a tag, or went, since it was judged
		case err != nil:
			return err
		}
		c.done(http.StatusAccepted)
		return nil
	}
	return contended()
}

// unlist removes a manifest from the index and then from the engine, in the order
// in which a push puts it there for others of this process. It fails with
// policy.ErrConflict when there is a tag on it that was not judged.
func (p *Protocol) unlist(ctx context.Context, c *call, a *policy.Artifact) error {
	defer p.locks.hold(c.repo, append([]string{string(a.Digest)}, a.Tags...)...)()
	// While its digest is held the manifest gets no tag in this process.
	now, err := p.index.Artifact(ctx, c.repo, a.Digest)
	if err != nil {
		return err
	}
	for _, tag := range now.Tags {
		if !slices.Contains(a.Tags, tag) {
			return fmt.Errorf("tag %s came meanwhile: %w", tag, policy.ErrConflict)
		}
	}
	tags, err := p.index.DeleteManifest(ctx, c.repo, a.Digest, a.Tags)
	if err != nil {
		return err
	}
	p.bodies.drop(bodyKey{c.repo, a.Digest})
	removals := make([]policy.Removal, 0, len(tags)+1)
	for _, tag := range tags {
		removals = append(removals, policy.Removal{Repository: c.repo, Kind: policy.RemovedTag, Name: tag})
	}
	return p.unlink(ctx, append(removals, policy.Removal{Repository: c.repo, Kind: policy.RemovedManifest, Name: string(a.Digest)})...)
}

// deleteBlob serves DELETE of a blob: the repository no longer has it. One that a
// manifest names stays: a manifest that was taken never loses its blobs.
func (p *Protocol) deleteBlob(ctx context.Context, c *call) error {
	if err := c.carries(policy.BlobDelete); err != nil {
		return err
	}
	req := c.request(policy.BlobDelete)
	canonical, size, err := p.index.Blob(ctx, c.repo, c.digest())
	if errors.Is(err, policy.ErrNotFound) {
		req.Blob = &policy.Blob{Digest: c.digest(), Size: -1}
		return p.gone(ctx, c, req, blobUnknown())
	}
	if err != nil {
		return err
	}
	req.Blob = &policy.Blob{Digest: canonical, Size: size}
	if err := p.decide(ctx, c, req, nil); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	defer p.locks.alone(c.repo)()
	named, err := p.index.BlobManifests(ctx, c.repo, canonical, 1)
	if err != nil {
		return err
	}
	if len(named) > 0 {
		return errcode.New(errcode.Unsupported, "manifests name the blob, "+string(named[0])+" for one: delete them first").
			With("Allow", "GET, HEAD")
	}
	if err := p.index.DeleteBlob(ctx, c.repo, canonical); err != nil {
		return missingBlob(err)
	}
	if err := p.unlink(ctx, policy.Removal{Repository: c.repo, Kind: policy.RemovedBlob, Name: string(canonical)}); err != nil {
		return err
	}
	c.done(http.StatusAccepted)
	return nil
}

// contended is the answer when a tag moves faster than it can be judged.
func contended() *errcode.Error {
	return errcode.New(errcode.Conflict, "the tag is being moved by others; try again").With("Retry-After", "1")
}
