package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// difference is what a test reads of a difference that the shadow found.
type difference struct {
	Kind, Decision, Subject, Project, Repository, Reference string

	Now []struct{ Effect, Code string }
}

// shadowed waits until the shadow has found something, and answers what.
func shadowed(t testing.TB, g *harness.Gateway, kind string) (found []difference) {
	t.Helper()
	harness.Eventually(t, "bondgate policy shadow status", func() error {
		var report struct{ Samples []difference }
		said := g.CLI("policy", "shadow", "status", "--format", "json")
		if err := json.Unmarshal([]byte(said.Stdout), &report); err != nil {
			return fmt.Errorf("%w: %s", err, said.Said())
		}
		found = nil
		for _, d := range report.Samples {
			if d.Kind == kind {
				found = append(found, d)
			}
		}
		if len(found) == 0 {
			return fmt.Errorf("nothing is %s: %s", kind, said.Stdout)
		}
		return nil
	})
	return found
}

// How a rule is brought in: what it would stop of all that is stored, then of what
// people really pull, and then it is moved to where it stops it.
func TestANewRuleIsAuditedThenShadowedThenEnforced(t *testing.T) {
	next, rule := policyFolder(t)
	live := t.TempDir()
	g := staffed(t, harness.Options{Policy: live, Env: []string{"BONDGATE_POLICY_SHADOW_DIR=" + next}})
	seed(t, g, team+"/app", "root", "")
	seed(t, g, team+"/app", "fixed", "1000")

	audit := g.CLI("policy", "audit", "--bundle", next)
	if audit.Err == nil {
		t.Errorf("something would stop, and the audit ends well: %s", audit.Said())
	}
	for _, want := range []string{"1 would stop being pullable", "team/app:root", "house.no_root"} {
		if !strings.Contains(audit.Stdout, want) {
			t.Errorf("the audit does not say %q:\n%s", want, audit.Said())
		}
	}

	docker := clients["docker"](t)
	docker.Login(g.Host, bob, password)
	docker.Pull(g.Ref(team+"/app", "root")).OK(t)
	docker.Pull(g.Ref(team+"/app", "fixed")).OK(t)
	denied := shadowed(t, g, "denied")
	for _, d := range denied {
		if d.Subject != bob || d.Repository != team+"/app" || len(d.Now) != 1 || d.Now[0].Code != "house.no_root" {
			t.Errorf("nobody expects %+v", d)
		}
		harness.Eventually(t, "the decision that counts knows nothing of it", func() error {
			shown := g.CLI("decisions", "show", d.Decision, "--json")
			if shown.Err != nil || !strings.Contains(shown.Stdout, `"allow"`) {
				return fmt.Errorf("decision %s: %s", d.Decision, shown.Said())
			}
			if strings.Contains(shown.Stdout, "house.no_root") {
				t.Errorf("the shadow is in the record: %s", shown.Stdout)
			}
			return nil
		})
	}
	if said := g.CLI("policy", "shadow", "status").OK(t); !strings.Contains(said, "house.no_root") {
		t.Errorf("the table has no rule: %s", said)
	}

	// In force it comes by one step: the file is moved.
	if err := os.Rename(rule, filepath.Join(live, filepath.Base(rule))); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the rule is in force", func() error {
		if pull := docker.Pull(g.Ref(team+"/app", "root")); pull.Err == nil {
			return fmt.Errorf("it is pulled: %s", pull.Said())
		}
		return nil
	})
	docker.Pull(g.Ref(team+"/app", "fixed")).OK(t)
	shadowed(t, g, "allowed")
	g.CLI("policy", "audit", "--bundle", live).OK(t)
	g.CLI("policy", "shadow", "reset").OK(t)
}
