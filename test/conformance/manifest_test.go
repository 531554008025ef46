package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// served fails the test unless the manifest is there as it was pushed, under each
// reference.
func (c client) served(t testing.TB, what string, manifest []byte, mediaType, digest string, references ...string) {
	t.Helper()
	for _, reference := range references {
		r := c.get(manifestPath(reference))
		if r.Status != http.StatusOK || !bytes.Equal(r.Body, manifest) {
			t.Errorf("%s: GET %s answers %d %s", what, reference, r.Status, r.Body)
			continue
		}
		header(t, what, r, map[string]string{"Content-Type": mediaType, "Docker-Content-Digest": digest})
	}
}

// "Pushing Manifests", end-7a: what is stored is what was sent, byte by byte,
// whatever the manifest is of.
func TestPushAManifest(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	image := c.image("manifests")
	empty := []byte("{}")
	c.blob(repo, empty)
	artifact := object{
		"schemaVersion": 2, "mediaType": ociManifest, "artifactType": "application/vnd.example.thing",
		"config": descriptor(ociEmpty, empty), "layers": []any{descriptor(ociEmpty, empty)},
	}
	child := encode(image)
	index := object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []any{with(descriptor(ociManifest, child), object{
		"platform": object{"os": "linux", "architecture": "amd64"},
	})}}
	nested := object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []any{descriptor(ociIndex, encode(index))}}
	far := []any{object{
		"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "digest": sha256Of([]byte("far")), "size": 3,
		"urls": []string{"https://layers.example.com/far"},
	}}
	spaced := append(append([]byte("\n\t "), encode(with(image, object{"annotations": object{"spaced": "out"}}))...), " \n"...)
	for _, m := range []struct {
		sentence, mediaType string
		body                []byte
	}{
		{"an image", ociManifest, child},
		{"an index", ociIndex, encode(index)},
		{"an index of an index", ociIndex, encode(nested)},
		{"an index of nothing", ociIndex, encode(with(index, object{"manifests": []any{}}))},
		{"an image without layers", ociManifest, encode(with(image, object{"layers": []any{}}))},
		{"an image whose layer lives elsewhere", ociManifest, encode(with(image, object{"layers": far}))},
		{"an image with annotations", ociManifest, encode(with(image, object{"annotations": object{"org.example": "x"}}))},
		{"an image with fields that nobody defined", ociManifest, encode(with(image, object{"org.example.more": object{"a": []int{1}}}))},
		{"an image without a mediaType of its own", ociManifest, encode(with(image, object{"mediaType": nil}))},
		{"bytes with space around them", ociManifest, spaced},
		{"a descriptor with its data", ociManifest, encode(with(image, object{"layers": []any{with(descriptor(ociEmpty, empty), object{"data": empty})}}))},
		{"an artifact", ociManifest, encode(artifact)},
		{"an artifact by the type of its configuration", ociManifest, encode(with(artifact, object{
			"artifactType": nil, "config": with(descriptor(ociConfig, empty), object{"mediaType": "application/vnd.example.config"}),
		}))},
		{"an artifact with layers of unknown types", ociManifest, encode(with(artifact, object{
			"layers": []any{with(descriptor("x/y", empty), object{"mediaType": "application/vnd.example.data"})},
		}))},
		{"an index of artifacts", ociIndex, encode(with(index, object{"artifactType": "application/vnd.example.things", "annotations": object{"a": "b"}}))},
	} {
		t.Run(m.sentence, func(t *testing.T) {
			d := sha256Of(m.body)
			byDigest := c.put(manifestPath(d), m.mediaType, m.body)
			want(t, "end-7a by digest", byDigest, http.StatusCreated, "")
			header(t, "end-7a by digest", byDigest, map[string]string{"Docker-Content-Digest": d})
			tag := strings.ReplaceAll(m.sentence, " ", "-")
			byTag := c.put(manifestPath(tag), m.mediaType+"; charset=utf-8", m.body)
			want(t, "end-7a by tag", byTag, http.StatusCreated, "")
			header(t, "end-7a by tag", byTag, map[string]string{"Docker-Content-Digest": d})
			c.served(t, m.sentence, m.body, m.mediaType, d, d, tag)
			if r := c.get(location(t, byTag)); r.Status != http.StatusOK || !bytes.Equal(r.Body, m.body) {
				t.Errorf("the location of the push answers %d", r.Status)
			}
		})
	}
}

