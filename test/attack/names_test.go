package attack_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Classes 3 and 4: a name that two parsers read differently, and a name that
// leaves its folder.
func TestOddNamesReachNothing(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(bob, newImage("blue/app", "v1", "names", "1000", nil))
	secret := filepath.Join(w.DataDir, "secret.txt")
	if err := os.WriteFile(secret, []byte("outside of every repository"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := im.digest
	for _, path := range []string{
		"/v2/red/../blue/app/manifests/v1",
		"/v2/red/%2e%2e/blue/app/manifests/v1",
		"/v2/red/..%2fblue/app/manifests/v1",
		"/v2/red%2f..%2fblue%2fapp/manifests/v1",
		"/v2/blue%2fapp/manifests/v1",
		"/v2//blue/app/manifests/v1",
		"/v2/blue//app/manifests/v1",
		"/v2/./blue/app/manifests/v1",
		"/v2/blue/app/./manifests/v1",
		"/v2/BLUE/app/manifests/v1",
		"/v2/Blue/App/manifests/v1",
		"/v2/blue/app%00/manifests/v1",
		"/v2/blue/app%20/manifests/v1",
		"/v2/blue/app%5c..%5capp/manifests/v1",
		"/v2/blue/аpp/manifests/v1", // a Cyrillic letter
		"/v2/blue/app/manifests/..%2f..%2f..%2fsecret.txt",
		"/v2/blue/app/manifests/../../../../secret.txt",
		"/v2/blue/app/blobs/sha256:..%2f..%2f..%2fsecret.txt",
		"/v2/blue/app/blobs/../../../../secret.txt",
		"/v2/blue/app/blobs/uploads/..%2f..%2f..%2fsecret.txt",
		"/v2/blue/app/blobs/uploads/../../../../secret.txt",
		"/v2/blue/app/referrers/..%2f..%2fsecret.txt",
		"/v2/blue/app/blobs/sha256:" + strings.Repeat("A", 64),
		"/v2/blue/app/blobs/md5:" + strings.Repeat("a", 32),
		"/v2/blue/app/manifests/" + strings.Repeat("t", 129),
		"/v2/" + strings.Repeat("a/", 200) + "app/manifests/v1",
		"/v2/" + strings.Repeat("a", 300) + "/manifests/v1",
		"/v2/blue/app/manifests/" + d + "%00",
		"/v2/blue/app/manifests/" + d + "/",
		"/v2/blue/app/manifests/v1/",
		"/v2/blue/app/manifests/v1;x=y",
		"/v2/blue/app/manifests/%76%31%2f",
		"/v2/../v2/blue/app/manifests/v1",
		"/V2/blue/app/manifests/v1",
		"/%76%32/blue/app/manifests/v1",
	} {
		for _, auth := range []string{alice, eve, nobody} {
			line := "GET " + path + " HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n"
			if auth != nobody {
				line += "Authorization: Basic " + basic(auth) + "\r\n"
			}
			answer := w.rawRequest(line + "\r\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 4") {
				t.Errorf("%s by %q: %.120q", path, auth, answer)
			}
			for _, leak := range []string{string(im.manifest), "outside of every repository", im.configDigest(), w.DataDir} {
				if strings.Contains(answer, leak) {
					t.Errorf("%s by %q: the answer has %.60q", path, auth, leak)
				}
			}
		}
	}
	if _, err := os.Stat(secret); err != nil {
		t.Error(err)
	}
}

// A repository may be called like an operation; the operation is found from the right.
func TestARepositoryNamedLikeAnOperationIsARepository(t *testing.T) {
	w := newWorld(t, harness.Options{})
	for _, repo := range []string{"red/manifests", "red/blobs", "red/blobs/uploads", "red/tags/list", "red/referrers", "red/uploads/manifests/blobs"} {
		im := w.push(alice, newImage(repo, "v1", repo, "1000", nil))
		r := w.as(gus, http.MethodGet, "/v2/"+repo+"/manifests/v1", harness.Accept, nil)
		if r.Status != http.StatusOK || digestOf(r.Body) != im.digest {
			t.Errorf("%s: %d %.100s", repo, r.Status, r.Body)
		}
		refused(t, repo+" by somebody else", w.as(bob, http.MethodGet, "/v2/"+repo+"/manifests/v1", nil, nil), im.manifest)
	}
}

func TestTwoProjectsOfOnePrefixAreTwo(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.api(http.MethodPost, "/projects", map[string]any{"name": "redder"})
	im := w.push(admin, newImage("redder/app", "v1", "prefix", "1000", nil))
	for _, user := range []string{alice, pat, gus} {
		refused(t, "GET redder/app by "+user+" of red", w.as(user, http.MethodGet, "/v2/redder/app/manifests/v1", nil, nil), im.manifest)
	}
}
