package oci

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// startUpload serves POST of a new upload, with the whole blob in it when the
// query names a digest.
func (p *Protocol) startUpload(ctx context.Context, c *call) error {
	if err := c.carries(policy.BlobPush); err != nil {
		return err
	}
	want, err := c.wanted()
	if err != nil {
		return err
	}
	if alg := c.route.Value("digest-algorithm"); alg != "" && alg != "sha256" && alg != "sha512" {
		return errcode.New(errcode.DigestInvalid, "only sha256 and sha512 are supported")
	}
	if err := p.ensureProject(ctx, c); err != nil {
		return err
	}
	size := c.r.ContentLength
	if want == "" {
		size = -1
	}
	if err := p.decidePush(ctx, c, policy.Upload{DeclaredSize: size, Digest: want}); err != nil {
		return err
	}
	// A digest with no body is how some clients ask for a session.
	if want == "" || size == 0 && want != want.Algorithm().FromBytes(nil) {
		return p.openSession(ctx, c)
	}
	id, err := p.begin(ctx, c)
	if err != nil {
		return err
	}
	_, err = p.receive(ctx, c, id, chunk{start: 0, length: size})
	if err == nil {
		err = p.commit(ctx, c, id, want)
	}
	if err != nil {
		p.abandon(ctx, c, id) // the client was not told of it and cannot go on with it
	}
	return err
}

// begin starts an upload, which counts as the caller's until it ends.
func (p *Protocol) begin(ctx context.Context, c *call) (string, error) {
	return p.uploads.begin(c.owner(), func() (string, error) { return p.engine.StartUpload(ctx, c.repo) })
}

// openSession begins an upload that the client goes on with.
func (p *Protocol) openSession(ctx context.Context, c *call) error {
	id, err := p.begin(ctx, c)
	if err != nil {
		return err
	}
	h := c.w.Header()
	p.announce(c, h, id, 0)
	if p.limits.ChunkMin > 0 {
		h.Set("OCI-Chunk-Min-Length", strconv.FormatInt(p.limits.ChunkMin, 10))
	}
	c.done(http.StatusAccepted)
	return nil
}

// patchUpload serves PATCH: one more chunk.
func (p *Protocol) patchUpload(ctx context.Context, c *call) error {
	if err := p.enter(c, policy.BlobPush); err != nil {
		return err
	}
	id := c.route.Upload
	if err := p.decidePush(ctx, c, policy.Upload{Session: id, DeclaredSize: c.r.ContentLength}); err != nil {
		return err
	}
	place, err := p.place(ctx, c, id)
	if err != nil {
		return err
	}
	size, err := p.append(ctx, c, id, place)
	if err != nil {
		return err
	}
	p.announce(c, c.w.Header(), id, size)
	c.done(http.StatusAccepted)
	return nil
}

// finishUpload serves PUT: the last chunk, if any, and the digest of the whole.
func (p *Protocol) finishUpload(ctx context.Context, c *call) error {
	if err := p.enter(c, policy.BlobPush); err != nil {
		return err
	}
	want, err := c.wanted()
	if err != nil {
		return err
	}
	if want == "" {
		return errcode.New(errcode.DigestInvalid, "the digest is missing")
	}
	id := c.route.Upload
	upload := policy.Upload{Session: id, DeclaredSize: c.r.ContentLength, Digest: want}
	if err := p.decidePush(ctx, c, upload); err != nil {
		return err
	}
	if c.r.ContentLength != 0 {
		place, err := p.place(ctx, c, id)
		if err != nil {
			return err
		}
		if _, err := p.append(ctx, c, id, place); err != nil {
			return err
		}
		// The body may have taken long: what held when it began may not hold now.
		if err := p.decidePush(ctx, c, upload); err != nil {
			return err
		}
	}
	return p.commit(ctx, c, id, want)
}

