package attack_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 9: an image reached past the judgement about it, through or around an index.

// indexOf is an index over descriptors, pushed under a tag.
func indexOf(tag string, children ...map[string]any) image {
	im := image{repo: "red/app", tag: tag, manifest: mustJSON(map[string]any{
		"schemaVersion": 2, "mediaType": indexType, "manifests": children,
	})}
	im.digest = digestOf(im.manifest)
	return im
}

// listed describes a manifest as a child of an index, with more said about it.
func listed(im image, mediaType string, more map[string]any) map[string]any {
	d := descriptor(mediaType, im.manifest)
	for k, v := range more {
		d[k] = v
	}
	return d
}

func (w *world) pushIndex(user string, im image) image {
	w.t.Helper()
	if r := w.pushAt(user, im, im.tag, indexType); r.Status != http.StatusCreated {
		w.t.Fatalf("push the index %s: %d %s", im.tag, r.Status, r.Body)
	}
	return im
}

func TestAnIndexIsNoWayPastTheJudgementOfItsChildren(t *testing.T) {
	w := newWorld(t, harness.Options{Policy: policyFolder(t)})
	bad := w.push(alice, newImage("red/app", "bad", "child bad", "root", nil))
	good := w.push(alice, newImage("red/app", "good", "child good", "1000", nil))
	attestation := map[string]any{
		"platform":    map[string]any{"os": "unknown", "architecture": "unknown"},
		"annotations": map[string]any{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": good.digest},
	}
	direct := w.pushIndex(alice, indexOf("direct", listed(good, manifestType, nil), listed(bad, manifestType, nil)))
	nested := w.pushIndex(alice, indexOf("nested", listed(direct, indexType, nil)))
	for _, idx := range []image{
		direct, nested,
		w.pushIndex(alice, indexOf("deeper", listed(nested, indexType, nil))),
		w.pushIndex(alice, indexOf("dressed", listed(good, manifestType, nil), listed(bad, manifestType, attestation))),
		w.pushIndex(alice, indexOf("typed", listed(bad, manifestType, map[string]any{"artifactType": simpleSigning}))),
		w.pushIndex(alice, indexOf("mistyped", listed(bad, "application/vnd.in-toto+json", nil))),
		w.pushIndex(alice, indexOf("twice", listed(good, manifestType, nil), listed(good, manifestType, nil), listed(bad, manifestType, nil), listed(bad, indexType, nil))),
		w.pushIndex(alice, indexOf("named", listed(bad, manifestType, map[string]any{
			"annotations": map[string]any{"org.opencontainers.image.ref.name": "good", "io.containerd.image.name": w.Host + "/red/app:good"},
		}))),
	} {
		// The index says nothing that runs; what it lists is judged when it is asked for.
		if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+idx.tag, harness.Accept, nil); r.Status == http.StatusOK && !bytes.Equal(r.Body, idx.manifest) {
			t.Errorf("%s: other bytes", idx.tag)
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := w.as(gus, method, "/v2/red/app/manifests/"+bad.digest, harness.Accept, nil)
			if r.Status != http.StatusForbidden {
				t.Errorf("after %s: %s of the child: %d %s", idx.tag, method, r.Status, r.Body)
			}
		}
		refused(t, "its layer after "+idx.tag, w.as(gus, http.MethodGet, "/v2/red/app/blobs/"+bad.layerDigest(), nil, nil), bad.layer)
		token := w.token(gus, "repository:red/app:pull")
		refused(t, "by a token after "+idx.tag, w.bearer(token, http.MethodGet, "/v2/red/app/manifests/"+bad.digest, harness.Accept, nil), bad.manifest)
		refused(t, "its layer by a token after "+idx.tag, w.bearer(token, http.MethodGet, "/v2/red/app/blobs/"+bad.layerDigest(), nil, nil), bad.layer)
		if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+good.digest, harness.Accept, nil); r.Status != http.StatusOK {
			t.Errorf("after %s: the child that is allowed: %d %s", idx.tag, r.Status, r.Body)
		}
	}
}

