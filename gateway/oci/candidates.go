package oci

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

const (
	// maxCandidates is for how many manifests a blob's pull is judged.
	maxCandidates = 8
	// maxOwners is how many manifests are looked at to be sure that no image has a
	// blob for a layer.
	maxOwners = 64
)

// emptyJSON is the content of an empty config: "{}". Everybody knows its bytes.
var emptyJSON = digest.FromString("{}")

// candidates are the manifests that the blob may be pulled as a part of: what the
// caller pulled last first, then what was pushed last.
//
// Evidence is not judged as an image is. So where an image has the blob for a
// layer, evidence that names it too is no candidate: otherwise a signature that
// lists a layer of a denied image would let that layer out.
func (p *Protocol) candidates(ctx context.Context, who policy.Principal, repo policy.Repository, blob digest.Digest) ([]*policy.Artifact, error) {
	out := make([]*policy.Artifact, 0, maxCandidates)
	for _, d := range p.recent.pulled(who, repo) {
		if d == "" {
			break
		}
		a, err := p.index.Artifact(ctx, repo, d)
		if errors.Is(err, policy.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if names(a, blob) {
			out = append(out, a)
		}
	}
	digests, err := p.index.BlobManifests(ctx, repo, blob, maxCandidates)
	if err != nil {
		return nil, err
	}
	if out, err = p.add(ctx, repo, out, digests); err != nil {
		return nil, err
	}
	if blob == emptyJSON || !slices.ContainsFunc(out, isAccessory) {
		return out, nil
	}
	owners, sure, err := p.layerOwners(ctx, repo, blob)
	if err != nil || sure && len(owners) == 0 {
		return out, err
	}
	out = slices.DeleteFunc(out, isAccessory)
	for _, a := range owners {
		if len(out) < maxCandidates && !holds(out, a.Digest) {
			out = append(out, a)
		}
	}
	return out, nil
}

func isAccessory(a *policy.Artifact) bool { return a.Role.Accessory() }

// add puts the manifests behind those that are there already.
func (p *Protocol) add(ctx context.Context, repo policy.Repository, out []*policy.Artifact, digests []digest.Digest) ([]*policy.Artifact, error) {
	for _, d := range digests {
		if len(out) == maxCandidates {
			break
		}
		if holds(out, d) {
			continue
		}
		a, err := p.index.Artifact(ctx, repo, d)
		if errors.Is(err, policy.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func holds(artifacts []*policy.Artifact, d digest.Digest) bool {
	for _, a := range artifacts {
		if a.Digest == d {
			return true
		}
	}
	return false
}

// layerOwners are the manifests, other than evidence, that have the blob for a
// layer. They are sure to be all when fewer than maxOwners name the blob at all.
func (p *Protocol) layerOwners(ctx context.Context, repo policy.Repository, blob digest.Digest) (owners []*policy.Artifact, sure bool, err error) {
	digests, err := p.index.BlobManifests(ctx, repo, blob, maxOwners)
	if err != nil {
		return nil, false, err
	}
	for _, d := range digests {
		a, err := p.index.Artifact(ctx, repo, d)
		if errors.Is(err, policy.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if !a.Role.Accessory() && isLayer(a, blob) {
			owners = append(owners, a)
		}
	}
	return owners, len(digests) < maxOwners, nil
}

// names reports whether the manifest names the blob. The index has content under
// its canonical digest, whatever digest a manifest named it by.
func names(a *policy.Artifact, blob digest.Digest) bool {
	return a.ConfigBlob != nil && a.ConfigBlob.Digest == blob || isLayer(a, blob)
}

func isLayer(a *policy.Artifact, blob digest.Digest) bool {
	for i := range a.Layers {
		if a.Layers[i].Digest == blob {
			return true
		}
	}
	return false
}
