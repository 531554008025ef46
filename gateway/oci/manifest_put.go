package oci

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// push is a manifest on its way in.
type push struct {
	artifact *policy.Artifact
	body     []byte
	// named is the digest that the client knows it by, and subject how it names
	// what the manifest refers to.
	named, subject digest.Digest
	// external are layers that need not be there.
	external map[digest.Digest]bool
	// tags are those to set; params says that they came as parameters.
	tags   []string
	params bool
	// full says why the push would be one too many; nil when it is not.
	full error
}

// putManifest serves PUT of a manifest, by tag or by digest with tags.
func (p *Protocol) putManifest(ctx context.Context, c *call) error {
	if err := c.carries(policy.ManifestPush); err != nil {
		return err
	}
	if err := p.ensureProject(ctx, c); err != nil {
		return err
	}
	if err := p.mayBegin(ctx, c); err != nil {
		return err
	}
	in, err := p.readPush(c)
	if err != nil {
		return err
	}
	if err := p.learn(ctx, c, in); err != nil {
		return err
	}
	return p.persist(c, in.names(), func(held bool) error {
		if err := p.tryPush(ctx, c, in, held); err != nil {
			return err
		}
		c.pushed(in)
		return nil
	})
}

// names are what a push must hold while it is stored.
func (in *push) names() []string {
	return append([]string{string(in.artifact.Digest)}, in.tags...)
}

// mayBegin keeps who may not push here at all from having a manifest read into
// memory. A token that carries push was decided about when it was issued.
func (p *Protocol) mayBegin(ctx context.Context, c *call) error {
	if c.caller.Scoped {
		return nil
	}
	req := c.request(policy.ManifestPush)
	req.Purpose = policy.Inspect
	req.Reference = policy.Reference{Kind: policy.ByDigest, Value: c.route.Digest}
	if c.route.Kind == ociroute.ManifestByTag {
		req.Reference = policy.Reference{Kind: policy.ByTag, Value: c.route.Tag}
	}
	return p.decide(ctx, c, req, nil)
}

// readPush reads the body and everything that follows from the request alone.
func (p *Protocol) readPush(c *call) (*push, error) {
	in := &push{}
	if c.route.Kind == ociroute.ManifestByTag {
		in.tags = []string{c.route.Tag}
	} else {
		in.params = true
		for _, tag := range c.route.Values("tag") {
			if !ociroute.ValidTag(tag) {
				return nil, errcode.New(errcode.TagInvalid, "a tag is not valid")
			}
			if !slices.Contains(in.tags, tag) {
				in.tags = append(in.tags, tag)
			}
		}
		if len(in.tags) > p.limits.Tags {
			return nil, errcode.New(errcode.TooLarge, "too many tags in one push").WithStatus(http.StatusRequestURITooLong)
		}
	}
	tooLarge := errcode.New(errcode.TooLarge, "the manifest is larger than 4 MiB")
	if c.r.ContentLength > p.limits.Manifest {
		return nil, tooLarge
	}
	live := p.lively(c)
	body, err := io.ReadAll(http.MaxBytesReader(c.w, live, p.limits.Manifest))
	if err != nil {
		if live.late {
			return nil, tooLate(err)
		}
		var limit *http.MaxBytesError
		if errors.As(err, &limit) {
			return nil, tooLarge.Because(err)
		}
		return nil, errcode.New(errcode.SizeInvalid, "the body ended early").Because(err)
	}
	m, err := manifest.Parse(c.r.Header.Get("Content-Type"), body)
	if err != nil {
		return nil, invalidManifest(err)
	}
	in.body, in.artifact, in.named = body, m.Artifact, m.Artifact.Digest
	in.artifact.Repository = c.repo
	if d := c.digest(); d != "" {
		if d.Algorithm().FromBytes(body) != d {
			return nil, errcode.New(errcode.DigestInvalid, "the manifest does not match its digest")
		}
		in.named = d
		if d != in.artifact.Digest {
			in.artifact.Aliases = []digest.Digest{d}
			in.artifact.Named = d
		}
	}
	if in.artifact.Subject != nil {
		in.subject = in.artifact.Subject.Digest
	}
	in.external = m.External
	return in, nil
}

func invalidManifest(err error) error {
	if errors.Is(err, policy.ErrTooLarge) {
		return err
	}
	return errcode.New(errcode.ManifestInvalid, "the manifest is not valid: "+cause(err)).Because(err)
}