// A child that a pusher calls an attestation is judged by its layers.
func TestAnAttestationOfAnIndexIsOneByItsLayers(t *testing.T) {
	w := newWorld(t, harness.Options{Policy: policyFolder(t)})
	subject := w.push(alice, newImage("red/app", "subject", "attested", "1000", nil))
	real := w.push(alice, newImage("red/app", "att", "statement", "", func(m map[string]any) {
		m["layers"] = []any{descriptor("application/vnd.in-toto+json", []byte("layer statement"))}
	}))
	mixed := newImage("red/app", "mixed", "mixed statement", "", func(m map[string]any) {
		m["layers"] = []any{descriptor("application/vnd.in-toto+json", []byte("layer mixed statement")), descriptor(layerType, []byte("layer attested"))}
	})
	w.push(alice, mixed)
	dress := map[string]any{
		"platform":    map[string]any{"os": "unknown", "architecture": "unknown"},
		"annotations": map[string]any{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject.digest},
	}
	w.pushIndex(alice, indexOf("image", listed(subject, manifestType, nil), listed(real, manifestType, dress), listed(mixed, manifestType, dress)))
	if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+real.digest, harness.Accept, nil); r.Status != http.StatusOK {
		t.Errorf("the attestation: %d %s", r.Status, r.Body)
	}
	if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+mixed.digest, harness.Accept, nil); r.Status != http.StatusForbidden {
		t.Errorf("what has a filesystem among its statements: %d %s", r.Status, r.Body)
	}
}

func TestAnIndexListsOnlyWhatItsRepositoryHas(t *testing.T) {
	w := newWorld(t, harness.Options{})
	theirs := w.push(bob, newImage("blue/app", "v1", "blue child", "1000", nil))
	mine := w.push(alice, newImage("red/app", "v1", "red child", "1000", nil))
	layered := image{manifest: mine.layer}
	for name, im := range map[string]image{
		"another project's image": indexOf("x", listed(theirs, manifestType, nil)),
		"nothing that is there":   indexOf("x", listed(image{manifest: []byte("{}")}, manifestType, nil)),
		"a layer":                 indexOf("x", listed(layered, manifestType, nil)),
		"one and another's":       indexOf("x", listed(mine, manifestType, nil), listed(theirs, manifestType, nil)),
	} {
		if r := w.pushAt(alice, im, im.tag, indexType); r.Status < 400 || r.Status >= 500 {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
		refused(t, name, w.as(alice, http.MethodGet, "/v2/red/app/manifests/"+theirs.digest, harness.Accept, nil), theirs.manifest)
	}
	t.Run("a child whose size is another's is refused or harmless", func(t *testing.T) {
		wrong := listed(mine, manifestType, map[string]any{"size": len(mine.manifest) + 1})
		if r := w.pushAt(alice, indexOf("size", wrong), "size", indexType); r.Status >= 500 {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		w.names("v1", mine)
	})
}

// An index cannot list itself, since its digest would have to be in it; one that
// says that it does is like any other.
func TestAnIndexThatNamesItselfGoesRoundNoCircle(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "circle", "1000", nil))
	self := indexOf("self", listed(im, manifestType, map[string]any{
		"annotations": map[string]any{"org.opencontainers.image.ref.name": "self", "vnd.docker.reference.digest": im.digest},
	}))
	w.pushIndex(alice, self)
	// The tag that the annotation names goes onto an index over the index, and round again.
	over := self
	for range 5 {
		over = w.pushIndex(alice, indexOf("self", listed(over, indexType, map[string]any{
			"annotations": map[string]any{"org.opencontainers.image.ref.name": "self"},
		})))
	}
	w.names("self", over)
	// A manifest that refers to an index that lists it: the one circle that digests
	// allow is by a subject that is not there yet, and no reader follows it.
	ref := newImage("red/app", "ref", "referrer", "1000", func(m map[string]any) {
		m["subject"] = descriptor(indexType, over.manifest)
	})
	w.push(alice, ref)
	w.pushIndex(alice, indexOf("self", listed(over, indexType, nil), listed(ref, manifestType, nil)))
	for _, path := range []string{"/v2/red/app/manifests/self", "/v2/red/app/referrers/" + over.digest, "/v2/red/app/tags/list"} {
		if r := w.as(gus, http.MethodGet, path, harness.Accept, nil); r.Status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.Status, r.Body)
		}
	}
}

