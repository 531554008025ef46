package metadata

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// glassNow is a whole second of today: views leave out what is over already.
func glassNow() time.Time { return time.Now().UTC().Truncate(time.Second) }

// aGrant is alice's for payments.
func aGrant(id string, now time.Time, change ...func(*policy.BreakGlass)) policy.BreakGlass {
	b := policy.BreakGlass{
		ID: id, Workspace: policy.DefaultWorkspace, Issuer: policy.LocalIssuer, Subject: "alice", Kind: policy.KindUser, Projects: []string{"payments"},
		Justification: "rollback", Ticket: "INC-1", Requester: "bob", Created: now, Expires: now.Add(time.Hour), State: policy.WaiverApproved,
	}
	for _, c := range change {
		c(&b)
	}
	return b
}

func glassOf(t testing.TB, s *Store, p policy.Principal, project string, at time.Time) string {
	t.Helper()
	b, ok := viewOf(t, s).BreakGlass(p, project, at)
	if ok != (b.ID != "") {
		t.Fatalf("%t and %+v", ok, b)
	}
	return b.ID
}

func brokenGlass(t *testing.T, open func() *Store) {
	s, ctx, now := open(), t.Context(), glassNow()
	addProject(t, s, policy.Project{Name: "payments"})
	addProject(t, s, policy.Project{Name: "web"})
	addUser(t, s, Person{Name: "alice"}, "")
	addUser(t, s, Person{Name: "bob"}, "")
	b := aGrant("bg-1", now)
	must(t, s.AddBreakGlass(ctx, b))
	is(t, s.AddBreakGlass(ctx, b), policy.ErrConflict)
	is(t, s.AddBreakGlass(ctx, aGrant("bg-x", now, func(b *policy.BreakGlass) { b.Projects = []string{"nowhere"} })), policy.ErrNotFound)
	for _, without := range []func(*policy.BreakGlass){
		func(b *policy.BreakGlass) { b.ID = "" }, func(b *policy.BreakGlass) { b.Issuer = "" }, func(b *policy.BreakGlass) { b.Subject = "" },
		func(b *policy.BreakGlass) { b.Kind = "" }, func(b *policy.BreakGlass) { b.Projects = nil }, func(b *policy.BreakGlass) { b.Justification = "" },
		func(b *policy.BreakGlass) { b.Ticket = "" }, func(b *policy.BreakGlass) { b.Expires = time.Time{} }, func(b *policy.BreakGlass) { b.State = "" },
	} {
		is(t, s.AddBreakGlass(ctx, aGrant("bg-y", now, without)), policy.ErrInvalid)
	}
	got, err := s.BreakGlass(ctx, "", "bg-1")
	must(t, err)
	same(t, text(got), text(b))

	other := local("alice")
	other.Issuer = "https://idp"
	abroad := local("alice")
	abroad.Workspace = "prod"
	same(t, glassOf(t, s, local("alice"), "payments", now), "bg-1")
	same(t, glassOf(t, s, local("alice"), "payments", now.Add(time.Hour-time.Second)), "bg-1")
	same(t, glassOf(t, s, local("alice"), "payments", now.Add(time.Hour)), "")
	same(t, glassOf(t, s, local("alice"), "web", now), "")
	same(t, glassOf(t, s, local("alice"), "", now), "")
	same(t, glassOf(t, s, local("bob"), "payments", now), "")
	same(t, glassOf(t, s, other, "payments", now), "")
	same(t, glassOf(t, s, abroad, "payments", now), "")
	same(t, glassOf(t, s, policy.Principal{}, "payments", now), "")
	same(t, text(s.OpenGlass(now), s.OpenGlass(now.Add(time.Hour))), "1 0")

	must(t, s.AddBreakGlass(ctx, aGrant("bg-2", now, func(b *policy.BreakGlass) { b.Expires = now.Add(2 * time.Hour) })))
	must(t, s.AddBreakGlass(ctx, aGrant("bg-3", now, func(b *policy.BreakGlass) { b.State, b.Expires = policy.WaiverPending, now.Add(3*time.Hour) })))
	same(t, glassOf(t, s, local("alice"), "payments", now), "bg-2")
	end := func(b *policy.BreakGlass) error { b.Ended, b.EndedBy = now, "root"; return nil }
	_, err = s.ChangeBreakGlass(ctx, "prod", "bg-2", end)
	is(t, err, policy.ErrNotFound)
	_, err = s.ChangeBreakGlass(ctx, "", "bg-2", func(*policy.BreakGlass) error { return policy.ErrConflict })
	is(t, err, policy.ErrConflict)
	same(t, glassOf(t, s, local("alice"), "payments", now), "bg-2")
	changed, err := s.ChangeBreakGlass(ctx, "", "bg-2", end)
	must(t, err)
	same(t, text(changed.Ended.Equal(now), changed.EndedBy), "true root")
	same(t, glassOf(t, s, local("alice"), "payments", now), "bg-1")
	_, err = s.ChangeBreakGlass(ctx, "", "bg-3", func(b *policy.BreakGlass) error { b.State, b.Approver = policy.WaiverApproved, "carol"; return nil })
	must(t, err)
	same(t, glassOf(t, s, local("alice"), "payments", now), "bg-3")

	ids := func(workspace string, since time.Time, limit int) (out string) {
		all, err := s.BreakGlasses(ctx, workspace, since, limit)
		must(t, err)
		for _, b := range all {
			out += b.ID[3:]
		}
		return out
	}
	same(t, ids("", time.Time{}, 9), "123")
	same(t, ids("", now, 9), "13")
	same(t, ids("", now, 1), "1")
	same(t, ids("prod", time.Time{}, 9), "")
	must(t, s.SetUserDisabled(ctx, "", "alice", true))
	same(t, glassOf(t, s, local("alice"), "payments", now), "")
}

