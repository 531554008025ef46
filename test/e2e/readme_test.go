package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// commandsOf answers the commands of ours that a page shows, in their order and
// without the remarks behind them.
func commandsOf(t testing.TB, page string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), page))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, m := range regexp.MustCompile(`(?m)^\$ (bondgate [^#\n]*)`).FindAllStringSubmatch(string(text), -1) {
		commands = append(commands, strings.TrimSpace(m[1]))
	}
	if len(commands) == 0 {
		t.Fatalf("%s shows no command", page)
	}
	return commands
}

// What a page shows is what a reader pastes: every command runs as it stands, in
// a folder with the server's data folder beside it.
func TestTheCommandsOfThePagesRunAsTheyStand(t *testing.T) {
	for _, page := range []string{"README.md", "docs/policy.md"} {
		t.Run(page, func(t *testing.T) {
			g := harness.StartGateway(t, harness.Options{})
			dir := t.TempDir()
			if err := os.Symlink(g.DataDir, filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string]string{"bondgate.yaml": "listen: localhost:5000\n", "image.json": `{"deny_root": true}`} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if !strings.HasPrefix(page, "README") {
				g.CLI("project", "create", "payments").OK(t)
			}
			env := []string{"PATH=" + filepath.Dir(harness.Binary(t)) + ":" + os.Getenv("PATH"), "BONDGATE_ADMIN_PASSWORD="}
			for _, command := range commandsOf(t, page) {
				if strings.HasPrefix(command, "bondgate serve") {
					continue // it runs already
				}
				harness.Run(t, env, "", "/bin/sh", "-c", "cd "+dir+" && "+command).OK(t)
			}
		})
	}
}

// policyPage makes a folder of one of the two examples of docs/policy.md: a rule,
// and masks.
func policyPage(t *testing.T, which int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```rego\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/policy.md has %d Rego blocks, want two", len(blocks))
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "page.rego"), blocks[which][1], 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

// The example of docs/policy.md is one that a reader starts from.
func TestTheRuleOfThePolicyPageDenies(t *testing.T) {
	folder := policyPage(t, 0)
	g := staffed(t, harness.Options{Policy: folder})
	crane := harness.Crane(t)
	crane.Credentials(g.Host, alice, password)
	ref := g.Ref(team+"/app", "1")
	said := crane.Run("push", harness.Image(t, harness.ImageSpec{Name: ref}), ref).Fails(t)
	for _, want := range []string{"[teams.no_source]", "org.opencontainers.image.source"} {
		if !strings.Contains(said, want) {
			t.Errorf("the denied push does not say %q: %s", want, said)
		}
	}
	labels := map[string]string{"org.opencontainers.image.source": "https://git/app"}
	crane.Run("push", harness.Image(t, harness.ImageSpec{Name: ref, Labels: labels}), ref).OK(t)
}

// Editors complete a configuration from the schema that lies in docs.
func TestTheSchemaInDocsIsTheBinarys(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "config.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	said := harness.Run(t, nil, "", harness.Binary(t), "config", "schema").OK(t)
	if said != strings.TrimSpace(string(want)) {
		t.Error("docs/config.schema.json is not what the binary says: run make generate")
	}
}

// And so are its masks.
func TestTheMasksOfThePolicyPageHideAndDrop(t *testing.T) {
	g := harness.StartGateway(t, harness.Options{Policy: policyPage(t, 1)})
	for _, path := range []string{"/v2/", "/v2/team/app/tags/list"} {
		g.Do(http.MethodGet, path, harness.AdminUser, harness.AdminPassword, nil, nil)
	}
	harness.Eventually(t, "the decision is recorded, with its masks", func() error {
		out := g.CLI("decisions", "export").OK(t)
		for line := range strings.Lines(out) {
			if strings.Contains(line, `"action":"tags.list"`) {
				if !strings.Contains(line, `"client_ip":"127.0.0.0"`) || !strings.Contains(line, `"masked":["request.client_ip"]`) || !strings.Contains(line, `"replayable":true`) {
					t.Errorf("recorded as %s", line)
				}
				if strings.Contains(out, `"action":"registry.ping"`) {
					t.Errorf("the ping is recorded: %s", out)
				}
				return nil
			}
		}
		return errors.New("it is not there yet")
	})
	if metrics := g.Do(http.MethodGet, "/metrics", harness.AdminUser, harness.AdminPassword, nil, nil); !strings.Contains(string(metrics.Body), "bondgate_decisions_dropped_total 1") {
		t.Errorf("the dropped one is not counted: %d", metrics.Status)
	}
}
