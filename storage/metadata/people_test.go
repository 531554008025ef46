package metadata

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func local(name string) policy.Principal {
	return policy.Principal{Issuer: policy.LocalIssuer, ID: name, Kind: policy.KindUser}
}

func viewOf(t testing.TB, s *Store) policy.View {
	t.Helper()
	v, err := s.View()
	must(t, err)
	return v
}

func rolesOf(t testing.TB, s *Store, p policy.Principal, project string) string {
	t.Helper()
	subject := viewOf(t, s).Subject(p, project, time.Now())
	return text(subject.Roles, subject.Disabled)
}

func addUser(t testing.TB, s *Store, p Person, hash string) Person {
	t.Helper()
	p, err := s.CreateUser(t.Context(), p, hash)
	must(t, err)
	return p
}

func addProject(t testing.TB, s *Store, p policy.Project) Project {
	t.Helper()
	made, err := s.CreateProject(t.Context(), Project{Project: p})
	must(t, err)
	return made
}

func addMember(t testing.TB, s *Store, m Member) Member {
	t.Helper()
	m, err := s.SetMember(t.Context(), m)
	must(t, err)
	return m
}

// fails is the error of a call that answers something as well.
func fails[T any](_ T, err error) error { return err }

func users(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addUser(t, s, Person{Name: "root", SystemAdmin: true}, "hash")
	addUser(t, s, Person{Name: "alice", Email: "a@b", RealName: "Alice", Created: time.UnixMicro(7)}, "hash1")
	is(t, fails(s.CreateUser(ctx, Person{Name: "alice"}, "hash2")), policy.ErrConflict)
	is(t, fails(s.CreateUser(ctx, Person{}, "hash2")), policy.ErrInvalid)
	u, err := s.User(ctx, "", "alice")
	must(t, err)
	same(t, text(u), text(Person{
		ID: 2, Workspace: "default", Issuer: policy.LocalIssuer, Subject: "alice", Name: "alice",
		Email: "a@b", RealName: "Alice", Created: time.UnixMicro(7).UTC(),
	}))
	all, err := s.Users(ctx, "default")
	must(t, err)
	same(t, text(len(all), all[0].Name, all[1].Name, all[1].SystemAdmin), "2 alice root true")
	_, err = s.User(ctx, "", "nobody")
	is(t, err, policy.ErrNotFound)

	before := viewOf(t, s).Revision()
	must(t, s.SetPasswordHash(ctx, "", "alice", "hash3"))
	if viewOf(t, s).Revision() <= before {
		t.Fatal("a new password does not show in the revision")
	}
	must(t, s.SetUserDisabled(ctx, "", "alice", true))
	hash, disabled, err := s.PasswordHash(ctx, "", "alice")
	must(t, err)
	same(t, text(hash, disabled), "hash3 true")
	same(t, rolesOf(t, s, local("alice"), "x"), "[] true")
	must(t, s.SetUserDisabled(ctx, "", "alice", false))
	same(t, rolesOf(t, s, local("alice"), "x"), "[] false")

	is(t, s.SetUserDisabled(ctx, "", "root", true), policy.ErrConflict)
	addUser(t, s, Person{Name: "root2", SystemAdmin: true}, "hash")
	must(t, s.SetUserDisabled(ctx, "", "root", true))
	is(t, s.SetUserDisabled(ctx, "", "root2", true), policy.ErrConflict)
	same(t, rolesOf(t, s, local("root"), "x"), "[] true")
	must(t, s.SetUserDisabled(ctx, "", "root", true)) // is disabled already
	for _, err := range []error{
		s.SetUserDisabled(ctx, "", "nobody", true), s.SetUserDisabled(ctx, "", "nobody", false),
		s.SetPasswordHash(ctx, "", "nobody", "x"),
	} {
		is(t, err, policy.ErrNotFound)
	}
	_, _, err = s.PasswordHash(ctx, "", "nobody")
	is(t, err, policy.ErrNotFound)
}

