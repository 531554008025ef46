package opa_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

// pullFacts is alice, a developer, pulling an image that runs as root.
func pullFacts(ev policy.Evaluator, own ...policy.Pack) policy.Facts {
	a := benchArtifact()
	a.Config.User = ""
	return policy.Facts{
		Request: policy.Request{
			At: time.Unix(1790000000, 0), Action: policy.ManifestPull, Artifact: a,
			Principal:  policy.Principal{ID: "alice", Issuer: policy.LocalIssuer, Kind: policy.KindUser, Auth: "basic"},
			Repository: policy.Repository{Name: "payments/api"},
			Reference:  policy.Reference{Kind: policy.ByTag, Value: "1.4.2", Current: a.Digest},
		},
		Subject: policy.Subject{Roles: []string{"developer"}}, ProjectExists: true,
		Project: policy.Project{Name: "payments", Packs: own}, Packs: ev.Packs(own), Revision: ev.Revision(),
	}
}

func decide(t testing.TB, ev policy.Evaluator, f policy.Facts) policy.Decision {
	t.Helper()
	d, err := ev.Decide(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if d.Allowed() != (len(d.Deny) == 0) {
		t.Fatalf("verdict %s with denies %v", d.Verdict, d.Deny)
	}
	return d
}

func codes(in []policy.Reason) string {
	var out []string
	for _, r := range in {
		out = append(out, r.Code)
	}
	return strings.Join(out, " ")
}

// noroot is the one-rule bundle of the documentation.
const noroot = `package bondgate.rules.noroot

import data.bondgate.lib.image

# METADATA
# title: No image runs as root
# schemas:
#   - input: schema.input["manifest.pull"]
# custom:
#   code: noroot.user
#   severity: high
#   remediation: Set USER in the Dockerfile and push again.
deny contains {"code": "noroot.user", "msg": "the image runs as root"} if {
	input.action == "manifest.pull"
	image.runnable
	image.runs_as_root
}
`

func mine(body string) opa.File { return opa.File{Path: "mine.rego", Data: []byte(body)} }

// pack is a pack of one rule, with more METADATA and the head and body given.
func pack(meta, rule string) opa.File {
	return mine("package bondgate.rules.mine\n\n# METADATA\n# title: t\n# custom:\n#   code: mine.no\n" + meta + rule + "\n")
}

const always = `deny contains {"code": "mine.no", "msg": "no"} if input.action == "manifest.pull"`

func TestTheOneRuleBundleDeniesAPullAndLetsThePushOfTheFixThrough(t *testing.T) {
	ev := compileWith(t, mine(noroot))
	f := pullFacts(ev)
	d := decide(t, ev, f)
	if d.Allowed() || d.Message != "[noroot.user] the image runs as root" || !d.Visible {
		t.Fatalf("got %+v", d)
	}
	want := policy.Reason{Code: "noroot.user", Pack: "noroot", Mode: "deny", Severity: "high",
		Message: "the image runs as root", Remediation: "Set USER in the Dockerfile and push again."}
	if d.Deny[0] != want {
		t.Fatalf("got %+v", d.Deny[0])
	}
	if d.Revision != ev.Revision() || d.Revision == "" {
		t.Fatalf("revision %q", d.Revision)
	}

	f.Request.Action = policy.ManifestPush
	if d := decide(t, ev, f); !d.Allowed() {
		t.Fatalf("a push is denied: %s", d.Message)
	}
	f.Request.Action, f.Request.Purpose = policy.ManifestPull, policy.Inspect
	if d := decide(t, ev, f); !d.Allowed() {
		t.Fatalf("a look before a push is denied: %s", d.Message)
	}
}

func TestModesAndDatesDecideWhatADenyComesTo(t *testing.T) {
	for _, c := range []struct {
		name, meta          string
		own                 policy.Mode
		deny, warn, dryrun  string
		packMeta, shippedAt string
	}{
		{name: "an author's pack that nobody gave a mode denies", deny: "mine.no"},
		{name: "a pack on trial warns", packMeta: "warn", warn: "mine.no"},
		{name: "a pack in a dry run says so", packMeta: "dryrun", dryrun: "mine.no"},
		{name: "a pack that is off says nothing", packMeta: "off"},
		{name: "a project raises off to deny", packMeta: "off", own: policy.ModeDeny, deny: "mine.no"},
		{name: "a project raises warn to deny", packMeta: "warn", own: policy.ModeDeny, deny: "mine.no"},
		{name: "a project cannot lower deny to off", own: policy.ModeOff, deny: "mine.no"},
		{name: "a project cannot lower deny to warn", own: policy.ModeWarn, deny: "mine.no"},
		{name: "a project cannot lower warn to dryrun", packMeta: "warn", own: policy.ModeDryrun, warn: "mine.no"},
		{name: "a mode that nobody knows denies", packMeta: "off", own: "perhaps", deny: "mine.no"},
		{name: "a date that is past denies", meta: "#   effective_on: \"2020-01-01T00:00:00Z\"\n", deny: "mine.no"},
		{name: "a date that is ahead warns", meta: "#   effective_on: \"2099-01-01T00:00:00Z\"\n", warn: "mine.no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := pack(c.meta, always)
			if c.packMeta != "" {
				f.Data = []byte("# METADATA\n# scope: package\n# custom:\n#   mode: " + c.packMeta + "\n" + string(f.Data))
			}
			ev := compileWith(t, f)
			var own []policy.Pack
			if c.own != "" {
				own = append(own, policy.Pack{Name: "mine", Mode: c.own})
			}
			d := decide(t, ev, pullFacts(ev, own...))
			if codes(d.Deny) != c.deny || codes(d.Warn) != c.warn || codes(d.Dryrun) != c.dryrun {
				t.Fatalf("deny %q, warn %q, dryrun %q", codes(d.Deny), codes(d.Warn), codes(d.Dryrun))
			}
		})
	}
}

