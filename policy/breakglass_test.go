package policy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

var grant = policy.BreakGlass{
	ID: "bg-1", Issuer: policy.LocalIssuer, Subject: "alice", Kind: policy.KindUser, Projects: []string{"team"},
	Justification: "rollback", Ticket: "INC-1", State: policy.WaiverApproved, Created: at, Expires: at.Add(time.Hour),
}

func TestAGrantHoldsFromItsApprovalToItsEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*policy.BreakGlass)
		at     time.Time
		holds  bool
	}{
		{"approved, before its end", func(*policy.BreakGlass) {}, at, true},
		{"in the last second", func(*policy.BreakGlass) {}, at.Add(time.Hour - time.Second), true},
		{"on the second of its end", func(*policy.BreakGlass) {}, at.Add(time.Hour), false},
		{"pending", func(b *policy.BreakGlass) { b.State = policy.WaiverPending }, at, false},
		{"rejected", func(b *policy.BreakGlass) { b.State = policy.WaiverRejected }, at, false},
		{"of no state", func(b *policy.BreakGlass) { b.State = "" }, at, false},
		{"of no end", func(b *policy.BreakGlass) { b.Expires = time.Time{} }, at, false},
		{"ended in this very second", func(b *policy.BreakGlass) { b.Ended = at.Add(900 * time.Millisecond) }, at, false},
		{"ended later", func(b *policy.BreakGlass) { b.Ended = at.Add(2 * time.Second) }, at, true},
	} {
		b := grant
		c.change(&b)
		if b.InForce(c.at) != c.holds {
			t.Errorf("%s: in force is %t", c.name, !c.holds)
		}
	}
}

func TestAGrantIsOneSubjectsOwn(t *testing.T) {
	who := policy.Principal{Issuer: policy.LocalIssuer, ID: "alice", Kind: policy.KindUser}
	if !grant.For(who) {
		t.Error("its subject does not have it")
	}
	for name, change := range map[string]func(*policy.Principal){
		"of another issuer":           func(p *policy.Principal) { p.Issuer = "https://sso" },
		"of another name":             func(p *policy.Principal) { p.ID = "bob" },
		"a robot of that name":        func(p *policy.Principal) { p.Kind = policy.KindRobot },
		"a workload of that name":     func(p *policy.Principal) { p.Kind = policy.KindWorkload },
		"called so and somebody else": func(p *policy.Principal) { p.ID, p.Name = "u-7", "alice" },
	} {
		other := who
		change(&other)
		if grant.For(other) {
			t.Errorf("%s has it", name)
		}
	}
	if (&policy.BreakGlass{State: policy.WaiverApproved}).For(policy.Principal{}) {
		t.Error("nobody in particular has a grant without a subject")
	}
}

// underGlass allows by the grant that the input has, and denies without one.
func underGlass(_ context.Context, f policy.Facts) (policy.Decision, error) {
	if f.BreakGlass == nil {
		return policy.Decision{Deny: []policy.Reason{{Code: "x.y", Message: "no"}}}, nil
	}
	return policy.Decision{
		Verdict: policy.Allow, BreakGlass: f.BreakGlass.ID,
		Waived: []policy.Waived{{Code: "x.y", Waiver: f.BreakGlass.ID}},
	}, nil
}

func TestAUseOfBrokenGlassIsWrittenBeforeItIsAnswered(t *testing.T) {
	g, p := newGate(t, underGlass)
	p.directory.breakGlass(grant)
	d, err := g.Admit(t.Context(), pull("alice"))
	if err != nil || !d.Allowed() || d.BreakGlass != grant.ID {
		t.Fatalf("%+v %v", d, err)
	}
	if d.Clean() {
		t.Error("an allow under broken glass is clean")
	}
	if len(p.recorder.written) != 1 || len(p.recorder.opened) != 0 {
		t.Fatalf("%d were written, %d left for later", len(p.recorder.written), len(p.recorder.opened))
	}
	// The same again in this second counts; the next second is written anew.
	for range 2 {
		if _, err := g.Admit(t.Context(), pull("alice")); err != nil {
			t.Fatal(err)
		}
	}
	p.now = p.now.Add(time.Second)
	if _, err := g.Admit(t.Context(), pull("alice")); err != nil {
		t.Fatal(err)
	}
	if len(p.recorder.written) != 2 {
		t.Errorf("%d were written for two seconds", len(p.recorder.written))
	}
}

func TestAUseOfBrokenGlassThatCannotBeWrittenIsNone(t *testing.T) {
	g, p := newGate(t, underGlass)
	p.directory.breakGlass(grant)
	p.recorder.writeErr = fmt.Errorf("disk full: %w", policy.ErrUnavailable)
	for range 2 {
		if d, err := g.Admit(t.Context(), pull("alice")); !errors.Is(err, policy.ErrUnavailable) || d.Allowed() {
			t.Fatalf("%+v %v", d, err)
		}
	}
}

func TestAGrantStopsWithItsSecondAndItsRevision(t *testing.T) {
	g, p := newGate(t, underGlass)
	ask := func() bool {
		t.Helper()
		d, err := g.Admit(t.Context(), pull("alice"))
		if err != nil {
			t.Fatal(err)
		}
		return d.Allowed()
	}
	b := grant
	b.Expires = at.Add(2 * time.Second)
	p.directory.breakGlass(b)
	got := []bool{ask()}
	p.now = at.Add(time.Second)
	got = append(got, ask())
	p.now = at.Add(2*time.Second + time.Millisecond)
	got = append(got, ask())
	p.directory.breakGlass(grant)
	got = append(got, ask())
	b = grant
	b.Ended = p.now
	p.directory.breakGlass(b)
	got = append(got, ask())
	if want := fmt.Sprint([]bool{true, true, false, true, false}); fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestOnlyUseSeesAGrant(t *testing.T) {
	g, p := newGate(t, underGlass)
	p.directory.breakGlass(grant)
	for _, purpose := range []policy.Purpose{policy.Inspect, policy.Scan, policy.Evaluate, policy.AuditPurpose} {
		req := pull("alice")
		req.Purpose = purpose
		if d, err := g.Admit(t.Context(), req); err != nil || d.Allowed() {
			t.Errorf("%s: %+v %v", purpose, d, err)
		}
	}
}
