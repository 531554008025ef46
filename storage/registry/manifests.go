package registry

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// PutManifest stores the body under its digest and links it into the
// repository. A body that d does not name is policy.ErrDigestMismatch. The
// media type is not kept: it is in the body or in the index.
func (e *Engine) PutManifest(ctx context.Context, repo policy.Repository, d digest.Digest, _ string, body []byte) error {
	s, err := e.content(repo, string(d))
	if err != nil {
		return err
	}
	if digest.FromBytes(body) != d {
		return fmt.Errorf("registry: manifest %s: %w", d, policy.ErrDigestMismatch)
	}
	// Content before link: what is linked is whole.
	data := blobPath(string(d))
	if info, err := s.Stat(ctx, data); err != nil || info.Size() != int64(len(body)) {
		if err := s.PutContent(ctx, data, body); err != nil {
			return failure("write manifest "+string(d), err)
		}
	}
	if err := s.link(ctx, revisionLink(repo.Name, string(d)), string(d)); err != nil {
		return failure("link manifest "+string(d), err)
	}
	return nil
}

// Manifest is the body of a manifest that the repository links. A body that is
// no longer what its digest names is policy.ErrUnavailable, not an answer.
func (e *Engine) Manifest(ctx context.Context, repo policy.Repository, d digest.Digest) ([]byte, error) {
	s, err := e.content(repo, string(d))
	if err != nil {
		return nil, err
	}
	if err := s.linked(ctx, revisionLink(repo.Name, string(d)), "manifest "+string(d), repo); err != nil {
		return nil, err
	}
	body, err := s.GetContent(ctx, blobPath(string(d)))
	if err != nil {
		return nil, failure("read manifest "+string(d), err)
	}
	if digest.FromBytes(body) != d {
		return nil, fmt.Errorf("registry: read manifest %s: %w: the stored content is damaged", d, policy.ErrUnavailable)
	}
	return body, nil
}

// DeleteManifest unlinks the manifest from the repository. Tags that name it
// are the caller's to remove.
func (e *Engine) DeleteManifest(ctx context.Context, repo policy.Repository, d digest.Digest) error {
	s, err := e.content(repo, string(d))
	if err != nil {
		return err
	}
	return s.unlink(ctx, revisionLink(repo.Name, string(d)), "manifest "+string(d), repo)
}

// Tag points the tag to a manifest of the repository. Of two calls at once for
// one tag either may win: who needs an order keeps one.
func (e *Engine) Tag(ctx context.Context, repo policy.Repository, tag string, d digest.Digest) error {
	s, err := e.content(repo, string(d))
	if err != nil {
		return err
	}
	if !validTag(tag) {
		return fmt.Errorf("registry: %w: tag %q", policy.ErrInvalid, clip(tag))
	}
	if err := s.linked(ctx, revisionLink(repo.Name, string(d)), "manifest "+string(d), repo); err != nil {
		return err
	}
	// distribution keeps a history of a tag next to its current target.
	if err := s.link(ctx, tagIndexLink(repo.Name, tag, string(d)), string(d)); err != nil {
		return failure("tag "+tag, err)
	}
	if err := s.PutContent(ctx, tagLink(repo.Name, tag), []byte(d)); err != nil {
		return failure("tag "+tag, err)
	}
	return nil
}

// Untag removes the tag. One that is not there is policy.ErrNotFound.
func (e *Engine) Untag(ctx context.Context, repo policy.Repository, tag string) error {
	s, err := e.repository(repo)
	if err != nil {
		return err
	}
	if !validTag(tag) {
		return fmt.Errorf("registry: %w: tag %q", policy.ErrInvalid, clip(tag))
	}
	return s.unlink(ctx, tagPath(repo.Name, tag), "tag "+tag, repo)
}
