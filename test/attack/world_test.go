// Package attack_test tries what has broken gateways and registries before, on
// the real server, from outside. Each file is one class of attack, with the
// advisories that it comes from.
package attack_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

const (
	password      = "Correct-horse-1"
	manifestType  = "application/vnd.oci.image.manifest.v1+json"
	indexType     = "application/vnd.oci.image.index.v1+json"
	configType    = "application/vnd.oci.image.config.v1+json"
	layerType     = "application/vnd.oci.image.layer.v1.tar"
	simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
)

// The people of the world: who they are follows from their names.
const (
	alice = "alice" // developer of red
	mike  = "mike"  // maintainer of red
	gus   = "gus"   // guest of red
	lou   = "lou"   // limitedGuest of red
	pat   = "pat"   // projectAdmin of red
	bob   = "bob"   // developer of blue, nothing in red
	eve   = "eve"   // an account and nothing else
	admin = harness.AdminUser
	// nobody sends no credential at all.
	nobody = ""
)

var redRoles = map[string]string{alice: "developer", mike: "maintainer", gus: "guest", lou: "limitedGuest", pat: "projectAdmin"}

// world is a server with two private projects, red and blue, and one public, green.
type world struct {
	*harness.Gateway
	t testing.TB
}

func newWorld(t testing.TB, o harness.Options) *world {
	t.Helper()
	w := &world{harness.StartGateway(t, o), t}
	for project, public := range map[string]bool{"red": false, "blue": false, "green": true} {
		w.api(http.MethodPost, "/projects", map[string]any{"name": project, "public": public})
	}
	for _, name := range append(slices.Sorted(maps.Keys(redRoles)), bob, eve) {
		w.api(http.MethodPost, "/users", map[string]any{"name": name, "password": password})
	}
	for name, role := range redRoles {
		w.member("red", name, role)
	}
	w.member("blue", bob, "developer")
	return w
}

// api calls the management API as the administrator, and must succeed.
func (w *world) api(method, path string, body any) []byte {
	w.t.Helper()
	var raw []byte
	if body != nil {
		raw = mustJSON(body)
	}
	r := w.Do(method, "/api/v1"+path, admin, harness.AdminPassword, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(raw))
	if r.Status/100 != 2 {
		w.t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
	}
	return r.Body
}

func (w *world) member(project, name, role string) {
	w.t.Helper()
	w.api(http.MethodPut, "/projects/"+project+"/members/user/"+name, map[string]any{"role": role})
}

func (w *world) dismiss(project, name string) {
	w.t.Helper()
	w.api(http.MethodDelete, "/projects/"+project+"/members/user/"+name, nil)
}

func passwordOf(user string) string {
	if user == admin {
		return harness.AdminPassword
	}
	return password
}

// as sends a request as user by Basic authentication, or without any.
func (w *world) as(user, method, path string, header http.Header, body []byte) harness.Response {
	w.t.Helper()
	return w.Do(method, path, user, passwordOf(user), header, bytes.NewReader(body))
}

// token asks the token service for the scopes and answers what it gave.
func (w *world) token(user string, scopes ...string) string {
	w.t.Helper()
	r := w.as(user, http.MethodGet, "/token?"+url.Values{"service": {w.Host}, "scope": scopes}.Encode(), nil, nil)
	var out struct{ Token string }
	if err := json.Unmarshal(r.Body, &out); r.Status != http.StatusOK || err != nil || out.Token == "" {
		w.t.Fatalf("token for %q: %d %s", user, r.Status, r.Body)
	}
	return out.Token
}

// bearer sends a request with a token.
func (w *world) bearer(token, method, path string, header http.Header, body []byte) harness.Response {
	w.t.Helper()
	h := http.Header{"Authorization": {"Bearer " + token}}
	maps.Copy(h, header)
	return w.Do(method, path, "", "", h, bytes.NewReader(body))
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// image is what was pushed.
type image struct {
	repo, tag, digest       string
	layer, config, manifest []byte
}

func (im image) layerDigest() string  { return digestOf(im.layer) }
func (im image) configDigest() string { return digestOf(im.config) }

// newImage makes an image of its own for each text; edit may change its manifest.
func newImage(repo, tag, text, user string, edit func(m map[string]any)) image {
	im := image{repo: repo, tag: tag, layer: []byte("layer " + text)}
	im.config = mustJSON(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"User": user},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{im.layerDigest()}},
	})
	m := map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": descriptor(configType, im.config),
		"layers": []any{descriptor(layerType, im.layer)},
	}
	if edit != nil {
		edit(m)
	}
	im.manifest = mustJSON(m)
	im.digest = digestOf(im.manifest)
	return im
}

func descriptor(mediaType string, content []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digestOf(content), "size": len(content)}
}

func mustJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// push pushes the image as user and fails the test unless it is taken.
func (w *world) push(user string, im image) image {
	w.t.Helper()
	for _, content := range [][]byte{im.layer, im.config} {
		if r := w.upload(user, im.repo, content); r.Status != http.StatusCreated {
			w.t.Fatalf("%s uploads to %s: %d %s", user, im.repo, r.Status, r.Body)
		}
	}
	if r := w.put(user, im, manifestType); r.Status != http.StatusCreated {
		w.t.Fatalf("%s pushes %s:%s: %d %s", user, im.repo, im.tag, r.Status, r.Body)
	}
	return im
}

func (w *world) put(user string, im image, mediaType string) harness.Response {
	w.t.Helper()
	return w.as(user, http.MethodPut, "/v2/"+im.repo+"/manifests/"+im.tag, http.Header{"Content-Type": {mediaType}}, im.manifest)
}

// upload pushes a blob in one request.
func (w *world) upload(user, repo string, content []byte) harness.Response {
	w.t.Helper()
	return w.as(user, http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+digestOf(content),
		http.Header{"Content-Type": {"application/octet-stream"}}, content)
}

// session starts an upload as user and answers its path.
func (w *world) session(user, repo string) string {
	w.t.Helper()
	r := w.as(user, http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil, nil)
	if r.Status != http.StatusAccepted {
		w.t.Fatalf("start an upload in %s: %d %s", repo, r.Status, r.Body)
	}
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil {
		w.t.Fatal(err)
	}
	return u.RequestURI()
}

// code is the error code of an answer; empty when there is none.
func code(r harness.Response) string {
	var out struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(r.Body, &out) != nil || len(out.Errors) != 1 {
		return ""
	}
	return out.Errors[0].Code
}

// refused fails the test unless the answer denies without saying more than it
// may: 401, 403 or 404, and never the bytes.
func refused(t testing.TB, what string, r harness.Response, secret ...[]byte) {
	t.Helper()
	switch r.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest:
	default:
		t.Errorf("%s: answered %d %.200s", what, r.Status, r.Body)
	}
	for _, s := range secret {
		if len(s) > 0 && bytes.Contains(r.Body, s) {
			t.Errorf("%s: the answer has the bytes", what)
		}
	}
}

// rawRequest sends bytes as they are, for what no client library would send.
func (w *world) rawRequest(text string) string {
	w.t.Helper()
	conn, err := dialHost(w.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, strings.ReplaceAll(text, "HOST", w.Host)); err != nil {
		w.t.Fatal(err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 1<<20))
	if err != nil && len(answer) == 0 {
		w.t.Fatal(err)
	}
	return string(answer)
}

func basic(user string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + passwordOf(user)))
}
