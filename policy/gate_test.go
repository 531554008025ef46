package policy_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

type decideFunc func(context.Context, policy.Facts) (policy.Decision, error)

// evaluator is a policy in Go: the gate must not care what decides.
type evaluator struct {
	revision string
	reads    []string
	decide   decideFunc
}

func (e *evaluator) Revision() string                                { return e.revision }
func (e *evaluator) Packs(own []policy.Pack) []policy.Pack           { return own }
func (e *evaluator) Needs(policy.Action, []policy.Pack) policy.Needs { return policy.Needs{} }
func (e *evaluator) Reads(policy.Action) []string                    { return e.reads }
func (e *evaluator) Waivers(policy.Repository, digest.Digest, time.Time) []policy.Waiver {
	return nil
}
func (e *evaluator) Decide(c context.Context, f policy.Facts) (policy.Decision, error) {
	return e.decide(c, f)
}

type bundles struct {
	mu  sync.Mutex
	ev  policy.Evaluator
	err error
}

func (b *bundles) Current() (policy.Evaluator, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ev, b.err
}

func (b *bundles) set(ev policy.Evaluator) { b.mu.Lock(); defer b.mu.Unlock(); b.ev = ev }

type view struct {
	revision int64
	roles    map[string][]string
	waivers  []policy.Waiver
	glass    policy.BreakGlass
}

func (v *view) Revision() int64 { return v.revision }
func (v *view) Subject(p policy.Principal, _ string, _ time.Time) policy.Subject {
	return policy.Subject{Roles: v.roles[p.ID]}
}
func (v *view) Project(ws, name string) (policy.Project, bool) {
	return policy.Project{Workspace: ws, Name: name}, name != "nowhere"
}
func (v *view) Waivers(policy.Repository, digest.Digest, time.Time) []policy.Waiver { return v.waivers }
func (v *view) BreakGlass(p policy.Principal, project string, at time.Time) (policy.BreakGlass, bool) {
	return v.glass, v.glass.For(p) && slices.Contains(v.glass.Projects, project) && v.glass.InForce(at)
}

type directory struct {
	mu  sync.Mutex
	v   *view
	err error
}

func (d *directory) View() (policy.View, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.v, d.err
}

func (d *directory) set(roles map[string][]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.v = &view{revision: d.v.revision + 1, roles: roles, glass: d.v.glass}
}

func (d *directory) breakGlass(b policy.BreakGlass) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.v = &view{revision: d.v.revision + 1, roles: d.v.roles, glass: b}
}

type recorder struct {
	mu       sync.Mutex
	ready    error
	openErr  error
	writeErr error
	opened   []*policy.Record
	written  []*policy.Record
}

func (r *recorder) Ready() error { r.mu.Lock(); defer r.mu.Unlock(); return r.ready }
func (r *recorder) Open(rec *policy.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.openErr == nil {
		r.opened = append(r.opened, rec)
	}
	return r.openErr
}
func (r *recorder) Write(_ context.Context, rec *policy.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writeErr == nil {
		rec.Close()
		r.written = append(r.written, rec)
	}
	return r.writeErr
}

var at = time.Date(2026, 9, 21, 14, 13, 20, 0, time.UTC)

func allows(context.Context, policy.Facts) (policy.Decision, error) {
	return policy.Decision{Verdict: policy.Allow}, nil
}

func denies(context.Context, policy.Facts) (policy.Decision, error) {
	return policy.Decision{Deny: []policy.Reason{{Code: "x.y", Message: "no"}}}, nil
}

type parts struct {
	bundles   *bundles
	directory *directory
	recorder  *recorder
	now       time.Time
}