func TestWaiversLiftWhatMayBeWaived(t *testing.T) {
	term := `deny contains {"code": "mine.no", "term": "CVE-1", "msg": "no"} if input.action == "manifest.pull"`
	for _, c := range []struct {
		name, meta string
		waiver     policy.Waiver
		allowed    bool
	}{
		{"a waiver of the rule lifts it", "", policy.Waiver{ID: "W", Rule: "mine.no"}, true},
		{"a waiver of the term lifts it", "", policy.Waiver{ID: "W", Rule: "mine.no", Terms: []string{"CVE-2", "CVE-1"}}, true},
		{"a waiver of another term does not", "", policy.Waiver{ID: "W", Rule: "mine.no", Terms: []string{"CVE-2"}}, false},
		{"a waiver of another rule does not", "", policy.Waiver{ID: "W", Rule: "mine.yes"}, false},
		{"a rule that is not waivable stays", "#   waivable: false\n", policy.Waiver{ID: "W", Rule: "mine.no"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev := compileWith(t, pack(c.meta, term))
			f := pullFacts(ev)
			f.Waivers = []policy.Waiver{c.waiver}
			d := decide(t, ev, f)
			if d.Allowed() != c.allowed {
				t.Fatalf("allowed %v: %s", d.Allowed(), d.Message)
			}
			if c.allowed && (len(d.Waived) != 1 || d.Waived[0] != policy.Waived{Code: "mine.no", Term: "CVE-1", Waiver: "W"}) {
				t.Fatalf("waived %+v", d.Waived)
			}
		})
	}
}

