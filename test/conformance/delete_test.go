package conformance

import (
	"net/http"
	"testing"
)

// "Deleting tags" and "Deleting Manifests", end-9.
func TestDeleteATagAndAManifest(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	manifest := c.pushed("v1")
	d := sha256Of(manifest)
	want(t, "a second tag", c.put(manifestPath("v2"), ociManifest, manifest), http.StatusCreated, "")

	want(t, "end-9, who may only pull", w.Do(http.MethodDelete, manifestPath("v1"), gus, password, nil, nil), http.StatusForbidden, "DENIED")
	want(t, "end-9, a tag", c.do(http.MethodDelete, manifestPath("v1"), nil, nil), http.StatusAccepted, "")
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete} {
		want(t, method+" of the tag after it", c.do(method, manifestPath("v1"), nil, nil), http.StatusNotFound, "")
	}
	c.served(t, "the manifest stays", manifest, ociManifest, d, "v2", d)

	want(t, "end-9, a manifest", c.do(http.MethodDelete, manifestPath(d), nil, nil), http.StatusAccepted, "")
	for _, reference := range []string{d, "v2"} {
		want(t, "GET after it", c.get(manifestPath(reference)), http.StatusNotFound, "MANIFEST_UNKNOWN")
	}
	want(t, "end-9, twice", c.do(http.MethodDelete, manifestPath(d), nil, nil), http.StatusNotFound, "MANIFEST_UNKNOWN")
	want(t, "end-9, a digest that is none", c.do(http.MethodDelete, manifestPath("sha256:abc"), nil, nil), http.StatusBadRequest, "DIGEST_INVALID")
	want(t, "pushed again", c.put(manifestPath("v1"), ociManifest, manifest), http.StatusCreated, "")
	c.served(t, "pushed again", manifest, ociManifest, d, "v1", d)
}

// "Deleting Blobs", end-10.
func TestDeleteABlob(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	content := []byte("to be deleted")
	d := c.blob(repo, content)
	c.blob("spec/other", content)

	want(t, "end-10, who may only pull", w.Do(http.MethodDelete, blobPath(d), gus, password, nil, nil), http.StatusForbidden, "DENIED")
	want(t, "end-10", c.do(http.MethodDelete, blobPath(d), nil, nil), http.StatusAccepted, "")
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete} {
		want(t, method+" after it", c.do(method, blobPath(d), nil, nil), http.StatusNotFound, "")
	}
	want(t, "the same blob of another repository", c.get("/v2/spec/other/blobs/"+d), http.StatusOK, "")
	want(t, "end-10, a digest that is none", c.do(http.MethodDelete, blobPath("sha256:abc"), nil, nil), http.StatusBadRequest, "DIGEST_INVALID")
	named := sha256Of([]byte("layer named"))
	c.pushed("named")
	want(t, "end-10, a blob that a manifest names", c.do(http.MethodDelete, blobPath(named), nil, nil), http.StatusMethodNotAllowed, "UNSUPPORTED")
	want(t, "which is there still", c.get(blobPath(named)), http.StatusOK, "")
	c.blob(repo, content)
	want(t, "pushed again", c.get(blobPath(d)), http.StatusOK, "")
}