// uploadStatus serves GET: how far the upload is.
func (p *Protocol) uploadStatus(ctx context.Context, c *call) error {
	if err := p.enter(c, policy.UploadStatus); err != nil {
		return err
	}
	req := c.request(policy.UploadStatus)
	req.Upload = &policy.Upload{Session: c.route.Upload, DeclaredSize: -1}
	if err := p.decide(ctx, c, req, nil); err != nil {
		return err
	}
	size, err := p.engine.UploadSize(ctx, c.repo, c.route.Upload)
	if err != nil {
		return uploadFailure(err)
	}
	p.announce(c, c.w.Header(), c.route.Upload, size)
	c.done(http.StatusNoContent)
	return nil
}

// cancelUpload serves DELETE of an upload.
func (p *Protocol) cancelUpload(ctx context.Context, c *call) error {
	if err := p.enter(c, policy.UploadCancel); err != nil {
		return err
	}
	req := c.request(policy.UploadCancel)
	req.Upload = &policy.Upload{Session: c.route.Upload, DeclaredSize: -1}
	if err := p.decide(ctx, c, req, nil); err != nil {
		return err
	}
	err := p.engine.CancelUpload(ctx, c.repo, c.route.Upload)
	p.uploads.ended(c.owner(), c.route.Upload, err)
	if err != nil {
		return uploadFailure(err)
	}
	c.done(http.StatusNoContent)
	return nil
}

// enter lets through who began the upload, with a token that reaches as far.
// Nobody in particular is asked who they are: it may be theirs.
func (p *Protocol) enter(c *call, action policy.Action) error {
	if err := c.carries(action); err != nil {
		return err
	}
	err := p.sessions.owns(c)
	if err != nil && c.caller.Principal.Anonymous() {
		return errcode.Unauthorized(c.scope(action), false)
	}
	return err
}

func (p *Protocol) decidePush(ctx context.Context, c *call, u policy.Upload) error {
	req := c.request(policy.BlobPush)
	req.Upload = &u
	return p.decide(ctx, c, req, nil)
}

// wanted is the digest in the query; empty when there is none.
func (c *call) wanted() (digest.Digest, error) {
	text := c.route.Value("digest")
	if text == "" {
		return "", nil
	}
	if !ociroute.ValidDigest(text) {
		return "", errcode.New(errcode.DigestInvalid, "the digest is not valid: sha256 or sha512 and its hexadecimal digits")
	}
	return digest.Digest(text), nil
}

// place is where the body belongs. An answer to a wrong place tells the right one.
func (p *Protocol) place(ctx context.Context, c *call, id string) (chunk, error) {
	at, err := placed(c.r)
	switch {
	case errors.Is(err, policy.ErrRange):
		return at, p.outOfPlace(ctx, c, id, err)
	case err != nil:
		return at, errcode.New(errcode.SizeInvalid, "the Content-Range and the Content-Length differ").Because(err)
	}
	return at, nil
}

// append stores a chunk behind what is there.
func (p *Protocol) append(ctx context.Context, c *call, id string, at chunk) (int64, error) {
	size, err := p.receive(ctx, c, id, at)
	if errors.Is(err, policy.ErrRange) {
		return size, p.outOfPlace(ctx, c, id, err)
	}
	return size, err
}

