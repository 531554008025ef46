package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bondgate/bondgate/policy"
)

const ruleNoRandom = `package bondgate.rules.house

deny contains {"code": "house.no_random", "msg": "made of noise"} if {
	input.action == "manifest.pull"
	input.artifact.kind == "image"
	%s
}
`

// shadowFolder holds one rule that has one more condition.
func shadowFolder(t *testing.T, condition string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "next")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	writeRule(t, dir, condition)
	return dir
}

func writeRule(t *testing.T, dir, condition string) {
	t.Helper()
	// In one step: half a file is an edit too.
	part := filepath.Join(dir, ".part")
	if err := os.WriteFile(part, fmt.Appendf(nil, ruleNoRandom, condition), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(dir, "rule.rego")); err != nil {
		t.Fatal(err)
	}
}

func withShadow(dir string) setting {
	return withConfig(func(c *Config) { c.Policy.Shadow.Dir = dir })
}

// shadowReport waits for a report that has what is asked for.
func (s *server) shadowReport(what string, good func(policy.ShadowReport) bool) policy.ShadowReport {
	s.t.Helper()
	var r policy.ShadowReport
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		status, body := s.get("/api/v1/policy/shadow", "admin", adminPassword)
		if status != http.StatusOK || json.Unmarshal([]byte(body), &r) != nil {
			s.t.Fatalf("%d %s", status, body)
		}
		if good(r) {
			return r
		}
		if time.Since(begin) > 30*time.Second {
			s.t.Fatalf("waited for %s, and the report is %s", what, body)
		}
	}
}

// pushed pushes an image and pulls it; both have to succeed.
func (s *server) pushed(name string) {
	s.t.Helper()
	if err := remote.Write(s.ref(name), image(s.t), asAdmin); err != nil {
		s.t.Fatal(err)
	}
	s.pulled(name)
}

func (s *server) pulled(name string) {
	s.t.Helper()
	if _, err := remote.Get(s.ref(name), asAdmin); err != nil {
		s.t.Fatal(err)
	}
}

func TestAShadowSaysWhatItWouldDenyAndDeniesNothing(t *testing.T) {
	dir := shadowFolder(t, "true")
	s := start(t, t.TempDir(), withShadow(dir))
	s.pushed("team/app:1")
	r := s.shadowReport("a denial", func(r policy.ShadowReport) bool { return r.Denied > 0 })
	if r.Rules[0].Code != "house.no_random" || r.Samples[0].Repository != "team/app" || r.Failed != 0 || r.Broken {
		t.Errorf("the report is %+v", r)
	}
	if out := s.must("policy", "shadow", "status"); !strings.Contains(out, "house.no_random") || !strings.Contains(out, "team/app") {
		t.Errorf("the command says\n%s", out)
	}
	if out := s.must("policy", "shadow", "status", "--project", "team", "--format", "json"); !strings.Contains(out, `"house.no_random"`) {
		t.Errorf("the command says\n%s", out)
	}
	status, metrics := s.get("/metrics", "admin", adminPassword)
	if status != http.StatusOK || !strings.Contains(metrics, `bondgate_shadow_differences_total{kind="denied"}`) || strings.Contains(metrics, "bondgate_shadow_decisions_total 0\n") {
		t.Errorf("%d, and the metrics do not count", status)
	}
	if out := s.must("policy", "shadow", "reset"); !strings.Contains(out, "anew") {
		t.Errorf("the command says\n%s", out)
	}
	// The reset itself may be judged by now, and makes no difference.
	if r := s.shadowReport("a report", func(policy.ShadowReport) bool { return true }); r.Sum() != 0 || len(r.Samples) != 0 {
		t.Errorf("after a reset: %+v", r)
	}
}

// A broken shadow harms nobody, whenever it breaks, and a mended one is judged by.
func TestABrokenShadowIsSaidAndServesAsEver(t *testing.T) {
	for name, breakIt := range map[string]func(dir string) string{
		"a rule that does not compile": func(dir string) string { writeRule(t, dir, "nonsense((("); return dir },
		"a folder that is not there":   func(dir string) string { _ = os.RemoveAll(dir); return dir },
	} {
		t.Run(name, func(t *testing.T) {
			dir := breakIt(shadowFolder(t, "true"))
			s := start(t, t.TempDir(), withShadow(dir))
			s.pushed("team/app:1")
			r := s.shadowReport("what was not looked at", func(r policy.ShadowReport) bool { return r.Skipped > 0 })
			if !r.Broken || r.Error == "" || r.Revision != "" || r.Decisions != 0 {
				t.Errorf("the report is %+v", r)
			}
			if status, body := s.get("/api/v1/status", "admin", adminPassword); status != http.StatusOK || !strings.Contains(body, "nothing is judged by it") {
				t.Errorf("%d %s", status, body)
			}
			if status, _ := s.get("/readyz", "admin", adminPassword); status != http.StatusOK {
				t.Errorf("the server is not ready: %d", status)
			}
			if out := s.must("policy", "shadow", "status"); !strings.Contains(out, "broken") {
				t.Errorf("the command says\n%s", out)
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			writeRule(t, dir, "true")
			s.shadowReport("the mended bundle", func(r policy.ShadowReport) bool { return !r.Broken && r.Revision != "" })
			s.shadowReport("a denial", func(r policy.ShadowReport) bool {
				s.pulled("team/app:1") // what is answered from the cache is not shown
				return r.Denied > 0
			})

			t.Run("and is judged by while an edit is broken", func(t *testing.T) {
				writeRule(t, dir, "nonsense(((")
				s.shadowReport("the broken edit", func(r policy.ShadowReport) bool { return r.Broken && r.Revision != "" })
				s.pulled("team/app:1")
			})
		})
	}
}

func TestWithoutAShadowTheReportSaysSo(t *testing.T) {
	s := start(t, t.TempDir())
	if r := s.shadowReport("a report", func(policy.ShadowReport) bool { return true }); r.Enabled {
		t.Errorf("the report is %+v", r)
	}
	if out := s.must("policy", "shadow", "status"); !strings.Contains(out, "--shadow") {
		t.Errorf("the command says %s", out)
	}
	if _, metrics := s.get("/metrics", "admin", adminPassword); strings.Contains(metrics, "bondgate_shadow_") {
		t.Error("there are metrics of a shadow that is not there")
	}
}
