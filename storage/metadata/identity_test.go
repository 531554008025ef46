package metadata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

const idp = "https://idp.example.com/realms/x"

func enroll(t testing.TB, s *Store, p Person) Person {
	t.Helper()
	p, err := s.Enroll(t.Context(), p)
	must(t, err)
	return p
}

func outside(subject string, groups ...string) policy.Principal {
	return policy.Principal{Issuer: idp, ID: subject, Kind: policy.KindUser, Groups: groups}
}

func enrolling(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addUser(t, s, Person{Name: "alice"}, "hash")
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	one := enroll(t, s, Person{Issuer: idp, Subject: "s1", Name: "alice", Email: "a@x", Groups: []string{"dev"}, SystemAdmin: true, Seen: now})
	same(t, text(one.ID, one.Name, one.SystemAdmin, one.Created.Equal(now)), "2 alice@idp.example.com false true")
	two := enroll(t, s, Person{Issuer: idp, Subject: "s2", Name: "alice", Seen: now})
	same(t, two.Name, "alice@idp.example.com-2")
	corp := enroll(t, s, Person{Issuer: "ldap:corp", Subject: "alice", Name: "alice", Seen: now})
	same(t, corp.Name, "alice@corp")
	same(t, enroll(t, s, Person{Issuer: idp, Subject: "s3", Seen: now}).Name, "s3")

	revision := viewOf(t, s).Revision()
	again := enroll(t, s, Person{Issuer: idp, Subject: "s1", Name: "alice", Groups: []string{"dev"}, Seen: now.Add(30 * time.Second)})
	same(t, text(again), text(one)) // within the minute nothing is written
	later := enroll(t, s, Person{Issuer: idp, Subject: "s1", Name: "alice", Groups: []string{"dev"}, Seen: now.Add(time.Minute)})
	same(t, text(later.Email, later.Seen.Equal(now.Add(time.Minute))), "a@x true")
	renamed := enroll(t, s, Person{Issuer: idp, Subject: "s1", Name: "liz", RealName: "Liz", Seen: now.Add(61 * time.Second)})
	same(t, text(renamed.ID, renamed.Name, renamed.RealName, renamed.Groups), "2 liz Liz []")
	stored, err := s.PersonBySubject(ctx, "", idp, "s1")
	must(t, err)
	same(t, text(stored), text(renamed))
	same(t, viewOf(t, s).Revision(), revision) // no decision depends on any of it

	must(t, s.SetPersonDisabled(ctx, "", one.ID, true))
	disabled := enroll(t, s, Person{Issuer: idp, Subject: "s1", Name: "new", Seen: now.Add(time.Hour)})
	same(t, text(disabled.Disabled, disabled.Name), "true liz")
	for what, p := range map[string]Person{
		"a local person":         {Issuer: policy.LocalIssuer, Subject: "bob"},
		"nobody":                 {Issuer: idp},
		"no issuer":              {Subject: "bob"},
		"an issuer with a space": {Issuer: "a b", Subject: "bob"},
		"a name of two lines":    {Issuer: idp, Subject: "s9", Name: "a\nb"},
		"a name without end":     {Issuer: idp, Subject: "s9", Name: strings.Repeat("a", maxText+1)},
	} {
		if _, err := s.Enroll(ctx, p); err == nil {
			t.Errorf("%s is enrolled", what)
		}
	}
}

func enrollingAtOnce(t *testing.T, open func() *Store) {
	s := open()
	var wg sync.WaitGroup
	ids := make([]atomic.Int64, 3)
	for i := range 12 {
		wg.Go(func() {
			p, err := s.Enroll(context.Background(), Person{Issuer: idp, Subject: fmt.Sprint(i % 3), Name: "alice"})
			if err != nil {
				t.Error(err)
				return
			}
			if old := ids[i%3].Swap(p.ID); old != 0 && old != p.ID {
				t.Errorf("one person is %d and %d", old, p.ID)
			}
		})
	}
	wg.Wait()
	all, total, err := s.People(t.Context(), "", PeopleQuery{})
	must(t, err)
	same(t, text(total, all[0].Name, all[1].Name, all[2].Name),
		"3 alice alice@idp.example.com alice@idp.example.com-2")
}

