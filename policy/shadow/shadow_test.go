package shadow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
	"github.com/bondgate/bondgate/policy/shadow"
)

const noRoot = `package bondgate.rules.house

deny contains {"code": "house.no_root", "msg": "runs as root"} if {
	input.action == "manifest.pull"
	input.artifact.config.user in {"", "0", "root"}
}
`

// compile makes the bundle of one file beside the shipped ones.
func compile(t testing.TB, rule string) *opa.Evaluator {
	t.Helper()
	dir := t.TempDir()
	if rule != "" {
		if err := os.WriteFile(filepath.Join(dir, "rule.rego"), []byte(rule), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ev, err := bundle.Compile(t.Context(), dir, opa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func running(judge shadow.Judge) func() (shadow.Judge, error) {
	return func() (shadow.Judge, error) { return judge, nil }
}

// begin runs a shadow for as long as the test.
func begin(t testing.TB, cfg shadow.Config) *shadow.Shadow {
	t.Helper()
	if cfg.Deadline == 0 {
		cfg.Deadline = 10 * time.Second // a busy machine
	}
	s, err := shadow.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the worker ends with %v", err)
		}
	})
	return s
}

// until waits for the shadow to have looked at n decisions, or to have left them out.
func until(t testing.TB, s *shadow.Shadow, n int64) shadow.Counts {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		c := s.Counts()
		if c.Decisions+c.Failed+c.Full+c.Broken >= n {
			return c
		}
		if time.Since(start) > 30*time.Second {
			t.Fatalf("waited for %d decisions, and there are %+v", n, c)
		}
	}
}

var at = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// pull is what an administrator's pull of an image is judged on.
func pull(live *opa.Evaluator, project, tag, user string) policy.Facts {
	repo := policy.Repository{Workspace: policy.DefaultWorkspace, Name: project + "/app"}
	d := digest.FromString(tag)
	f := policy.Facts{
		Request: policy.Request{
			At: at, Principal: policy.Principal{Issuer: policy.LocalIssuer, ID: "alice", Kind: policy.KindUser},
			Action: policy.ManifestPull, Repository: repo,
			Reference: policy.Reference{Kind: policy.ByTag, Value: tag, Current: d},
			Artifact: (&policy.Artifact{
				Repository: repo, Digest: d, MediaType: "application/vnd.oci.image.manifest.v1+json",
				Kind: policy.KindImage, Role: policy.RoleImage, Size: 500, Tags: []string{tag},
				Config: &policy.ImageConfig{OS: "linux", User: user}, PushedAt: at.Add(-time.Hour), PushedBy: "ci",
			}).Seal(),
		},
		Subject: policy.Subject{Roles: []string{"admin"}}, Revision: live.Revision(),
		Project: policy.Project{Name: project, Owner: "team"}, ProjectExists: true,
	}
	f.Packs = live.Packs(nil)
	return f
}

