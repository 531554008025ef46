package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// begin opens an upload session.
func (c client) begin(query string) string {
	c.t.Helper()
	r := c.do(http.MethodPost, uploads+query, http.Header{"Content-Length": {"0"}}, nil)
	if r.Status != http.StatusAccepted {
		c.t.Fatalf("begin an upload: %d %s", r.Status, r.Body)
	}
	return location(c.t, r)
}

// chunk sends content as the bytes from on of an upload.
func (c client) chunk(at string, content []byte, from int) harness.Response {
	c.t.Helper()
	return c.do(http.MethodPatch, at, http.Header{
		"Content-Type": {octets}, "Content-Range": {fmt.Sprintf("%d-%d", from, from+len(content)-1)},
	}, content)
}

// finish closes an upload.
func (c client) finish(at, digest string, header http.Header, content []byte) harness.Response {
	c.t.Helper()
	sep := "?"
	if strings.Contains(at, "?") {
		sep = "&"
	}
	return c.do(http.MethodPut, at+sep+"digest="+digest, header, content)
}

// pulls fails the test unless the blob is there under the digest, and at the place
// that the answer to its push names.
func (c client) pulls(t testing.TB, what string, answer harness.Response, digest string, content []byte) {
	t.Helper()
	want(t, what, answer, http.StatusCreated, "")
	if answer.Status != http.StatusCreated {
		return
	}
	header(t, what, answer, map[string]string{"Docker-Content-Digest": digest})
	r := c.get(location(t, answer))
	if r.Status != http.StatusOK || !bytes.Equal(r.Body, content) || r.Header.Get("Docker-Content-Digest") != digest {
		t.Errorf("%s: the blob at the location answers %d with %d bytes of %s", what, r.Status, len(r.Body), r.Header.Get("Docker-Content-Digest"))
	}
}

// algorithms are those that the image-spec registers ("Digests").
var algorithms = map[string]func([]byte) string{"sha256": sha256Of, "sha512": sha512Of}

// "Pushing a blob monolithically", end-4a with end-6, and end-4b.
func TestPushABlobAtOnce(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	stream := http.Header{"Content-Type": {octets}}
	for name, digestOf := range algorithms {
		for what, content := range map[string][]byte{"bytes": []byte("at once " + name), "no bytes": {}} {
			d := digestOf(content)
			c.pulls(t, "end-6, PUT of "+what+" by "+name, c.finish(c.begin(""), d, stream, content), d, content)
		}
		content := []byte("in a single request " + name)
		d := digestOf(content)
		c.pulls(t, "end-4b, POST by "+name, c.do(http.MethodPost, uploads+"?digest="+d, stream, content), d, content)
		other := []byte("announced " + name)
		d = digestOf(other)
		c.pulls(t, "end-4c, after digest-algorithm="+name, c.finish(c.begin("?digest-algorithm="+name), d, stream, other), d, other)
	}
	refused := func(sentence string, r harness.Response, status int, code string) {
		t.Helper()
		want(t, sentence, r, status, code)
	}
	content := []byte("refused")
	d := sha256Of(content)
	refused("end-4b, another digest", c.do(http.MethodPost, uploads+"?digest="+sha256Of([]byte("x")), stream, content), 400, "DIGEST_INVALID")
	refused("end-4b, a digest that is none", c.do(http.MethodPost, uploads+"?digest=sha256:xyz", stream, content), 400, "DIGEST_INVALID")
	refused("end-4c, an algorithm that is not supported", c.do(http.MethodPost, uploads+"?digest-algorithm=md5", nil, nil), 400, "DIGEST_INVALID")
	refused("end-6, another digest", c.finish(c.begin(""), sha256Of([]byte("x")), stream, content), 400, "DIGEST_INVALID")
	refused("end-6, another sha512 digest", c.finish(c.begin(""), sha512Of([]byte("x")), stream, content), 400, "DIGEST_INVALID")
	refused("end-6, no digest", c.do(http.MethodPut, c.begin(""), stream, content), 400, "DIGEST_INVALID")
	refused("end-6, an upload that is not there", c.finish(uploads+"5f3a9c2e-0000-4000-8000-000000000000", d, stream, content), 404, "BLOB_UPLOAD_UNKNOWN")
	refused("nothing of it is there", c.get(blobPath(d)), 404, "BLOB_UNKNOWN")
	at := c.begin("")
	c.pulls(t, "an upload once", c.finish(at, d, stream, content), d, content)
	refused("end-6, the same upload twice", c.finish(at, d, stream, content), 404, "BLOB_UPLOAD_UNKNOWN")
	c.pulls(t, "the same blob twice", c.finish(c.begin(""), d, stream, content), d, content)
}