func TestThePurposeRunsItsClasses(t *testing.T) {
	for _, class := range []policy.Class{policy.Access, policy.Content} {
		file := pack("", always)
		file.Data = []byte("# METADATA\n# scope: package\n# custom:\n#   class: " + string(class) + "\n" + string(file.Data))
		ev := compileWith(t, file)
		for _, p := range []policy.Purpose{policy.Use, policy.Inspect, policy.Scan, policy.Token, policy.Evaluate, policy.AuditPurpose, "nobody-knows"} {
			f := pullFacts(ev)
			f.Request.Purpose = p
			if p == policy.Evaluate || p == policy.AuditPurpose {
				f.Request.Principal, f.Subject = policy.Principal{}, policy.Subject{}
			}
			d := decide(t, ev, f)
			if d.Allowed() == p.Runs(class) {
				t.Errorf("a deny of class %s for purpose %s: allowed %v (%s)", class, p, d.Allowed(), codes(d.Deny))
			}
		}
	}
}

func TestAFactThatIsNeededAndNotThereDenies(t *testing.T) {
	needs := "#   needs: [vulnerabilities]\n"
	ev := compileWith(t, pack(needs, `deny contains {"code": "mine.no", "msg": "no"} if {
	input.action == "manifest.pull"
	input.artifact.vulnerabilities.counts.CRITICAL > 0
}`))
	f := pullFacts(ev)
	f.Waivers = []policy.Waiver{{ID: "W", Rule: "bondgate.fact_missing"}}
	d := decide(t, ev, f)
	if codes(d.Deny) != "bondgate.fact_missing" || d.Deny[0].Term != "vulnerabilities" {
		t.Fatalf("got %+v", d)
	}
	f.Request.Action = policy.ManifestPush
	if d := decide(t, ev, f); !d.Allowed() {
		t.Fatalf("an action that needs no fact: %s", d.Message)
	}
	if got := ev.Needs(policy.ManifestPull, ev.Packs(nil)).Groups; len(got) != 1 || got[0] != "vulnerabilities" {
		t.Fatalf("needs %v", got)
	}
	if got := ev.Needs(policy.ManifestPush, ev.Packs(nil)).Groups; len(got) != 0 {
		t.Fatalf("needs at a push %v", got)
	}
}

func TestAPackThatAProjectWantsAndNobodyLoadedDenies(t *testing.T) {
	ev := compileWith(t)
	d := decide(t, ev, pullFacts(ev, policy.Pack{Name: "vuln", Mode: policy.ModeDeny}))
	if codes(d.Deny) != "bondgate.pack_missing" || d.Deny[0].Term != "vuln" {
		t.Fatalf("got %+v", d)
	}
	d = decide(t, ev, pullFacts(ev, policy.Pack{Name: "vuln", Mode: policy.ModeWarn}))
	if !d.Allowed() || codes(d.Warn) != "bondgate.pack_missing" {
		t.Fatalf("got %+v", d)
	}
	f := pullFacts(ev)
	f.Packs = nil
	if d := decide(t, ev, f); codes(d.Deny) != "bondgate.pack_missing" {
		t.Fatalf("no packs at all: %+v", d)
	}
	// Only who may take the pack out of the project is let through, to do that.
	for _, c := range []struct{ resource, verb, role, deny string }{
		{"project", "update", "admin", ""},
		{"project", "read", "projectAdmin", ""},
		{"project", "update", "guest", "rbac.admin"},
		{"waiver", "create", "admin", "bondgate.pack_missing"},
		{"member", "update", "admin", "bondgate.pack_missing"},
	} {
		f := benchFacts(ev, policy.AdminAPI, 0)
		f.Request.Admin = &policy.AdminCall{Resource: c.resource, Verb: c.verb}
		f.Subject.Roles, f.Packs = []string{c.role}, ev.Packs([]policy.Pack{{Name: "gone", Mode: policy.ModeDeny}})
		if d := decide(t, ev, f); codes(d.Deny) != c.deny {
			t.Errorf("%s:%s by %s: %+v", c.resource, c.verb, c.role, d)
		}
	}
}