func show(t testing.TB, s *shadow.Shadow, live *opa.Evaluator, f policy.Facts) {
	t.Helper()
	d, err := live.Decide(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	d.ID = "d-" + f.Request.Reference.Value
	s.Witness(f, d)
}

func TestWhatTheShadowWouldDenyIsCountedByRuleAndShown(t *testing.T) {
	live := compile(t, "")
	s := begin(t, shadow.Config{Current: running(compile(t, noRoot))})
	show(t, s, live, pull(live, "red", "good", "1000"))
	show(t, s, live, pull(live, "red", "bad", "root"))
	show(t, s, live, pull(live, "blue", "bad", ""))
	until(t, s, 3)

	r := s.Report(policy.DefaultWorkspace, "")
	if r.Decisions != 3 || r.Denied != 2 || r.Sum() != 2 || r.Failed != 0 || r.Skipped != 0 {
		t.Errorf("the report is %+v", r)
	}
	if len(r.Rules) != 1 || r.Rules[0].Code != "house.no_root" || r.Rules[0].Denied != 2 || r.Rules[0].Projects != 2 {
		t.Errorf("the rules are %+v", r.Rules)
	}
	if len(r.Samples) != 2 {
		t.Fatalf("the samples are %+v", r.Samples)
	}
	d := r.Samples[0]
	if d.Kind != policy.NewlyDenied || d.Decision != "d-bad" || d.Subject != "alice" || d.Reference != "bad" ||
		len(d.Was) != 0 || len(d.Now) != 1 || d.Now[0] != (policy.DifferingReason{Effect: "deny", Code: "house.no_root", Message: "runs as root"}) {
		t.Errorf("a sample is %+v", d)
	}

	t.Run("a project's report has that project only", func(t *testing.T) {
		r := s.Report(policy.DefaultWorkspace, "red")
		if r.Decisions != 2 || r.Denied != 1 || len(r.Samples) != 1 || r.Samples[0].Project != "red" || r.Rules[0].Denied != 1 {
			t.Errorf("the report is %+v", r)
		}
	})
	t.Run("another workspace has none", func(t *testing.T) {
		if r := s.Report("other", ""); r.Decisions != 0 || len(r.Rules)+len(r.Samples) != 0 {
			t.Errorf("the report is %+v", r)
		}
	})
	t.Run("a reset forgets what was found and goes on counting", func(t *testing.T) {
		s.Reset(policy.DefaultWorkspace)
		if r := s.Report(policy.DefaultWorkspace, ""); r.Decisions != 0 || r.Sum() != 0 || len(r.Rules)+len(r.Samples) != 0 {
			t.Errorf("the report is %+v", r)
		}
		if c := s.Counts(); c.Decisions != 3 || c.Denied != 2 {
			t.Errorf("the counters are %+v", c)
		}
		show(t, s, live, pull(live, "red", "bad", "root"))
		until(t, s, 4)
		if r := s.Report(policy.DefaultWorkspace, ""); r.Decisions != 1 || r.Denied != 1 || len(r.Samples) != 1 {
			t.Errorf("the report is %+v", r)
		}
	})
}

func TestWhatTheShadowWouldAllowIsCounted(t *testing.T) {
	live := compile(t, noRoot)
	s := begin(t, shadow.Config{Current: running(compile(t, ""))})
	show(t, s, live, pull(live, "red", "bad", "root"))
	until(t, s, 1)
	r := s.Report(policy.DefaultWorkspace, "")
	if r.Allowed != 1 || r.Sum() != 1 || r.Rules[0].Code != "house.no_root" || len(r.Samples[0].Was) != 1 || len(r.Samples[0].Now) != 0 {
		t.Errorf("the report is %+v", r)
	}
}

// The project's own modes are put before the shadow, not what the live bundle made
// of them.
func TestTheProjectsOwnModesHoldInTheShadow(t *testing.T) {
	live := compile(t, "")
	s := begin(t, shadow.Config{Current: running(compile(t, ""))})
	f := pull(live, "red", "bad", "root")
	f.Project.Packs = []policy.Pack{{Name: "image", Mode: policy.ModeDeny, Config: json.RawMessage(`{"checks":["root_user"]}`)}}
	f.Packs = live.Packs(f.Project.Packs)
	show(t, s, live, f)
	until(t, s, 1)
	if r := s.Report(policy.DefaultWorkspace, ""); r.Decisions != 1 || r.Sum() != 0 {
		t.Errorf("the same bundle would decide otherwise: %+v", r)
	}
}

// A management call may change what it was judged on as soon as it is allowed: the
// shadow judges what it was.
func TestAManagementCallIsJudgedAsItWasAsked(t *testing.T) {
	live := compile(t, "")
	rule := `package bondgate.rules.house

deny contains {"code": "house.labels", "msg": "no such label"} if {
	input.action == "admin.api"
	input.admin.after.label == "changed later"
}
`
	s := begin(t, shadow.Config{Current: running(compile(t, rule))})
	after := map[string]any{"label": "as it was"}
	f := pull(live, "red", "", "")
	f.Request.Action, f.Request.Artifact, f.Request.Reference = policy.AdminAPI, nil, policy.Reference{}
	f.Request.Admin = &policy.AdminCall{Resource: "project", Verb: "update", ID: "red", After: after}
	var wait sync.WaitGroup
	for range 50 {
		s.Witness(f, policy.Decision{Verdict: policy.Allow})
	}
	wait.Go(func() { after["label"] = "changed later" })
	wait.Wait()
	c := until(t, s, 50)
	if c.Decisions != 50 || c.Sum() != 0 {
		t.Errorf("the counters are %+v", c)
	}
	after["label"] = "changed later"
	s.Witness(f, policy.Decision{Verdict: policy.Allow})
	until(t, s, 51)
	r := s.Report(policy.DefaultWorkspace, "")
	if r.Denied != 1 || len(r.Samples) != 1 || r.Samples[0].Reference != "project:update red" {
		t.Errorf("the report is %+v", r)
	}
}

func TestAShareIsShown(t *testing.T) {
	live := compile(t, "")
	s := begin(t, shadow.Config{Current: running(live), Share: 0.2, Queue: 4000})
	f := pull(live, "red", "good", "1000")
	d := policy.Decision{Verdict: policy.Allow, Visible: true}
	for range 1000 {
		s.Witness(f, d)
	}
	// A thousand times one in five: far from both ends, whatever the dice.
	c := until(t, s, 50)
	if c.Full != 0 || c.Broken != 0 {
		t.Errorf("the counters are %+v", c)
	}
	for _, bad := range []float64{-0.1, 1.1} {
		if _, err := shadow.New(shadow.Config{Current: running(live), Share: bad}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("a share of %g: %v", bad, err)
		}
	}
	if _, err := shadow.New(shadow.Config{}); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("a shadow of nothing: %v", err)
	}
}