func deletedPeople(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	root := addUser(t, s, Person{Name: "root", SystemAdmin: true}, "")
	addProject(t, s, policy.Project{Name: "payments"})
	liz := enroll(t, s, Person{Issuer: idp, Subject: "liz"})
	addMember(t, s, Member{Project: "payments", Issuer: idp, Name: "liz", Role: "developer"})
	addMember(t, s, Member{Project: "payments", Issuer: idp, Kind: MemberGroup, Name: "team", Role: "guest"})
	token, err := s.CreateAccessToken(ctx, AccessToken{Issuer: idp, Owner: "liz", Name: "t"}, []byte("h"))
	must(t, err)
	must(t, s.CreateSession(ctx, Session{ID: "x", Issuer: idp, Subject: "liz", Expires: time.Now().Add(time.Hour)}))
	with := outside("liz", "team")
	with.Credential = fmt.Sprint("access-token:", token.ID)
	same(t, rolesOf(t, s, with, "payments"), "[developer guest] false")

	must(t, s.DeletePerson(ctx, "", liz.ID))
	same(t, rolesOf(t, s, with, "payments"), "[] true")
	// Her old bearer token says that she is in the team, and nobody asks the issuer.
	same(t, rolesOf(t, s, outside("liz", "team"), "payments"), "[] false")
	is(t, fails(s.Session(ctx, "", "x", time.Now())), policy.ErrNotFound)
	is(t, fails(s.AccessTokenByID(ctx, "", token.ID)), policy.ErrNotFound)
	_, members, err := s.Members(ctx, "", "payments", MemberQuery{})
	must(t, err)
	same(t, members, 1)
	is(t, s.DeletePerson(ctx, "", liz.ID), policy.ErrNotFound)
	is(t, s.DeletePerson(ctx, "", root.ID), policy.ErrConflict)
	// Whoever comes back is somebody else.
	back := enroll(t, s, Person{Issuer: idp, Subject: "liz"})
	same(t, text(back.ID > liz.ID, rolesOf(t, s, outside("liz"), "payments")), "true [] false")
}

