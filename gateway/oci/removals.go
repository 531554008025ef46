package oci

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// unlink tells storage of what the index has let go of already. When that fails
// the index remembers it: the next try of the client, or the next start, goes on.
func (p *Protocol) unlink(ctx context.Context, removals ...policy.Removal) error {
	for _, r := range removals {
		var err error
		switch r.Kind {
		case policy.RemovedTag:
			err = p.engine.Untag(ctx, r.Repository, r.Name)
		case policy.RemovedManifest:
			err = p.engine.DeleteManifest(ctx, r.Repository, digest.Digest(r.Name))
		case policy.RemovedBlob:
			err = p.engine.DeleteBlob(ctx, r.Repository, digest.Digest(r.Name))
		}
		if err != nil && !errors.Is(err, policy.ErrNotFound) {
			return err
		}
	}
	if err := p.index.Removed(ctx, removals...); err != nil {
		// It is done. Remembered for too long it is only looked at once more.
		p.log.WarnContext(ctx, "a removal that is done stays noted", "error", err)
	}
	return nil
}

// gone answers for a deletion of what is not there: notFound, for who may know. If
// it is not there because an earlier deletion got stuck half way, that one is
// finished first: the answer promises that it does not come back.
func (p *Protocol) gone(ctx context.Context, c *call, req policy.Request, notFound *errcode.Error) error {
	answer := p.absent(ctx, c, req, notFound)
	if e := (*errcode.Error)(nil); !errors.As(answer, &e) || e != notFound {
		return answer
	}
	stuck, err := p.index.Removals(ctx, c.repo)
	if err != nil {
		return err
	}
	for _, r := range stuck {
		if err := p.finish(context.WithoutCancel(ctx), r); err != nil {
			return err
		}
	}
	return answer
}

// finish does what is left of a deletion, unless it was pushed again since.
func (p *Protocol) finish(ctx context.Context, r policy.Removal) error {
	var err error
	switch r.Kind {
	case policy.RemovedTag:
		defer p.locks.hold(r.Repository, r.Name)()
		_, err = p.index.ResolveTag(ctx, r.Repository, r.Name)
	case policy.RemovedManifest:
		defer p.locks.hold(r.Repository, r.Name)()
		_, err = p.index.Artifact(ctx, r.Repository, digest.Digest(r.Name))
	case policy.RemovedBlob:
		defer p.locks.alone(r.Repository)()
		_, _, err = p.index.Blob(ctx, r.Repository, digest.Digest(r.Name))
	}
	switch {
	case err == nil:
		return p.index.Removed(ctx, r)
	case errors.Is(err, policy.ErrNotFound):
		return p.unlink(ctx, r)
	default:
		return err
	}
}

// keep holds on to the blobs that a manifest names, until it is known: a deletion
// that came in since they were looked at makes the push fail, and one that comes
// now waits and finds the manifest.
func (p *Protocol) keep(ctx context.Context, c *call, in *push, a *policy.Artifact) (release func(), err error) {
	release = p.locks.share(c.repo)
	named := a.Layers
	if a.ConfigBlob != nil {
		named = append(slices.Clip(named), *a.ConfigBlob)
	}
	for _, d := range named {
		if slices.Contains(a.Missing, d.Digest) || in.external[d.Digest] {
			continue
		}
		if _, _, err := p.index.Blob(ctx, c.repo, d.Digest); err != nil {
			release()
			if errors.Is(err, policy.ErrNotFound) {
				err = errcode.New(errcode.ManifestBlobUnknown, "the manifest names content that is not there: "+string(d.Digest)).Because(err)
			}
			return nil, err
		}
	}
	return release, nil
}
