package oci

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// smallBlob is up to how many bytes a blob is read whole and written at once:
// fewer system calls than the kernel's copy needs.
const smallBlob = 64 << 10

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBlob); return &b }}
	octetStream  = []string{"application/octet-stream"}
	byteRanges   = []string{"bytes"}
)

// serveBlob answers with a blob that was decided about.
func (p *Protocol) serveBlob(ctx context.Context, c *call, blob policy.Blob) error {
	h := c.w.Header()
	asked := string(c.digest())
	etag := `"` + asked + `"`
	if c.head() {
		size, err := p.engine.StatBlob(ctx, c.repo, blob.Digest)
		if err != nil {
			return missingBlob(err)
		}
		blobHeaders(h, asked, etag)
		if matches(c.r.Header["If-None-Match"], etag) {
			c.done(http.StatusNotModified)
			return nil
		}
		h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	file, size, err := p.engine.OpenBlob(ctx, c.repo, blob.Digest)
	if err != nil {
		return missingBlob(err)
	}
	defer func() { _ = file.Close() }() // nothing was written to it
	blobHeaders(h, asked, etag)
	if matches(c.r.Header["If-None-Match"], etag) {
		c.done(http.StatusNotModified)
		return nil
	}
	part, several, err := wanted(c.r.Header, etag, size)
	if err != nil {
		return errcode.New(errcode.RangeInvalid, "the range is not within the blob").
			With("Content-Range", "bytes */"+strconv.FormatInt(size, 10)).Because(err)
	}
	if several {
		// Ranges in several parts are rare; the standard library writes them.
		http.ServeContent(c.w, c.r, "", zeroTime, file)
		return nil
	}
	status := http.StatusOK
	if part.length != size || part.asked {
		status = http.StatusPartialContent
		h["Content-Range"] = []string{part.contentRange(size)}
		if _, err := file.Seek(part.start, io.SeekStart); err != nil {
			return err
		}
	}
	h["Content-Length"] = []string{strconv.FormatInt(part.length, 10)}
	if err := send(c.w, status, file, part.length); err != nil && ctx.Err() == nil {
		p.log.WarnContext(ctx, "a blob was cut short", "repository", c.repo.String(), "digest", asked, "request_id", c.caller.RequestID, "error", err)
	}
	return nil
}

func missingBlob(err error) error {
	if errors.Is(err, policy.ErrNotFound) {
		return blobUnknown().Because(err)
	}
	return err
}

func blobHeaders(h http.Header, asked, etag string) {
	both := [...]string{asked, etag}
	h["Docker-Content-Digest"] = both[:1:1]
	h["Etag"] = both[1:]
	h["Content-Type"] = octetStream
	h["Accept-Ranges"] = byteRanges
}

// send writes length bytes of from. A large body goes by way of the writer's
// ReadFrom, which lets the kernel copy from a file.
func send(w http.ResponseWriter, status int, from io.Reader, length int64) error {
	if length > smallBlob {
		w.WriteHeader(status)
		_, err := io.CopyN(w, from, length)
		return err
	}
	buffer := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(buffer)
	n, err := io.ReadFull(from, (*buffer)[:length])
	// The length is announced: a body that is shorter breaks the connection, and
	// the client sees that something is missing.
	w.WriteHeader(status)
	_, werr := w.Write((*buffer)[:n])
	return errors.Join(err, werr)
}
