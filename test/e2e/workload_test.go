package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

const (
	registryAudience = "https://registry.acme.example"
	githubIssuer     = "https://token.actions.githubusercontent.com"
)

// pipelines starts a gateway as docs/examples/workload says, with an issuer of the
// test's own in place of GitHub.
func pipelines(t *testing.T) (*harness.Gateway, *harness.Issuer) {
	t.Helper()
	i := harness.StartIssuer(t)
	example := filepath.Join(harness.Root(), "docs", "examples", "workload")
	rules, err := os.ReadFile(filepath.Join(example, "release.rego"))
	if err != nil {
		t.Fatal(err)
	}
	ours := strings.ReplaceAll(string(rules), githubIssuer, i.URL)
	if ours == string(rules) {
		t.Fatal("the example does not name the issuer")
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "release.rego"), []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	g := harness.StartGateway(t, harness.Options{Policy: folder, Config: fmt.Sprintf(
		"identity:\n  workloads:\n    - name: ci\n      issuer: %s\n      audience: %s\n      insecure_plain_http: true\n", i.URL, registryAudience)})
	g.CLI("project", "create", "payments").OK(t)
	member := "/api/v1/projects/payments/members/workload/release-pipeline?" +
		url.Values{"issuer": {i.URL}, "repositories": {"payments/api"}}.Encode()
	body := `{"role":"developer","claims":{"repository":"acme/api","ref":"refs/heads/main","environment":"prod"}}`
	r := g.Do(http.MethodPut, member, harness.AdminUser, harness.AdminPassword,
		http.Header{"Content-Type": {"application/json"}}, bytes.NewReader([]byte(body)))
	if r.Status/100 != 2 {
		t.Fatalf("the membership: %d %s", r.Status, r.Body)
	}
	return g, i
}

// job is what the platform signs for a job of acme/api, with more over it.
func job(i *harness.Issuer, more map[string]any) string {
	claims := map[string]any{
		"sub": "repo:acme/api:environment:prod", "repository": "acme/api", "ref": "refs/heads/main", "environment": "prod",
	}
	for name, value := range more {
		claims[name] = value
	}
	return i.Sign(i.Claims(registryAudience, claims))
}

func TestAPipelinePushesWithTheTokenOfItsPlatform(t *testing.T) {
	g, i := pipelines(t)
	push := func(token, repository string) harness.Result {
		crane := harness.Crane(t)
		crane.Credentials(g.Host, "job", token)
		ref := g.Ref(repository, "1.0")
		return crane.Run("push", harness.Image(t, harness.ImageSpec{Name: ref}), ref)
	}
	push(job(i, nil), "payments/api").OK(t)
	// A token that carries nothing on the repository is 401: whether it is there is
	// none of the asker's business.
	for name, c := range map[string]struct{ token, repository, says string }{
		"another repository": {job(i, nil), "payments/web", "401"},
		"another branch":     {job(i, map[string]any{"ref": "refs/heads/feature"}), "payments/api", "401"},
		"a fork":             {job(i, map[string]any{"repository": "mallory/api"}), "payments/api", "401"},
		"no environment":     {job(i, map[string]any{"environment": nil}), "payments/api", "401"},
		"an expired token": {
			job(i, map[string]any{"iat": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(-time.Second).Unix()}),
			"payments/api", "UNAUTHORIZED",
		},
		"another audience": {i.Sign(i.Claims("https://other.example", nil)), "payments/api", "UNAUTHORIZED"},
	} {
		if said := push(c.token, c.repository).Fails(t); !strings.Contains(said, c.says) {
			t.Errorf("%s: %s", name, said)
		}
	}
	// Who may push everywhere else may not push this.
	crane := harness.Crane(t)
	crane.Credentials(g.Host, harness.AdminUser, harness.AdminPassword)
	ref := g.Ref("payments/api", "2.0")
	if said := crane.Run("push", harness.Image(t, harness.ImageSpec{Name: ref}), ref).Fails(t); !strings.Contains(said, "release.not_the_pipeline") {
		t.Errorf("by hand: %s", said)
	}
	i.Down(true)
	push(job(i, nil), "payments/api").OK(t) // its keys go on
}

func TestAJobsTokenIsExchanged(t *testing.T) {
	g, i := pipelines(t)
	exchange := func(token string) (int, map[string]any) {
		form := url.Values{
			"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
			"subject_token":      {token}, "scope": {"repository:payments/api:pull,push"},
		}
		resp, err := http.PostForm("http://"+g.Host+"/token", form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		out := map[string]any{}
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out
	}
	status, out := exchange(job(i, map[string]any{"exp": time.Now().Add(90 * time.Second).Unix()}))
	if status != http.StatusOK || out["token_type"] != "Bearer" || out["scope"] != "repository:payments/api:pull,push" {
		t.Fatalf("%d %v", status, out)
	}
	if held, _ := out["expires_in"].(float64); held > 90 || held < 1 {
		t.Errorf("it holds for %v s, and its proof for 90 s", out["expires_in"])
	}
	if _, there := out["refresh_token"]; there {
		t.Error("a job got a refresh token")
	}
	token, _ := out["access_token"].(string)
	r := g.Do(http.MethodPost, "/v2/payments/api/blobs/uploads/", "", "", http.Header{"Authorization": {"Bearer " + token}}, nil)
	if r.Status != http.StatusAccepted {
		t.Errorf("an upload with the token: %d %s", r.Status, r.Body)
	}
	status, out = exchange(token)
	if status != http.StatusBadRequest || out["error"] != "invalid_grant" {
		t.Errorf("one of our own tokens: %d %v", status, out)
	}
}