// A bundle begins with no differences: they were another one's.
func TestAnotherRevisionBeginsAnew(t *testing.T) {
	live := compile(t, "")
	var now atomic.Pointer[opa.Evaluator]
	now.Store(compile(t, noRoot))
	s := begin(t, shadow.Config{Current: func() (shadow.Judge, error) { return now.Load(), nil }})
	show(t, s, live, pull(live, "red", "bad", "root"))
	until(t, s, 1)
	mended := compile(t, strings.ReplaceAll(noRoot, `"", "0", "root"`, `"nobody"`))
	now.Store(mended)
	show(t, s, live, pull(live, "red", "bad", "root"))
	until(t, s, 2)
	r := s.Report(policy.DefaultWorkspace, "")
	if r.Revision != mended.Revision() || r.Decisions != 1 || r.Sum() != 0 || len(r.Samples) != 0 {
		t.Errorf("the report is %+v", r)
	}
}

// judge is a bundle that goes wrong.
type judge struct {
	shadow.Judge
	decide func(context.Context) (policy.Decision, error)
}

func (j judge) DecideInput(ctx context.Context, _ map[string]any) (policy.Decision, error) {
	return j.decide(ctx)
}

func TestAShadowThatGoesWrongIsCountedAndGoesOn(t *testing.T) {
	live := compile(t, "")
	endless := compile(t, `package bondgate.rules.house

deny contains {"code": "house.slow", "msg": "slow"} if {
	input.action == "manifest.pull"
	n := numbers.range(1, 30000)
	some i in n
	some j in n
	i * j == 0
}
`)
	for name, c := range map[string]struct {
		judge    shadow.Judge
		deadline time.Duration
		says     string
	}{
		"a panic":            {judge{live, func(context.Context) (policy.Decision, error) { panic("no") }}, 0, "panic: no"},
		"no decision":        {judge{live, func(context.Context) (policy.Decision, error) { return policy.Decision{}, policy.ErrUnavailable }}, 0, "unavailable"},
		"rules without end":  {endless, 20 * time.Millisecond, "no decision within 20ms"},
		"a judge that waits": {judge{live, func(ctx context.Context) (policy.Decision, error) { <-ctx.Done(); return policy.Decision{}, ctx.Err() }}, time.Millisecond, "no decision within 1ms"},
	} {
		t.Run(name, func(t *testing.T) {
			var now atomic.Pointer[shadow.Judge]
			now.Store(&c.judge)
			s := begin(t, shadow.Config{Current: func() (shadow.Judge, error) { return *now.Load(), nil }, Deadline: c.deadline})
			for range 3 {
				show(t, s, live, pull(live, "red", "bad", "root"))
			}
			if got := until(t, s, 3); got.Failed != 3 || got.Sum() != 0 {
				t.Errorf("the counters are %+v", got)
			}
			r := s.Report(policy.DefaultWorkspace, "")
			if r.Failed != 3 || !strings.Contains(r.LastFailure, c.says) {
				t.Errorf("the report is %+v", r)
			}
			var good shadow.Judge = judge{live, func(context.Context) (policy.Decision, error) { return policy.Decision{Verdict: policy.Allow}, nil }}
			now.Store(&good)
			show(t, s, live, pull(live, "red", "bad", "root"))
			if got := until(t, s, 4); got.Decisions != 1 {
				t.Errorf("it does not go on: %+v", got)
			}
		})
	}
	t.Run("no bundle that compiles", func(t *testing.T) {
		s := begin(t, shadow.Config{Current: func() (shadow.Judge, error) { return nil, policy.ErrUnavailable }})
		show(t, s, live, pull(live, "red", "bad", "root"))
		if got := until(t, s, 1); got.Broken != 1 || s.Report(policy.DefaultWorkspace, "").Skipped != 1 {
			t.Errorf("the counters are %+v", got)
		}
	})
}