func newGate(t testing.TB, decide decideFunc, reads ...string) (*policy.Gate, *parts) {
	t.Helper()
	p := &parts{
		bundles:   &bundles{ev: &evaluator{revision: "r1", decide: decide, reads: append([]string{}, reads...)}},
		directory: &directory{v: &view{revision: 1}},
		recorder:  &recorder{},
		now:       at,
	}
	g, err := policy.NewGate(policy.GateConfig{
		Bundles: p.bundles, Directory: p.directory, Recorder: p.recorder, Now: func() time.Time { return p.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return g, p
}

func pull(user string) policy.Request {
	return policy.Request{
		ID: "q", Principal: policy.Principal{Issuer: policy.LocalIssuer, ID: user, Kind: policy.KindUser},
		Action: policy.TagsList, Repository: policy.Repository{Workspace: policy.DefaultWorkspace, Name: "team/app"},
	}
}

func TestGateFailsClosed(t *testing.T) {
	unavailable := fmt.Errorf("part gone: %w", policy.ErrUnavailable)
	for _, c := range []struct {
		name   string
		decide decideFunc
		break_ func(*parts)
		action policy.Action
	}{
		{"an allow that cannot be taken for recording is not an allow", allows, func(p *parts) { p.recorder.openErr = unavailable }, ""},
		{"an allow while records cannot be kept is not an allow", allows, func(p *parts) { p.recorder.ready = unavailable }, ""},
		{"a denial that cannot be written is not answered as one", denies, func(p *parts) { p.recorder.writeErr = unavailable }, ""},
		{"a management call that cannot be written first does not happen", allows, func(p *parts) { p.recorder.writeErr = unavailable }, policy.AdminAPI},
		{"no bundle is no decision", allows, func(p *parts) { p.bundles.err = unavailable }, ""},
		{"a directory that may be stale is no decision", allows, func(p *parts) { p.directory.err = unavailable }, ""},
		{"a panic in the evaluator is no decision", func(context.Context, policy.Facts) (policy.Decision, error) { panic("boom") }, func(*parts) {}, ""},
		{"an evaluator's failure of no known class is no decision", func(context.Context, policy.Facts) (policy.Decision, error) {
			return policy.Decision{Verdict: policy.Allow}, errors.New("odd")
		}, func(*parts) {}, ""},
		{"an allow with a deny left is no decision", func(context.Context, policy.Facts) (policy.Decision, error) {
			return policy.Decision{Verdict: policy.Allow, Deny: []policy.Reason{{Code: "a"}}}, nil
		}, func(*parts) {}, ""},
		{"an evaluator that waits is cut at the deadline", func(ctx context.Context, _ policy.Facts) (policy.Decision, error) {
			<-ctx.Done()
			return policy.Decision{Verdict: policy.Allow}, ctx.Err()
		}, func(*parts) {}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, p := newGate(t, c.decide)
			c.break_(p)
			req := pull("alice")
			if c.action != "" {
				req.Action, req.Admin = c.action, &policy.AdminCall{Resource: "project", Verb: "create"}
			}
			d, err := g.Admit(t.Context(), req)
			if !errors.Is(err, policy.ErrUnavailable) {
				t.Fatalf("got %+v, %v; want ErrUnavailable", d, err)
			}
			if d.Allowed() {
				t.Fatal("an outage allowed")
			}
		})
	}
}

func TestACachedAllowNeedsAWorkingRecorderToo(t *testing.T) {
	g, p := newGate(t, allows)
	if _, err := g.Admit(t.Context(), pull("alice")); err != nil {
		t.Fatal(err)
	}
	p.recorder.ready = policy.ErrUnavailable
	if _, err := g.Admit(t.Context(), pull("alice")); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}

func TestTheZeroDecisionDenies(t *testing.T) {
	if (policy.Decision{}).Allowed() || policy.Verdict(0) != policy.Deny {
		t.Fatal("forgetting to decide allows")
	}
}

func TestEqualRequestsOfOneSecondShareAnAnswerAndARecord(t *testing.T) {
	calls := 0
	g, p := newGate(t, func(c context.Context, f policy.Facts) (policy.Decision, error) { calls++; return allows(c, f) })
	var first policy.Decision
	for i := range 5 {
		req := pull("alice")
		req.HTTP.ClientIP = fmt.Sprint("10.0.0.", i) // no rule reads it
		d, err := g.Admit(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = d
		} else if d.ID != first.ID {
			t.Fatal("another decision")
		}
	}
	if calls != 1 || len(p.recorder.opened) != 1 {
		t.Fatalf("%d evaluations, %d records", calls, len(p.recorder.opened))
	}
	if n := p.recorder.opened[0].Close(); n != 5 {
		t.Fatalf("counted %d", n)
	}
	if _, err := g.Admit(t.Context(), pull("alice")); err != nil {
		t.Fatal(err)
	}
	if len(p.recorder.opened) != 2 || p.recorder.opened[1].Repeats != first.ID {
		t.Fatal("a closed record is followed by one that names it")
	}
}

func TestAnAnswerEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*parts)
	}{
		{"with its second", func(p *parts) { p.now = p.now.Add(time.Second) }},
		{"with the membership", func(p *parts) { p.directory.set(map[string][]string{"alice": {"guest"}}) }},
		{"with the bundle", func(p *parts) { p.bundles.set(&evaluator{revision: "r2", decide: denies, reads: []string{}}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			g, p := newGate(t, func(ctx context.Context, f policy.Facts) (policy.Decision, error) {
				calls++
				return allows(ctx, f)
			})
			before, err := g.Admit(t.Context(), pull("alice"))
			if err != nil {
				t.Fatal(err)
			}
			c.change(p)
			after, err := g.Admit(t.Context(), pull("alice"))
			if err != nil {
				t.Fatal(err)
			}
			if before.ID == after.ID {
				t.Fatal("the old answer was given")
			}
		})
	}
}

