package conformance

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// The people, and the repository that they ask about.
const (
	mara = "mara" // maintainer of the project: she may do all that the protocol has
	gus  = "gus"  // guest of the project: he pulls
	eve  = "eve"  // an account and nothing else

	password = "Correct-horse-1"
	repo     = "spec/app"
)

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar"
	ociEmpty    = "application/vnd.oci.empty.v1+json"
	octets      = "application/octet-stream"
)

// world is a server with one private project and its people.
type world struct {
	*harness.Gateway
	t *testing.T
}

// client is somebody who asks with tokens.
type client struct {
	*world
	user string
}

func newWorld(t *testing.T, config string) *world {
	t.Helper()
	w := &world{harness.StartGateway(t, harness.Options{Config: config}), t}
	w.manage(http.MethodPost, "/projects", object{"name": "spec", "public": false})
	for name, role := range map[string]string{mara: "maintainer", gus: "guest", eve: ""} {
		w.manage(http.MethodPost, "/users", object{"name": name, "password": password})
		if role != "" {
			w.manage(http.MethodPut, "/projects/spec/members/user/"+name, object{"role": role})
		}
	}
	return w
}

// manage has the administrator arrange something.
func (w *world) manage(method, path string, body object) {
	w.t.Helper()
	r := w.Do(method, "/api/v1"+path, harness.AdminUser, harness.AdminPassword, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(encode(body)))
	if r.Status/100 != 2 {
		w.t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
	}
}

func (w *world) as(user string) client { return client{w, user} }

// challenge is what a client reads in a 401.
type challenge struct{ realm, service, scope string }

var challengeField = regexp.MustCompile(`(\w+)="([^"]*)"`)

func (w *world) challenge(r harness.Response) challenge {
	w.t.Helper()
	header := r.Header.Get("WWW-Authenticate")
	if !strings.HasPrefix(header, "Bearer ") {
		w.t.Fatalf("the challenge of a 401 is %q", header)
	}
	fields := map[string]string{}
	for _, m := range challengeField.FindAllStringSubmatch(header, -1) {
		fields[m[1]] = m[2]
	}
	return challenge{fields["realm"], fields["service"], fields["scope"]}
}

// token asks the service that a challenge names for what it asks for.
func (c client) token(ch challenge) string {
	c.t.Helper()
	realm, err := url.Parse(ch.realm)
	if err != nil || realm.Host != c.Host {
		c.t.Fatalf("the realm %q is not on the registry's own host", ch.realm)
	}
	query := url.Values{"service": {ch.service}, "scope": {ch.scope}}
	r := c.Do(http.MethodGet, realm.Path+"?"+query.Encode(), c.user, password, nil, nil)
	var out struct{ Token string }
	if err := json.Unmarshal(r.Body, &out); r.Status != http.StatusOK || err != nil {
		c.t.Fatalf("a token for %s: %d %s", c.user, r.Status, r.Body)
	}
	return out.Token
}

// do sends a request bare, and again with a token when it is asked for one. What
// is answered to the bare request is the answer where no token would change it.
func (c client) do(method, path string, header http.Header, body []byte) harness.Response {
	c.t.Helper()
	r := c.Do(method, path, "", "", header, bytes.NewReader(body))
	if r.Status != http.StatusUnauthorized {
		return r
	}
	h := http.Header{"Authorization": {"Bearer " + c.token(c.challenge(r))}}
	maps.Copy(h, header)
	return c.Do(method, path, "", "", h, bytes.NewReader(body))
}

func (c client) get(path string) harness.Response { return c.do(http.MethodGet, path, nil, nil) }

func sha256Of(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
func sha512Of(b []byte) string { return fmt.Sprintf("sha512:%x", sha512.Sum512(b)) }

// want fails the test unless the answer has the status, and the error code when
// one is named. An error that has a body has it in the format of the
// specification ("Error Codes").
func want(t testing.TB, what string, r harness.Response, status int, code string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("%s: %d, want %d: %s", what, r.Status, status, r.Body)
		return
	}
	if code == "" {
		return
	}
	if got := errorCode(t, r); got != code {
		t.Errorf("%s: %q, want %q: %s", what, got, code, r.Body)
	}
}

