package attack_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 13: being somebody by saying so (Harbor #23675: a robot called
// scanner-* was let through).
func TestNobodyIsTrustedForBeingNamedNicely(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "identity", "1000", nil))
	for _, name := range []string{"scanner-1", "robot$scanner", "system", "operator", "bondgate", "root"} {
		r := w.Do(http.MethodPost, "/api/v1/users", admin, harness.AdminPassword, http.Header{"Content-Type": {"application/json"}},
			strings.NewReader(`{"name":"`+name+`","password":"`+password+`"}`))
		if r.Status == http.StatusCreated {
			refused(t, "GET by "+name, w.as(name, http.MethodGet, "/v2/red/app/manifests/v1", nil, nil), im.manifest)
			refused(t, "users by "+name, w.as(name, http.MethodGet, "/api/v1/users", nil, nil))
		}
	}
	for _, header := range []http.Header{
		{"X-Forwarded-User": {"admin"}}, {"X-Remote-User": {"admin"}}, {"Remote-User": {"admin"}}, {"X-User": {"admin"}},
		{"X-Forwarded-For": {"127.0.0.1"}}, {"Forwarded": {"for=127.0.0.1;host=localhost"}}, {"X-Real-Ip": {"127.0.0.1"}},
		{"X-Original-Url": {"/livez"}}, {"X-Rewrite-Url": {"/livez"}}, {"X-Http-Method-Override": {"HEAD"}},
		{"X-Forwarded-Client-Cert": {"By=spiffe://a;URI=spiffe://acme/ns/prod/sa/scanner"}},
		{"User-Agent": {"Harbor-Scanner-Adapter/1.0"}}, {"User-Agent": {"trivy/0.72"}}, {"User-Agent": {"cosign/v2.6.5"}},
		{"Authorization": {"Bearer operator"}}, {"Authorization": {"Basic OjA="}}, {"Authorization": {"Negotiate AAAA"}},
		{"Cookie": {"sid=operator; user=admin"}},
	} {
		for _, path := range []string{"/v2/red/app/manifests/v1", "/v2/red/app/blobs/" + im.layerDigest(), "/v2/_catalog", "/api/v1/users"} {
			r := w.as(nobody, http.MethodGet, path, header, nil)
			if path == "/v2/_catalog" && r.Status == http.StatusOK {
				if strings.Contains(string(r.Body), "red") {
					t.Errorf("%v: the catalog shows %s", header, r.Body)
				}
				continue
			}
			refused(t, path+" with "+headerLine(header), r, im.layer, im.manifest)
		}
	}
}

func headerLine(h http.Header) string {
	for k, v := range h {
		return k + ": " + v[0]
	}
	return ""
}

// Class 28: defaults.
func TestAFreshServerIsClosed(t *testing.T) {
	g := harness.StartGateway(t, harness.Options{})
	for _, pair := range [][2]string{{"admin", "admin"}, {"admin", "Harbor12345"}, {"admin", "password"}, {"admin", ""}, {"", "x"}, {"root", "root"}} {
		r := g.Do(http.MethodGet, "/v2/", pair[0], pair[1], nil, nil)
		if r.Status != http.StatusUnauthorized {
			t.Errorf("%q by %q: %d", pair[0], pair[1], r.Status)
		}
	}
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/red/app/tags/list", "/api/v1/users", "/api/v1/projects", "/api/v1/decisions"} {
		r := g.Do(http.MethodGet, path, "", "", nil, nil)
		if r.Status != http.StatusUnauthorized && r.Status != http.StatusForbidden && r.Status != http.StatusNotFound {
			t.Errorf("anonymous %s: %d %s", path, r.Status, r.Body)
		}
	}
	if r := g.Do(http.MethodPost, "/v2/new/app/blobs/uploads/", "", "", nil, nil); r.Status != http.StatusUnauthorized {
		t.Errorf("anonymous upload: %d", r.Status)
	}
	entries, err := os.ReadDir(g.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(g.DataDir, e.Name()))
		if err != nil {
			continue
		}
		if e.Name() == "bondgate.sock" && info.Mode().Perm() != 0o600 {
			t.Errorf("the socket is %v", info.Mode())
		}
		if info.Mode().Perm()&0o007 != 0 && strings.Contains(e.Name(), ".db") {
			t.Errorf("%s can be read by anybody: %v", e.Name(), info.Mode())
		}
	}
	// Plain HTTP off the loopback is refused before anything listens.
	r := harness.Run(t, nil, "", harness.Binary(t), "serve", "--listen", "0.0.0.0:0", "--data-dir", t.TempDir())
	if said := r.Fails(t); !strings.Contains(strings.ToLower(said), "tls") {
		t.Errorf("said %q", said)
	}
}
