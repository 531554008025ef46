package oci

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// getManifest serves GET and HEAD of a manifest. A tag is resolved once: the
// digest that it had is judged, and is what is served.
func (p *Protocol) getManifest(ctx context.Context, c *call) error {
	if err := c.carries(policy.ManifestPull); err != nil {
		return err
	}
	req := c.request(policy.ManifestPull)
	a, err := p.find(ctx, c, &req)
	if errors.Is(err, policy.ErrNotFound) {
		return p.absent(ctx, c, req, manifestUnknown())
	}
	if err != nil {
		return err
	}
	req.Artifact = a
	req.Purpose = c.manifestPurpose(a)
	if err := p.decide(ctx, c, req, nil); err != nil {
		return err
	}
	p.recent.note(c.caller.Principal, c.repo, a.Digest)
	b, err := p.body(ctx, c, a)
	if errors.Is(err, policy.ErrNotFound) {
		return manifestUnknown().Because(err)
	}
	if err != nil {
		return err
	}
	b.serve(c, a)
	return nil
}

// find is the artifact that the path names, and says in req how it was named.
func (p *Protocol) find(ctx context.Context, c *call, req *policy.Request) (*policy.Artifact, error) {
	d := c.digest()
	if c.route.Kind == ociroute.ManifestByTag {
		req.Reference = policy.Reference{Kind: policy.ByTag, Value: c.route.Tag}
		var err error
		if d, err = p.index.ResolveTag(ctx, c.repo, c.route.Tag); err != nil {
			return nil, err
		}
		req.Reference.Current = d
	} else {
		req.Reference = policy.Reference{Kind: policy.ByDigest, Value: string(d)}
	}
	return p.index.Artifact(ctx, c.repo, d)
}

// manifestPurpose is what reading a manifest is for.
func (c *call) manifestPurpose(a *policy.Artifact) policy.Purpose {
	if a.Role.Accessory() || c.inspecting() {
		return policy.Inspect
	}
	return policy.Use
}

// body is a manifest's bytes with the headers that go with them. Content under a
// digest never changes, so what is kept is never wrong; whether it may be served
// was decided before.
type body struct {
	bytes                           []byte
	mediaType, length, digest, etag []string
}

type bodyKey struct {
	repo   policy.Repository
	digest digest.Digest
}

type bodies struct{ *lru[bodyKey, *body] }

func newBodies(limit int64) *bodies { return &bodies{newLRU[bodyKey, *body](limit)} }

func newBody(a *policy.Artifact, raw []byte) *body {
	return &body{
		bytes: raw, mediaType: []string{a.MediaType}, length: []string{strconv.Itoa(len(raw))},
		digest: []string{string(a.Digest)}, etag: []string{`"` + string(a.Digest) + `"`},
	}
}

func (b *bodies) keep(a *policy.Artifact, repo policy.Repository, body *body) {
	b.put(bodyKey{repo, a.Digest}, body, int64(len(body.bytes))+512)
}

func (p *Protocol) body(ctx context.Context, c *call, a *policy.Artifact) (*body, error) {
	key := bodyKey{c.repo, a.Digest}
	if b, ok := p.bodies.get(key); ok && b.mediaType[0] == a.MediaType {
		return b, nil
	}
	raw, err := p.engine.Manifest(ctx, c.repo, a.Digest)
	if err != nil {
		return nil, err
	}
	b := newBody(a, raw)
	p.bodies.keep(a, c.repo, b)
	return b, nil
}

func (b *body) serve(c *call, a *policy.Artifact) {
	h := c.w.Header()
	name, etag := b.digest, b.etag
	// What was asked for by another algorithm's digest, or pushed by one, is
	// answered by that.
	asked := c.digest()
	if asked == "" {
		asked = a.Named
	}
	if asked != "" && asked != a.Digest {
		name, etag = []string{string(asked)}, []string{`"` + string(asked) + `"`}
	}
	h["Docker-Content-Digest"] = name
	h["Etag"] = etag
	if matches(c.r.Header["If-None-Match"], etag[0]) {
		c.done(http.StatusNotModified)
		return
	}
	h["Content-Type"] = b.mediaType
	h["Content-Length"] = b.length
	c.w.WriteHeader(http.StatusOK)
	if !c.head() {
		_, _ = c.w.Write(b.bytes) // a client that went away is nobody's error
	}
}

// matches reports whether an If-None-Match names the entity tag.
func matches(header []string, etag string) bool {
	for _, line := range header {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == etag {
				return true
			}
		}
	}
	return false
}