var codePattern = regexp.MustCompile(`^[A-Z_]+$`)

func errorCode(t testing.TB, r harness.Response) string {
	t.Helper()
	var out struct {
		Errors []struct {
			Code    string
			Message string
		}
	}
	if err := json.Unmarshal(r.Body, &out); err != nil || len(out.Errors) != 1 || !codePattern.MatchString(out.Errors[0].Code) || out.Errors[0].Message == "" {
		t.Errorf("an error is not as the specification has it: %v %s", err, r.Body)
		return ""
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("an error's type is %q", got)
	}
	return out.Errors[0].Code
}

// header fails the test unless the answer has these headers, and each once.
func header(t testing.TB, what string, r harness.Response, fields map[string]string) {
	t.Helper()
	for name, value := range fields {
		if got := r.Header.Values(name); !slices.Equal(got, []string{value}) {
			t.Errorf("%s: %s is %q, want %q", what, name, got, value)
		}
	}
}

// location is where an answer sends its client.
func location(t testing.TB, r harness.Response) string {
	t.Helper()
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil || u.Path == "" {
		t.Fatalf("location %q of a %d: %v", r.Header.Get("Location"), r.Status, err)
	}
	return u.RequestURI()
}

func blobPath(digest string) string        { return "/v2/" + repo + "/blobs/" + digest }
func manifestPath(reference string) string { return "/v2/" + repo + "/manifests/" + reference }

const uploads = "/v2/" + repo + "/blobs/uploads/"

// blob pushes a blob to a repository and answers its digest.
func (c client) blob(repository string, content []byte) string {
	c.t.Helper()
	d := sha256Of(content)
	r := c.do(http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+d, http.Header{"Content-Type": {octets}}, content)
	if r.Status != http.StatusCreated {
		c.t.Fatalf("push a blob: %d %s", r.Status, r.Body)
	}
	return d
}

// put pushes a manifest.
func (c client) put(path, mediaType string, manifest []byte) harness.Response {
	c.t.Helper()
	return c.do(http.MethodPut, path, http.Header{"Content-Type": {mediaType}}, manifest)
}

func descriptor(mediaType string, content []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": sha256Of(content), "size": len(content)}
}

// object is JSON under construction.
type object = map[string]any

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // of maps and strings that are written in a test
	}
	return raw
}

// with is a copy of o with more fields; nil takes a field away.
func with(o object, more object) object {
	out := maps.Clone(o)
	for name, value := range more {
		if value == nil {
			delete(out, name)
			continue
		}
		out[name] = value
	}
	return out
}

// image pushes the blobs of an image and answers its manifest, which is not
// pushed. Each text makes an image of its own.
func (c client) image(text string) object {
	c.t.Helper()
	layer := []byte("layer " + text)
	config := encode(object{
		"architecture": "amd64", "os": "linux", "config": object{"User": "1000"},
		"rootfs": object{"type": "layers", "diff_ids": []string{sha256Of(layer)}},
	})
	c.blob(repo, layer)
	c.blob(repo, config)
	return object{
		"schemaVersion": 2, "mediaType": ociManifest,
		"config": descriptor(ociConfig, config), "layers": []any{descriptor(ociLayer, layer)},
	}
}

// pushed is image, pushed under a tag. It answers the manifest's bytes.
func (c client) pushed(tag string) []byte {
	c.t.Helper()
	raw := encode(c.image(tag))
	if r := c.put(manifestPath(tag), ociManifest, raw); r.Status != http.StatusCreated {
		c.t.Fatalf("push %s: %d %s", tag, r.Status, r.Body)
	}
	return raw
}
