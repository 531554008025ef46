package oidc

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// world is a gateway and the provider of its people, each knowing the other.
type world struct {
	*harness.Gateway
	provider *harness.OIDCProvider
}

func start(t *testing.T) *world {
	t.Helper()
	// The provider wants to know the gateway's address, and the gateway the
	// provider's: the gateway is started with a port that was chosen before.
	port := harness.FreePort(t)
	host := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{"http://" + host + "/login/corp/callback"}})
	g := harness.StartGateway(t, harness.Options{Listen: host, Config: fmt.Sprintf(`
identity:
  oidc:
    - name: corp
      title: Corp
      issuer: %s
      client_id: %s
      client_secret: %s
      cli_client_id: %s
      groups_claim: groups
      parameters: {prompt: consent}
      insecure_plain_http: true
`, provider.Issuer, harness.OIDCClient, harness.OIDCSecret, harness.OIDCCLI)})
	return &world{Gateway: g, provider: provider}
}

func TestAPersonLogsInWithChromium(t *testing.T) {
	w := start(t)
	w.provider.SetPerson("a-1", map[string]any{"preferred_username": "alice", "groups": []string{"dev", "<img src=x>"}})
	w.CLI("project", "create", "team").OK(t)
	w.CLI("member", "add", "team", "dev", "--group", "--issuer", w.provider.Issuer, "--role", "projectAdmin").OK(t)
	elsewhere := w.provider.Issuer + "/.well-known/openid-configuration"
	out := harness.Browser(t, "browser.mjs", w.URL(), "a-1", elsewhere).OK(t)
	type answer struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	}
	var saw struct {
		Name, Subject, ScriptSees, ForeignRead, StillSubject string
		Groups, Violations, AfterLogout                      []string
		Cookies                                              []struct {
			Name     string `json:"name"`
			HTTPOnly bool   `json:"httpOnly"`
			SameSite string `json:"sameSite"`
		}
		Read, Write, Registry      answer
		ForeignLogout, CookiesLeft int
	}
	if err := json.Unmarshal([]byte(out), &saw); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for what, ok := range map[string]bool{
		"the page says who it is":                  saw.Name == "alice" && saw.Subject == "a-1",
		"what the provider says is text":           slices.Contains(saw.Groups, "<img src=x>"),
		"the page obeys its own policy":            len(saw.Violations) == 0,
		"no script reads the session":              !strings.Contains(saw.ScriptSees, "bondgate"),
		"the session has one cookie, out of reach": len(saw.Cookies) == 1 && saw.Cookies[0].HTTPOnly && saw.Cookies[0].SameSite == "Lax",
		"a page of the site reads":                 saw.Read.Status == http.StatusOK,
		"and writes what the person may":           saw.Write.Status == http.StatusOK,
		"the registry knows no cookie":             saw.Registry.Status == http.StatusUnauthorized,
		"another origin reads nothing":             saw.ForeignRead == "refused",
		"and ends nobody's session":                saw.ForeignLogout == http.StatusForbidden && saw.StillSubject == "a-1",
		"a logout is a logout":                     len(saw.AfterLogout) == 1 && saw.CookiesLeft == 0,
	} {
		if !ok {
			t.Errorf("not so: %s\n%s", what, out)
		}
	}
	if log := w.Log(); strings.Contains(log, harness.OIDCSecret) || strings.Contains(log, "code=") {
		t.Errorf("the log has a secret:\n%s", log)
	}
}

// The way of a person with a terminal: bondgate login, a browser somewhere, and
// docker's own commands from then on.
func TestDockerPullsAfterALoginFromTheCommandLine(t *testing.T) {
	w := start(t)
	w.provider.SetPerson("a-1", map[string]any{"preferred_username": "alice", "groups": []string{"dev"}})
	w.CLI("project", "create", "team").OK(t)
	w.CLI("member", "add", "team", "dev", "--group", "--issuer", w.provider.Issuer, "--role", "developer").OK(t)

	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bondgate", "docker-credential-bondgate"} {
		if err := os.Symlink(harness.Binary(t), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "DOCKER_CONFIG=" + filepath.Join(home, ".docker"),
		"PATH=" + bin + ":" + os.Getenv("PATH")}
	logIn(t, w, env, filepath.Join(bin, "bondgate"))

	crane := harness.Find(t, "crane")
	image := harness.Image(t, harness.ImageSpec{Name: w.Ref("team/app", "1"), User: "1000"})
	harness.Run(t, env, "", crane, "push", image, w.Ref("team/app", "1")).OK(t)
	harness.Run(t, env, "", crane, "manifest", w.Ref("team/app", "1")).OK(t)

	docker := harness.StartDocker(t)
	docker.With(env...).Run("pull", w.Ref("team/app", "1")).OK(t)

	// The groups of the token are those of the moment: what the provider says at the
	// next renewal holds then, and a removed membership at the next request.
	w.CLI("member", "remove", "team", "dev", "--group", "--issuer", w.provider.Issuer).OK(t)
	harness.Run(t, env, "", crane, "manifest", w.Ref("team/app", "1")).Fails(t)

	harness.Run(t, env, "", filepath.Join(bin, "bondgate"), "logout", w.Host).OK(t)
	if got := harness.Run(t, env, w.Host, filepath.Join(bin, "docker-credential-bondgate"), "get"); got.Err == nil {
		t.Fatalf("logged out, and still: %s", got.Said())
	}
}

// logIn runs bondgate login and confirms the code that it shows, as the person a-1.
func logIn(t *testing.T, w *world, env []string, program string) {
	t.Helper()
	cmd := exec.Command(program, "login", w.Host)
	cmd.Env = append(os.Environ(), env...)
	shown := &screen{}
	cmd.Stdout, cmd.Stderr = shown, shown
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	address := regexp.MustCompile(`Open (\S+)`)
	harness.Eventually(t, "a code is shown", func() error {
		if address.FindStringSubmatch(shown.String()) == nil {
			return fmt.Errorf("bondgate login says %q", shown.String())
		}
		return nil
	})
	harness.NewVisitor(t).Get(address.FindStringSubmatch(shown.String())[1]).LogIn("a-1")
	select {
	case err := <-done:
		if err != nil || !strings.Contains(shown.String(), "as alice") {
			t.Fatalf("%v: %s", err, shown.String())
		}
	case <-time.After(harness.Patience):
		_ = cmd.Process.Kill()
		t.Fatalf("bondgate login does not end: %s", shown.String())
	}
}
