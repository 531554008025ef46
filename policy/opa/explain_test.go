package opa_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

func own(name, text string) opa.File {
	return opa.File{Path: "rules/" + name + ".rego", Data: []byte(text)}
}

// reasonOf explains what the bundle with a pack of an author says of pullFacts.
func reasonOf(t *testing.T, ev *opa.Evaluator, f policy.Facts, code, term string) policy.ExplainedReason {
	t.Helper()
	x, err := ev.Explain(t.Context(), policy.Document(f))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(x.Reasons, func(r policy.ExplainedReason) bool { return r.Code == code && r.Term == term })
	if i < 0 {
		t.Fatalf("%s %s is not explained: %+v", code, term, x.Reasons)
	}
	return x.Reasons[i]
}

const authored = `package bondgate.rules.mine

import data.bondgate.lib.image

# METADATA
# title: Nothing from the lab
# description: What the lab makes stays there.
# related_resources:
#   - ref: https://wiki.example/lab
# custom:
#   code: mine.lab
#   severity: high
#   owner: sec@acme
#   effective_on: "2026-01-01T00:00:00Z"
deny contains {"code": "mine.lab", "msg": "from the lab"} if {
	input.action == "manifest.pull"
	image.label("stage") == "lab"
	not trusted
}

trusted if "release" in input.subject.groups

# METADATA
# title: A second rule with one code
# custom:
#   code: mine.twice
deny contains {"code": "mine.twice", "term": "a", "msg": "by the first"} if {
	input.action == "manifest.pull"
	input.artifact.config.os == "linux"
}

deny contains {"code": "mine.twice", "term": "a", "msg": "by the second"} if {
	input.action == "manifest.pull"
	both
}

both if {
	input.project.labels.tier == "prod"
	input.artifact.config.labels.stage == "lab"
}

warn contains {"code": "mine.warned", "msg": "it is said"} if {
	input.action == "manifest.pull"
	count(input.artifact.tags) < 2
}
`

func authoredFacts(ev policy.Evaluator) policy.Facts {
	f := pullFacts(ev)
	f.Request.Artifact.Config.Labels = map[string]string{"stage": "lab"}
	f.Request.Artifact.Tags = []string{"1.4.2"}
	f.Project.Labels = map[string]string{"tier": "prod"}
	return f
}

func TestAnAuthorsRuleIsExplainedByItsMetadataAndItsFacts(t *testing.T) {
	ev := compileWith(t, own("mine", authored))
	f := authoredFacts(ev)
	r := reasonOf(t, ev, f, "mine.lab", "")
	if r.Title != "Nothing from the lab" || r.Owner != "sec@acme" || !slices.Equal(r.Links, []string{"https://wiki.example/lab"}) || !r.Waivable {
		t.Errorf("its metadata is %+v", r)
	}
	if r.File != "rules/mine.rego" || r.Rule != "data.bondgate.rules.mine.deny" || r.Effect != "deny" {
		t.Errorf("it stands at %s:%d %s, %s", r.File, r.Line, r.Rule, r.Effect)
	}
	for _, wants := range []string{"artifact.config.labels.stage", "subject.groups"} {
		if !slices.ContainsFunc(r.Facts, func(f policy.Fact) bool { return f.Path == wants }) {
			t.Errorf("%s, which a helper reads, is not among %v", wants, r.Facts)
		}
	}
	if len(r.Changes) != 1 || r.Changes[0].Path != "artifact.config.labels.stage" {
		t.Errorf("the change is %v", r.Changes)
	}
	waiver := slices.ContainsFunc(r.Others, func(c []policy.Change) bool { return strings.HasPrefix(c[0].Path, "waivers[") })
	groups := slices.ContainsFunc(r.Others, func(c []policy.Change) bool {
		return c[0].Path == "subject.groups" && slices.Contains(c[0].To.([]any), any("release"))
	})
	if !waiver || !groups {
		t.Errorf("a waiver %v or the group %v is not among the others: %v", waiver, groups, r.Others)
	}
	for _, set := range append([][]policy.Change{r.Changes}, r.Others...) {
		tryChanges(t, ev, f, r, set)
	}
}

func TestOfTwoRulesWithOneCodeTheOneThatSpokeIsNamed(t *testing.T) {
	ev := compileWith(t, own("mine", authored))
	x, err := ev.Explain(t.Context(), policy.Document(authoredFacts(ev)))
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for _, r := range x.Reasons {
		lines[r.Message] = r.Line
	}
	text := strings.Split(authored, "\n")
	for _, message := range []string{"by the first", "by the second", "it is said"} {
		if line := lines[message]; line == 0 || !strings.Contains(text[line-1], message) {
			t.Errorf("%q is said to stand at line %d", message, line)
		}
	}
}

func TestWhatIsWaivedIsExplainedToo(t *testing.T) {
	ev := compileWith(t, own("mine", authored))
	f := authoredFacts(ev)
	f.Waivers = []policy.Waiver{{ID: "W-1", Rule: "mine.lab", Owner: "bob", Expires: f.Request.At.Add(1e12)}}
	r := reasonOf(t, ev, f, "mine.lab", "")
	if r.Effect != "waived" || r.Waiver != "W-1" || r.Title == "" || r.Line == 0 || r.Pack != "mine" || r.Message != "from the lab" {
		t.Errorf("a waived reason is %+v", r)
	}
}