func TestBombsOfDepthAndWidthAreRefusedOrCostNothing(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "bomb", "1000", nil))
	t.Run("an index with more children than are allowed", func(t *testing.T) {
		many := make([]map[string]any, 1001)
		for i := range many {
			many[i] = listed(im, manifestType, nil)
		}
		if r := w.pushAt(alice, indexOf("wide", many...), "wide", indexType); r.Status != http.StatusBadRequest || code(r) != "MANIFEST_INVALID" {
			t.Errorf("1001 children: %d %.200s", r.Status, r.Body)
		}
		if r := w.pushAt(alice, indexOf("wide", many[:1000]...), "wide", indexType); r.Status != http.StatusCreated {
			t.Errorf("1000 children: %d %.200s", r.Status, r.Body)
		}
	})
	t.Run("indexes in indexes, each twice over: 2^40 ways to one image", func(t *testing.T) {
		inner := indexOf("deep", listed(im, manifestType, nil))
		w.pushIndex(alice, inner)
		for range 40 {
			inner = w.pushIndex(alice, indexOf("deep", listed(inner, indexType, nil), listed(inner, indexType, nil)))
		}
		for _, reference := range []string{"deep", inner.digest} {
			if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+reference, harness.Accept, nil); r.Status != http.StatusOK {
				t.Errorf("%s: %d %s", reference, r.Status, r.Body)
			}
		}
		if r := w.as(mike, http.MethodDelete, "/v2/red/app/manifests/"+inner.digest, nil, nil); r.Status != http.StatusAccepted {
			t.Errorf("its deletion: %d %s", r.Status, r.Body)
		}
	})
	open := func(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }
	for name, body := range map[string]string{
		"lists in lists":          `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[],"x":` + open("[", 100000) + open("]", 100000) + `}`,
		"objects in objects":      `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[],"x":` + open(`{"a":`, 100000) + "1" + open("}", 100000) + `}`,
		"lists that never end":    open("[", 1<<20),
		"children in children":    open(`{"manifests":[`, 100000),
		"too many annotations":    `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[],"annotations":{` + annotations(1001) + `}}`,
		"a child's annotations":   `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[{"mediaType":"` + manifestType + `","digest":"` + im.digest + `","size":1,"annotations":{` + annotations(1001) + `}}]}`,
		"a number of a megabyte":  `{"schemaVersion":` + open("2", 1<<20) + `,"mediaType":"` + indexType + `","manifests":[]}`,
		"a name of two megabytes": `{"schemaVersion":2,"mediaType":"` + open("a", 2<<20) + `","manifests":[]}`,
	} {
		r := w.as(alice, http.MethodPut, "/v2/red/app/manifests/bomb", http.Header{"Content-Type": {indexType}}, []byte(body))
		if r.Status != http.StatusBadRequest || code(r) != "MANIFEST_INVALID" {
			t.Errorf("%s: %d %.200s", name, r.Status, r.Body)
		}
		if len(r.Body) > 2000 {
			t.Errorf("%s: the answer has %d bytes", name, len(r.Body))
		}
	}
	w.names("v1", im)
}

func annotations(n int) string {
	var b bytes.Buffer
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"k%d":"v"`, i)
	}
	return b.String()
}
