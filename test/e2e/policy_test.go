package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// ruleOfTheReadme answers the one Rego block of the README's first example: what
// a reader pastes is what is tested.
func ruleOfTheReadme(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```rego\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 1 {
		t.Fatalf("the README has %d Rego blocks, want the one of its example", len(blocks))
	}
	return string(blocks[0][1])
}

// policyFolder holds the README's rule, and answers the folder and the rule's file.
func policyFolder(t testing.TB) (folder, rule string) {
	t.Helper()
	folder = t.TempDir()
	rule = filepath.Join(folder, "no_root.rego")
	if err := os.WriteFile(rule, []byte(ruleOfTheReadme(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder, rule
}

// What a person must be able to read of the rule's denial: its code, what is
// wrong, the fix, and the decision to ask about.
var inTheDenial = []string{"[house.no_root]", "runs as root", "Fix:", "USER 1000", "Decision:"}

func readable(t testing.TB, who, said string) {
	t.Helper()
	for _, want := range inTheDenial {
		if !strings.Contains(said, want) {
			t.Errorf("%s does not say %q; it said:\n%s", who, want, said)
		}
	}
}

func TestADeniedPullSaysWhyAndWhatToDo(t *testing.T) {
	folder, _ := policyFolder(t)
	g := staffed(t, harness.Options{Policy: folder})
	seed(t, g, team+"/app", "root", "")
	seed(t, g, team+"/app", "fixed", "1000")
	for _, name := range []string{"docker", "podman", "buildah", "skopeo", "crane"} {
		t.Run("in the words of "+name, func(t *testing.T) {
			t.Parallel()
			c := clients[name](t)
			c.Login(g.Host, bob, password)
			c.Pull(g.Ref(team+"/app", "fixed")).OK(t)
			readable(t, name, c.Pull(g.Ref(team+"/app", "root")).Fails(t))
		})
	}
	t.Run("and its address, which curl opens, explains it", func(t *testing.T) {
		t.Parallel()
		c := clients["docker"](t)
		c.Login(g.Host, bob, password)
		said := c.Pull(g.Ref(team+"/app", "root")).Fails(t)
		link := regexp.MustCompile(`Decision: ([0-9A-Za-z_-]+) (https?://\S+)`).FindStringSubmatch(said)
		if link == nil || link[2] != g.URL()+"/d/"+link[1] {
			t.Fatalf("docker says no address of %s: %s", g.URL(), said)
		}
		page := harness.Run(t, nil, "", "curl", "-sS", "--fail", "-u", bob+":"+password, link[2]).OK(t)
		for _, want := range []string{
			"It was denied: " + bob + " asked to pull " + team + "/app:root", "no_root.rego:12", "artifact.config.user",
			`with artifact.config.user = "1000"`, "bondgate waiver request house.no_root --project " + team,
		} {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not say %q:\n%s", want, page)
			}
		}
		html := harness.Run(t, nil, "", "curl", "-sS", "--fail", "-u", bob+":"+password, "-H", "Accept: text/html", link[2]).OK(t)
		if !strings.HasPrefix(html, "<!DOCTYPE html>") || strings.Contains(html, "<script") {
			t.Errorf("a browser gets %s", html)
		}
		if other := g.Do(http.MethodGet, "/d/"+link[1], alice, password, nil, nil); other.Status != http.StatusNotFound {
			t.Errorf("somebody else opens it: %d %s", other.Status, other.Body)
		}
		if told := g.CLI("policy", "explain", link[1]); told.OK(t) != strings.TrimSpace(page) {
			t.Errorf("bondgate policy explain says\n%s\nand the page\n%s", told.Stdout, page)
		}
		supposed := g.CLI("policy", "explain", "--image", team+"/app:root", "--as", bob, "--action", "manifest.pull").OK(t)
		if !strings.Contains(supposed, "It would be denied: "+bob) || !strings.Contains(supposed, "[house.no_root]") {
			t.Errorf("a what-if says %s", supposed)
		}
	})
	t.Run("ctr and regctl print the status only", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"ctr", "regctl"} {
			c := clients[name](t)
			c.Login(g.Host, bob, password)
			c.Pull(g.Ref(team+"/app", "fixed")).OK(t)
			if said := c.Pull(g.Ref(team+"/app", "root")).Fails(t); !strings.Contains(said, "403") && !strings.Contains(strings.ToLower(said), "forbidden") {
				t.Errorf("%s should say at least that it is forbidden: %s", name, said)
			}
		}
	})
	t.Run("and the decision can be asked about by its id", func(t *testing.T) {
		t.Parallel()
		r := g.Do(http.MethodGet, "/v2/"+team+"/app/manifests/root", bob, password, harness.Accept, nil)
		id := regexp.MustCompile(`Decision: ([0-9A-Za-z_-]+)`).FindSubmatch(r.Body)
		if r.Status != http.StatusForbidden || id == nil {
			t.Fatalf("want a 403 with a decision id, got %d %s", r.Status, r.Body)
		}
		harness.Eventually(t, "bondgate decisions show", func() error {
			shown := g.CLI("decisions", "show", string(id[1]))
			if shown.Err != nil {
				return fmt.Errorf("decision %s: %w: %s", id[1], shown.Err, shown.Said())
			}
			if !strings.Contains(shown.Stdout, "house.no_root") {
				return fmt.Errorf("decision %s does not name the rule: %s", id[1], shown.Said())
			}
			return nil
		})
	})
}