func members(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	// A project and its founder come together or not at all.
	founder := Member{Name: "founder", Role: "projectAdmin"}
	is(t, fails(s.FoundProject(ctx, Project{Project: policy.Project{Name: "founded"}}, founder)), policy.ErrNotFound)
	_, err := s.Project(ctx, "", "founded")
	is(t, err, policy.ErrNotFound)
	addUser(t, s, Person{Name: "founder"}, "")
	must(t, fails(s.FoundProject(ctx, Project{Project: policy.Project{Name: "founded"}}, founder)))
	same(t, rolesOf(t, s, local("founder"), "founded"), "[projectAdmin] false")

	addProject(t, s, policy.Project{Name: "payments"})
	addUser(t, s, Person{Name: "alice"}, "")
	alice := Member{Project: "payments", Name: "alice", Role: "developer"}
	addMember(t, s, alice)
	same(t, rolesOf(t, s, local("alice"), "payments"), "[developer] false")
	same(t, rolesOf(t, s, local("alice"), "other"), "[] false")
	alice.Role = "maintainer"
	addMember(t, s, alice)
	same(t, rolesOf(t, s, local("alice"), "payments"), "[maintainer] false")

	group := Member{Project: "payments", Issuer: "https://idp", Kind: MemberGroup, Name: "team", Role: "guest"}
	addMember(t, s, group)
	addMember(t, s, Member{Project: "payments", Issuer: "https://idp", Name: "alice", Role: "developer"})
	must(t, fails(s.Enroll(ctx, Person{Issuer: "https://idp", Subject: "alice"})))
	outsider := policy.Principal{Issuer: "https://idp", ID: "alice", Kind: policy.KindUser, Groups: []string{"x", "team"}}
	same(t, rolesOf(t, s, outsider, "payments"), "[developer guest] false")
	for what, p := range map[string]policy.Principal{
		"another issuer's alice":       {Issuer: "https://evil", ID: "alice", Kind: policy.KindUser, Groups: []string{"team"}},
		"a robot called alice":         {Issuer: policy.LocalIssuer, ID: "alice", Kind: policy.KindRobot},
		"a workload called alice":      {Issuer: "https://idp", ID: "alice", Kind: policy.KindWorkload},
		"the system":                   {ID: "alice", Kind: policy.KindSystem},
		"nobody":                       {},
		"nobody in a group":            {Issuer: "https://idp", Kind: policy.KindUser, Groups: []string{"team"}},
		"a local user nobody made":     local("bob"),
		"alice of another workspace":   {Workspace: "prod", Issuer: policy.LocalIssuer, ID: "alice", Kind: policy.KindUser},
		"a local alice without a kind": {Issuer: policy.LocalIssuer, ID: "alice"},
	} {
		// A robot without a credential is none.
		if got := rolesOf(t, s, p, "payments"); got != text("[]", p.Kind == policy.KindRobot) {
			t.Errorf("%s has %s", what, got)
		}
	}
	same(t, rolesOf(t, s, policy.Principal{ID: "uid:0", Kind: policy.KindOperator}, "payments"), "[admin] false")

	list, _, err := s.Members(ctx, "", "payments", MemberQuery{})
	must(t, err)
	same(t, len(list), 3)
	same(t, text(list[0]), text(Member{
		ID: list[0].ID, Workspace: "default", Project: "payments", Issuer: "https://idp", Kind: "group", Name: "team", Role: "guest",
	}))
	must(t, s.RemoveMember(ctx, group))
	is(t, s.RemoveMember(ctx, group), policy.ErrNotFound)
	same(t, rolesOf(t, s, outsider, "payments"), "[developer] false")
	must(t, s.SetUserDisabled(ctx, "", "alice", true))
	same(t, rolesOf(t, s, local("alice"), "payments"), "[] true")

	is(t, fails(s.SetMember(ctx, Member{Project: "payments", Name: "alice", Role: "admin"})), policy.ErrInvalid)
	is(t, fails(s.SetMember(ctx, Member{Project: "payments", Name: "alice", Kind: "robot", Role: "guest"})), policy.ErrNotFound)
	is(t, fails(s.SetMember(ctx, Member{Project: "payments", Name: "alice", Kind: "cat", Role: "guest"})), policy.ErrInvalid)
	is(t, fails(s.SetMember(ctx, Member{Project: "payments", Name: "nobody", Role: "guest"})), policy.ErrNotFound)
	is(t, fails(s.SetMember(ctx, Member{Project: "nowhere", Name: "alice", Role: "guest"})), policy.ErrNotFound)
}

