package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// site is one workspace at its host name, as its people reach it.
type site struct {
	t *testing.T
	// at is where the server is; host is the name that it is asked under.
	at, host        string
	admin, password string
}

// do asks with Basic authentication or, without a name, with secret as a token.
func (s site) do(method, path, user, secret string, body any) harness.Response {
	s.t.Helper()
	var in io.Reader
	if body != nil {
		raw, _ := json.Marshal(body) // of a literal in a test
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, s.at+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Host = s.host
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", strings.Join(harness.Accept["Accept"], ", "))
	// Whoever comes by the network cannot choose a workspace by a header.
	req.Header.Set("X-Bondgate-Workspace", "default")
	req.Header.Set("X-Forwarded-Host", "127.0.0.1")
	switch {
	case user != "":
		req.SetBasicAuth(user, secret)
	case secret != "":
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return harness.Response{Status: resp.StatusCode, Header: resp.Header, Body: raw}
}

func (s site) crane(user, secret string, args ...string) harness.Result {
	s.t.Helper()
	c := harness.Crane(s.t)
	c.Credentials(s.host, user, secret)
	return c.Run(args...)
}

func (s site) push(user, secret, repository string) harness.Result {
	s.t.Helper()
	ref := s.host + "/" + repository + ":1"
	return s.crane(user, secret, "push", harness.Image(s.t, harness.ImageSpec{Name: ref, User: "1000"}), ref)
}

func (s site) pull(user, secret, repository string) harness.Result {
	s.t.Helper()
	return s.crane(user, secret, "pull", s.host+"/"+repository+":1", filepath.Join(s.t.TempDir(), "pulled.tar"))
}

// The host name chooses the workspace, and nothing of one is there in another: not
// its people, projects, images, robots, tokens, nor what its numbers stand for.
func TestAWorkspaceSeesNothingOfAnother(t *testing.T) {
	t.Parallel()
	corp := directory(t, person("dana"))
	g := harness.StartGateway(t, harness.Options{Config: "identity:\n  ldap:\n" + startTLS("corp", corp, "      workspace: blue\n")})
	_, port, _ := strings.Cut(g.Host, ":")
	home := site{t, g.URL(), g.Host, harness.AdminUser, harness.AdminPassword}
	blue := site{t, g.URL(), "localhost:" + port, "boss", password + "-blue"}
	g.CLIWithInput(blue.password+"\n", "workspace", "create", "blue", "--host", "localhost", "--admin", blue.admin, "--password-stdin").OK(t)

	// The same names in both, with other people and passwords behind them.
	g.AddUser("lola", password)
	g.CLIWithInput(password+"-of-blue\n", "user", "add", "lola", "--password-stdin", "--workspace", "blue").OK(t)
	for _, w := range []string{"default", "blue"} {
		g.CLI("project", "create", "team", "--workspace", w).OK(t)
		g.CLI("member", "add", "team", "lola", "developer", "--workspace", w).OK(t)
	}
	g.CLI("project", "create", "secret").OK(t)
	g.CLI("project", "create", "open", "--public").OK(t)
	g.CLI("member", "add", "team", "dana", "guest", "--issuer", "ldap:corp", "--workspace", "blue").OK(t)
	ci := robot(t, g, "--project", "team", "--name", "ci", "--permissions", "write")
	all := robot(t, g, "--name", "all", "--permissions", "write")
	pat := accessToken(t, g, "laptop", "--user", "lola")
	home.push("lola", password, "team/app").OK(t)
	blue.push("lola", password+"-of-blue", "team/app").OK(t)
	home.push(home.admin, home.password, "secret/app").OK(t)
	home.push(home.admin, home.password, "open/app").OK(t)

	t.Run("each has its own people", func(t *testing.T) {
		for sentence, c := range map[string]struct {
			at           site
			user, secret string
			want         int
		}{
			"an account in the default workspace":   {home, "lola", password, 200},
			"its password in the other":             {blue, "lola", password, 401},
			"an account in the other":               {blue, "lola", password + "-of-blue", 200},
			"its password in the default":           {home, "lola", password + "-of-blue", 401},
			"the administrator of all in the other": {blue, home.admin, home.password, 401},
			"the other's administrator at home":     {home, blue.admin, blue.password, 401},
			"a robot in the other":                  {blue, ci.Name, ci.Secret, 401},
			"a robot of the system in the other":    {blue, all.Name, all.Secret, 401},
			"an access token in the other":          {blue, "lola", pat.Secret, 401},
			"the other's directory there":           {blue, "dana", password, 200},
			"the other's directory in the default":  {home, "dana", password, 401},
		} {
			if r := c.at.do("GET", "/v2/", c.user, c.secret, nil); r.Status != c.want {
				t.Errorf("%s: %d %s", sentence, r.Status, r.Body)
			}
		}
	})
	token := func(s site, user, secret, scope string) string {
		r := s.do("GET", "/token?scope="+scope, user, secret, nil)
		var out struct{ Token string }
		if err := json.Unmarshal(r.Body, &out); err != nil || out.Token == "" {
			t.Fatalf("a token: %d %s", r.Status, r.Body)
		}
		return out.Token
	}
	t.Run("a token is good where it was got", func(t *testing.T) {
		const path = "/v2/team/app/manifests/1"
		at := token(home, "lola", password, "repository:team/app:pull")
		if r := home.do("GET", path, "", at, nil); r.Status != http.StatusOK {
			t.Errorf("at home: %d %s", r.Status, r.Body)
		}
		if r := blue.do("GET", path, "", at, nil); r.Status != http.StatusUnauthorized {
			t.Errorf("in the other: %d %s", r.Status, r.Body)
		}
	})
	t.Run("each has its own images", func(t *testing.T) {
		if a, b := home.crane("lola", password, "digest", home.host+"/team/app:1").OK(t), blue.crane("lola", password+"-of-blue", "digest", blue.host+"/team/app:1").OK(t); a == b {
			t.Errorf("one image for both: %s", a)
		}
		blue.pull("dana", password, "team/app").OK(t)
		blue.pull(blue.admin, blue.password, "secret/app").Fails(t)
		blue.pull(blue.admin, blue.password, "open/app").Fails(t)
		r := blue.do("GET", "/v2/_catalog", blue.admin, blue.password, nil)
		if got := strings.TrimSpace(string(r.Body)); got != `{"repositories":["team/app"]}` {
			t.Errorf("the catalog: %s", got)
		}
	})
	t.Run("content is not reached by its digest", func(t *testing.T) {
		r := home.do("GET", "/v2/secret/app/manifests/1", home.admin, home.password, nil)
		manifest, layer := r.Header.Get("Docker-Content-Digest"), digestPattern.FindString(string(r.Body[bytes.Index(r.Body, []byte(`"layers"`)):]))
		for _, path := range []string{
			"/v2/team/app/manifests/" + manifest, "/v2/team/app/blobs/" + layer,
			"/v2/secret/app/manifests/" + manifest, "/v2/secret/app/blobs/" + layer,
		} {
			if r := blue.do("GET", path, blue.admin, blue.password, nil); r.Status != http.StatusNotFound {
				t.Errorf("%s: %d %s", path, r.Status, r.Body)
			}
		}
		r = blue.do("POST", "/v2/team/app/blobs/uploads/?mount="+layer+"&from=secret/app", blue.admin, blue.password, nil)
		if r.Status != http.StatusAccepted {
			t.Errorf("a mount from the other workspace answers %d %s", r.Status, r.Body)
		}
	})
	t.Run("a number of one is nothing in the other", func(t *testing.T) {
		number := func(path, key string) string {
			r := home.do("GET", path, home.admin, home.password, nil)
			found := regexp.MustCompile(`"` + key + `":(\d+)`).FindSubmatch(r.Body)
			if found == nil {
				t.Fatalf("%s has no %s: %d %s", path, key, r.Status, r.Body)
			}
			return string(found[1])
		}
		own := regexp.MustCompile(`\b[0-9]+\b|\b[0-9a-f]{24}\b|secret|there`)
		for path, with := range map[string]string{
			"/api/v2.0/projects/%s":              number("/api/v2.0/projects/secret", "project_id"),
			"/api/v2.0/projects/%s/members":      number("/api/v2.0/projects/secret", "project_id"),
			"/api/v2.0/projects/%s/summary":      number("/api/v2.0/projects/secret", "project_id"),
			"/api/v2.0/users/%s":                 number("/api/v2.0/users?q=username%3Dlola", "user_id"),
			"/api/v2.0/robots/%s":                strconv.FormatInt(ci.ID, 10),
			"/api/v2.0/projects/team/members/%s": number("/api/v2.0/projects/team/members?entityname=lola", "id"),
		} {
			for _, method := range []string{"GET", "DELETE"} {
				if method == "DELETE" && (strings.HasSuffix(path, "members") || strings.HasSuffix(path, "summary")) {
					continue
				}
				a := blue.do(method, fmt.Sprintf(path, with), blue.admin, blue.password, nil)
				b := blue.do(method, fmt.Sprintf(path, "999999"), blue.admin, blue.password, nil)
				if a.Status != http.StatusNotFound || own.ReplaceAllString(string(a.Body), "_") != own.ReplaceAllString(string(b.Body), "_") {
					t.Errorf("%s %s answers %d %s and what is not there %d %s", method, fmt.Sprintf(path, with), a.Status, a.Body, b.Status, b.Body)
				}
			}
		}
		for _, path := range []string{"/api/v2.0/projects/secret", "/api/v1/projects/secret", "/api/v1/projects/open"} {
			if r := blue.do("GET", path, blue.admin, blue.password, nil); r.Status != http.StatusNotFound {
				t.Errorf("%s: %d %s", path, r.Status, r.Body)
			}
		}
		if r := home.do("GET", "/api/v2.0/users?q=username%3Dlola", home.admin, home.password, nil); r.Status != http.StatusOK || userID(t, r) == 0 {
			t.Errorf("lola at home: %d %s", r.Status, r.Body)
		}
	})
	t.Run("its administrator administers it and nothing else", func(t *testing.T) {
		r := blue.do("GET", "/api/v2.0/projects", blue.admin, blue.password, nil)
		if strings.Contains(string(r.Body), "secret") || strings.Contains(string(r.Body), `"open"`) || !strings.Contains(string(r.Body), `"team"`) {
			t.Errorf("its projects: %s", r.Body)
		}
		for _, c := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/api/v1/workspaces", nil},
			{"GET", "/api/v1/workspaces/default", nil},
			{"POST", "/api/v1/workspaces", map[string]any{"name": "green", "hosts": []string{}, "admin": "boss", "admin_password": password}},
			{"PATCH", "/api/v1/workspaces/blue", map[string]any{"hosts": []string{"127.0.0.1"}}},
			{"DELETE", "/api/v1/workspaces/default", nil},
		} {
			if r := blue.do(c.method, c.path, blue.admin, blue.password, c.body); r.Status != http.StatusForbidden && r.Status != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", c.method, c.path, r.Status, r.Body)
			}
		}
		// From afar, the address says which workspace is meant.
		out := as(t, blue.host, blue.admin, blue.password, "project", "list", "--json").OK(t)
		if strings.Contains(out, "secret") || !strings.Contains(out, "team") {
			t.Errorf("its projects from the command line: %s", out)
		}
		as(t, blue.host, blue.admin, blue.password, "workspace", "list").Fails(t)
		harness.Eventually(t, "its decisions are recorded", func() error {
			r = blue.do("GET", "/api/v1/decisions?limit=1000", blue.admin, blue.password, nil)
			if r.Status != http.StatusOK || !strings.Contains(string(r.Body), `"workspace":"blue"`) {
				return fmt.Errorf("%d %s", r.Status, r.Body)
			}
			return nil
		})
		if strings.Contains(string(r.Body), `"workspace":"default"`) {
			t.Error("it reads the decisions of another workspace")
		}
	})
}
