package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bondgate/bondgate/policy/replay"
)

func TestWithTheBundleThatDecidedEveryAnswerComesOutAgain(t *testing.T) {
	ev := compiled(t, map[string]string{"a.rego": rule("mine", "mine.latest", "no latest", `input.reference.value == "latest"`)})
	var cases []replay.Case
	for i := range 200 {
		tag := []string{"latest", "1.0", "2.0"}[i%3]
		cases = append(cases, decided(t, ev, fmt.Sprint("D", i), int64(i%5), pull(fmt.Sprintf("p%d/app", i%7), tag)))
	}
	report := run(t, ev, replay.Options{}, cases...)
	if !report.OK() || report.Same.Decisions != 200 || report.SameBundle != report.Recorded || report.Unequal.Decisions != 0 {
		t.Fatalf("%+v", report)
	}
	if r := ruleOf(t, report, "mine.latest"); r.Was.Deny == 0 || r.Was != r.Now || r.Requests != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestAnAnswerThatIsNotAsRecordedIsNamedWithItsFirstField(t *testing.T) {
	ev := compiled(t, nil)
	c := decided(t, ev, "D1", 3, pull("p/app", "1.0"))
	c.Was.Visible = !c.Was.Visible
	report := run(t, ev, replay.Options{}, c)
	if report.OK() || report.Unequal.Requests != 3 || report.UnequalSamples[0].Field != "visible" || report.UnequalSamples[0].ID != "D1" {
		t.Fatalf("%+v", report)
	}
	if f := report.Findings[0]; f.Kind != replay.Unequal || f.Requests != 3 {
		t.Fatalf("%+v", report.Findings)
	}
}

func TestWhatAnotherBundleChanges(t *testing.T) {
	latest := rule("mine", "mine.latest", "no latest", `input.reference.value == "latest"`)
	for _, c := range []struct {
		what     string
		was, now map[string]string
		code     string
		want     replay.Changes
		effects  [2]replay.Effects
	}{
		{"a rule that is added denies what it speaks about", nil, map[string]string{"a.rego": latest},
			"mine.latest", replay.Changes{NewlyDenied: 7}, [2]replay.Effects{{}, {Deny: 7}}},
		{"a rule that is tightened denies more",
			map[string]string{"a.rego": latest},
			map[string]string{"a.rego": rule("mine", "mine.latest", "no latest", `input.reference.value in {"latest", "1.0"}`)},
			"mine.latest", replay.Changes{NewlyDenied: 2}, [2]replay.Effects{{Deny: 7}, {Deny: 9}}},
		{"a rule that is removed lets pass", map[string]string{"a.rego": latest}, nil,
			"mine.latest", replay.Changes{NewlyAllowed: 7}, [2]replay.Effects{{Deny: 7}, {}}},
		{"other words of a rule are a change of no verdict",
			map[string]string{"a.rego": latest},
			map[string]string{"a.rego": rule("mine", "mine.latest", "never latest", `input.reference.value == "latest"`)},
			"mine.latest", replay.Changes{Changed: 7}, [2]replay.Effects{{Deny: 7}, {Deny: 7}}},
		{"a pack on trial tries", nil,
			map[string]string{"a.rego": latest, "data.json": `{"bondgate": {"packs": {"mine": {"mode": "dryrun"}}}}`},
			"mine.latest", replay.Changes{Changed: 7}, [2]replay.Effects{{}, {Dryrun: 7}}},
		{"a pack that only warns now lets pass", map[string]string{"a.rego": latest},
			map[string]string{"a.rego": latest, "data.json": `{"bondgate": {"packs": {"mine": {"mode": "warn"}}}}`},
			"mine.latest", replay.Changes{NewlyAllowed: 7}, [2]replay.Effects{{Deny: 7}, {Warn: 7}}},
		{"a waiver in a file lifts it",
			map[string]string{"a.rego": latest}, map[string]string{"a.rego": latest, "waivers.json": fileWaiver},
			"mine.latest", replay.Changes{NewlyAllowed: 4}, [2]replay.Effects{{Deny: 7}, {Deny: 3, Waived: 4}}},
		{"and without the waiver the rule denies again",
			map[string]string{"a.rego": latest, "waivers.json": fileWaiver}, map[string]string{"a.rego": latest},
			"mine.latest", replay.Changes{NewlyDenied: 4}, [2]replay.Effects{{Deny: 3, Waived: 4}, {Deny: 7}}},
		{"a rule that cannot be evaluated denies", nil,
			map[string]string{"a.rego": rule("mine", "mine.wrong", "wrong", `to_number(input.reference.value) == 1`)},
			"bondgate.policy_error", replay.Changes{NewlyDenied: 7}, [2]replay.Effects{{}, {Deny: 7}}},
	} {
		t.Run(c.what, func(t *testing.T) {
			was, now := compiled(t, c.was), compiled(t, c.now)
			report := run(t, now, replay.Options{},
				decided(t, was, "D1", 3, pull("p/app", "latest")),
				decided(t, was, "D2", 2, pull("p/app", "1.0")),
				decided(t, was, "D3", 4, by(pull("q/app", "latest"), "bob")))
			r := ruleOf(t, report, c.code)
			if r.Changes != c.want || r.Was != c.effects[0] || r.Now != c.effects[1] {
				t.Fatalf("%+v", r)
			}
			if report.OK() || report.Unequal.Decisions != 0 || report.SameBundle.Decisions != 0 {
				t.Fatalf("%+v", report)
			}
		})
	}
}

// fileWaiver lifts mine.latest in project q.
const fileWaiver = `{"W-1": {"rule": "mine.latest", "scope": {"projects": ["q"]}, "owner": "alice", "approver": "bob", "reason": "moving", "ticket": "T-1",
"created": "2026-09-01T00:00:00Z", "expires": "2027-01-01T00:00:00Z"}}`

func TestWhomAChangeTouchesIsToldWithSamples(t *testing.T) {
	was := compiled(t, nil)
	now := compiled(t, map[string]string{"a.rego": rule("mine", "mine.latest", "no latest", `input.reference.value == "latest"`)})
	var cases []replay.Case
	for i := range 60 {
		cases = append(cases, decided(t, was, fmt.Sprintf("D%02d", i), 1, by(pull(fmt.Sprintf("p%d/app", i%20), "latest"), fmt.Sprint("u", i%30))))
	}
	r := ruleOf(t, run(t, now, replay.Options{}, cases...), "mine.latest")
	if r.Projects.Count != 20 || r.Subjects.Count != 30 || r.Projects.AtLeast || len(r.Projects.First) != 10 || r.Projects.First[0] != "p0" {
		t.Fatalf("%+v %+v", r.Projects, r.Subjects)
	}
	if s := r.Samples[0]; s.Was != "allow" || !strings.HasPrefix(s.Now, "deny: no latest") {
		t.Fatalf("%+v", s)
	}
	if len(r.Samples) != 5 || r.Samples[4].ID != "D04" || r.Samples[0].Kind != replay.NewlyDenied {
		t.Fatalf("%+v", r.Samples)
	}
}

func TestWhatCannotBeJudgedIsSkippedByName(t *testing.T) {
	ev := compiled(t, map[string]string{"a.rego": rule("mine", "mine.agent", "no curl", `startswith(input.request.user_agent, "curl")`)})
	good := decided(t, ev, "D1", 2, pull("p/app", "1.0"))
	masked := func(paths ...string) replay.Case {
		c := good
		c.Masked = paths
		return c
	}
	outage, empty := good, good
	outage.Skip, empty.Raw = replay.SkipOutage, nil
	report := run(t, ev, replay.Options{}, good, outage, empty,
		masked("request.user_agent"), masked("request"), masked("project.packs"), masked("request.client_ip", "request.host"),
		masked("record.message"), masked("record.subject"))
	want := map[string]replay.Number{
		replay.SkipOutage: {Decisions: 1, Requests: 2}, replay.SkipNoInput: {Decisions: 1, Requests: 2},
		replay.SkipMasked: {Decisions: 4, Requests: 8},
	}
	if len(report.Skipped) != len(want) {
		t.Fatalf("%+v", report.Skipped)
	}
	for why, n := range want {
		if report.Skipped[why] != n {
			t.Errorf("%s: %+v", why, report.Skipped[why])
		}
	}
	if report.Replayed.Decisions != 3 || report.Same.Decisions != 3 || report.Recorded.Decisions != 9 {
		t.Fatalf("%+v", report.Totals)
	}
}

func TestWhatIsExpectedIsNoFinding(t *testing.T) {
	was := compiled(t, nil)
	now := compiled(t, map[string]string{"a.rego": rule("mine", "mine.latest", "no latest", `input.reference.value == "latest"`)})
	cases := []replay.Case{
		decided(t, was, "D1", 3, pull("p/app", "latest")), decided(t, was, "D2", 1, pull("q/app", "latest")),
		decided(t, was, "D3", 1, pull("r/app", "latest")),
	}
	for _, c := range []struct {
		what, expect string
		findings     []replay.Finding
		idle         []string
	}{
		{"nothing is expected", `{"rules": {}}`,
			[]replay.Finding{{Rule: "mine.latest", Kind: replay.NewlyDenied, Requests: 5}}, []string{}},
		{"as many as there are", `{"rules": {"mine.latest": {"newly_denied": 5}}}`, []replay.Finding{}, []string{}},
		{"one too many", `{"rules": {"mine.latest": {"newly_denied": 4}}}`,
			[]replay.Finding{{Rule: "mine.latest", Kind: replay.NewlyDenied, Requests: 5, Expected: 4}}, []string{}},
		{"another way to change", `{"rules": {"mine.latest": {"newly_allowed": 9, "changed": 9}}}`,
			[]replay.Finding{{Rule: "mine.latest", Kind: replay.NewlyDenied, Requests: 5}}, []string{}},
		{"a project has limits of its own", `{"rules": {"mine.latest": {"newly_denied": 2, "projects": {"p": {"newly_denied": 3}}}}}`,
			[]replay.Finding{}, []string{}},
		{"a project of those that are named changes more", `{"rules": {"mine.latest": {"newly_denied": 9, "projects": {"p": {"newly_denied": 2}}}}}`,
			[]replay.Finding{{Rule: "mine.latest", Project: "p", Kind: replay.NewlyDenied, Requests: 3, Expected: 2}}, []string{}},
		{"a project that is not named may not change", `{"rules": {"mine.latest": {"projects": {"p": {"newly_denied": 3}, "q": {"newly_denied": 1}}}}}`,
			[]replay.Finding{{Rule: "mine.latest", Kind: replay.NewlyDenied, Requests: 1}}, []string{}},
		{"a rule that changes nothing is told", `{"rules": {"mine.latest": {"newly_denied": 5}, "mine.typo": {"newly_denied": 5}}}`,
			[]replay.Finding{}, []string{"mine.typo"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			var expect replay.Expectation
			if err := json.Unmarshal([]byte(c.expect), &expect); err != nil {
				t.Fatal(err)
			}
			report := run(t, now, replay.Options{Expect: &expect}, cases...)
			if !slices.Equal(report.Findings, c.findings) || !slices.Equal(report.Idle, c.idle) {
				t.Fatalf("%+v %v", report.Findings, report.Idle)
			}
		})
	}
}

// A worker that is slow with one case must not change what the report says.
func TestTheReportDoesNotDependOnWhoWasFirst(t *testing.T) {
	was := compiled(t, nil)
	now := compiled(t, map[string]string{"a.rego": rule("mine", "mine.latest", "no latest", `input.reference.value == "latest"`)})
	var cases []replay.Case
	for i := range 1500 {
		cases = append(cases, decided(t, was, fmt.Sprint("D", i), int64(i%4), by(pull(fmt.Sprintf("p%d/app", i%40), []string{"latest", "1"}[i%2]), fmt.Sprint("u", i%90))))
	}
	var first []byte
	for _, workers := range []int{1, 2, 7} {
		report := run(t, now, replay.Options{Workers: workers}, cases...)
		raw, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = raw
		}
		if !bytes.Equal(first, raw) {
			t.Fatalf("%d workers say\n%s\nand one says\n%s", workers, raw, first)
		}
	}
}

