package oci

import (
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// complete refuses a manifest for what it names and the repository does not have,
// where sparse manifests are not taken.
//
// Two things have to be there in any case. The configuration: what rules know of
// an image is read from it at the push. And what is named by another digest than
// the canonical one: whose part a blob is, is told by canonical digests, and none
// is known of what is not there.
func (p *Protocol) complete(a *policy.Artifact) error {
	for _, d := range a.Missing {
		config := a.ConfigBlob != nil && a.ConfigBlob.Digest == d
		if !p.sparse || config || !isCanonical(d) {
			return errcode.New(errcode.ManifestBlobUnknown, "the manifest names content that is not there: "+string(d))
		}
	}
	return nil
}

func isCanonical(d digest.Digest) bool { return d.Algorithm() == digest.Canonical }