func endedGlass(t *testing.T, open func() *Store) {
	s, ctx, now := open(), t.Context(), glassNow()
	for _, name := range []string{"payments", "web"} {
		addProject(t, s, policy.Project{Name: name})
	}
	alice := addUser(t, s, Person{Name: "alice"}, "")
	addUser(t, s, Person{Name: "bob"}, "")
	ci := addRobot(t, s, Robot{Project: "payments", Name: "ci", Grants: []RobotGrant{{Rights: []string{"pull"}}}})
	must(t, s.AddBreakGlass(ctx, aGrant("bg-alice", now)))
	must(t, s.AddBreakGlass(ctx, aGrant("bg-bob", now, func(b *policy.BreakGlass) { b.Subject, b.Projects = "bob", []string{"payments", "web"} })))
	same(t, glassOf(t, s, asRobot(ci), "payments", now), "")
	must(t, s.AddBreakGlass(ctx, aGrant("bg-ci", now, func(b *policy.BreakGlass) {
		b.Kind, b.Issuer, b.Subject = policy.KindRobot, RobotIssuer, ci.FullName()
	})))
	same(t, glassOf(t, s, asRobot(ci), "payments", now), "bg-ci")
	another := addRobot(t, s, Robot{Name: "ci", Grants: []RobotGrant{{Project: "*", Rights: []string{"pull"}}}})
	same(t, glassOf(t, s, asRobot(another), "payments", now), "")

	must(t, s.DeletePerson(ctx, "", alice.ID))
	same(t, glassOf(t, s, local("alice"), "payments", now), "")
	addUser(t, s, Person{Name: "alice"}, "")
	same(t, glassOf(t, s, local("alice"), "payments", now), "")
	must(t, s.DeleteRobot(ctx, "", ci.ID))
	again := addRobot(t, s, Robot{Project: "payments", Name: "ci", Grants: []RobotGrant{{Rights: []string{"pull"}}}})
	same(t, glassOf(t, s, asRobot(again), "payments", now), "")
	same(t, glassOf(t, s, local("bob"), "web", now), "bg-bob")
	must(t, s.DeleteProject(ctx, "", "web"))
	same(t, glassOf(t, s, local("bob"), "payments", now), "")
	addProject(t, s, policy.Project{Name: "web"})
	same(t, glassOf(t, s, local("bob"), "web", now), "")
	for _, id := range []string{"bg-alice", "bg-bob", "bg-ci"} {
		b, err := s.BreakGlass(ctx, "", id)
		must(t, err)
		same(t, b.Ended.IsZero(), false)
	}
}

func replicaGlass(t *testing.T, open func() *Store) {
	a, b, ctx, now := open(), open(), t.Context(), glassNow()
	addProject(t, a, policy.Project{Name: "payments"})
	addUser(t, a, Person{Name: "alice"}, "")
	must(t, a.AddBreakGlass(ctx, aGrant("bg-1", now)))
	eventually(t, "the grant is seen", func() bool { return glassOf(t, b, local("alice"), "payments", now) == "bg-1" })
	revision := viewOf(t, a).Revision()
	_, err := b.ChangeBreakGlass(ctx, "", "bg-1", func(b *policy.BreakGlass) error { b.Ended = now; return nil })
	must(t, err)
	same(t, glassOf(t, b, local("alice"), "payments", now), "")
	eventually(t, "the end is seen", func() bool { return glassOf(t, a, local("alice"), "payments", now) == "" })
	same(t, viewOf(t, a).Revision() > revision, true)
	same(t, glassOf(t, open(), local("alice"), "payments", now), "")
}

func glassAtOnce(t *testing.T, open func() *Store) {
	s, other, ctx, now := open(), open(), t.Context(), glassNow()
	addProject(t, s, policy.Project{Name: "payments"})
	must(t, s.AddBreakGlass(ctx, aGrant("bg-1", now, func(b *policy.BreakGlass) { b.State = policy.WaiverPending })))
	var decided atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		store := s
		if i%2 == 0 {
			store = other
		}
		wg.Go(func() {
			_, err := store.ChangeBreakGlass(context.WithoutCancel(ctx), "", "bg-1", func(b *policy.BreakGlass) error {
				if b.State != policy.WaiverPending {
					return policy.ErrConflict
				}
				b.State = policy.WaiverApproved
				return nil
			})
			if err == nil {
				decided.Add(1)
			} else if !errors.Is(err, policy.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, decided.Load(), int32(1))
}