// "Pushing a blob in chunks", end-5, end-6 and end-13.
func TestPushABlobInChunks(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	for name, digestOf := range algorithms {
		for _, lastByPut := range []bool{false, true} {
			sentence := fmt.Sprintf("%s, the last chunk in the PUT %v", name, lastByPut)
			content := bytes.Repeat([]byte(sentence), 200)
			d, third := digestOf(content), len(content)/3
			at := c.begin("?digest-algorithm=" + name)
			for n, part := range [][]byte{content[:third], content[third : 2*third]} {
				r := c.chunk(at, part, n*third)
				want(t, sentence, r, http.StatusAccepted, "")
				header(t, sentence, r, map[string]string{"Range": fmt.Sprintf("0-%d", (n+1)*third-1), "Content-Length": "0"})
				at = location(t, r)
			}
			rest := content[2*third:]
			if lastByPut {
				c.pulls(t, sentence, c.finish(at, d, http.Header{
					"Content-Type": {octets}, "Content-Range": {fmt.Sprintf("%d-%d", 2*third, len(content)-1)},
				}, rest), d, content)
				continue
			}
			at = location(t, c.chunk(at, rest, 2*third))
			c.pulls(t, sentence, c.finish(at, d, nil, nil), d, content)
		}
	}
	t.Run("a stream says no range", func(t *testing.T) {
		content := []byte("a stream of unknown length")
		r := c.do(http.MethodPatch, c.begin(""), http.Header{"Content-Type": {octets}}, content)
		want(t, "end-5", r, http.StatusAccepted, "")
		header(t, "end-5", r, map[string]string{"Range": fmt.Sprintf("0-%d", len(content)-1)})
		c.pulls(t, "end-6", c.finish(location(t, r), sha256Of(content), nil, nil), sha256Of(content), content)
	})
	t.Run("the smallest chunk is announced", func(t *testing.T) {
		if got := c.do(http.MethodPost, uploads, nil, nil).Header.Get("OCI-Chunk-Min-Length"); got != "" {
			t.Errorf("no size is set, and it is %q", got)
		}
		small := newWorld(t, "limits:\n  chunk_bytes: 1048576\n")
		r := small.as(mara).do(http.MethodPost, uploads, nil, nil)
		header(t, "end-4a", r, map[string]string{"OCI-Chunk-Min-Length": "1048576"})
	})
}

// "Pushing a blob in chunks": chunks in order, 416 otherwise, and how a client
// finds back (end-13).
func TestAChunkOutOfOrder(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	content := []byte("0123456789abcdef")
	at := location(t, c.chunk(c.begin(""), content[:8], 0))
	for _, o := range []struct {
		sentence string
		r        harness.Response
		status   int
		code     string
	}{
		{"the same chunk again", c.chunk(at, content[:8], 0), 416, "RANGE_INVALID"},
		{"a chunk too far", c.chunk(at, content[12:], 12), 416, "RANGE_INVALID"},
		{"a chunk that overlaps", c.chunk(at, content[6:], 6), 416, "RANGE_INVALID"},
		{"a range backwards", c.do(http.MethodPatch, at, http.Header{"Content-Range": {"9-8"}}, []byte("xy")), 416, "RANGE_INVALID"},
		{"a range that is none", c.do(http.MethodPatch, at, http.Header{"Content-Range": {"eight-nine"}}, []byte("xy")), 416, "RANGE_INVALID"},
		{"a range of another length", c.do(http.MethodPatch, at, http.Header{"Content-Range": {"8-15"}}, []byte("xy")), 400, "SIZE_INVALID"},
		{"the last chunk too far", c.finish(at, sha256Of(content), http.Header{"Content-Range": {"12-15"}}, content[12:]), 416, "RANGE_INVALID"},
	} {
		want(t, o.sentence, o.r, o.status, o.code)
		if o.status == http.StatusRequestedRangeNotSatisfiable {
			header(t, o.sentence, o.r, map[string]string{"Range": "0-7"})
			at = location(t, o.r)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r := c.do(method, at, nil, nil)
		want(t, "end-13, "+method, r, http.StatusNoContent, "")
		header(t, "end-13, "+method, r, map[string]string{"Range": "0-7"})
		at = location(t, r)
	}
	at = location(t, c.chunk(at, content[8:], 8))
	c.pulls(t, "after all of that", c.finish(at, sha256Of(content), nil, nil), sha256Of(content), content)
	want(t, "end-13, an upload that ended", c.get(at), http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	want(t, "end-5, an upload that ended", c.chunk(at, content, 0), http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
}

// "Cancel a blob upload", end-14.
func TestCancelAnUpload(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	content := []byte("cancelled")
	at := location(t, c.chunk(c.begin(""), content, 0))
	want(t, "end-14", c.do(http.MethodDelete, at, nil, nil), http.StatusNoContent, "")
	for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodDelete} {
		want(t, method+" after end-14", c.do(method, at, nil, nil), http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	}
	want(t, "PUT after end-14", c.finish(at, sha256Of(content), nil, nil), http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	want(t, "the blob", c.get(blobPath(sha256Of(content))), http.StatusNotFound, "BLOB_UNKNOWN")
}

// The answer to too many is 429 and says when to come again ("Error Codes").
func TestTooManyUploadsAtOnce(t *testing.T) {
	w := newWorld(t, "limits:\n  uploads_per_principal: 2\n")
	c := w.as(mara)
	first := c.begin("")
	c.begin("")
	r := c.do(http.MethodPost, uploads, nil, nil)
	want(t, "code-14", r, http.StatusTooManyRequests, "TOOMANYREQUESTS")
	if r.Header.Get("Retry-After") == "" {
		t.Error("a 429 does not say when to come again")
	}
	want(t, "one less", c.do(http.MethodDelete, first, nil, nil), http.StatusNoContent, "")
	c.begin("")
}
