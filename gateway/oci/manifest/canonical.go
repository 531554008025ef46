package manifest

import (
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// Canonicalise replaces the digests by which an artifact names content with the
// canonical ones, so that one content has one name in the index. resolve answers
// the canonical digest of another; what it does not know keeps its name.
func Canonicalise(a *policy.Artifact, resolve func(digest.Digest) (digest.Digest, bool)) {
	rename := func(d *policy.Descriptor) {
		if d.Digest.Algorithm() == digest.Canonical {
			return
		}
		if c, ok := resolve(d.Digest); ok {
			d.Digest = c
		}
	}
	for i := range a.Layers {
		rename(&a.Layers[i])
	}
	for i := range a.Manifests {
		rename(&a.Manifests[i].Descriptor)
	}
	if a.ConfigBlob != nil {
		rename(a.ConfigBlob)
	}
	if a.Subject != nil {
		rename(a.Subject)
	}
}
