// Package failure_test breaks one part after the other under a running server
// and holds what a client sees against docs/failure.md: fail closed, say so,
// recover without help.
package failure_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	repo         = "team/app"
)

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// image is the least that can be pushed.
type image struct {
	tag                     string
	layer, config, manifest []byte
}

func newImage(tag, user string, size int) image {
	im := image{tag: tag, layer: bytes.Repeat([]byte(tag+" "), size/(len(tag)+1)+1)}
	im.config = fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"User":%q},"rootfs":{"type":"layers","diff_ids":[%q]}}`, user, digestOf(im.layer))
	im.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		manifestType, digestOf(im.config), len(im.config), digestOf(im.layer), len(im.layer))
	return im
}

func do(g *harness.Gateway, method, path, contentType string, body []byte) harness.Response {
	h := http.Header{"Accept": harness.Accept["Accept"], "Content-Type": {contentType}}
	return g.Do(method, path, harness.AdminUser, harness.AdminPassword, h, bytes.NewReader(body))
}

// push answers the first answer that is not a success, or that of the manifest.
func push(g *harness.Gateway, im image) harness.Response {
	for _, content := range [][]byte{im.layer, im.config} {
		r := do(g, http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+digestOf(content), "application/octet-stream", content)
		if r.Status != http.StatusCreated {
			return r
		}
	}
	return do(g, http.MethodPut, "/v2/"+repo+"/manifests/"+im.tag, manifestType, im.manifest)
}

func mustPush(t testing.TB, g *harness.Gateway, im image) image {
	t.Helper()
	if r := push(g, im); r.Status != http.StatusCreated {
		t.Fatalf("push %s: %d %s", im.tag, r.Status, r.Body)
	}
	return im
}

// pull answers the manifest's answer, or the layer's when that one was served.
func pull(g *harness.Gateway, im image) harness.Response {
	r := do(g, http.MethodGet, "/v2/"+repo+"/manifests/"+im.tag, "", nil)
	if r.Status != http.StatusOK {
		return r
	}
	if !bytes.Equal(r.Body, im.manifest) {
		r.Status = -1
		return r
	}
	r = do(g, http.MethodGet, "/v2/"+repo+"/blobs/"+digestOf(im.layer), "", nil)
	if r.Status == http.StatusOK && !bytes.Equal(r.Body, im.layer) {
		r.Status = -1
	}
	return r
}

func wants(t testing.TB, what string, r harness.Response, statuses ...int) {
	t.Helper()
	for _, s := range statuses {
		if r.Status == s {
			if s == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "" {
				t.Errorf("%s: 503 without Retry-After", what)
			}
			return
		}
	}
	t.Errorf("%s: %d %s, want %v", what, r.Status, r.Body, statuses)
}

// eventually polls until the answer has the status.
func eventually(t testing.TB, what string, status int, ask func() harness.Response) {
	t.Helper()
	harness.Eventually(t, what, func() error {
		if r := ask(); r.Status != status {
			return fmt.Errorf("%d %s", r.Status, r.Body)
		}
		return nil
	})
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func messageOf(r harness.Response) string {
	var out struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(r.Body, &out) != nil || len(out.Errors) == 0 {
		return ""
	}
	return out.Errors[0].Code + " " + out.Errors[0].Message
}

const noRoot = `package bondgate.rules.noroot

# METADATA
# title: No image that runs as root
# custom:
#   code: noroot.user
#   remediation: Add a USER line and push again.
deny contains reason if {
	input.action == "manifest.pull"
	input.artifact.config.user == "root"
	reason := {"code": "noroot.user", "msg": "the image runs as root"}
}
`

func TestAPolicyThatDoesNotCompileKeepsTheServerFromStarting(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "broken.rego"), "package bondgate.rules.broken\n\ndeny contains x if {\n")
	r := harness.Run(t, nil, "", harness.Binary(t), "serve", "--listen", fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)),
		"--data-dir", filepath.Join(harness.ShortDir(t), "data"), "--policy", dir)
	if said := r.Fails(t); !strings.Contains(said, "broken.rego:") {
		t.Errorf("it does not say where: %s", said)
	}
}

func TestABrokenEditKeepsTheLastGoodPolicyAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "noroot.rego"), noRoot)
	g := harness.StartGateway(t, harness.Options{Policy: dir})
	good, bad := mustPush(t, g, newImage("good", "1000", 100)), mustPush(t, g, newImage("bad", "root", 100))
	write(t, filepath.Join(dir, "noroot.rego"), strings.Replace(noRoot, "input.action ==", "input.action = = ", 1))
	harness.Eventually(t, "readiness tells of the broken edit", func() error {
		r := g.Do(http.MethodGet, "/readyz", "", "", nil, nil)
		if r.Status != http.StatusOK || !strings.Contains(string(r.Body), "noroot.rego") {
			return fmt.Errorf("%d %s", r.Status, r.Body)
		}
		return nil
	})
	if m := g.Do(http.MethodGet, "/metrics", "", "", nil, nil); !strings.Contains(string(m.Body), "bondgate_policy_refused 1") {
		t.Error("no metric tells of it")
	}
	wants(t, "a good image", pull(g, good), http.StatusOK)
	wants(t, "a denied image", pull(g, bad), http.StatusForbidden)
	if !strings.Contains(g.Log(), "noroot.rego") {
		t.Error("the log does not tell of it")
	}
	if err := os.Remove(filepath.Join(dir, "noroot.rego")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mended policy is in force", http.StatusOK, func() harness.Response { return pull(g, bad) })
}

func TestARuleThatFailsDenies(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "odd.rego"), `package bondgate.rules.odd

contradiction := 1 if input.action == "manifest.pull"

contradiction := 2 if input.action == "manifest.pull"

deny contains reason if {
	input.action == "manifest.pull"
	contradiction > 2
	reason := {"code": "odd.one", "msg": "never"}
}
`)
	g := harness.StartGateway(t, harness.Options{Policy: dir})
	im := mustPush(t, g, newImage("v1", "1000", 100))
	r := pull(g, im)
	wants(t, "a pull under a rule that contradicts itself", r, http.StatusForbidden)
	if !strings.Contains(messageOf(r), "bondgate.policy_error") {
		t.Errorf("said %q", messageOf(r))
	}
}

func TestADecisionThatTakesTooLongIsNoDecision(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "slow.rego"), `package bondgate.rules.slow

deny contains reason if {
	input.action == "manifest.pull"
	sum([x | some x in numbers.range(1, 30000000)]) == 0
	reason := {"code": "slow.one", "msg": "never"}
}
`)
	g := harness.StartGateway(t, harness.Options{Policy: dir, Config: "policy:\n  deadline: 2s\n"})
	im := mustPush(t, g, newImage("v1", "1000", 100))
	wants(t, "a pull that is judged for too long", pull(g, im), http.StatusServiceUnavailable)
	if r := do(g, http.MethodGet, "/v2/"+repo+"/tags/list", "", nil); r.Status != http.StatusOK {
		t.Errorf("another action: %d %s", r.Status, r.Body)
	}
}
