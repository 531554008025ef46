package attack_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

const noRoot = `package bondgate.rules.noroot

# METADATA
# title: No image that runs as root
# custom:
#   code: noroot.user
#   remediation: Add a USER line and push again.
deny contains reason if {
	input.action == "manifest.pull"
	input.artifact.role == "image"
	input.artifact.kind == "image"
	object.get(input.artifact.config, "user", "") in {"", "0", "root"}
	reason := {"code": "noroot.user", "msg": "the image runs as root"}
}
`

// policyFolder makes a bundle of an author's that denies images that run as root.
func policyFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "noroot.rego"), []byte(noRoot), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Class 7: the tag moves between the judgement and the bytes.
func TestTheDigestThatIsJudgedIsTheDigestThatIsServed(t *testing.T) {
	w := newWorld(t, harness.Options{Policy: policyFolder(t)})
	good := w.push(alice, newImage("red/app", "live", "good", "1000", nil))
	bad := w.push(alice, newImage("red/app", "other", "bad", "root", nil))
	bad.tag = "live"
	stop, moved := make(chan struct{}), 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			for _, im := range []image{bad, good} {
				select {
				case <-stop:
					return
				default:
				}
				if r := w.put(alice, im, manifestType); r.Status != http.StatusCreated {
					t.Errorf("move the tag: %d %s", r.Status, r.Body)
					return
				}
				moved++
			}
		}
	})
	served, denied := 0, 0
	for range 400 {
		r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/live", harness.Accept, nil)
		switch {
		case r.Status == http.StatusOK && digestOf(r.Body) == good.digest && r.Header.Get("Docker-Content-Digest") == good.digest:
			served++
		case r.Status == http.StatusForbidden && code(r) == "DENIED":
			denied++
		default:
			t.Errorf("answered %d, %s, body %s", r.Status, r.Header.Get("Docker-Content-Digest"), digestOf(r.Body))
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("%d served, %d denied while the tag moved %d times", served, denied, moved)
	// By digest the same holds, and so for its layer.
	if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+bad.digest, nil, nil); r.Status != http.StatusForbidden {
		t.Errorf("by digest: %d", r.Status)
	}
	refused(t, "the layer of a denied image", w.as(gus, http.MethodGet, "/v2/red/app/blobs/"+bad.layerDigest(), nil, nil), bad.layer)
}

// Class 12: what was cached under a right ends with the right (zot
// CVE-2025-23208: a removed group still granted).
func TestACachedAnswerEndsWithTheRight(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "cached", "1000", nil))
	paths := []string{"/v2/red/app/manifests/v1", "/v2/red/app/manifests/" + im.digest, "/v2/red/app/blobs/" + im.layerDigest(), "/v2/red/app/tags/list"}
	for round := range 10 {
		for _, p := range paths {
			for range 3 {
				if r := w.as(gus, http.MethodGet, p, harness.Accept, nil); r.Status != http.StatusOK {
					t.Fatalf("round %d: %s: %d %s", round, p, r.Status, r.Body)
				}
			}
		}
		w.dismiss("red", gus)
		for _, p := range paths {
			refused(t, fmt.Sprintf("round %d: %s", round, p), w.as(gus, http.MethodGet, p, nil, nil), im.layer, im.manifest)
			// Somebody else keeps the same entries warm meanwhile.
			if r := w.as(alice, http.MethodGet, p, harness.Accept, nil); r.Status != http.StatusOK {
				t.Fatalf("alice: %d", r.Status)
			}
		}
		w.member("red", gus, "guest")
	}
}

func TestADeletedBlobStaysDeletedWhileAnotherRepositoryReadsIt(t *testing.T) {
	w := newWorld(t, harness.Options{})
	one := w.push(mike, newImage("red/one", "v1", "both", "1000", nil))
	two := w.push(mike, newImage("red/two", "v1", "both", "1000", nil))
	path := "/blobs/" + one.layerDigest()
	for range 3 {
		w.as(mike, http.MethodGet, "/v2/red/one"+path, nil, nil)
		w.as(mike, http.MethodGet, "/v2/red/two"+path, nil, nil)
	}
	// A blob that a manifest names is not to be had away from it.
	if r := w.as(mike, http.MethodDelete, "/v2/red/one"+path, nil, nil); r.Status != http.StatusMethodNotAllowed {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	for _, gone := range []string{"/manifests/" + one.digest, path} {
		if r := w.as(mike, http.MethodDelete, "/v2/red/one"+gone, nil, nil); r.Status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", gone, r.Status, r.Body)
		}
	}
	for range 3 {
		if r := w.as(mike, http.MethodGet, "/v2/red/two"+path, nil, nil); r.Status != http.StatusOK || string(r.Body) != string(two.layer) {
			t.Errorf("the other repository lost it: %d", r.Status)
		}
		if r := w.as(mike, http.MethodGet, "/v2/red/one"+path, nil, nil); r.Status != http.StatusNotFound {
			t.Errorf("deleted and there: %d", r.Status)
		}
		if r := w.as(mike, http.MethodHead, "/v2/red/one"+path, nil, nil); r.Status != http.StatusNotFound {
			t.Errorf("deleted and there by HEAD: %d", r.Status)
		}
	}
}
