package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// shelve puts n images into the index, every tenth of them root's.
func (s *server) shelve(n int) {
	s.t.Helper()
	for i := range n {
		user := "1000"
		if i%10 == 0 {
			user = "root"
		}
		d := digest.FromString(fmt.Sprint("image ", i))
		layers := make([]policy.Descriptor, 8)
		for l := range layers {
			layers[l] = policy.Descriptor{Digest: digest.FromString(fmt.Sprint("layer ", i, l)), Size: 1 << 20, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"}
		}
		a := &policy.Artifact{
			Repository: policy.Repository{Workspace: policy.DefaultWorkspace, Name: fmt.Sprintf("team-%d/app-%d", i%50, i%1000)},
			Digest:     d, MediaType: "application/vnd.oci.image.manifest.v1+json", Kind: policy.KindImage, Role: policy.RoleImage, Size: 1500,
			ConfigBlob: &policy.Descriptor{Digest: d, Size: 3000, MediaType: "application/vnd.oci.image.config.v1+json"},
			Config: &policy.ImageConfig{
				OS: "linux", Architecture: "amd64", User: user, Created: time.Unix(1_790_000_000, 0),
				Labels:   map[string]string{"org.opencontainers.image.source": "https://git.example.org/team/app", "maintainer": "team"},
				EnvNames: []string{"PATH", "LANG", "HOME"}, ExposedPorts: []string{"8080/tcp"},
			},
			Layers: layers, PushedAt: time.Unix(1_790_000_000, 0), PushedBy: "ci",
		}
		if err := s.app.store.Push(s.t.Context(), a, []policy.TagMove{{Tag: fmt.Sprint("v", i)}}); err != nil {
			s.t.Fatal(err)
		}
	}
}

const ruleNoRoot = `package bondgate.rules.house

deny contains {"code": "house.no_root", "msg": "runs as root"} if {
	input.action == "manifest.pull"
	input.artifact.kind == "image"
	input.artifact.config.user in {"", "0", "root"}
}
`

func noRootFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rule.rego"), []byte(ruleNoRoot), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAnAuditSaysWhatWouldStop(t *testing.T) {
	s := start(t, t.TempDir())
	s.must("project", "create", "red")
	s.must("project", "create", "blue")
	child := image(t)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: child})
	if err := errors.Join(
		remote.Write(s.ref("red/app:1"), image(t), asAdmin),
		remote.WriteIndex(s.ref("blue/multi:1"), index, asAdmin),
	); err != nil {
		t.Fatal(err)
	}
	one, err := remote.Get(s.ref("red/app:1"), asAdmin)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Tag(s.ref("red/app:1").Context().Tag("latest"), one, asAdmin); err != nil {
		t.Fatal(err)
	}
	dir := noRootFolder(t)

	out, err := s.cli("", "policy", "audit", "--bundle", dir)
	var end *exit
	if !errors.As(err, &end) || end.code != exitDiffers {
		t.Errorf("it ends with %v", err)
	}
	for _, want := range []string{
		"4 names of images", "3 would stop being pullable", "red", "blue", "house.no_root 2", "house.no_root 1",
		"red/app:1", "red/app:latest", "blue/multi@sha256:", "runs as root",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}

	t.Run("of one project", func(t *testing.T) {
		out, _ := s.cli("", "policy", "audit", "--bundle", dir, "--project", "red", "--format", "json")
		var report auditReport
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if report.Images != 2 || report.Stopped != 2 || len(report.Projects) != 1 || report.Projects[0].Project != "red" || report.Projects[0].Rules["house.no_root"] != 2 {
			t.Errorf("the report is %s", out)
		}
	})
	t.Run("in the forms of a CI", func(t *testing.T) {
		for format, want := range map[string]string{"sarif": `"2.1.0"`, "junit": "<testsuites"} {
			file := filepath.Join(t.TempDir(), "report")
			_, _ = s.cli("", "policy", "audit", "--bundle", dir, "--format", format, "-o", file)
			if raw, err := os.ReadFile(file); err != nil || !strings.Contains(string(raw), want) || !strings.Contains(string(raw), "house.no_root") {
				t.Errorf("%s: %v %s", format, err, raw)
			}
		}
	})
	t.Run("nothing stops by the policy in force", func(t *testing.T) {
		out, err := s.cli("", "policy", "audit", "--bundle", t.TempDir())
		if err != nil || !strings.Contains(out, "0 would stop") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("what stops already does not stop", func(t *testing.T) {
		change := []byte(`{"packs":[{"name":"image","mode":"deny","config":{"deny_root":true}}]}`)
		if resp := s.send(http.MethodPatch, "/api/v1/projects/red", "application/json", change); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
		out, err := s.cli("", "policy", "audit", "--bundle", dir, "--project", "red")
		if err != nil || !strings.Contains(out, "0 would stop") || !strings.Contains(out, "house.no_root") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("an audit that cannot be run is none", func(t *testing.T) {
		for _, args := range [][]string{
			{}, {"--bundle", filepath.Join(dir, "none")}, {"--bundle", dir, "--project", "none"}, {"--bundle", dir, "--format", "xml"}, {"--nonsense"},
		} {
			_, err := s.cli("", append([]string{"policy", "audit"}, args...)...)
			if !errors.As(err, &end) || end.code != exitCannot {
				t.Errorf("%v ends with %v", args, err)
			}
		}
	})
	t.Run("nothing is recorded for an image", func(t *testing.T) {
		out := s.must("decisions", "tail", "-n", "1000", "--action", "manifest.pull")
		if strings.Contains(out, "audit") || strings.Contains(out, "house.no_root") {
			t.Errorf("the record has\n%s", out)
		}
		if out := s.must("decisions", "tail", "-n", "1000", "--action", "admin.api"); !strings.Contains(out, "policy:audit") {
			t.Errorf("the record has no audit\n%s", out)
		}
	})
}

// Each image of many is judged once, and what is counted by project is all there is.
func TestAnAuditOfManyImagesMissesNone(t *testing.T) {
	s := start(t, t.TempDir())
	const all = 3000
	s.shelve(all)
	begin := time.Now()
	out, _ := s.cli("", "policy", "audit", "--bundle", noRootFolder(t), "--format", "json")
	t.Logf("%d images in %s", all, time.Since(begin).Round(time.Millisecond))
	var report auditReport
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if report.Images != all || report.Stopped != all/10 || report.Undecided+report.Skipped+report.Freed != 0 {
		t.Errorf("%d images, %d stopped, %d freed, %d undecided, %d skipped",
			report.Images, report.Stopped, report.Freed, report.Undecided, report.Skipped)
	}
	var images, stopped int64
	for _, p := range report.Projects {
		images, stopped = images+p.Images, stopped+p.Stopped
		if p.Rules["house.no_root"] != p.Stopped {
			t.Errorf("project %s: %d stopped, by rule %v", p.Project, p.Stopped, p.Rules)
		}
	}
	// Every tenth image is root's, and they are in five of fifty projects.
	if len(report.Projects) != 5 || stopped != all/10 || images != all/10 {
		t.Errorf("%d projects with %d images, %d stopped", len(report.Projects), images, stopped)
	}
}

// A list that breaks off is no audit, however it breaks.
func TestAnInventoryThatIsNotWholeIsNoAudit(t *testing.T) {
	const line = `{"kind":"image","project":"red","repository":"red/app","reference":"1","digest":"sha256:x","input":{},"now":{"verdict":"allow"}}` + "\n"
	for name, c := range map[string]struct {
		stream string
		images int
		whole  bool
	}{
		"whole":                       {line + line + `{"kind":"end","lines":2}` + "\n", 2, true},
		"nothing is stored":           {`{"kind":"end","lines":0}` + "\n", 0, true},
		"the server says so":          {line + `{"kind":"error","lines":1,"error":"no"}` + "\n", 1, false},
		"the connection ends":         {line + line, 2, false},
		"the connection ends at once": {"", 0, false},
		"half a line":                 {line + line[:40], 1, false},
		"no list":                     {"<html>", 0, false},
		"another kind of line":        {line + `{"kind":"surprise"}`, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, n := newAuditing(), 0
			var failed error
			for _, err := range a.cases(strings.NewReader(c.stream)) {
				if err != nil {
					failed = err
					break
				}
				n++
			}
			if n != c.images || (failed == nil) != c.whole {
				t.Errorf("%d images and %v", n, failed)
			}
		})
	}
}
