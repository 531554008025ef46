package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// The tags on a manifest and the indexes that list it are in the input of every
// decision about it, and in every record of one. What a pusher could make grow
// without end is bounded here, where it grows.

// learnParents notes that a child of the index is in as many indexes as it may be.
func (p *Protocol) learnParents(in *push, child digest.Digest, parents []digest.Digest) {
	if len(parents) >= p.limits.Parents && !slices.Contains(parents, in.artifact.Digest) {
		in.full = errcode.New(errcode.DeniedCode, fmt.Sprintf(
			"the manifest %s is in %d indexes, the most that are allowed: delete those that are not needed", child, len(parents)))
	}
}

// learnLists is learnParents for a child that is not there.
func (p *Protocol) learnLists(ctx context.Context, c *call, in *push, child digest.Digest) error {
	parents, err := p.index.Parents(ctx, c.repo, child)
	if err != nil {
		return err
	}
	p.learnParents(in, child, parents)
	return nil
}

// room refuses a push that adds more than a manifest may carry. Tags that are on
// it already are none too many.
func (p *Protocol) room(in *push, future, there *policy.Artifact) error {
	if in.full != nil {
		return in.full
	}
	before := 0
	if there != nil {
		before = len(there.Tags)
	}
	if len(future.Tags) > p.limits.ManifestTags && len(future.Tags) > before {
		return errcode.New(errcode.DeniedCode, fmt.Sprintf(
			"the manifest would have %d tags in the repository, %d are allowed: delete those that are not needed", len(future.Tags), p.limits.ManifestTags))
	}
	return nil
}

// sameTags fails with policy.ErrConflict when there is a tag on the manifest that
// was not judged with it. It holds for this process while the digest is locked.
func (p *Protocol) sameTags(ctx context.Context, c *call, judged *policy.Artifact) error {
	now, err := p.index.Artifact(ctx, c.repo, judged.Digest)
	if errors.Is(err, policy.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, tag := range now.Tags {
		if !slices.Contains(judged.Tags, tag) {
			return fmt.Errorf("tag %s came meanwhile: %w", tag, policy.ErrConflict)
		}
	}
	return nil
}