func projects(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	var made atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if fails(s.CreateProject(ctx, Project{Project: policy.Project{Name: "payments", Owner: "alice"}})) == nil {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	same(t, made.Load(), 1)
	is(t, fails(s.CreateProject(ctx, Project{Project: policy.Project{Name: "payments"}})), policy.ErrConflict)
	is(t, fails(s.CreateProject(ctx, Project{Project: policy.Project{Name: "a/b"}})), policy.ErrInvalid)
	addUser(t, s, Person{Name: "alice"}, "")
	addMember(t, s, Member{Project: "payments", Name: "alice", Role: "guest"})
	changed := policy.Project{
		Workspace: "default", Name: "payments", Public: true, Owner: "bob", Labels: map[string]string{"tier": "1"},
		Packs: []policy.Pack{{Name: "image", Mode: policy.ModeWarn, Config: json.RawMessage(`{"max_age_days":30}`)}},
	}
	must(t, s.UpdateProject(ctx, Project{Project: changed}))
	got, err := s.Project(ctx, "", "payments")
	must(t, err)
	same(t, text(got.Project), text(changed))
	seen, ok := viewOf(t, s).Project("", "payments")
	same(t, text(seen, ok), text(changed, true))
	same(t, rolesOf(t, s, local("alice"), "payments"), "[guest] false")
	is(t, s.UpdateProject(ctx, Project{Project: policy.Project{Name: "nowhere"}}), policy.ErrNotFound)
	_, err = s.Project(ctx, "", "nowhere")
	is(t, err, policy.ErrNotFound)
	_, ok = viewOf(t, s).Project("", "nowhere")
	same(t, ok, false)
	list, _, err := s.Projects(ctx, "", ProjectQuery{})
	must(t, err)
	same(t, len(list), 1)
}

func waivers(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	now := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	put := func(id string, change func(w *policy.Waiver)) {
		t.Helper()
		w := policy.Waiver{ID: id, Rule: "image.root", Owner: "alice", State: policy.WaiverApproved, Created: now, Expires: now.Add(time.Hour)}
		change(&w)
		keepWaiver(t, s, w)
	}
	put("1-all", func(*policy.Waiver) {})
	put("2-project", func(w *policy.Waiver) { w.Projects = []string{"payments", "payments", "x"} })
	put("3-glob", func(w *policy.Waiver) { w.Repositories = []string{"x/*", "payments/*"} })
	put("4-wild", func(w *policy.Waiver) { w.Repositories = []string{"**/api"} })
	put("5-digest", func(w *policy.Waiver) { w.Digests = []string{string(dig("one"))} })
	put("6-both", func(w *policy.Waiver) { w.Projects, w.Digests = []string{"other"}, []string{string(dig("one"))} })
	put("7-expired", func(w *policy.Waiver) { w.Expires = now })
	put("8-far", func(w *policy.Waiver) {
		w.Repositories, w.Expires = []string{"other/**"}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	})
	ids := func(name, of string, at time.Time) (all string) {
		for _, w := range viewOf(t, s).Waivers(policy.Repository{Name: name}, dig(of), at) {
			all += w.ID[:1]
		}
		return all
	}
	same(t, ids("payments/api", "one", now), "12345")
	same(t, ids("payments/api", "two", now), "1234")
	same(t, ids("payments/deep/api", "two", now), "124")
	same(t, ids("other/web", "one", now), "1568")
	same(t, ids("other/web", "one", now.Add(time.Hour)), "8")
	same(t, ids("other/web", "one", now.Add(-time.Hour)), "15678")
	same(t, len(viewOf(t, s).Waivers(policy.Repository{Workspace: "prod", Name: "payments/api"}, dig("one"), now)), 0)
	list, err := s.Waivers(ctx, "")
	must(t, err)
	list[0].Projects = []string{"nowhere"}
	changed, err := s.ChangeWaiver(ctx, list[0])
	must(t, err)
	_, err = s.ChangeWaiver(ctx, list[0])
	is(t, err, policy.ErrConflict)
	is(t, s.DeleteWaiver(ctx, "", "1-all", list[0].Version), policy.ErrConflict)
	is(t, s.DeleteWaiver(ctx, "prod", "1-all", changed.Version), policy.ErrNotFound)
	must(t, s.DeleteWaiver(ctx, "", "2-project", list[1].Version))
	is(t, s.DeleteWaiver(ctx, "", "2-project", list[1].Version), policy.ErrNotFound)
	_, err = s.ChangeWaiver(ctx, list[1])
	is(t, err, policy.ErrNotFound)
	same(t, ids("payments/api", "one", now), "345")
	list, err = s.Waivers(ctx, "")
	must(t, err)
	same(t, text(len(list), list[0].ID, list[0].Workspace, list[0].Expires.Equal(now.Add(time.Hour))), "7 1-all default true")
	same(t, list[0].Version, changed.Version)
	_, err = s.AddWaiver(ctx, list[0])
	is(t, err, policy.ErrConflict)
}

func secrets(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	one := Secret{Kind: "token", ID: "1", Data: []byte{0, 1, 2}, Created: time.UnixMicro(5).UTC()}
	must(t, s.AddSecret(ctx, Secret{Kind: "token", ID: "0", Data: []byte{9}, Created: time.UnixMicro(6), Expires: time.UnixMicro(9)}))
	must(t, s.AddSecret(ctx, one))
	is(t, s.AddSecret(ctx, one), policy.ErrConflict)
	must(t, s.AddSecret(ctx, Secret{Kind: "other", ID: "1", Data: []byte{}}))
	list, err := s.Secrets(ctx, "token")
	must(t, err)
	same(t, len(list), 2)
	same(t, text(list[0]), text(one))
	must(t, s.DeleteSecret(ctx, "token", "1"))
	is(t, s.DeleteSecret(ctx, "token", "1"), policy.ErrNotFound)
	list, err = s.Secrets(ctx, "token")
	must(t, err)
	same(t, text(len(list), list[0].ID), "1 0")
}

func viewsAreImmutable(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addProject(t, s, policy.Project{Name: "payments"})
	addUser(t, s, Person{Name: "alice"}, "")
	old := viewOf(t, s)
	addMember(t, s, Member{Project: "payments", Name: "alice", Role: "guest"})
	addProject(t, s, policy.Project{Name: "other"})
	must(t, s.SetUserDisabled(ctx, "", "alice", true))
	keepWaiver(t, s, policy.Waiver{ID: "w", Rule: "r", Owner: "o", State: policy.WaiverApproved, Expires: time.Now().Add(time.Hour)})
	same(t, text(old.Subject(local("alice"), "payments", time.Now())), "{[] [] false [] <nil> false}")
	_, ok := old.Project("", "other")
	same(t, ok, false)
	same(t, len(old.Waivers(repo, "", time.Now())), 0)
	same(t, len(viewOf(t, s).Waivers(repo, "", time.Now())), 1)
	if now := viewOf(t, s).Revision(); now < old.Revision()+4 {
		t.Fatalf("four changes brought revision %d to %d", old.Revision(), now)
	}
}

func reopening(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addUser(t, s, Person{Name: "alice", SystemAdmin: true}, "hash")
	addProject(t, s, policy.Project{Name: "payments"})
	addMember(t, s, Member{Project: "payments", Name: "alice", Role: "guest"})
	keepWaiver(t, s, policy.Waiver{ID: "w", Rule: "r", Owner: "o", State: policy.WaiverApproved, Expires: time.Now().Add(time.Hour)})
	must(t, s.Push(ctx, image("one"), []policy.TagMove{{Tag: "v1"}}))
	revision := viewOf(t, s).Revision()
	must(t, s.Close())
	s = open()
	must(t, s.Check(ctx))
	same(t, rolesOf(t, s, local("alice"), "payments"), "[admin guest] false")
	same(t, len(viewOf(t, s).Waivers(repo, "", time.Now())), 1)
	tagIs(t, s, "v1", dig("one"))
	if now := viewOf(t, s).Revision(); now < revision {
		t.Fatalf("revision went back from %d to %d", revision, now)
	}
}

func cancelled(t *testing.T, open func() *Store) {
	s := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	is(t, s.Push(ctx, image("one"), []policy.TagMove{{Tag: "v1"}}), context.Canceled)
	is(t, fails(s.CreateUser(ctx, Person{Name: "alice"}, "")), policy.ErrUnavailable)
	_, err := s.ResolveTag(t.Context(), repo, "v1")
	is(t, err, policy.ErrNotFound)
	must(t, s.Push(t.Context(), image("one"), []policy.TagMove{{Tag: "v1"}}))
}

func closedStore(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	must(t, s.Close())
	must(t, s.Close())
	is(t, s.Push(ctx, image("one"), nil), policy.ErrUnavailable)
	_, err := s.ResolveTag(ctx, repo, "v1")
	is(t, err, policy.ErrUnavailable)
	is(t, s.Check(ctx), policy.ErrUnavailable)
}