func TestAPolicyThatGoesWrongDenies(t *testing.T) {
	for _, c := range []struct{ name, rule string }{
		{"a deny that is a text", `deny contains "no" if input.action == "manifest.pull"`},
		{"a deny without a message", `deny contains {"code": "mine.no"} if input.action == "manifest.pull"`},
		{"a deny with a number for its code", `deny contains {"code": 1, "msg": "no"} if input.action == "manifest.pull"`},
		{"a deny whose date is none", `deny contains {"code": "mine.no", "msg": "no", "effective_on": "soon"} if input.action == "manifest.pull"`},
		{"a builtin that fails", `deny contains {"code": "mine.no", "msg": "no"} if {
	input.action == "manifest.pull"
	to_number(input.subject.name) > 3
}`},
		{"values that contradict each other", `deny contains {"code": "mine.no", "msg": "no"} if {
	input.action == "manifest.pull"
	which == 1
}

which := 1 if input.action == "manifest.pull"

which := 2 if input.subject.name == "alice"`},
		{"an obligation that is a text", `obligation contains "audit" if input.action == "manifest.pull"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev := compileWith(t, pack("", c.rule))
			if d := decide(t, ev, pullFacts(ev)); codes(d.Deny) != "bondgate.policy_error" {
				t.Fatalf("got %+v", d)
			}
		})
	}
}

func TestBeingCutShortIsNoDecision(t *testing.T) {
	ev := compileWith(t, pack("", `deny contains {"code": "mine.no", "msg": "no"} if {
	input.action == "manifest.pull"
	some a in numbers.range(1, 100000)
	some b in numbers.range(1, 100000)
	a * b == -1
}`))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	d, err := ev.Decide(ctx, pullFacts(ev))
	if !errors.Is(err, policy.ErrUnavailable) || d.Allowed() {
		t.Fatalf("got %+v, %v", d, err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := ev.Decide(gone, pullFacts(ev)); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("a request that is gone: %v", err)
	}
}

func TestAPanicIsNoDecision(t *testing.T) {
	// An evaluator that nobody compiled has nothing to evaluate.
	d, err := new(opa.Evaluator).Decide(t.Context(), pullFacts(compileWith(t)))
	if !errors.Is(err, policy.ErrUnavailable) || d.Allowed() {
		t.Fatalf("got %+v, %v", d, err)
	}
}

func TestObligationsReachTheDecision(t *testing.T) {
	ev := compileWith(t, pack("", `obligation contains {"type": "audit", "level": "full"} if input.action == "manifest.pull"

warn contains {"code": "mine.soon", "msg": "soon"} if input.action == "manifest.pull"`))
	d := decide(t, ev, pullFacts(ev))
	if !d.Allowed() || len(d.Obligations) != 1 || d.Obligations[0].Type != "audit" || d.Obligations[0].Fields["level"] != "full" {
		t.Fatalf("got %+v", d)
	}
	if codes(d.Warn) != "mine.soon" {
		t.Fatalf("warn %+v", d.Warn)
	}
}

func TestOneInputHasOneAnswer(t *testing.T) {
	ev := compileWith(t, mine(noroot))
	f := pullFacts(ev)
	first := decide(t, ev, f)
	for range 50 {
		if again := decide(t, ev, f); again.Message != first.Message || codes(again.Deny) != codes(first.Deny) {
			t.Fatalf("%+v and %+v", first, again)
		}
	}
}

func TestManyRequestsShareOneEvaluator(t *testing.T) {
	ev := compileWith(t, mine(noroot))
	denied, allowed := pullFacts(ev), ask(ev, "guest", policy.TagsList, false)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if d, err := ev.Decide(t.Context(), denied); err != nil || codes(d.Deny) != "noroot.user" {
					t.Errorf("got %+v, %v", d, err)
				}
				if d, err := ev.Decide(t.Context(), allowed); err != nil || !d.Allowed() {
					t.Errorf("got %+v, %v", d, err)
				}
			}
		})
	}
	wg.Wait()
}
