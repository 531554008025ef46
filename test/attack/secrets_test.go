package attack_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// secrets hands out secrets of many kinds, and knows what of them must be nowhere.
type secrets struct {
	n   int
	all []string
}

// of is a secret with a mark of its own, and kept as one that nobody may find.
func (s *secrets) of(prefix string) string {
	s.n++
	secret := fmt.Sprintf("%s%dq7Zr4mXb0vQ9cT1kLr8sYw2uNh%d", prefix, s.n, s.n)
	s.all = append(s.all, secret)
	return secret
}

// jwt is a token that nobody signed.
func (s *secrets) jwt() string {
	part := base64.RawURLEncoding.EncodeToString
	secret := part([]byte(`{"alg":"ES256"}`)) + "." + part(fmt.Appendf(nil, `{"sub":"%d"}`, s.n)) + "." + part([]byte(s.of("sig")))
	s.all = append(s.all, secret)
	return secret
}

// A secret at a wrong place is still a secret: CVE-2025-48374 of Zot (tokens in
// its log), CVE-2020-13794's kin of Harbor. What is recorded of a request lives
// for months and is read by others.
func TestNoSecretOfARequestIsRecorded(t *testing.T) {
	dir := t.TempDir()
	file("said.rego", poisonous)(t, dir)
	w := newWorld(t, harness.Options{Policy: dir, Config: "trusted_proxies: [127.0.0.0/8]\n"})
	var s secrets
	s.all = append(s.all, harness.AdminPassword, password)

	basic := func(user, password string) http.Header {
		return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
	}
	for i, path := range []string{
		"/v2/red/app/manifests/" + s.of("ghp_"), "/v2/red/app/manifests/" + s.of("bgp_"), "/v2/red/app/tags/list/bgr_" + s.of("x"),
		"/v2/red/" + strings.ToLower(s.of("glpat-")) + "/tags/list", "/v2/red/app/manifests/" + s.jwt(),
		"/v2/red/app/manifests/" + url.PathEscape("password="+s.of("")), "/v2/red/app/manifests/" + url.PathEscape("https://u:"+s.of("")+"@host/x"),
		"/api/v1/projects/" + url.PathEscape("token="+s.of("")), "/api/v1/users/" + s.of("sk_live_"), "/api/v1/decisions/" + s.of("npm_aaaaaaaaaaaaaaaa"),
		"/v2/red/app/blobs/uploads/" + s.of("github_pat_"),
		"/v2/red/app/referrers/" + digestOf(nil) + "?artifactType=" + url.QueryEscape("application/"+s.of("dckr_pat_")),
		"/token?service=" + url.QueryEscape("x?access_token="+s.of("")) + "&scope=" + url.QueryEscape("repository:red/"+strings.ToLower(s.of("ghs_"))+":pull"),
		"/token?account=" + s.of("xoxb-") + "&service=x&scope=" + url.QueryEscape("repository:red/app:"+s.of("ghp_")),
	} {
		// The lower case of what a repository's name carried.
		s.all = append(s.all, strings.ToLower(s.all[len(s.all)-1]))
		for _, user := range []string{nobody, alice, admin} {
			method := http.MethodGet
			if i%2 == 1 {
				method = http.MethodHead
			}
			w.as(user, method, path, nil, nil)
		}
	}
	for _, header := range []http.Header{
		{"User-Agent": {"curl/8 (password=" + s.of("") + ")"}}, {"User-Agent": {"x Bearer " + s.of("")}}, {"User-Agent": {s.of("AKIAIOSFODNN7EXAMP")}},
		{"User-Agent": {`{"auth":{"client_secret":"` + s.of("") + `"}}`}}, {"User-Agent": {"x Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+s.of("")))}},
		{"X-Forwarded-For": {s.of("ghp_")}}, {"X-Forwarded-For": {"10.0.0.1, password=" + s.of("")}}, {"X-Forwarded-Host": {s.of("bgp_") + ".example"}},
		{"Forwarded": {"for=10.0.0.1;host=" + s.of("bgp_")}}, {"X-Request-Id": {s.of("bgp_")}}, {"Traceparent": {s.of("bgp_")}}, {"Referer": {"https://a:" + s.of("") + "@b"}},
		{"Cookie": {"session=" + s.of("")}}, {"Authorization": {"Bearer " + s.jwt()}}, {"Authorization": {"Bearer " + s.of("bgp_")}},
		basic(s.of("ghp_"), "x"), basic(alice, s.of("")), basic("password="+s.of(""), "x"), basic(s.jwt(), "x"),
	} {
		if agent := header.Get("User-Agent"); strings.Contains(agent, "Basic ") {
			s.all = append(s.all, agent[len("x Basic "):])
		}
		if header.Get("User-Agent") == "" {
			header.Set("User-Agent", "docker/29.0")
		}
		h := header.Clone()
		if h.Get("Authorization") == "" {
			h.Set("Authorization", basic(alice, password).Get("Authorization"))
		}
		for _, path := range []string{"/v2/red/agent/tags/list", "/api/v1/projects/red", "/token?service=x&scope=repository:red/app:pull"} {
			w.Do(http.MethodGet, path, "", "", h, nil)
		}
	}
	send := func(method, path string, body map[string]any) {
		r := w.as(admin, method, "/api"+path, http.Header{"Content-Type": {"application/json"}}, mustJSON(body))
		if r.Status/100 != 2 {
			t.Errorf("%s %s: %d %s", method, path, r.Status, r.Body)
		}
	}
	send(http.MethodPost, "/v1/users", map[string]any{"name": "new", "password": s.of("Aa1-")})
	send(http.MethodPost, "/v1/users", map[string]any{"name": "odd", "password": s.of("Aa1-"), "real_name": "token=" + s.of(""), "email": "a@b"})
	send(http.MethodPost, "/v1/projects", map[string]any{"name": "labelled", "labels": map[string]any{"api_key": s.of(""), "note": "ask https://x:" + s.of("") + "@y"}})
	send(http.MethodPatch, "/v1/projects/red", map[string]any{"labels": map[string]any{"secret": s.of("")}})
	send(http.MethodPost, "/v2.0/robots", map[string]any{
		"name": "ci", "level": "project", "duration": 1, "description": "its password=" + s.of(""),
		"permissions": []map[string]any{{"kind": "project", "namespace": "red", "access": []map[string]any{{"resource": "repository", "action": "pull"}}}},
	})
	for _, verdict := range []string{"deny", "warn"} {
		w.push(alice, newImage("red/app", verdict, verdict, "1000", func(m map[string]any) {
			m["annotations"] = map[string]any{
				"verdict": verdict, "said": "the label has password=" + s.of(""), "registry-token": s.of(""), s.of("ghp_"): "x",
				"env": `{"NPM_TOKEN":"` + s.of("") + `"}`,
			}
		}))
		for _, user := range []string{gus, alice, nobody} {
			w.as(user, http.MethodGet, "/v2/red/app/manifests/"+verdict, harness.Accept, nil)
		}
	}
	last := digestOf([]byte("last"))
	w.as(admin, http.MethodGet, "/v2/red/app/manifests/"+last, harness.Accept, nil)

	var export string
	harness.Eventually(t, "the last decision is recorded", func() error {
		export = w.CLI("decisions", "export").OK(t)
		if !strings.Contains(export, last) {
			return fmt.Errorf("%d bytes without the last", len(export))
		}
		return nil
	})
	// What was asked is there, so that nothing is found because nothing is looked at.
	for _, there := range []string{"red/agent", "curl/8 (password=hmac:", `"masked":["`, "the label has password=hmac:", "user:create", "robot:create", `"api_key":"hmac:`} {
		if !strings.Contains(export, there) {
			t.Errorf("%s is not in the export", there)
		}
	}
	for _, secret := range s.all {
		if at := strings.Index(export, secret); at >= 0 {
			t.Errorf("the record has %s: …%s…", secret, export[max(0, at-200):min(len(export), at+100)])
		}
	}
	stored := 0
	err := filepath.WalkDir(filepath.Join(w.DataDir, "decisions"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		stored += len(raw)
		for _, secret := range s.all {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("%s has %s", path, secret)
			}
		}
		return nil
	})
	if err != nil || stored == 0 {
		t.Errorf("%d bytes are stored: %v", stored, err)
	}
	log := w.Log()
	for _, secret := range s.all {
		if at := strings.Index(log, secret); at >= 0 {
			t.Errorf("the server's log has %s: …%s…", secret, log[max(0, at-200):min(len(log), at+100)])
		}
	}
}