// containerd before 2.3.3 reads no body of a manifest's resolution, so a denied
// single image is "403 Forbidden" to it, whether its HEAD was denied with 403 or
// with 405. What it fetches after that it reads: an index is resolved, and the
// denial of the platform's image in it comes with its words.
func TestOldContainerdReadsTheReasonOfADeniedImageInAnIndex(t *testing.T) {
	folder, _ := policyFolder(t)
	for name, config := range map[string]string{
		"when a denied HEAD is 403": "",
		"when a denied HEAD is 405": "head_denial: 405\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := staffed(t, harness.Options{Policy: folder, Config: config})
			seed(t, g, team+"/app", "root", "")
			pushIndex(t, g, g.Ref(team+"/app", "index"), "")

			c := clients["ctr"](t)
			c.Login(g.Host, bob, password)
			readable(t, "ctr", c.Pull(g.Ref(team+"/app", "index")).Fails(t))
			if said := c.Pull(g.Ref(team+"/app", "root")).Fails(t); !strings.Contains(said, "403 Forbidden") {
				t.Errorf("ctr says %s", said)
			}
			docker := clients["docker"](t)
			docker.Login(g.Host, bob, password)
			readable(t, "docker", docker.Pull(g.Ref(team+"/app", "index")).Fails(t))
			readable(t, "docker", docker.Pull(g.Ref(team+"/app", "root")).Fails(t))
		})
	}
}

// The second thing that must be seen: one rule in a folder denies, its fix can be
// pushed to the very tag that is denied, and without the rule all is as before,
// with no restart.
func TestARuleInAFolderDeniesUntilItsFileIsGone(t *testing.T) {
	folder, rule := policyFolder(t)
	g := staffed(t, harness.Options{Policy: folder})
	docker := clients["docker"](t)
	docker.Login(g.Host, alice, password)
	ref := g.Ref(team+"/app", "1")

	docker.Push(harness.Image(t, harness.ImageSpec{Name: ref}), ref)
	readable(t, "docker", docker.Pull(ref).Fails(t))

	for _, name := range []string{"crane", "ctr", "buildah", "podman", "skopeo", "regctl", "docker"} {
		t.Run(name+" pushes a fix to the denied tag", func(t *testing.T) {
			seed(t, g, team+"/app", "1", "")
			docker.Pull(ref).Fails(t)
			c := clients[name](t)
			c.Login(g.Host, alice, password)
			digest := c.Push(harness.Image(t, harness.ImageSpec{Name: ref, User: "1000"}), ref)
			docker.Pull(ref).OK(t)
			if got := docker.Digest(ref); got != digest {
				t.Errorf("docker pulled %s, %s pushed %s", got, name, digest)
			}
		})
	}

	old := seed(t, g, team+"/app", "1", "")
	readable(t, "docker", docker.Pull(ref).Fails(t))
	process := g.PID()
	if err := os.Remove(rule); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	harness.Eventually(t, "the pull that the rule denied", func() error {
		r := g.Do(http.MethodHead, "/v2/"+team+"/app/manifests/1", bob, password, harness.Accept, nil)
		return status(r, http.StatusOK)
	})
	t.Logf("allowed %v after the rule's file was gone", time.Since(began).Round(time.Millisecond))
	docker.Pull(ref).OK(t)
	if got := docker.Digest(ref); got != old {
		t.Errorf("docker pulled %s, want the old %s", got, old)
	}
	if g.PID() != process {
		t.Error("the server was started anew")
	}
}

// A broken edit must not open the gate, and it must be seen.
func TestABrokenEditKeepsTheLastGoodRules(t *testing.T) {
	folder, rule := policyFolder(t)
	g := staffed(t, harness.Options{Policy: folder})
	seed(t, g, team+"/app", "root", "")
	denied := func() error {
		r := g.Do(http.MethodGet, "/v2/"+team+"/app/manifests/root", bob, password, harness.Accept, nil)
		return status(r, http.StatusForbidden)
	}
	if err := denied(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rule, []byte("package bondgate.rules.house\n\ndeny contains {"), 0o644); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the log names the broken file", func() error {
		if !strings.Contains(g.Log(), filepath.Base(rule)) {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	if err := denied(); err != nil {
		t.Errorf("with a broken edit: %v", err)
	}
	if err := os.WriteFile(rule, []byte(ruleOfTheReadme(t)+"\n# mended\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the mended rule", denied)
}
