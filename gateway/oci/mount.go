package oci

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// maxSources is in how many repositories a mount that names no source looks.
const maxSources = 8

// mountBlob serves POST with "mount": a pull at the source and a push at the
// target, both decided. What is refused, or not there, becomes an upload.
func (p *Protocol) mountBlob(ctx context.Context, c *call) error {
	if err := c.carries(policy.BlobMount); err != nil {
		return err
	}
	sources := c.sources()
	for _, from := range sources {
		// A client learns in this way that a mount needs more of a token than a push
		// does. One that asked for it and was not given it uploads.
		if !c.caller.Carries(from, scopePull) && !c.caller.Asked(from) {
			return errcode.Unauthorized(c.scope(policy.BlobMount), true)
		}
	}
	want := c.route.Value("mount")
	if !ociroute.ValidDigest(want) {
		return errcode.New(errcode.DigestInvalid, "the digest to mount is not valid")
	}
	if err := p.ensureProject(ctx, c); err != nil {
		return err
	}
	d := digest.Digest(want)
	// The push comes first: who may not push learns nothing about the source.
	if err := p.decidePush(ctx, c, policy.Upload{DeclaredSize: -1, Digest: d}); err != nil {
		return err
	}
	for _, from := range sources {
		mounted, err := p.tryMount(ctx, c, policy.Repository{Workspace: c.repo.Workspace, Name: from}, d)
		if err != nil {
			return err
		}
		if mounted {
			c.created(ociroute.BlobPath(c.repo.Name, want), d)
			return nil
		}
	}
	return p.openSession(ctx, c)
}

// sources are the repositories that the blob may be mounted from: the one that
// the client names. A client that names none (automatic content discovery) has it
// looked for in the target and where else its token may pull, and nowhere else:
// an answer that depended on what others have would tell it.
func (c *call) sources() []string {
	if from := c.route.Value("from"); from != "" {
		if !ociroute.ValidName(from) {
			return nil
		}
		return []string{from}
	}
	var out []string
	if c.caller.Carries(c.repo.Name, scopePull) {
		out = append(out, c.repo.Name)
	}
	for _, name := range c.caller.Repositories(scopePull) {
		if name != c.repo.Name && ociroute.ValidName(name) && len(out) < maxSources {
			out = append(out, name)
		}
	}
	return out
}

// tryMount reports false for a mount that cannot be: the client uploads then.
func (p *Protocol) tryMount(ctx context.Context, c *call, from policy.Repository, d digest.Digest) (bool, error) {
	if !c.caller.Carries(from.Name, scopePull) {
		return false, nil
	}
	source, err := p.judgeBlob(ctx, c, from, d, false)
	if err != nil {
		if refusal(err) {
			return false, nil
		}
		return false, err
	}
	manifests, err := p.index.BlobManifests(ctx, from, source.Digest, maxCandidates)
	if err != nil {
		return false, err
	}
	req := c.request(policy.BlobMount)
	req.Blob = &source
	req.Mount = &policy.Mount{From: from, SubjectCanPullFrom: true, Manifests: manifests}
	decision, err := p.gate.Admit(ctx, req)
	if err != nil || !decision.Allowed() {
		return false, err
	}
	warn(c.w.Header(), decision)
	ctx = context.WithoutCancel(ctx)
	defer p.locks.share(c.repo)()
	size, err := p.engine.MountBlob(ctx, from, c.repo, source.Digest)
	if errors.Is(err, policy.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	alias := d
	if alias == source.Digest {
		alias = ""
	}
	if err := p.index.AddBlob(ctx, c.repo, source.Digest, alias, size); err != nil {
		return false, err
	}
	return true, nil
}

// refusal tells a denial, or a blob that is not there, from a failure.
func refusal(err error) bool {
	var e *errcode.Error
	return errors.As(err, &e) && e.Status < 500 && e.Code != errcode.TooManyRequests
}
