package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// An emergency: docker is denied, somebody breaks the glass for whoever has to pull,
// the pull passes, the record says whose word it was and why, and when the emergency
// is over docker is denied again.
func TestGlassIsBrokenForAnEmergencyAndMended(t *testing.T) {
	folder, _ := policyFolder(t)
	g := staffed(t, harness.Options{Policy: folder})
	seed(t, g, team+"/app", "root", "")
	docker := clients["docker"](t)
	docker.Login(g.Host, bob, password)
	ref := g.Ref(team+"/app", "root")
	readable(t, "docker", docker.Pull(ref).Fails(t))

	opened := g.CLI("breakglass", "open", team, "--for", bob, "--justification", "rollback to 1.4.1", "--ticket", "INC-4411", "--expires", "30m").OK(t)
	id := regexp.MustCompile(`bg-[a-z0-9]+`).FindString(opened)
	if id == "" || !strings.Contains(opened, "for "+bob) {
		t.Fatalf("it says %s", opened)
	}
	docker.Pull(ref).OK(t)

	var decision string
	harness.Eventually(t, "bondgate decisions tail", func() error {
		listed := g.CLI("decisions", "tail", "--project", team, "-n", "100").OK(t)
		for line := range strings.Lines(listed) {
			if strings.Contains(line, id) && strings.Contains(line, "rollback to 1.4.1") {
				decision = line[strings.LastIndexByte(strings.TrimSpace(line), ' ')+1:]
				return nil
			}
		}
		return fmt.Errorf("no decision is listed with %s and why:\n%s", id, listed)
	})
	var shown struct {
		Verdict, BreakGlass string
		Waived              []struct{ Code, Waiver string }
		Input               struct {
			BreakGlass struct{ Justification, Ticket, Grant string }
		}
	}
	if err := json.Unmarshal([]byte(g.CLI("decisions", "show", strings.TrimSpace(decision), "--json").OK(t)), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Verdict != "allow" || shown.BreakGlass != id || len(shown.Waived) != 1 || shown.Waived[0].Code != "house.no_root" || shown.Waived[0].Waiver != id ||
		shown.Input.BreakGlass.Justification != "rollback to 1.4.1" || shown.Input.BreakGlass.Ticket != "INC-4411" || shown.Input.BreakGlass.Grant != id {
		t.Errorf("the decision is %+v", shown)
	}
	listed := g.CLI("breakglass", "list").OK(t)
	for _, want := range []string{id, "open", bob, team, "INC-4411", "rollback to 1.4.1"} {
		if !strings.Contains(listed, want) {
			t.Errorf("bondgate breakglass list does not say %q:\n%s", want, listed)
		}
	}

	g.CLI("breakglass", "end", id).OK(t)
	readable(t, "docker", docker.Pull(ref).Fails(t))
	if left := g.CLI("breakglass", "list").OK(t); strings.Contains(left, id) {
		t.Errorf("it is still listed:\n%s", left)
	}
	if over := g.CLI("breakglass", "show", id).OK(t); !strings.Contains(over, "ended") {
		t.Errorf("it is shown as\n%s", over)
	}
}

// Two people: one who needs it and one who does not.
func TestGlassIsBrokenByTwoWhereTwoAreAskedFor(t *testing.T) {
	g := staffed(t, harness.Options{Config: "policy:\n  breakglass:\n    second_person: true\n    max: 2h\n"})
	asked := g.CLI("breakglass", "open", team, "--for", alice, "--justification", "rollback", "--ticket", "INC-1").OK(t)
	id := regexp.MustCompile(`bg-[a-z0-9]+`).FindString(asked)
	if !strings.Contains(asked, "another person approves it") {
		t.Errorf("it says %s", asked)
	}
	if said := g.CLI("breakglass", "approve", id).Fails(t); !strings.Contains(said, "another person") && !strings.Contains(said, "somebody else") {
		t.Errorf("the same operator approves it: %s", said)
	}
	if said := g.CLI("breakglass", "open", team, "--for", alice, "--justification", "j", "--ticket", "t", "--expires", "3h").Fails(t); !strings.Contains(said, "2h0m0s at most") {
		t.Errorf("for three hours: %s", said)
	}
	if said := g.CLI("breakglass", "open", team, "--justification", "j", "--ticket", "t").Fails(t); !strings.Contains(said, "name whom") {
		t.Errorf("for the operator: %s", said)
	}
	listed := g.CLI("breakglass", "list", "--project", team).OK(t)
	if !strings.Contains(listed, id) || !strings.Contains(listed, "pending") {
		t.Errorf("it is listed as\n%s", listed)
	}
}