func TestCasesThatBreakOffAreNoReport(t *testing.T) {
	ev := compiled(t, nil)
	good := decided(t, ev, "D1", 1, pull("p/app", "1.0"))
	cases := iter.Seq2[replay.Case, error](func(yield func(replay.Case, error) bool) {
		if yield(good, nil) {
			yield(replay.Case{}, io.ErrUnexpectedEOF)
		}
	})
	report, err := replay.Run(t.Context(), cases, ev, replay.Options{})
	if !errors.Is(err, io.ErrUnexpectedEOF) || report.Recorded.Decisions != 0 {
		t.Fatalf("%v %+v", err, report)
	}
}

func TestAReplayEndsWithItsContext(t *testing.T) {
	ev := compiled(t, nil)
	good := decided(t, ev, "D1", 1, pull("p/app", "1.0"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := false
	cases := iter.Seq2[replay.Case, error](func(yield func(replay.Case, error) bool) {
		defer func() { ended = true }()
		for n := 0; yield(good, nil); n++ {
			if n == 1000 {
				cancel()
			}
		}
	})
	if _, err := replay.Run(ctx, cases, ev, replay.Options{}); !errors.Is(err, context.Canceled) || !ended {
		t.Fatalf("%v, the cases ended: %v", err, ended)
	}
}

func TestAnInputThatIsNoDocumentIsUndecided(t *testing.T) {
	ev := compiled(t, nil)
	for _, raw := range []string{"null", "[]", "{} {}", `{"api":`} {
		c := decided(t, ev, "D1", 1, pull("p/app", "1.0"))
		c.Raw = json.RawMessage(raw)
		report := run(t, ev, replay.Options{}, c)
		if report.OK() || report.Undecided.Decisions != 1 || report.Findings[0].Kind != replay.Undecided {
			t.Errorf("%s: %+v", raw, report)
		}
	}
}

func TestARuleThatNeverEndsIsUndecided(t *testing.T) {
	was := compiled(t, nil)
	now := compiled(t, map[string]string{"a.rego": rule("mine", "mine.slow", "slow", `count({x | some x in numbers.range(1, 9000); some y in numbers.range(1, 9000); x * y == 7}) == 3`)})
	report := run(t, now, replay.Options{Deadline: 20 * time.Millisecond}, decided(t, was, "D1", 4, pull("p/app", "1.0")))
	if report.OK() || report.Undecided.Requests != 4 || report.UndecidedSamples[0].ID != "D1" {
		t.Fatalf("%+v", report)
	}
}

// Reading only what the bundle looks at must change no answer.
func TestACaseIsJudgedAlikeWholeAndAsFarAsItIsLookedAt(t *testing.T) {
	was := compiled(t, nil)
	now := compiled(t, map[string]string{"a.rego": rule("mine", "mine.layers", "many layers", `count(input.artifact.layers) > 3; input.request.user_agent != ""`)})
	var whole, part []replay.Case
	for i := range 300 {
		c := decided(t, was, fmt.Sprint("D", i), 1, mixed(i))
		part = append(part, c)
		dec := json.NewDecoder(bytes.NewReader(c.Raw))
		dec.UseNumber()
		if err := dec.Decode(&c.Input); err != nil {
			t.Fatal(err)
		}
		c.Raw = nil
		whole = append(whole, c)
	}
	for _, judge := range []replay.Judge{was, now} {
		a, b := run(t, judge, replay.Options{}, whole...), run(t, judge, replay.Options{}, part...)
		if !reflect.DeepEqual(a, b) || a.Replayed.Decisions != 300 {
			t.Fatalf("%+v\n%+v", a, b)
		}
	}
}

// Codes that a rule makes of what it sees, and names of any length, do not make the
// report grow with the log.
func TestAReportIsBounded(t *testing.T) {
	was := compiled(t, nil)
	now := compiled(t, map[string]string{"a.rego": `package bondgate.rules.mine

deny contains {"code": concat("", ["mine.", input.reference.value]), "msg": concat("", [input.reference.value, input.reference.value])} if {
	input.action == "manifest.pull"
}
`})
	one := decided(t, was, "D", 1, pull("p/app", "TAG"))
	one.Subject = strings.Repeat("é", 4000)
	cases := func(yield func(replay.Case, error) bool) {
		for i := range replay.MaxRules + 200 {
			c := one
			c.Raw = bytes.Replace(c.Raw, []byte("TAG"), fmt.Appendf(nil, "%d%s", i, strings.Repeat("x", 3000)), 1)
			if !yield(c, nil) {
				return
			}
		}
	}
	report, err := replay.Run(t.Context(), cases, now, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rules) != replay.MaxRules+1 || report.NewlyDenied.Decisions != replay.MaxRules+200 {
		t.Fatalf("%d rules, %+v", len(report.Rules), report.Totals)
	}
	if rest := ruleOf(t, report, replay.OtherRules); rest.NewlyDenied != 200 || rest.Subjects.Count != 1 {
		t.Fatalf("%+v", rest)
	}
	for _, r := range report.Rules {
		if len(r.Code) > 512 || len(r.Samples[0].Now) > 512 || len(r.Samples[0].Subject) > 512 || !utf8.ValidString(r.Samples[0].Subject) {
			t.Fatalf("%+v", r)
		}
	}
}