// cause is what a parser said, without the class behind it.
func cause(err error) string {
	text, class := err.Error(), ": "+policy.ErrInvalid.Error()
	if len(text) > len(class) && text[len(text)-len(class):] == class {
		return text[:len(text)-len(class)]
	}
	return text
}

// learn completes the artifact with what the repository knows: the image's
// configuration and what is missing. What is there gets its canonical digest, so
// that rules and the index see one name for one content.
func (p *Protocol) learn(ctx context.Context, c *call, in *push) error {
	a := in.artifact
	for i := range a.Layers {
		if err := p.learnBlob(ctx, c, a, &a.Layers[i], in.external); err != nil {
			return err
		}
	}
	if err := p.learnConfig(ctx, c, a); err != nil {
		return err
	}
	for i := range a.Manifests {
		child := &a.Manifests[i]
		known, err := p.index.Artifact(ctx, c.repo, child.Digest)
		switch {
		case errors.Is(err, policy.ErrNotFound):
			a.Missing = append(a.Missing, child.Digest)
			if err := p.learnLists(ctx, c, in, child.Digest); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			child.Digest = known.Digest
			p.learnParents(in, known.Digest, known.Parents)
		}
	}
	if err := p.learnSubject(ctx, c, a); err != nil {
		return err
	}
	a.PushedAt, a.PushedBy = p.now().UTC(), c.caller.Principal.ID
	return nil
}

func (p *Protocol) learnConfig(ctx context.Context, c *call, a *policy.Artifact) error {
	if a.ConfigBlob == nil {
		return nil
	}
	missing := len(a.Missing)
	if err := p.learnBlob(ctx, c, a, a.ConfigBlob, nil); err != nil {
		return err
	}
	if a.Role != policy.RoleImage || len(a.Missing) > missing || slices.Contains(a.Missing, a.ConfigBlob.Digest) {
		return nil
	}
	config, err := p.readConfig(ctx, c.repo, a.ConfigBlob.Digest)
	if errors.Is(err, policy.ErrInvalid) || errors.Is(err, policy.ErrTooLarge) {
		if manifest.IsImageConfig(a.ConfigBlob.MediaType) {
			return errcode.New(errcode.ManifestInvalid, "the image's configuration is not valid: "+cause(err)).Because(err)
		}
		return nil // an image by its layers, configured in a way that nobody defined
	}
	if err != nil {
		return missingBlob(err)
	}
	a.Config = config
	return nil
}

// learnBlob looks whether a blob is there, and is as large as is said.
func (p *Protocol) learnBlob(ctx context.Context, c *call, a *policy.Artifact, d *policy.Descriptor, external map[digest.Digest]bool) error {
	canonical, size, err := p.index.Blob(ctx, c.repo, d.Digest)
	switch {
	case errors.Is(err, policy.ErrNotFound):
		if !(external[d.Digest] && isCanonical(d.Digest)) && !slices.Contains(a.Missing, d.Digest) {
			a.Missing = append(a.Missing, d.Digest)
		}
		return nil
	case err != nil:
		return err
	case size != d.Size:
		return errcode.New(errcode.ManifestInvalid, "the manifest is not valid: the size of "+string(d.Digest)+" is not that of the blob")
	}
	d.Digest = canonical
	return nil
}

func (p *Protocol) readConfig(ctx context.Context, repo policy.Repository, d digest.Digest) (*policy.ImageConfig, error) {
	file, size, err := p.engine.OpenBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written to it
	raw, err := io.ReadAll(io.LimitReader(file, min(size, manifest.MaxConfig+1)))
	if err != nil {
		return nil, err
	}
	return manifest.ParseConfig(raw)
}

// learnSubject bounds how many manifests may refer to one subject, and how much
// they say of themselves: clients read them all at once, and one that was taken
// and did not stand in the list would be hidden by those before it.
func (p *Protocol) learnSubject(ctx context.Context, c *call, a *policy.Artifact) error {
	if a.Subject == nil {
		return nil
	}
	known, err := p.index.Artifact(ctx, c.repo, a.Subject.Digest)
	switch {
	case err == nil:
		a.Subject.Digest = known.Digest
	case !errors.Is(err, policy.ErrNotFound):
		return err
	}
	there, err := p.index.Referrers(ctx, c.repo, a.Subject.Digest)
	if err != nil && !errors.Is(err, policy.ErrNotFound) {
		return err
	}
	if slices.ContainsFunc(there, func(d policy.Descriptor) bool { return d.Digest == a.Digest }) {
		return nil
	}
	fits, err := p.fits(append(slices.Clip(there), describe(a)))
	if err != nil {
		return err
	}
	if !fits {
		return errcode.New(errcode.DeniedCode, "the subject has as many referrers as are allowed")
	}
	return nil
}

