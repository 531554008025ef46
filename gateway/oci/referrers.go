package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
)

// listReferrers serves the manifests that refer to a digest, all on one page:
// most clients read the first page only. The digest need not exist.
func (p *Protocol) listReferrers(ctx context.Context, c *call) error {
	if err := c.carries(policy.ReferrersList); err != nil {
		return err
	}
	filter := c.route.Value("artifactType")
	found, err := p.referrers(ctx, c)
	if err != nil {
		return err
	}
	if filter != "" {
		found = slices.DeleteFunc(found, func(d policy.Descriptor) bool { return d.ArtifactType != filter })
	}
	req := c.request(policy.ReferrersList)
	req.Reference = policy.Reference{Kind: policy.ByDigest, Value: c.route.Digest}
	req.Referrers = &policy.ReferrersQuery{ArtifactType: filter, Count: len(found)}
	if err := p.decide(ctx, c, req, nil); err != nil {
		return err
	}
	if filter != "" {
		c.w.Header()["Oci-Filters-Applied"] = []string{"artifactType"}
	}
	body, err := p.referrersIndex(found)
	if err != nil {
		return err
	}
	c.writeJSON(http.StatusOK, manifest.OCIIndex, body)
	return nil
}

// listFrame is the room, in bytes, for all of a list that is no entry.
const listFrame = 256

// referrersIndex writes descriptors as an index that any client will read: no
// larger than the largest manifest. What was attached here one after the other fits
// in, since a push that would not is refused; what an imported list adds may be cut.
func (p *Protocol) referrersIndex(found []policy.Descriptor) ([]byte, error) {
	found = found[:min(len(found), p.limits.Referrers)]
	entries := make([]json.RawMessage, 0, len(found))
	size := listFrame
	for i := range found {
		one, err := unescaped(found[i])
		if err != nil {
			return nil, err
		}
		if size += len(one) + 1; size > manifest.MaxSize {
			break
		}
		entries = append(entries, one)
	}
	return unescaped(struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
	}{2, manifest.OCIIndex, entries})
}

// fits reports whether one list has room for all the descriptors.
func (p *Protocol) fits(all []policy.Descriptor) (bool, error) {
	if len(all) > p.limits.Referrers {
		return false, nil
	}
	size := listFrame
	for i := range all {
		one, err := unescaped(all[i])
		if err != nil {
			return false, err
		}
		if size += len(one) + 1; size > manifest.MaxSize {
			return false, nil
		}
	}
	return true, nil
}

// unescaped writes JSON as short as it was: the escapes for pages of HTML would make
// an annotation six times as long as its manifest has it.
func unescaped(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// referrers are those of the digest by whatever algorithm it is named, and those
// that an imported fallback tag lists.
func (p *Protocol) referrers(ctx context.Context, c *call) ([]policy.Descriptor, error) {
	names := []digest.Digest{c.digest()}
	subject, err := p.index.Artifact(ctx, c.repo, c.digest())
	switch {
	case errors.Is(err, policy.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		for _, d := range append([]digest.Digest{subject.Digest}, subject.Aliases...) {
			if !slices.Contains(names, d) {
				names = append(names, d)
			}
		}
	}
	out := []policy.Descriptor{}
	for _, name := range names {
		found, err := p.index.Referrers(ctx, c.repo, name)
		if err != nil && !errors.Is(err, policy.ErrNotFound) {
			return nil, err
		}
		out = merge(out, found...)
		imported, err := p.imported(ctx, c, name, names)
		if err != nil {
			return nil, err
		}
		out = merge(out, imported...)
	}
	return out, nil
}

func merge(into []policy.Descriptor, more ...policy.Descriptor) []policy.Descriptor {
	for _, d := range more {
		if !slices.ContainsFunc(into, func(have policy.Descriptor) bool { return have.Digest == d.Digest }) {
			into = append(into, d)
		}
	}
	return into
}

// imported are the referrers that the index under the fallback tag lists, as
// registries without this interface have them. Only what is in the repository
// and does not refer to something else counts, and its type is what the manifest
// says, not what the list does.
func (p *Protocol) imported(ctx context.Context, c *call, subject digest.Digest, names []digest.Digest) ([]policy.Descriptor, error) {
	d, err := p.index.ResolveTag(ctx, c.repo, fallbackTag(subject))
	if errors.Is(err, policy.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := p.index.Artifact(ctx, c.repo, d)
	if errors.Is(err, policy.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []policy.Descriptor
	for i := range list.Manifests {
		a, err := p.index.Artifact(ctx, c.repo, list.Manifests[i].Digest)
		if errors.Is(err, policy.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if a.Subject == nil || slices.Contains(names, a.Subject.Digest) {
			out = append(out, describe(a))
		}
	}
	return out, nil
}

// fallbackTag is the referrers tag of the distribution-spec.
func fallbackTag(d digest.Digest) string {
	encoded := d.Encoded()
	return d.Algorithm().String() + "-" + encoded[:min(len(encoded), 64)]
}

// describe is the descriptor of a manifest as a referrer.
func describe(a *policy.Artifact) policy.Descriptor {
	out := policy.Descriptor{
		Digest: a.Digest, Size: a.Size, MediaType: a.MediaType, ArtifactType: a.ArtifactType, Annotations: a.Annotations,
	}
	if out.ArtifactType == "" && a.ConfigBlob != nil {
		out.ArtifactType = a.ConfigBlob.MediaType
	}
	return out
}