// receive reads the body into the upload. Where the chunk says where it begins it
// is bounded before it is read; a stream that does not is looked at afterwards.
func (p *Protocol) receive(ctx context.Context, c *call, id string, at chunk) (int64, error) {
	tooLarge := errcode.New(errcode.TooLarge, "the blob is larger than is allowed")
	room := p.limits.Blob - max(at.start, 0)
	if at.length > room {
		return 0, tooLarge
	}
	live := p.lively(c)
	var body io.Reader = http.MaxBytesReader(c.w, live, room)
	if at.length >= 0 && c.r.ContentLength < 0 {
		// The range says how long the chunk is; a body of unknown length has to be that.
		body = &exactly{from: body, left: at.length}
	}
	size, err := p.engine.AppendUpload(ctx, c.repo, id, at.start, body)
	if err != nil {
		p.uploads.ended(c.owner(), id, err)
		if live.late {
			return size, tooLate(err)
		}
		var wrong *wrongLength
		if errors.As(err, &wrong) {
			return size, errcode.New(errcode.SizeInvalid, "the body is not as long as its Content-Range").Because(err)
		}
		return size, uploadFailure(err)
	}
	if size > p.limits.Blob {
		p.abandon(ctx, c, id)
		return size, tooLarge
	}
	p.uploads.fed(c.owner(), id)
	return size, nil
}

// commit makes the upload a blob and the blob known. From here on a client that
// goes away changes nothing: the blob is wholly there or wholly absent.
func (p *Protocol) commit(ctx context.Context, c *call, id string, want digest.Digest) error {
	ctx = context.WithoutCancel(ctx)
	// A deletion of the same blob comes before both its link and its row, or after.
	defer p.locks.share(c.repo)()
	canonical, size, err := p.engine.CommitUpload(ctx, c.repo, id, want)
	p.uploads.ended(c.owner(), id, err)
	if err != nil {
		return uploadFailure(err)
	}
	alias := want
	if alias == canonical {
		alias = ""
	}
	if err := p.index.AddBlob(ctx, c.repo, canonical, alias, size); err != nil {
		return err
	}
	c.created(ociroute.BlobPath(c.repo.Name, string(want)), want)
	return nil
}

// created answers that content is there and where.
func (c *call) created(location string, d digest.Digest) {
	h := c.w.Header()
	h.Set("Location", location)
	h.Set("Docker-Content-Digest", string(d))
	c.done(http.StatusCreated)
}

// abandon removes an upload that nobody may go on with.
func (p *Protocol) abandon(ctx context.Context, c *call, id string) {
	err := p.engine.CancelUpload(context.WithoutCancel(ctx), c.repo, id)
	p.uploads.ended(c.owner(), id, err)
	if err != nil && !errors.Is(err, policy.ErrNotFound) {
		p.log.WarnContext(ctx, "an upload was left behind", "repository", c.repo.String(), "upload", id, "error", err)
	}
}

// outOfPlace is 416, with the place where the upload is in the header.
func (p *Protocol) outOfPlace(ctx context.Context, c *call, id string, cause error) error {
	size, err := p.engine.UploadSize(ctx, c.repo, id)
	if err != nil {
		return uploadFailure(err)
	}
	e := errcode.New(errcode.RangeInvalid, "the chunk does not follow what has arrived").Because(cause)
	e.Header = http.Header{}
	p.announce(c, e.Header, id, size)
	return e
}

func uploadFailure(err error) error {
	switch {
	case errors.Is(err, policy.ErrNotFound):
		return uploadUnknown().Because(err)
	case errors.Is(err, policy.ErrConflict):
		return errcode.New(errcode.BlobUploadInvalid, "the upload is being written to by another request").
			WithStatus(http.StatusConflict).Because(err)
	}
	return err
}

// exactly reads a body that must have a given length.
type exactly struct {
	from io.Reader
	left int64
}

type wrongLength struct{}

func (*wrongLength) Error() string { return "the body has another length than was said" }

// Unwrap says that it is the client's fault.
func (*wrongLength) Unwrap() error { return policy.ErrInvalid }

// Read gives the body up to its length, and fails where it is shorter or longer.
func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		var one [1]byte
		for {
			n, err := e.from.Read(one[:])
			if n > 0 {
				return 0, &wrongLength{}
			}
			if err != nil {
				return 0, err
			}
		}
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.from.Read(p)
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		return n, &wrongLength{}
	}
	if errors.Is(err, io.EOF) {
		err = nil // the next call looks behind the end
	}
	return n, err
}
