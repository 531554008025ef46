package attack_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 5: blobs over repositories (zot CVE-2024-39897: deduplication let any
// blob be read; Harbor #23270: the source of a mount unchecked).
func TestABlobOfAnotherRepositoryStaysThere(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(bob, newImage("blue/app", "v1", "secret of blue", "1000", nil))
	d := im.layerDigest()

	for _, path := range []string{"/v2/red/app/blobs/" + d, "/v2/red/blue/blobs/" + d, "/v2/blue/app/blobs/" + d, "/v2/red/app/manifests/" + im.digest} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			refused(t, method+" "+path, w.as(alice, method, path, nil, nil), im.layer, im.manifest)
		}
	}

	t.Run("a mount from what one may not pull is an upload like any other", func(t *testing.T) {
		for _, from := range []string{"blue/app", "blue%2Fapp", "blue/app/", "../blue/app", "blue/nothing"} {
			r := w.as(alice, http.MethodPost, "/v2/red/app/blobs/uploads/?mount="+d+"&from="+from, nil, nil)
			if r.Status == http.StatusCreated {
				t.Fatalf("from=%s: mounted", from)
			}
			if r.Status != http.StatusAccepted && r.Status != http.StatusBadRequest {
				t.Errorf("from=%s: %d %s", from, r.Status, r.Body)
			}
		}
		refused(t, "GET after the mount", w.as(alice, http.MethodGet, "/v2/red/app/blobs/"+d, nil, nil), im.layer)
	})

	t.Run("a mount tells nobody whether the blob exists", func(t *testing.T) {
		there := w.as(alice, http.MethodPost, "/v2/red/app/blobs/uploads/?mount="+d+"&from=blue/app", nil, nil)
		absent := w.as(alice, http.MethodPost, "/v2/red/app/blobs/uploads/?mount="+digestOf([]byte("nowhere"))+"&from=blue/app", nil, nil)
		if there.Status != absent.Status {
			t.Errorf("there %d, absent %d", there.Status, absent.Status)
		}
	})

	t.Run("a mount without a source does not look everywhere", func(t *testing.T) {
		r := w.as(alice, http.MethodPost, "/v2/red/app/blobs/uploads/?mount="+d, nil, nil)
		if r.Status != http.StatusAccepted {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	})

	t.Run("a token for the target alone mounts nothing", func(t *testing.T) {
		w.member("blue", alice, "guest")
		defer w.dismiss("blue", alice)
		r := w.bearer(w.token(alice, "repository:red/app:pull,push"), http.MethodPost, "/v2/red/app/blobs/uploads/?mount="+d+"&from=blue/app", nil, nil)
		if r.Status != http.StatusUnauthorized {
			t.Errorf("without a scope on the source: %d", r.Status)
		}
	})

	t.Run("a token that was refused the source is told no more by a mount", func(t *testing.T) {
		token := w.token(alice, "repository:red/app:pull,push", "repository:blue/app:pull", "repository:blue/nothing:pull")
		for _, query := range []string{"mount=" + d, "mount=" + d + "&from=blue/app", "mount=" + d + "&from=blue/nothing", "mount=" + digestOf([]byte("nowhere")) + "&from=blue/app"} {
			if r := w.bearer(token, http.MethodPost, "/v2/red/app/blobs/uploads/?"+query, nil, nil); r.Status != http.StatusAccepted {
				t.Errorf("%s: %d %s", query, r.Status, r.Body)
			}
		}
	})

	t.Run("a manifest cannot name a blob that its repository does not have", func(t *testing.T) {
		thief := newImage("red/app", "stolen", "secret of blue", "1000", nil)
		if r := w.upload(alice, thief.repo, thief.config); r.Status != http.StatusCreated {
			t.Fatal(r.Status, string(r.Body))
		}
		if r := w.put(alice, thief, manifestType); r.Status < 400 || r.Status >= 500 {
			t.Fatalf("the manifest was taken: %d", r.Status)
		}
		refused(t, "GET of the stolen layer", w.as(alice, http.MethodGet, "/v2/red/app/blobs/"+d, nil, nil), im.layer)
	})

	t.Run("one who may pull the source and push the target mounts", func(t *testing.T) {
		w.member("blue", mike, "guest")
		r := w.as(mike, http.MethodPost, "/v2/red/app/blobs/uploads/?mount="+d+"&from=blue/app", nil, nil)
		if r.Status != http.StatusCreated || r.Header.Get("Docker-Content-Digest") != d {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	})
}

func TestAnUploadSessionBelongsToWhoStartedItWhereItWasStarted(t *testing.T) {
	w := newWorld(t, harness.Options{})
	at := w.session(alice, "red/app")
	elsewhere := strings.Replace(at, "/red/app/", "/red/other/", 1)
	stateless, _, _ := strings.Cut(at, "?")
	for _, c := range []struct{ name, user, path string }{
		{"another developer", pat, at},
		{"the system's administrator", admin, at},
		{"a stranger", bob, at},
		{"the owner in another repository", alice, elsewhere},
		{"the owner without the state that the server gave", pat, stateless},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodPut, http.MethodDelete} {
			path := c.path
			if method == http.MethodPut {
				sep := "?"
				if strings.Contains(path, "?") {
					sep = "&"
				}
				path += sep + "digest=" + digestOf([]byte("x"))
			}
			r := w.as(c.user, method, path, http.Header{"Content-Type": {"application/octet-stream"}}, []byte("x"))
			if r.Status < 400 || r.Status >= 500 {
				t.Errorf("%s: %s answers %d %s", c.name, method, r.Status, r.Body)
			}
		}
	}
	if r := w.as(alice, http.MethodGet, at, nil, nil); r.Status != http.StatusNoContent {
		t.Errorf("the owner lost it: %d %s", r.Status, r.Body)
	}
}