// lastAdmins takes administrators away by every way there is, at once.
func lastAdmins(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	ways := []func(ws string, p Person) error{
		func(ws string, p Person) error { return s.SetUserDisabled(ctx, ws, p.Name, true) },
		func(ws string, p Person) error { return s.SetPersonDisabled(ctx, ws, p.ID, true) },
		func(ws string, p Person) error { return s.SetPersonAdmin(ctx, ws, p.ID, false) },
		func(ws string, p Person) error { return s.DeletePerson(ctx, ws, p.ID) },
	}
	admin := true
	for round := range 6 {
		ws := fmt.Sprint("ws", round)
		people := make([]Person, len(ways))
		for i := range ways {
			people[i] = addUser(t, s, Person{Workspace: ws, Name: fmt.Sprint("p", i), SystemAdmin: true}, "")
		}
		var refused atomic.Int64
		var wg sync.WaitGroup
		for i, way := range ways {
			wg.Go(func() {
				err := way(ws, people[(i+round)%len(ways)])
				if errors.Is(err, policy.ErrConflict) {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		enabled := false
		_, left, err := s.People(ctx, ws, PeopleQuery{Admin: &admin, Disabled: &enabled})
		must(t, err)
		same(t, text(refused.Load(), left), "1 1")
	}
}

func listsOfPeople(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	for i, name := range []string{"bob", "al_ice", "Alex", "carol"} {
		addUser(t, s, Person{Name: name, Email: fmt.Sprint(9-i, "@x"), SystemAdmin: name == "bob", Created: time.UnixMicro(int64(i + 1))}, "")
	}
	enroll(t, s, Person{Issuer: idp, Subject: "1", Name: "alan"})
	addUser(t, s, Person{Workspace: "prod", Name: "alfred"}, "")
	yes, no := true, false
	for what, c := range map[string]struct {
		q    PeopleQuery
		want string
	}{
		"all by name":               {PeopleQuery{}, "5 Alex al_ice alan bob carol"},
		"a page":                    {PeopleQuery{Page: Page{Offset: 1, Limit: 2}}, "5 al_ice alan"},
		"behind the end":            {PeopleQuery{Page: Page{Offset: 9, Limit: 2}}, "5"},
		"from an offset":            {PeopleQuery{Page: Page{Offset: 3}}, "5 bob carol"},
		"the newest first":          {PeopleQuery{Page: Page{Sort: []Order{{By: "id", Descending: true}}}}, "5 alan carol Alex al_ice bob"},
		"by e-mail":                 {PeopleQuery{Page: Page{Sort: []Order{{By: "email"}}}}, "5 alan carol Alex al_ice bob"},
		"by issuer, then name":      {PeopleQuery{Page: Page{Sort: []Order{{By: "issuer"}, {By: "name", Descending: true}}}}, "5 alan carol bob al_ice Alex"},
		"of a name":                 {PeopleQuery{Name: Text{Exact: "bob"}}, "1 bob"},
		"of a part of a name":       {PeopleQuery{Name: Text{Contains: "AL"}}, "3 Alex al_ice alan"},
		"a wildcard is a character": {PeopleQuery{Name: Text{Contains: "l_i"}}, "1 al_ice"},
		"another wildcard":          {PeopleQuery{Name: Text{Contains: "%"}}, "0"},
		"a backslash":               {PeopleQuery{Name: Text{Contains: `\`}}, "0"},
		"a quote":                   {PeopleQuery{Name: Text{Exact: "bob' OR '1'='1"}}, "0"},
		"administrators":            {PeopleQuery{Admin: &yes}, "1 bob"},
		"others of an issuer":       {PeopleQuery{Admin: &no, Issuer: idp}, "1 alan"},
		"the disabled":              {PeopleQuery{Disabled: &yes}, "0"},
		"of an address":             {PeopleQuery{Email: Text{Contains: "8@"}}, "1 al_ice"},
	} {
		all, total, err := s.People(ctx, "", c.q)
		must(t, err)
		got := fmt.Sprint(total)
		for _, p := range all {
			got += " " + p.Name
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	for what, page := range map[string]Page{
		"a column":             {Sort: []Order{{By: "password"}}},
		"an expression":        {Sort: []Order{{By: "name; DROP TABLE people"}}},
		"a key twice too many": {Sort: make([]Order, maxSort+1)},
		"before the first":     {Offset: -1},
		"a negative page":      {Limit: -1},
	} {
		if _, _, err := s.People(ctx, "", PeopleQuery{Page: page}); err == nil {
			t.Errorf("%s is listed", what)
		}
	}
}

func changesOfPeople(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	root := addUser(t, s, Person{Name: "root", SystemAdmin: true}, "")
	liz := enroll(t, s, Person{Issuer: idp, Subject: "liz"})
	must(t, s.SetPersonAdmin(ctx, "", liz.ID, true))
	same(t, rolesOf(t, s, outside("liz"), "any"), "[admin] false")
	must(t, s.SetPersonAdmin(ctx, "", root.ID, false))
	is(t, s.SetPersonAdmin(ctx, "", liz.ID, false), policy.ErrConflict)
	is(t, s.SetPersonDisabled(ctx, "", liz.ID, true), policy.ErrConflict)
	liz.Email, liz.RealName, liz.Comment, liz.Name = "l@x", "Liz", "c", "ignored"
	must(t, s.UpdatePerson(ctx, liz))
	got, err := s.PersonByID(ctx, "", liz.ID)
	must(t, err)
	same(t, text(got.Email, got.RealName, got.Comment, got.Name, got.SystemAdmin), "l@x Liz c liz true")
	got, err = s.PersonByName(ctx, "", "liz")
	must(t, err)
	same(t, got.ID, liz.ID)
	is(t, s.UpdatePerson(ctx, Person{ID: 99}), policy.ErrNotFound)
	is(t, s.UpdatePerson(ctx, Person{ID: liz.ID, Comment: "a\x00b"}), policy.ErrInvalid)

	must(t, s.SetPersonAdmin(ctx, "", root.ID, true))
	must(t, s.CreateSession(ctx, Session{ID: "x", Issuer: idp, Subject: "liz", Expires: time.Now().Add(time.Hour)}))
	must(t, s.SetPersonDisabled(ctx, "", liz.ID, true))
	same(t, rolesOf(t, s, outside("liz"), "any"), "[] true")
	is(t, s.CreateSession(ctx, Session{ID: "y", Issuer: idp, Subject: "liz", Expires: time.Now().Add(time.Hour)}), policy.ErrUnauthenticated)
	must(t, s.SetPersonDisabled(ctx, "", liz.ID, false))
	same(t, rolesOf(t, s, outside("liz"), "any"), "[admin] false")
	is(t, fails(s.Session(ctx, "", "x", time.Now())), policy.ErrNotFound) // it ended for good
}

func groups(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addProject(t, s, policy.Project{Name: "payments"})
	for _, subject := range []string{"a", "b"} {
		enroll(t, s, Person{Issuer: idp, Subject: subject})
	}
	team, err := s.CreateGroup(ctx, Group{Issuer: idp, Name: "team", DN: "CN=Team,OU=Good"})
	must(t, err)
	same(t, text(team.ID, team.DN), "1 cn=team,ou=good")
	is(t, fails(s.CreateGroup(ctx, Group{Issuer: idp, Name: "team"})), policy.ErrConflict)
	is(t, fails(s.CreateGroup(ctx, Group{Issuer: idp})), policy.ErrInvalid)
	addMember(t, s, Member{Project: "payments", Issuer: idp, Kind: MemberGroup, Name: "team", Role: "developer"})
	// The group of that name in another branch is another group.
	same(t, rolesOf(t, s, outside("a", "cn=team,ou=good"), "payments"), "[developer] false")
	same(t, rolesOf(t, s, outside("b", "cn=team,ou=bad", "team"), "payments"), "[] false")

	must(t, s.UpdateGroup(ctx, Group{ID: team.ID, Name: "crew"}))
	same(t, rolesOf(t, s, outside("a", "cn=team,ou=good", "team"), "payments"), "[] false")
	same(t, rolesOf(t, s, outside("a", "crew"), "payments"), "[developer] false")
	// A group that nobody named before is made with its first role.
	addMember(t, s, Member{Project: "payments", Issuer: idp, Kind: MemberGroup, Name: "ops", Role: "guest"})
	ops, err := s.GroupByName(ctx, "", idp, "ops")
	must(t, err)
	list, total, err := s.Groups(ctx, "", GroupQuery{Page: Page{Limit: 1, Sort: []Order{{By: "name", Descending: true}}}})
	must(t, err)
	same(t, text(total, text(list), ops.ID > team.ID), text(2, text([]Group{ops}), true))
	must(t, s.DeleteGroup(ctx, "", team.ID))
	same(t, rolesOf(t, s, outside("a", "crew"), "payments"), "[] false")
	is(t, s.DeleteGroup(ctx, "", team.ID), policy.ErrNotFound)
	is(t, s.UpdateGroup(ctx, Group{ID: team.ID, Name: "x"}), policy.ErrNotFound)
	is(t, fails(s.GroupByID(ctx, "", team.ID)), policy.ErrNotFound)
}

func sessions(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	enroll(t, s, Person{Issuer: idp, Subject: "liz"})
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	x := Session{
		ID: "x", Workspace: "default", Issuer: idp, Subject: "liz", Name: "Liz", Groups: []string{"a"},
		Claims: []byte(`{"k":1}`), Created: now, Expires: now.Add(time.Hour), Refresh: []byte{0, 1},
	}
	must(t, s.CreateSession(ctx, x))
	is(t, s.CreateSession(ctx, x), policy.ErrConflict)
	got, err := s.Session(ctx, "", "x", now)
	must(t, err)
	same(t, text(got), text(x))
	x.Name, x.Refresh, x.Refreshed, x.Groups = "Z", []byte{7}, now.Add(time.Minute), nil
	must(t, s.UpdateSession(ctx, x, []byte{0, 1}))
	is(t, s.UpdateSession(ctx, x, []byte{0, 1}), policy.ErrConflict) // another replica was first
	got, err = s.Session(ctx, "", "x", now.Add(59*time.Minute))
	must(t, err)
	same(t, text(got), text(x))
	is(t, fails(s.Session(ctx, "", "x", now.Add(time.Hour))), policy.ErrNotFound)
	is(t, s.CreateSession(ctx, Session{ID: "y", Issuer: idp, Subject: "nobody", Expires: now}), policy.ErrNotFound)
	is(t, s.CreateSession(ctx, Session{ID: "y", Issuer: idp, Subject: "liz"}), policy.ErrInvalid)
	is(t, s.UpdateSession(ctx, Session{ID: "y"}, []byte{7}), policy.ErrConflict)

	x.ID, x.Expires = "later", now.Add(2*time.Hour)
	must(t, s.CreateSession(ctx, x))
	n, err := s.DeleteExpiredSessions(ctx, now.Add(time.Hour))
	must(t, err)
	same(t, n, 1)
	must(t, s.DeleteSession(ctx, "", "later"))
	is(t, s.DeleteSession(ctx, "", "later"), policy.ErrNotFound)
	must(t, s.CreateSession(ctx, x))
	n, err = s.DeleteSessionsOf(ctx, "", idp, "liz")
	must(t, err)
	same(t, n, 1)
}
