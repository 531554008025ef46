package oci

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// getBlob serves GET and HEAD of a blob. A blob rides on a manifest: it is served
// when some manifest of the repository that names it may be pulled.
func (p *Protocol) getBlob(ctx context.Context, c *call) error {
	if err := c.carries(policy.BlobPull); err != nil {
		return err
	}
	blob, err := p.judgeBlob(ctx, c, c.repo, c.digest(), c.head())
	if err != nil {
		return err
	}
	return p.serveBlob(ctx, c, blob)
}

// judgeBlob finds the blob and decides whether the caller may have it; nil means
// yes. probe asks whether it is there, rather than for its bytes.
func (p *Protocol) judgeBlob(ctx context.Context, c *call, repo policy.Repository, asked digest.Digest, probe bool) (policy.Blob, error) {
	req := c.request(policy.BlobPull)
	req.Repository = repo
	canonical, size, err := p.index.Blob(ctx, repo, asked)
	if errors.Is(err, policy.ErrNotFound) {
		req.Blob = &policy.Blob{Digest: asked, Size: -1}
		return policy.Blob{}, p.absent(ctx, c, req, blobUnknown())
	}
	if err != nil {
		return policy.Blob{}, err
	}
	blob := policy.Blob{Digest: canonical, Size: size}
	candidates, err := p.candidates(ctx, c.caller.Principal, repo, canonical)
	if err != nil {
		return blob, err
	}
	var denial error
	for _, a := range candidates {
		purpose, err := p.blobPurpose(ctx, c, a, repo, canonical, probe)
		if err != nil {
			return blob, err
		}
		denied, err := p.judgeAs(ctx, c, req, blob, a, purpose)
		if err != nil {
			return blob, err
		}
		if denied == nil {
			return blob, nil
		}
		if denial == nil {
			denial = denied
		}
	}
	if denial != nil {
		return blob, denial
	}
	// No manifest names it: it was pushed a moment ago, or left behind.
	req.Blob = &policy.Blob{Digest: canonical, Size: size}
	if probe && c.inspecting() {
		req.Purpose = policy.Inspect
	}
	return blob, p.decide(ctx, c, req, nil)
}

// judgeAs decides about the blob as a part of the manifest a: about the blob, and
// about the manifest by its digest. denied is the answer to a denial.
func (p *Protocol) judgeAs(ctx context.Context, c *call, req policy.Request, blob policy.Blob, a *policy.Artifact, purpose policy.Purpose) (denied, err error) {
	req.Purpose = purpose
	blob.Manifest = a.Digest
	req.Blob = &blob
	first, err := p.gate.Admit(ctx, req)
	if err != nil {
		return nil, err
	}
	if !first.Allowed() {
		return p.refuse(c, req.Action, first, nil), nil
	}
	req.Action, req.Blob, req.Artifact = policy.ManifestPull, nil, a
	req.Reference = policy.Reference{Kind: policy.ByDigest, Value: string(a.Digest)}
	second, err := p.gate.Admit(ctx, req)
	if err != nil {
		return nil, err
	}
	if !second.Allowed() {
		return p.refuse(c, policy.BlobPull, second, nil), nil
	}
	warn(c.w.Header(), first)
	warn(c.w.Header(), second)
	return nil, nil
}

// blobPurpose is what reading the blob as a part of the manifest is for. A layer
// is for use, always. Evidence, the configuration for who pushes, and a question
// whether something is there are inspections.
func (p *Protocol) blobPurpose(ctx context.Context, c *call, a *policy.Artifact, repo policy.Repository, canonical digest.Digest, probe bool) (policy.Purpose, error) {
	if a.Role.Accessory() {
		return policy.Inspect, nil
	}
	if !c.caller.Scoped || !c.caller.Carries(repo.Name, scopePush) {
		return policy.Use, nil
	}
	if probe {
		return policy.Inspect, nil
	}
	if a.ConfigBlob == nil || a.ConfigBlob.Digest != canonical {
		return policy.Use, nil
	}
	owners, sure, err := p.layerOwners(ctx, repo, canonical)
	if err != nil || !sure || len(owners) > 0 {
		return policy.Use, err
	}
	return policy.Inspect, nil
}
