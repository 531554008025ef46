package conformance

import (
	"net/http"
	"strings"
	"testing"
)

// "Determining Support", end-1.
func TestWhoeverAsksLearnsThatThisIsARegistry(t *testing.T) {
	w := newWorld(t, "")
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		bare := w.Do(method, "/v2/", "", "", nil, nil)
		if bare.Status != http.StatusUnauthorized {
			t.Errorf("end-1, %s bare: %d", method, bare.Status)
		}
		if ch := w.challenge(bare); ch.realm != w.URL()+"/token" || ch.service == "" || ch.scope != "" {
			t.Errorf("end-1, %s bare is challenged by %+v", method, ch)
		}
		want(t, "end-1, "+method+" with a token", w.as(mara).do(method, "/v2/", nil, nil), http.StatusOK, "")
	}
	want(t, "end-1, GET with a wrong password", w.Do(http.MethodGet, "/v2/", mara, "wrong", nil, nil), http.StatusUnauthorized, "UNAUTHORIZED")
}

// Each operation tells a client that comes without a token which one it needs.
func TestAChallengeNamesWhatTheOperationNeeds(t *testing.T) {
	w := newWorld(t, "")
	d := sha256Of([]byte("any"))
	for _, c := range []struct{ method, path, scope string }{
		{"GET", blobPath(d), "repository:spec/app:pull"},
		{"HEAD", blobPath(d), "repository:spec/app:pull"},
		{"GET", manifestPath("v1"), "repository:spec/app:pull"},
		{"HEAD", manifestPath(d), "repository:spec/app:pull"},
		{"GET", "/v2/spec/app/tags/list", "repository:spec/app:pull"},
		{"GET", "/v2/spec/app/referrers/" + d, "repository:spec/app:pull"},
		{"POST", uploads, "repository:spec/app:pull,push"},
		{"POST", uploads + "?digest=" + d, "repository:spec/app:pull,push"},
		{"PUT", manifestPath("v1"), "repository:spec/app:pull,push"},
		{"PUT", manifestPath(d) + "?tag=v1", "repository:spec/app:pull,push"},
		{"PATCH", uploads + "5f3a9c2e-0000-4000-8000-000000000000", "repository:spec/app:pull,push"},
		{"DELETE", uploads + "5f3a9c2e-0000-4000-8000-000000000000", "repository:spec/app:pull,push"},
		{"DELETE", manifestPath("v1"), "repository:spec/app:delete"},
		{"DELETE", manifestPath(d), "repository:spec/app:delete"},
		{"DELETE", blobPath(d), "repository:spec/app:delete"},
	} {
		r := w.Do(c.method, c.path, "", "", nil, nil)
		if r.Status != http.StatusUnauthorized {
			t.Errorf("%s %s bare: %d", c.method, c.path, r.Status)
			continue
		}
		if got := w.challenge(r).scope; got != c.scope {
			t.Errorf("%s %s asks for %q, want %q", c.method, c.path, got, c.scope)
		}
	}
}

