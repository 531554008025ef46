package attack_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 10, the disguises: an image that runs is judged as an image, whatever
// it is called, refers to or says of itself.
func TestADisguisedImageIsJudgedAsAnImage(t *testing.T) {
	w := newWorld(t, harness.Options{Policy: policyFolder(t)})
	subject := w.push(alice, newImage("red/app", "v1", "subject", "1000", nil))
	signatureTag := strings.Replace(subject.digest, ":", "-", 1) + ".sig"
	for _, c := range []struct {
		name, tag string
		edit      func(map[string]any)
	}{
		{"undisguised", "plain", nil},
		{"under a signature's tag", signatureTag, nil},
		{"under an attestation's tag", strings.TrimSuffix(signatureTag, ".sig") + ".att", nil},
		{"with a subject", "subject", func(m map[string]any) {
			m["subject"] = map[string]any{"mediaType": manifestType, "digest": subject.digest, "size": len(subject.manifest)}
		}},
		{"annotated as an attestation manifest", "annotated", func(m map[string]any) {
			m["annotations"] = map[string]any{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject.digest}
		}},
		{"with a signature's artifactType", "artifacttype", func(m map[string]any) { m["artifactType"] = simpleSigning }},
		{"with one signature layer among its layers", "mixed", func(m map[string]any) {
			m["layers"] = append(m["layers"].([]any), map[string]any{"mediaType": simpleSigning, "digest": digestOf([]byte("layer mixed")), "size": len("layer mixed")})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "disguise " + c.tag
			if c.tag == "mixed" {
				text = "mixed"
			}
			im := newImage("red/app", c.tag, text, "root", c.edit)
			w.push(alice, im)
			for _, ref := range []string{im.tag, im.digest} {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					r := w.as(gus, method, "/v2/red/app/manifests/"+ref, harness.Accept, nil)
					if r.Status != http.StatusForbidden {
						t.Errorf("%s by %s: %d %s", method, ref, r.Status, r.Body)
					}
				}
			}
			refused(t, "its layer", w.as(gus, http.MethodGet, "/v2/red/app/blobs/"+im.layerDigest(), nil, nil), im.layer)
		})
	}
	t.Run("a real signature is read by whoever may pull", func(t *testing.T) {
		im := newImage("red/app", signatureTag, "payload", "root", func(m map[string]any) {
			m["layers"] = []any{descriptor(simpleSigning, []byte("layer payload"))}
		})
		w.push(alice, im)
		if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+signatureTag, harness.Accept, nil); r.Status != http.StatusOK {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		if r := w.as(gus, http.MethodGet, "/v2/red/app/blobs/"+im.layerDigest(), nil, nil); r.Status != http.StatusOK {
			t.Errorf("its payload: %d %s", r.Status, r.Body)
		}
	})
}