func TestTheFirstDenialIsWrittenBeforeTheAnswerAndRepeatsCount(t *testing.T) {
	g, p := newGate(t, denies)
	for range 3 {
		d, err := g.Admit(t.Context(), pull("mallory"))
		if err != nil || d.Allowed() {
			t.Fatal(d, err)
		}
		if len(p.recorder.written) != 1 || d.ID != p.recorder.written[0].ID {
			t.Fatal("a denial whose id is not on disk")
		}
	}
	if len(p.recorder.opened) != 1 || p.recorder.opened[0].Close() != 2 {
		t.Fatalf("repeats: %v", p.recorder.opened)
	}
}

func TestManagementCallsAreNeverShared(t *testing.T) {
	g, p := newGate(t, allows)
	for range 2 {
		req := pull("admin")
		req.Action, req.Admin = policy.AdminAPI, &policy.AdminCall{Resource: "user", Verb: "list"}
		if _, err := g.Admit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.recorder.written) != 2 {
		t.Fatalf("%d written", len(p.recorder.written))
	}
}

func TestADecisionIDSortsByTimeAndIsAULID(t *testing.T) {
	g, p := newGate(t, allows)
	seen := map[string]bool{}
	for range 200 {
		p.now = p.now.Add(time.Second)
		d, _ := g.Admit(t.Context(), pull("alice"))
		if len(d.ID) != 26 || d.ID[0] != '0' || seen[d.ID] {
			t.Fatal(d.ID)
		}
		seen[d.ID] = true
	}
}

func TestManyWhoAskTheSameAtOnceCostOneEvaluation(t *testing.T) {
	var calls atomic.Int64
	g, p := newGate(t, func(c context.Context, f policy.Facts) (policy.Decision, error) {
		calls.Add(1)
		time.Sleep(5 * time.Millisecond)
		return allows(c, f)
	})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if d, err := g.Admit(t.Context(), pull("alice")); err != nil || !d.Allowed() {
				t.Error(d, err)
			}
		})
	}
	wg.Wait()
	if n := calls.Load(); n > int64(runtime.GOMAXPROCS(0))*2 {
		t.Errorf("%d evaluations of one question", n)
	}
	var counted int64
	for _, r := range p.recorder.opened {
		counted += r.Close()
	}
	if counted != 64 {
		t.Errorf("counted %d of 64", counted)
	}
}

func TestAStallIsNotASlowRule(t *testing.T) {
	var calls atomic.Int64
	g, _ := newGate(t, func(ctx context.Context, f policy.Facts) (policy.Decision, error) {
		if calls.Add(1) == 1 {
			<-ctx.Done() // the machine stood still
			return policy.Decision{}, ctx.Err()
		}
		return allows(ctx, f)
	})
	if d, err := g.Admit(t.Context(), pull("alice")); err != nil || !d.Allowed() {
		t.Fatal(d, err)
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d attempts", n)
	}
}
