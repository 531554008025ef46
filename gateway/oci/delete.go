package oci

import (
	"context"
	"errors"
	"net/http"

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
	for range attempts {
		req := c.request(policy.TagDelete)
		a, err := p.find(ctx, c, &req)
		if errors.Is(err, policy.ErrNotFound) {
			return p.absent(ctx, c, req, manifestUnknown())
		}
		if err != nil {
			return err
		}
		req.Artifact = a
		if err := p.decide(ctx, c, req, nil); err != nil {
			return err
		}
		err = p.untag(context.WithoutCancel(ctx), c, req)
		if errors.Is(err, policy.ErrConflict) || errors.Is(err, policy.ErrNotFound) {
			continue // it moved, or went, since it was judged
		}
		if err != nil {
			return err
		}
		c.done(http.StatusAccepted)
		return nil
	}
	return contended()
}

// untag removes the tag from the index, which is the truth, and then its link.
func (p *Protocol) untag(ctx context.Context, c *call, req policy.Request) error {
	release := p.locks.hold(c.repo, c.route.Tag)
	defer release()
	if err := p.index.DeleteTag(ctx, c.repo, c.route.Tag, req.Reference.Current); err != nil {
		return err
	}
	if err := p.engine.Untag(ctx, c.repo, c.route.Tag); err != nil && !errors.Is(err, policy.ErrNotFound) {
		return err
	}
	return nil
}

// deleteManifest serves DELETE of a manifest: it and the tags on it are gone.
func (p *Protocol) deleteManifest(ctx context.Context, c *call) error {
	if err := c.carries(policy.ManifestDelete); err != nil {
		return err
	}
	req := c.request(policy.ManifestDelete)
	a, err := p.find(ctx, c, &req)
	if errors.Is(err, policy.ErrNotFound) {
		return p.absent(ctx, c, req, manifestUnknown())
	}
	if err != nil {
		return err
	}
	req.Artifact = a
	if err := p.decide(ctx, c, req, nil); err != nil {
		return err
	}
	if err := p.unlist(context.WithoutCancel(ctx), c, a); err != nil {
		if errors.Is(err, policy.ErrNotFound) {
			return manifestUnknown().Because(err)
		}
		return err
	}
	c.done(http.StatusAccepted)
	return nil
}

// unlist removes a manifest from the index and then from the engine, in the order
// in which a push puts it there for others of this process.
func (p *Protocol) unlist(ctx context.Context, c *call, a *policy.Artifact) error {
	release := p.locks.hold(c.repo, append([]string{string(a.Digest)}, a.Tags...)...)
	defer release()
	tags, err := p.index.DeleteManifest(ctx, c.repo, a.Digest)
	if err != nil {
		return err
	}
	p.bodies.drop(bodyKey{c.repo, a.Digest})
	for _, tag := range tags {
		if err := p.engine.Untag(ctx, c.repo, tag); err != nil && !errors.Is(err, policy.ErrNotFound) {
			return err
		}
	}
	if err := p.engine.DeleteManifest(ctx, c.repo, a.Digest); err != nil && !errors.Is(err, policy.ErrNotFound) {
		return err
	}
	return nil
}

// deleteBlob serves DELETE of a blob: the repository no longer has it.
func (p *Protocol) deleteBlob(ctx context.Context, c *call) error {
	if err := c.carries(policy.BlobDelete); err != nil {
		return err
	}
	req := c.request(policy.BlobDelete)
	canonical, size, err := p.index.Blob(ctx, c.repo, c.digest())
	if errors.Is(err, policy.ErrNotFound) {
		req.Blob = &policy.Blob{Digest: c.digest(), Size: -1}
		return p.absent(ctx, c, req, blobUnknown())
	}
	if err != nil {
		return err
	}
	req.Blob = &policy.Blob{Digest: canonical, Size: size}
	if err := p.decide(ctx, c, req, nil); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := p.index.DeleteBlob(ctx, c.repo, canonical); err != nil {
		return missingBlob(err)
	}
	if err := p.engine.DeleteBlob(ctx, c.repo, canonical); err != nil && !errors.Is(err, policy.ErrNotFound) {
		return err
	}
	c.done(http.StatusAccepted)
	return nil
}

// contended is the answer when a tag moves faster than it can be judged.
func contended() *errcode.Error {
	return errcode.New(errcode.Conflict, "the tag is being moved by others; try again").With("Retry-After", "1")
}
