package opa_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

// glassFacts are a pull of an image that pack image denies, by somebody with a grant.
func glassFacts(ev policy.Evaluator, own ...policy.Pack) policy.Facts {
	f := benchFacts(ev, policy.ManifestPull, 1)
	a := benchArtifact()
	a.Config.User = ""
	f.Request.Artifact = a.Seal()
	f.Packs = ev.Packs(append(own, policy.Pack{Name: "image", Mode: policy.ModeDeny, Config: []byte(`{"deny_root":true}`)}))
	f.BreakGlass = &policy.BreakGlass{
		ID: "bg-1", Projects: []string{f.Project.Name}, Justification: "rollback", Ticket: "INC-1",
		Expires: f.Request.At.Add(time.Hour), State: policy.WaiverApproved,
	}
	return f
}

func TestTheShippedDecisionBreaksGlass(t *testing.T) {
	ev := compileWith(t)
	f := glassFacts(ev)
	d, err := ev.Decide(t.Context(), f)
	if err != nil || !d.Allowed() || d.BreakGlass != "bg-1" || d.Clean() {
		t.Fatalf("%+v %v", d, err)
	}
	if len(d.Waived) != 1 || d.Waived[0].Code != "image.root_user" || d.Waived[0].Waiver != "bg-1" {
		t.Errorf("waived %+v", d.Waived)
	}
	if len(d.Obligations) != 1 || d.Obligations[0].Type != "audit" || d.Obligations[0].Fields["level"] != "full" {
		t.Errorf("obligations %+v", d.Obligations)
	}
	if len(d.Warn) != 1 || !strings.Contains(d.Warn[0].Message, "bg-1") {
		t.Errorf("warn %+v", d.Warn)
	}
	f.BreakGlass = nil
	if d, err = ev.Decide(t.Context(), f); err != nil || d.Allowed() || d.BreakGlass != "" {
		t.Fatalf("without a grant: %+v %v", d, err)
	}
}

// A decision under broken glass is replayed from its record like any other.
func TestADecisionUnderBrokenGlassReplays(t *testing.T) {
	ev := compileWith(t)
	f := glassFacts(ev)
	want, err := ev.Decide(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(policy.Document(f))
	if err != nil {
		t.Fatal(err)
	}
	var input map[string]any
	if err := json.Unmarshal(raw, &input); err != nil {
		t.Fatal(err)
	}
	got, err := ev.DecideInput(t.Context(), input)
	if err != nil || answerOf(t, got) != answerOf(t, want) {
		t.Errorf("%v\ngot  %s\nwant %s", err, answerOf(t, got), answerOf(t, want))
	}
	// A document that claims a grant outside of what it lifts lifts nothing.
	input["action"] = "tags.list"
	if got, err = ev.DecideInput(t.Context(), input); err != nil || got.BreakGlass != "" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestAnAuthorsRuleHoldsUnderBrokenGlassWhereItSaysSo(t *testing.T) {
	rule := func(custom string) opa.File {
		return mine("package bondgate.rules.mine\n\n# METADATA\n# title: Never\n# custom:\n#   code: mine.never\n" + custom +
			"deny contains {\"code\": \"mine.never\", \"msg\": \"no\"} if input.action == \"manifest.pull\"\n")
	}
	for _, c := range []struct {
		name, custom string
		allowed      bool
	}{
		{"it says nothing", "", true},
		{"it says that it yields", "#   breakglass: true\n", true},
		{"it says that it does not", "#   breakglass: false\n", false},
		{"it cannot be waived, which is another thing", "#   waivable: false\n", true},
	} {
		ev := compileWith(t, rule(c.custom))
		d, err := ev.Decide(t.Context(), glassFacts(ev))
		if err != nil || d.Allowed() != c.allowed || (d.BreakGlass != "") != c.allowed {
			t.Errorf("%s: %+v %v", c.name, d, err)
		}
	}
}

func TestAFactIsWaitedForUnderBrokenGlassByARuleThatHolds(t *testing.T) {
	rule := func(custom string) opa.File {
		return mine("package bondgate.rules.mine\n\n# METADATA\n# title: Scanned\n# custom:\n#   code: mine.scanned\n#   needs: [vulnerabilities]\n" + custom +
			"deny contains {\"code\": \"mine.scanned\", \"msg\": \"no\"} if {\n\tinput.action == \"manifest.pull\"\n\tinput.artifact.vulnerabilities.counts.CRITICAL > 0\n}\n")
	}
	for custom, allowed := range map[string]bool{"": true, "#   breakglass: false\n": false} {
		ev := compileWith(t, rule(custom))
		d, err := ev.Decide(t.Context(), glassFacts(ev))
		if err != nil || d.Allowed() != allowed {
			t.Errorf("%q: %+v %v", custom, d, err)
		}
	}
}

func TestWhatIsSaidOfBrokenGlassIsTrueOrFalse(t *testing.T) {
	_, err := opa.Compile(t.Context(), sourceWith(t, mine("package bondgate.rules.mine\n\n# METADATA\n# custom:\n#   code: mine.x\n#   breakglass: sometimes\ndeny contains {\"code\": \"mine.x\", \"msg\": \"no\"} if false\n")))
	if err == nil || !strings.Contains(err.Error(), "custom.breakglass") {
		t.Errorf("got %v", err)
	}
}

// What a bundle can hide of a grant and still replay: the decision reads its name and
// its end, and not why it was given.
func TestTheDecisionReadsLittleOfAGrant(t *testing.T) {
	ev := compileWith(t)
	for _, path := range ev.Reads(policy.ManifestPull) {
		if policyPathsMeet(path, "breakglass.justification") || policyPathsMeet(path, "breakglass.ticket") {
			t.Errorf("it reads %s", path)
		}
	}
}

func policyPathsMeet(a, b string) bool {
	a = strings.TrimPrefix(a, "input.")
	return a == b || strings.HasPrefix(b, a+".") || strings.HasPrefix(a, b+".")
}