// A shadow that is overrun holds nobody up, and no more than it may.
func TestAFloodIsCountedAsNotLookedAt(t *testing.T) {
	live := compile(t, "")
	let, stuck := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := judge{live, func(context.Context) (policy.Decision, error) {
		once.Do(func() { close(stuck) })
		<-let
		return policy.Decision{Verdict: policy.Allow}, nil
	}}
	f := pull(live, "red", "good", "1000")
	large := f
	art := *f.Request.Artifact
	art.Size = 1 << 20
	large.Request.Artifact = &art
	d := policy.Decision{Verdict: policy.Allow}

	s := begin(t, shadow.Config{Current: running(slow), Queue: 10, Bytes: 2 << 20})
	s.Witness(f, d)
	<-stuck
	for range 110 {
		s.Witness(f, d)
	}
	if c := s.Counts(); c.Full != 100 {
		t.Errorf("ten have room, and %d were left out", c.Full)
	}
	close(let)
	until(t, s, 111)
	before := s.Counts()
	let2 := make(chan struct{})
	let = let2
	for range 5 {
		s.Witness(large, d)
	}
	close(let2)
	after := until(t, s, 116)
	if after.Full-before.Full != 4 || after.Decisions-before.Decisions != 1 {
		t.Errorf("one of a megabyte fits: before %+v, after %+v", before, after)
	}
}

// Names and codes are chosen by others: what is listed stays small, and the sums exact.
func TestWhatIsListedIsBounded(t *testing.T) {
	live := compile(t, "")
	n := 0
	many := judge{live, func(context.Context) (policy.Decision, error) {
		n++
		return policy.Decision{Deny: []policy.Reason{
			{Code: fmt.Sprintf("house.rule_%d", n), Message: strings.Repeat("wörter ", 1000), Term: strings.Repeat("t", 5000)},
			{Code: "house.always"},
		}}, nil
	}}
	const all = 6000
	s := begin(t, shadow.Config{Current: running(many), Queue: all, Bytes: 1 << 30})
	d := policy.Decision{Verdict: policy.Allow}
	f := pull(live, "red", strings.Repeat("v", 2000), "root")
	for range all {
		s.Witness(f, d)
	}
	until(t, s, all)
	r := s.Report(policy.DefaultWorkspace, "")
	if r.Decisions != all || r.Denied != all || r.Unlisted == 0 || r.Rules[0].Code != "house.always" || r.Rules[0].Denied != all {
		t.Errorf("decisions %d, denied %d, unlisted %d, first %+v", r.Decisions, r.Denied, r.Unlisted, r.Rules[0])
	}
	if len(r.Rules) > 4000 || len(r.Samples) > 500 {
		t.Errorf("%d rules and %d samples", len(r.Rules), len(r.Samples))
	}
	raw, err := json.Marshal(r)
	if err != nil || len(raw) > 2<<20 {
		t.Errorf("the report has %d bytes: %v", len(raw), err)
	}

	t.Run("what is in no project that exists is one", func(t *testing.T) {
		s := begin(t, shadow.Config{Current: running(compile(t, noRoot))})
		for i := range 20 {
			f := pull(live, fmt.Sprint("made-up-", i), "bad", "root")
			f.ProjectExists = false
			s.Witness(f, d)
		}
		until(t, s, 20)
		if r := s.Report(policy.DefaultWorkspace, ""); r.Denied != 20 || len(r.Samples) > 3 || r.Rules[0].Projects != 0 {
			t.Errorf("the report is %+v", r)
		}
		if r := s.Report(policy.DefaultWorkspace, "made-up-1"); r.Decisions != 0 || len(r.Samples) != 0 {
			t.Errorf("a project that does not exist has %+v", r)
		}
	})
}

// BenchmarkWitness is what a decision that was made pays for being shown.
func BenchmarkWitness(b *testing.B) {
	live := compile(b, "")
	s, err := shadow.New(shadow.Config{Current: running(live), Queue: 1})
	if err != nil {
		b.Fatal(err)
	}
	f := pull(live, "red", "good", "1000")
	d := policy.Decision{Verdict: policy.Allow}
	b.ReportAllocs()
	for b.Loop() {
		s.Witness(f, d)
	}
}