// "Pushing Manifests", end-7a: what is refused, and is not there afterwards.
func TestPushNoManifest(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	image := c.image("refused")
	absent := descriptor(ociLayer, []byte("absent"))
	large := encode(with(image, object{"annotations": object{"a": strings.Repeat("x", 4<<20)}}))
	for _, m := range []struct {
		sentence, reference, mediaType string
		body                           []byte
		status                         int
		code                           string
	}{
		{"a layer that is not there", "v1", ociManifest, encode(with(image, object{"layers": []any{absent}})), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"a configuration that is not there", "v1", ociManifest, encode(with(image, object{"config": with(absent, object{"mediaType": ociConfig})})), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"a child that is not there", "v1", ociIndex, encode(object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []any{absent}}), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"another type than is said", "v1", ociIndex, encode(image), 400, "MANIFEST_INVALID"},
		{"text", "v1", ociManifest, []byte("hello"), 400, "MANIFEST_INVALID"},
		{"nothing", "v1", ociManifest, nil, 400, "MANIFEST_INVALID"},
		{"a descriptor without a digest", "v1", ociManifest, encode(with(image, object{"layers": []any{object{"mediaType": ociLayer, "size": 1}}})), 400, "MANIFEST_INVALID"},
		{"another digest", sha256Of([]byte("x")), ociManifest, encode(image), 400, "DIGEST_INVALID"},
		{"another sha512 digest", sha512Of([]byte("x")), ociManifest, encode(image), 400, "DIGEST_INVALID"},
		{"a digest that is none", "sha256:abc", ociManifest, encode(image), 400, "DIGEST_INVALID"},
		{"a tag of 129 letters", strings.Repeat("a", 129), ociManifest, encode(image), 400, "TAG_INVALID"},
		{"a tag that begins with a dot", ".v1", ociManifest, encode(image), 400, "TAG_INVALID"},
		{"more than 4 MiB", "v1", ociManifest, large, 413, "TOO_LARGE"},
	} {
		t.Run(m.sentence, func(t *testing.T) {
			want(t, "end-7a", c.put(manifestPath(m.reference), m.mediaType, m.body), m.status, m.code)
			want(t, "what was refused", c.get(manifestPath(sha256Of(m.body))), http.StatusNotFound, "MANIFEST_UNKNOWN")
		})
	}
	want(t, "no tag came of it", c.get(manifestPath("v1")), http.StatusNotFound, "MANIFEST_UNKNOWN")

	big := encode(with(image, object{"annotations": object{"a": strings.Repeat("x", 4<<20-len(encode(image))-100)}}))
	want(t, "a manifest of nearly 4 MiB", c.put(manifestPath("big"), ociManifest, big), http.StatusCreated, "")
	tag := strings.Repeat("a", 128)
	want(t, "a tag of 128 letters", c.put(manifestPath(tag), ociManifest, encode(image)), http.StatusCreated, "")
}

// "Pushing Manifests": a tag is on what was pushed to it last.
func TestATagMoves(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	first := c.pushed("first")
	second := c.pushed("second")
	for _, manifest := range [][]byte{first, second, first} {
		want(t, "end-7a", c.put(manifestPath("moving"), ociManifest, manifest), http.StatusCreated, "")
		c.served(t, "moving", manifest, ociManifest, sha256Of(manifest), "moving")
	}
}

// "Pushing Manifests", end-7b: by digest, with the tags as parameters.
func TestPushTagsAsParameters(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	for name, digestOf := range algorithms {
		manifest := encode(c.image("parameters " + name))
		d := digestOf(manifest)
		var tags []string
		for n := range 12 {
			tags = append(tags, fmt.Sprintf("%s-%d", name, n))
		}
		r := c.put(manifestPath(d)+"?tag="+strings.Join(tags, "&tag="), ociManifest, manifest)
		want(t, "end-7b by "+name, r, http.StatusCreated, "")
		header(t, "end-7b by "+name, r, map[string]string{"Docker-Content-Digest": d})
		if got := r.Header.Values("OCI-Tag"); !slices.Equal(got, tags) {
			t.Errorf("end-7b by %s: OCI-Tag is %q", name, got)
		}
		c.served(t, "end-7b by "+name, manifest, ociManifest, d, append(tags, d)...)
	}
	manifest := encode(c.image("refused parameters"))
	many := manifestPath(sha256Of(manifest)) + "?tag=t"
	for n := range 101 {
		many += fmt.Sprintf("&tag=t%d", n)
	}
	want(t, "end-7b, too many", c.put(many, ociManifest, manifest), http.StatusRequestURITooLong, "TOO_LARGE")
	want(t, "end-7b, one is none", c.put(manifestPath(sha256Of(manifest))+"?tag=fine&tag=.none", ociManifest, manifest), http.StatusBadRequest, "TAG_INVALID")
	want(t, "end-7b, all or none", c.get(manifestPath("fine")), http.StatusNotFound, "MANIFEST_UNKNOWN")
}