// "Error Codes": each code of the table that one request can be answered with,
// where the table's words say that it belongs. TOOMANYREQUESTS and the codes of
// uploads are beside what causes them.
func TestEachErrorHasItsCode(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	content := []byte("content")
	d, absent := c.blob(repo, content), sha256Of([]byte("absent"))
	manifest := encode(c.image("errors"))
	unknown := encode(object{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []any{descriptor(ociManifest, []byte("absent"))}})
	for _, e := range []struct {
		sentence, user, method, path string
		body                         []byte
		status                       int
		code                         string
	}{
		{"code-1: a blob that is not there", mara, "GET", blobPath(absent), nil, 404, "BLOB_UNKNOWN"},
		{"code-1: a blob that cannot be deleted since it is not there", mara, "DELETE", blobPath(absent), nil, 404, "BLOB_UNKNOWN"},
		{"code-3: an upload that nobody began", mara, "PATCH", uploads + "5f3a9c2e-0000-4000-8000-000000000000", content, 404, "BLOB_UPLOAD_UNKNOWN"},
		{"code-4: a blob that is not what its digest says", mara, "POST", uploads + "?digest=" + absent, content, 400, "DIGEST_INVALID"},
		{"code-4: a digest that is none", mara, "GET", blobPath("sha256:abc"), nil, 400, "DIGEST_INVALID"},
		{"code-4: a digest of an algorithm that is not supported", mara, "POST", uploads + "?digest=md5:9a0364b9e99bb480dd25e1f0284c8555", content, 400, "DIGEST_INVALID"},
		{"code-4: a manifest that is not what its digest says", mara, "PUT", manifestPath(absent), manifest, 400, "DIGEST_INVALID"},
		{"code-5: a manifest that names what is not there", mara, "PUT", manifestPath("v1"), unknown, 400, "MANIFEST_BLOB_UNKNOWN"},
		{"code-6: a manifest that is none", mara, "PUT", manifestPath("v1"), []byte("{}"), 400, "MANIFEST_INVALID"},
		{"code-7: a tag that is not there", mara, "GET", manifestPath("nothing"), nil, 404, "MANIFEST_UNKNOWN"},
		{"code-7: a manifest that is not there", mara, "GET", manifestPath(absent), nil, 404, "MANIFEST_UNKNOWN"},
		{"code-7: a blob is no manifest", mara, "GET", manifestPath(d), nil, 404, "MANIFEST_UNKNOWN"},
		{"code-8: a name that breaks the grammar", mara, "GET", "/v2/spec/App/tags/list", nil, 400, "NAME_INVALID"},
		{"code-8: a name with an empty part", mara, "POST", "/v2/spec//app/blobs/uploads/", nil, 400, "NAME_INVALID"},
		{"code-9: a repository that nobody pushed to", mara, "GET", "/v2/spec/other/tags/list", nil, 404, "NAME_UNKNOWN"},
		{"code-12: a push by who may only pull", gus, "POST", uploads, nil, 401, "UNAUTHORIZED"},
		{"code-13: a method that the path does not have", mara, "PATCH", manifestPath("v1"), nil, 405, "UNSUPPORTED"},
	} {
		t.Run(e.sentence, func(t *testing.T) {
			var h http.Header
			if e.method == http.MethodPut {
				h = http.Header{"Content-Type": {ociManifest}}
				if strings.Contains(string(e.body), ociIndex) {
					h.Set("Content-Type", ociIndex)
				}
			}
			want(t, e.sentence, w.as(e.user).do(e.method, e.path, h, e.body), e.status, e.code)
		})
	}
	// With a password there is no token to ask for more of.
	want(t, "code-12: DENIED", w.Do(http.MethodPost, uploads, gus, password, nil, nil), http.StatusForbidden, "DENIED")
	want(t, "code-11: UNAUTHORIZED", w.Do(http.MethodGet, manifestPath("v1"), "", "", nil, nil), http.StatusUnauthorized, "UNAUTHORIZED")
}

// What is private is not there for who may not see it, whatever they ask.
func TestAStrangerLearnsNothing(t *testing.T) {
	w := newWorld(t, "")
	manifest := w.as(mara).pushed("v1")
	d := sha256Of(manifest)
	for _, path := range []string{manifestPath("v1"), manifestPath(d), "/v2/spec/app/tags/list", "/v2/spec/app/referrers/" + d, blobPath(d)} {
		there := w.Do(http.MethodGet, path, eve, password, nil, nil)
		nowhere := w.Do(http.MethodGet, strings.Replace(path, "/spec/", "/nowhere/", 1), eve, password, nil, nil)
		if there.Status != http.StatusNotFound || there.Status != nowhere.Status || string(there.Body) != string(nowhere.Body) {
			t.Errorf("GET %s: %d %s, of a project that is not there %d %s", path, there.Status, there.Body, nowhere.Status, nowhere.Body)
		}
	}
}