// tryPush judges the push as things are now, and does it if they still are. It
// fails with policy.ErrConflict when a tag moved in between. held says that the
// push's names are locked already.
func (p *Protocol) tryPush(ctx context.Context, c *call, in *push, held bool) error {
	a, there, err := p.current(ctx, c, in)
	if err != nil {
		return err
	}
	moves := make([]policy.TagMove, 0, len(in.tags))
	for _, tag := range in.tags {
		from, err := p.index.ResolveTag(ctx, c.repo, tag)
		if err != nil && !errors.Is(err, policy.ErrNotFound) {
			return err
		}
		moves = append(moves, policy.TagMove{Tag: tag, From: from})
	}
	if err := p.judgePush(ctx, c, in, a, moves); err != nil {
		return err
	}
	if err := p.complete(a); err != nil {
		return err
	}
	if err := p.room(in, a, there); err != nil {
		return err
	}
	if !held {
		defer p.locks.hold(c.repo, in.names()...)()
		if err := p.sameTags(ctx, c, a); err != nil {
			return err
		}
	}
	return p.store(context.WithoutCancel(ctx), c, in, a, moves)
}

// current is the artifact as it will be: with the tags that are on it already, in
// every attempt anew. there is how it is now; nil when it is not.
func (p *Protocol) current(ctx context.Context, c *call, in *push) (future, there *policy.Artifact, err error) {
	a := *in.artifact
	a.Tags = slices.Clone(in.tags)
	there, err = p.index.Artifact(ctx, c.repo, a.Digest)
	switch {
	case errors.Is(err, policy.ErrNotFound):
		there = nil
		if a.Parents, err = p.index.Parents(ctx, c.repo, a.Digest); err != nil {
			return nil, nil, err
		}
	case err != nil:
		return nil, nil, err
	default:
		a.Tags = append(a.Tags, there.Tags...)
		a.Named, a.Parents, a.Referrers = there.Named, there.Parents, there.Referrers
		for _, alias := range there.Aliases {
			if !slices.Contains(a.Aliases, alias) {
				a.Aliases = append(slices.Clip(a.Aliases), alias)
			}
		}
	}
	slices.Sort(a.Tags)
	a.Tags = slices.Compact(a.Tags)
	return a.Seal(), there, nil
}

// judgePush decides about every tag that is to be set, or about the digest alone.
func (p *Protocol) judgePush(ctx context.Context, c *call, in *push, a *policy.Artifact, moves []policy.TagMove) error {
	req := c.request(policy.ManifestPush)
	req.Artifact = a
	if len(moves) == 0 {
		req.Reference = policy.Reference{Kind: policy.ByDigest, Value: string(in.named)}
		return p.decide(ctx, c, req, nil)
	}
	for _, m := range moves {
		req.Reference = policy.Reference{Kind: policy.ByTag, Value: m.Tag, Current: m.From}
		if err := p.decide(ctx, c, req, nil); err != nil {
			return err
		}
	}
	return nil
}

// store writes the manifest, then the index, then the links of the tags. Before
// the index knows it the manifest is not served; after that it wholly is.
func (p *Protocol) store(ctx context.Context, c *call, in *push, a *policy.Artifact, moves []policy.TagMove) error {
	release, err := p.keep(ctx, c, in, a)
	if err != nil {
		return err
	}
	defer release()
	if err := p.engine.PutManifest(ctx, c.repo, a.Digest, a.MediaType, in.body); err != nil {
		return err
	}
	if err := p.index.Push(ctx, a, moves); err != nil {
		return err
	}
	for _, tag := range in.tags {
		if err := p.engine.Tag(ctx, c.repo, tag, a.Digest); err != nil {
			return err
		}
	}
	p.bodies.keep(a, c.repo, newBody(a, in.body))
	return nil
}

// pushed is the answer to a push that is stored.
func (c *call) pushed(in *push) {
	h := c.w.Header()
	if in.subject != "" {
		h["Oci-Subject"] = []string{string(in.subject)}
	}
	if in.params {
		h["Oci-Tag"] = append(h["Oci-Tag"], in.tags...)
	}
	c.created(ociroute.ManifestPath(c.repo.Name, string(in.named)), in.named)
}