// image-spec, "Digests": sha512 is registered, and the name asked is the name
// answered.
func TestAManifestBySha512(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	layer, config := []byte("a layer by sha512"), []byte(`{"architecture":"amd64","os":"linux"}`)
	for _, content := range [][]byte{layer, config} {
		r := c.do(http.MethodPost, uploads+"?digest="+sha512Of(content), nil, content)
		want(t, "end-4b", r, http.StatusCreated, "")
	}
	manifest := encode(object{
		"schemaVersion": 2, "mediaType": ociManifest,
		"config": with(descriptor(ociConfig, config), object{"digest": sha512Of(config)}),
		"layers": []any{with(descriptor(ociLayer, layer), object{"digest": sha512Of(layer)})},
	})
	d := sha512Of(manifest)
	r := c.put(manifestPath(d), ociManifest, manifest)
	want(t, "end-7a", r, http.StatusCreated, "")
	header(t, "end-7a", r, map[string]string{"Docker-Content-Digest": d})
	c.served(t, "by sha512", manifest, ociManifest, d, d)
	c.served(t, "by sha256", manifest, ociManifest, sha256Of(manifest), sha256Of(manifest))
	guest := w.as(gus)
	if r := guest.get(blobPath(sha512Of(layer))); r.Status != http.StatusOK || !bytes.Equal(r.Body, layer) {
		t.Errorf("end-2 by sha512: %d %s", r.Status, r.Body)
	}
	index := encode(object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []any{with(descriptor(ociManifest, manifest), object{"digest": d})}})
	want(t, "an index that names it by sha512", c.put(manifestPath("index"), ociIndex, index), http.StatusCreated, "")
	want(t, "end-9 by sha512", c.do(http.MethodDelete, manifestPath(d), nil, nil), http.StatusAccepted, "")
	want(t, "end-3 by sha256 after it", c.get(manifestPath(sha256Of(manifest))), http.StatusNotFound, "MANIFEST_UNKNOWN")
}

// "Push": a registry MAY refuse a manifest that names what is not there, or take
// it. Here it is a setting.
func TestSparseManifests(t *testing.T) {
	w := newWorld(t, "sparse_manifests: true\n")
	c := w.as(mara)
	image := c.image("sparse")
	later := []byte("a layer that comes later")
	sparse := encode(with(image, object{"layers": []any{descriptor(ociLayer, later)}}))
	child := encode(with(image, object{"annotations": object{"comes": "later"}}))
	index := encode(object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []any{
		descriptor(ociManifest, sparse), descriptor(ociManifest, child),
	}})
	for tag, m := range map[string]struct {
		mediaType string
		body      []byte
	}{"image": {ociManifest, sparse}, "index": {ociIndex, index}} {
		want(t, "end-7a of a sparse "+tag, c.put(manifestPath(tag), m.mediaType, m.body), http.StatusCreated, "")
		c.served(t, "a sparse "+tag, m.body, m.mediaType, sha256Of(m.body), tag, sha256Of(m.body))
	}
	missing := func() []harness.Response {
		return []harness.Response{c.get(blobPath(sha256Of(later))), c.get(manifestPath(sha256Of(child)))}
	}
	for _, r := range missing() {
		want(t, "what is not there", r, http.StatusNotFound, "")
	}
	c.blob(repo, later)
	want(t, "the child comes", c.put(manifestPath(sha256Of(child)), ociManifest, child), http.StatusCreated, "")
	for _, r := range missing() {
		want(t, "what came", r, http.StatusOK, "")
	}
	unconfigured := encode(with(image, object{"config": descriptor(ociConfig, []byte("absent"))}))
	want(t, "a configuration has to be there", c.put(manifestPath("none"), ociManifest, unconfigured), http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
}
