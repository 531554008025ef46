package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// "Pulling manifests" and "Checking if content exists in the registry", end-3.
func TestPullAManifest(t *testing.T) {
	w := newWorld(t, "")
	manifest := w.as(mara).pushed("v1")
	d := sha256Of(manifest)
	c := w.as(gus)
	for _, reference := range []string{"v1", d, strings.Replace(d, ":", "%3A", 1)} {
		for _, accept := range [][]string{nil, {ociManifest}, {"*/*"}, {ociIndex + ", " + ociManifest}} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				what := fmt.Sprintf("end-3, %s %s, Accept %q", method, reference, accept)
				r := c.do(method, manifestPath(reference), http.Header{"Accept": accept}, nil)
				want(t, what, r, http.StatusOK, "")
				header(t, what, r, map[string]string{
					"Content-Type": ociManifest, "Docker-Content-Digest": d, "Content-Length": fmt.Sprint(len(manifest)),
					"Etag": `"` + d + `"`,
				})
				if body := r.Body; method == http.MethodGet && !bytes.Equal(body, manifest) || method == http.MethodHead && len(body) > 0 {
					t.Errorf("%s: the body is %q", what, body)
				}
			}
		}
	}
	for _, reference := range []string{"v2", sha256Of([]byte("absent")), sha512Of(manifest), strings.Repeat("a", 129), "..."} {
		want(t, "end-3, GET "+reference, c.get(manifestPath(reference)), http.StatusNotFound, "MANIFEST_UNKNOWN")
		head := c.do(http.MethodHead, manifestPath(reference), nil, nil)
		want(t, "end-3, HEAD "+reference, head, http.StatusNotFound, "")
		if len(head.Body) > 0 {
			t.Errorf("a HEAD has a body: %q", head.Body)
		}
	}
}

// "Pulling blobs" and "Checking if content exists in the registry", end-2.
func TestPullABlob(t *testing.T) {
	w := newWorld(t, "")
	for name, content := range map[string][]byte{
		"of no bytes":  {},
		"of one byte":  {0},
		"of 20 KB":     bytes.Repeat([]byte("0123456789"), 2_000),
		"of 300 KB":    bytes.Repeat([]byte("0123456789"), 30_000),
		"that is JSON": []byte("{}"),
	} {
		d := w.as(mara).blob(repo, content)
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			what := "end-2, " + method + " a blob " + name
			r := w.as(mara).do(method, blobPath(d), nil, nil)
			want(t, what, r, http.StatusOK, "")
			header(t, what, r, map[string]string{
				"Content-Length": fmt.Sprint(len(content)), "Docker-Content-Digest": d, "Content-Type": octets, "Accept-Ranges": "bytes",
			})
			if method == http.MethodGet && !bytes.Equal(r.Body, content) || method == http.MethodHead && len(r.Body) > 0 {
				t.Errorf("%s: %d bytes", what, len(r.Body))
			}
		}
		want(t, "end-2, the blob elsewhere", w.as(mara).get("/v2/spec/other/blobs/"+d), http.StatusNotFound, "BLOB_UNKNOWN")
	}
	want(t, "end-2, GET what is not there", w.as(mara).get(blobPath(sha256Of([]byte("absent")))), http.StatusNotFound, "BLOB_UNKNOWN")
	want(t, "end-2, HEAD what is not there", w.as(mara).do(http.MethodHead, blobPath(sha256Of([]byte("absent"))), nil, nil), http.StatusNotFound, "")
}

// "Pulling blobs": Range as RFC 9110, section 14, has it.
func TestPullAPartOfABlob(t *testing.T) {
	w := newWorld(t, "")
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	d := w.as(mara).blob(repo, content)
	last := len(content) - 1
	for _, c := range []struct {
		sentence, value string
		from, to        int
		status          int
	}{
		{"from the first byte", "bytes=0-99", 0, 99, 206},
		{"in the middle", "bytes=500-1499", 500, 1499, 206},
		{"one byte", "bytes=7-7", 7, 7, 206},
		{"to the end", "bytes=199000-", 199_000, last, 206},
		{"the last bytes", "bytes=-500", last - 499, last, 206},
		{"beyond the end", "bytes=199990-999999", 199_990, last, 206},
		{"all of it", fmt.Sprintf("bytes=0-%d", last), 0, last, 206},
		{"more than all from the end", "bytes=-999999", 0, last, 206},
		{"from behind the end", "bytes=200000-", 0, 0, 416},
		{"far behind the end", "bytes=999999-1000000", 0, 0, 416},
		{"backwards", "bytes=10-5", 0, 0, 416},
		{"in another unit", "lines=1-2", 0, last, 200},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			r := w.as(mara).do(http.MethodGet, blobPath(d), http.Header{"Range": {c.value}}, nil)
			want(t, c.value, r, c.status, "")
			switch c.status {
			case http.StatusRequestedRangeNotSatisfiable:
				header(t, c.value, r, map[string]string{"Content-Range": fmt.Sprintf("bytes */%d", len(content))})
				return
			case http.StatusPartialContent:
				header(t, c.value, r, map[string]string{"Content-Range": fmt.Sprintf("bytes %d-%d/%d", c.from, c.to, len(content))})
			}
			header(t, c.value, r, map[string]string{"Content-Length": fmt.Sprint(c.to - c.from + 1)})
			if !bytes.Equal(r.Body, content[c.from:c.to+1]) {
				t.Errorf("%d other bytes", len(r.Body))
			}
		})
	}
	several := w.as(mara).do(http.MethodGet, blobPath(d), http.Header{"Range": {"bytes=0-1,10-11"}}, nil)
	want(t, "several", several, http.StatusPartialContent, "")
	if !strings.HasPrefix(several.Header.Get("Content-Type"), "multipart/byteranges") {
		t.Errorf("several parts come as %q", several.Header.Get("Content-Type"))
	}
}

// RFC 9110, section 13: what a client has already is not sent again.
func TestPullOnCondition(t *testing.T) {
	w := newWorld(t, "")
	manifest := w.as(mara).pushed("v1")
	content := []byte("a blob on condition")
	d := w.as(mara).blob(repo, content)
	for path, etag := range map[string]string{
		manifestPath("v1"): `"` + sha256Of(manifest) + `"`,
		blobPath(d):        `"` + d + `"`,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := w.as(mara).do(method, path, http.Header{"If-None-Match": {etag}}, nil)
			want(t, method+" of what the client has", r, http.StatusNotModified, "")
			if len(r.Body) > 0 {
				t.Errorf("%s: a body of %d bytes", path, len(r.Body))
			}
			want(t, method+" of what the client has in another state", w.as(mara).do(method, path, http.Header{"If-None-Match": {`"other"`}}, nil), http.StatusOK, "")
		}
	}
	for condition, status := range map[string]int{`"` + d + `"`: http.StatusPartialContent, `"other"`: http.StatusOK} {
		r := w.as(mara).do(http.MethodGet, blobPath(d), http.Header{"Range": {"bytes=2-5"}, "If-Range": {condition}}, nil)
		want(t, "a range if it is still "+condition, r, status, "")
	}
}