func TestARuleThatFailsIsNamed(t *testing.T) {
	ev := compileWith(t, own("broken", `package bondgate.rules.broken

deny contains "no object" if input.action == "manifest.pull"
`))
	r := reasonOf(t, ev, pullFacts(ev), "bondgate.policy_error", "")
	if r.File != "rules/broken.rego" || r.Line != 3 {
		t.Errorf("an entry that is none stands at %s:%d", r.File, r.Line)
	}
	ev = compileWith(t, own("broken", `package bondgate.rules.broken

deny contains {"code": "broken.x", "msg": "x"} if {
	input.action == "manifest.pull"
	twice == 1
}

twice := 1 if input.action == "manifest.pull"

twice := 2 if input.purpose == "use"
`))
	r = reasonOf(t, ev, pullFacts(ev), "bondgate.policy_error", "")
	if r.File != "rules/broken.rego" || r.Line < 3 {
		t.Errorf("a conflict stands at %s:%d", r.File, r.Line)
	}
}

func TestAMissingFactIsExplained(t *testing.T) {
	ev := compileWith(t, own("vuln", `package bondgate.rules.vuln

# METADATA
# title: No known critical hole
# custom:
#   code: vuln.critical
#   needs: [vulnerabilities]
deny contains {"code": "vuln.critical", "msg": "x"} if {
	input.action == "manifest.pull"
	input.artifact.vulnerabilities.counts.CRITICAL > 0
}
`))
	r := reasonOf(t, ev, pullFacts(ev), "bondgate.fact_missing", "vulnerabilities")
	if r.Line == 0 || len(r.Changes) != 1 || r.Changes[0].Path != "artifact.vulnerabilities.status" {
		t.Errorf("a missing fact: %+v", r)
	}
}

func TestAHostileBundleStaysWithinItsBudget(t *testing.T) {
	chain := strings.Builder{}
	chain.WriteString("package bondgate.rules.chain\n\nf0(x) if x.artifact.config.user == \"\"\n")
	for i := range 400 {
		fmt.Fprintf(&chain, "\nf%d(x) if {\n\tf%d(x)\n\tinput.artifact.size >= %d\n}\n", i+1, i, -i)
	}
	chain.WriteString("\ndeny contains {\"code\": \"chain.deep\", \"msg\": \"deep\"} if f400(input)\n")
	bundles := map[string]string{
		"explosion": `package bondgate.rules.explosion

deny contains {"code": "explosion.all", "term": sprintf("%d-%d-%d", [i, j, k]), "msg": "x"} if {
	some i, j, k
	input.artifact.layers[i].size == input.artifact.layers[j].size
	input.artifact.layers[j].size == input.artifact.layers[k].size
}
`,
		"endless": `package bondgate.rules.endless

deny contains {"code": "endless.loop", "msg": "x"} if {
	some a in numbers.range(1, 2000)
	some b in numbers.range(1, 2000)
	some c in numbers.range(1, 2000)
	a * b * c == input.artifact.size
}

deny contains {"code": "endless.first", "msg": "y"} if input.artifact.size >= 0
`,
		"chain": chain.String(),
	}
	for name, text := range bundles {
		t.Run(name, func(t *testing.T) {
			ev := compileWith(t, own(name, text))
			f := pullFacts(ev)
			for i := range 40 {
				f.Request.Artifact.Layers = append(f.Request.Artifact.Layers, policy.Descriptor{Size: 1, MediaType: fmt.Sprint(i)})
			}
			x, err := ev.Explain(t.Context(), policy.Document(f))
			if err != nil && !errors.Is(err, policy.ErrUnavailable) {
				t.Fatal(err)
			}
			raw, _ := json.Marshal(x.Reasons[:min(len(x.Reasons), 25)])
			if len(raw) > 4<<20 {
				t.Errorf("25 reasons take %d bytes", len(raw))
			}
			if name == "explosion" && err == nil && !x.Partial {
				t.Errorf("%d reasons were explained as if that was all", len(x.Reasons))
			}
		})
	}
}

func TestAHugeInputIsExplained(t *testing.T) {
	ev := compileWith(t, own("mine", authored))
	f := authoredFacts(ev)
	for i := range 20_000 {
		f.Request.Artifact.Config.Labels[fmt.Sprintf("label.%d", i)] = strings.Repeat("x", 50)
		f.Request.Artifact.Tags = append(f.Request.Artifact.Tags, fmt.Sprint("v", i))
	}
	x, err := ev.Explain(t.Context(), policy.Document(f))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(x)
	if err != nil || len(raw) > 1<<20 {
		t.Fatalf("the explanation takes %d bytes: %v", len(raw), err)
	}
	if len(x.Reasons) == 0 {
		t.Fatal("nothing is explained")
	}
}

func FuzzChangesAreAppliedOrRefused(f *testing.F) {
	for _, s := range []string{"subject.roles", `artifact.config.labels["org.example/team"]`, "artifact.layers[0].size", "waivers[0]", "[", `["`, "a..b", "a[-1]", "a[999999999999999999999]"} {
		f.Add(s)
	}
	ev := compileWith(f)
	doc := policy.Document(pullFacts(ev))
	before, err := json.Marshal(doc)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		out, err := opa.Apply(doc, []policy.Change{{Path: path, To: "x"}})
		if err == nil && out == nil {
			t.Fatal("no input and no error")
		}
		if after, _ := json.Marshal(doc); string(after) != string(before) {
			t.Fatal("the input itself was changed")
		}
	})
}
