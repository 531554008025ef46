package metadata

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// pair makes liz of the provider, with a role in one project, and the local alice,
// with one in another.
func pair(t *testing.T, s *Store) (liz, alice Person) {
	t.Helper()
	addProject(t, s, policy.Project{Name: "payments"})
	addProject(t, s, policy.Project{Name: "web"})
	addUser(t, s, Person{Name: "root", SystemAdmin: true}, "")
	liz, alice = enroll(t, s, Person{Issuer: idp, Subject: "liz"}), addUser(t, s, Person{Name: "alice"}, "hash")
	addMember(t, s, Member{Project: "payments", Issuer: idp, Name: "liz", Role: "developer"})
	addMember(t, s, Member{Project: "web", Name: "alice", Role: "guest", Repositories: "web/*"})
	addMember(t, s, Member{Project: "payments", Name: "alice", Role: "guest"})
	return liz, alice
}

// inBoth is what somebody has in both projects.
func inBoth(t *testing.T, s *Store, p policy.Principal) string {
	t.Helper()
	return has(t, s, p, "payments", time.Now()) + " / " + has(t, s, p, "web", time.Now())
}

func linkedPeople(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	liz, alice := pair(t, s)
	same(t, inBoth(t, s, outside("liz")), "[developer] [] / [] []")
	must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID))
	must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID)) // it is so already
	links, err := s.Links(ctx, "")
	must(t, err)
	same(t, text(links), text([]Link{{liz.ID, alice.ID}}))
	all := "[developer guest] [] / [] [{web/* guest []}]"
	same(t, inBoth(t, s, outside("liz")), all)
	same(t, inBoth(t, s, local("alice")), all)
	// Robots and workloads of such a name are nobody.
	work := policy.Principal{Issuer: idp, ID: "liz", Kind: policy.KindWorkload}
	same(t, inBoth(t, s, work), "[] [] / [] []")
	same(t, inBoth(t, s, policy.Principal{Issuer: "https://evil", ID: "liz", Kind: policy.KindUser}), "[] [] / [] []")

	// A third is one with both, and a limit of a token stays one.
	bo := addUser(t, s, Person{Name: "bo"}, "")
	must(t, s.SetPersonAdmin(ctx, "", bo.ID, true))
	must(t, s.LinkPerson(ctx, "", bo.ID, alice.ID))
	same(t, inBoth(t, s, outside("liz")), "[admin developer guest] [] / [admin] [{web/* guest []}]")
	same(t, inBoth(t, s, local("bo")), inBoth(t, s, local("alice")))
	token := addToken(t, s, AccessToken{Issuer: idp, Owner: "liz", Name: "t", Limited: true, Limits: []RobotGrant{{Project: "web", Rights: []string{"pull"}}}})
	same(t, has(t, s, withToken(outside("liz"), token.ID), "web", time.Now()), "[admin] [{web/* guest []}] within [{  [pull]}]")
	// Who is disabled gives the others nothing.
	must(t, s.SetPersonDisabled(ctx, "", bo.ID, true))
	same(t, inBoth(t, s, local("alice")), all)
	same(t, inBoth(t, s, local("bo")), "[] [] disabled / [] [] disabled")

	// A membership that changes is everybody's at once; the end of a link, too.
	addMember(t, s, Member{Project: "web", Issuer: idp, Name: "liz", Role: "maintainer"})
	same(t, inBoth(t, s, local("alice")), "[developer guest] [] / [maintainer] [{web/* guest []}]")
	must(t, s.UnlinkPerson(ctx, "", liz.ID))
	same(t, inBoth(t, s, outside("liz")), "[developer] [] / [maintainer] []")
	same(t, inBoth(t, s, local("alice")), "[guest] [] / [] [{web/* guest []}]")
	is(t, s.UnlinkPerson(ctx, "", liz.ID), policy.ErrNotFound)

	// A deleted person leaves no link, whichever of the two it was.
	must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID))
	must(t, s.DeletePerson(ctx, "", liz.ID))
	same(t, inBoth(t, s, local("alice")), "[guest] [] / [] [{web/* guest []}]")
	must(t, s.DeletePerson(ctx, "", alice.ID))
	must(t, s.SetPersonDisabled(ctx, "", bo.ID, false))
	same(t, inBoth(t, s, local("bo")), "[admin] [] / [admin] []")
	links, err = s.Links(ctx, "")
	must(t, err)
	same(t, len(links), 0)
	must(t, s.Close())
	same(t, inBoth(t, open(), local("bo")), "[admin] [] / [admin] []")
}

func linkedToDisabled(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	alice, liz := pair(t, s) // alice of the provider is linked to, so that liz logs in with a password
	must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID))
	who, main := local("alice"), outside("liz")
	session := Session{ID: "x", Issuer: policy.LocalIssuer, Subject: "alice", Expires: time.Now().Add(time.Hour)}
	must(t, s.CreateSession(ctx, session))
	token, err := s.CreateAccessToken(ctx, AccessToken{Issuer: policy.LocalIssuer, Owner: "alice", Name: "t"}, []byte("h"))
	must(t, err)
	before, err := s.Stamp(ctx, who)
	must(t, err)
	out := "[] [] disabled / [] [] disabled"

	must(t, s.SetPersonDisabled(ctx, "", alice.ID, true))
	same(t, inBoth(t, s, who), out)
	same(t, inBoth(t, s, main), out)
	same(t, inBoth(t, s, withToken(who, token.ID)), out)
	is(t, fails(s.Stamp(ctx, who)), policy.ErrUnauthenticated)
	is(t, s.CreateSession(ctx, session), policy.ErrUnauthenticated)
	_, disabled, err := s.PasswordHash(ctx, "", "alice")
	must(t, err)
	_, owner, err := s.AccessTokenByHash(ctx, "", []byte("h"))
	must(t, err)
	same(t, text(disabled, owner.Disabled), "true true")
	// It is the main person's state: her own is as it was.
	p, err := s.PersonByID(ctx, "", liz.ID)
	must(t, err)
	same(t, p.Disabled, false)

	// Enabled again, what she had got before stays ended.
	must(t, s.SetPersonDisabled(ctx, "", alice.ID, false))
	same(t, has(t, s, who, "payments", time.Now()), "[developer guest] []")
	is(t, fails(s.Session(ctx, "", "x", time.Now())), policy.ErrNotFound)
	after, err := s.Stamp(ctx, who)
	must(t, err)
	same(t, before == after, false)

	// The end of a link lets nobody in, neither does that of the main person.
	must(t, s.SetPersonDisabled(ctx, "", alice.ID, true))
	must(t, s.UnlinkPerson(ctx, "", liz.ID))
	same(t, inBoth(t, s, who), out)
	is(t, s.LinkPerson(ctx, "", liz.ID, alice.ID), policy.ErrConflict)
	must(t, s.SetPersonDisabled(ctx, "", liz.ID, false))
	same(t, has(t, s, who, "payments", time.Now()), "[guest] []")
	must(t, s.SetPersonDisabled(ctx, "", alice.ID, false))
	must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID))
	must(t, s.SetPersonDisabled(ctx, "", alice.ID, true))
	must(t, s.DeletePerson(ctx, "", alice.ID))
	same(t, inBoth(t, s, who), out)
}

func refusedLinks(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	liz, alice := pair(t, s)
	bo := addUser(t, s, Person{Name: "bo"}, "")
	must(t, s.CreateWorkspace(ctx, Workspace{Name: "prod"}))
	theirs := addUser(t, s, Person{Workspace: "prod", Name: "bo"}, "")
	must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID))
	for what, c := range map[string]struct {
		person, main int64
		want         error
	}{
		"to itself":                {bo.ID, bo.ID, policy.ErrInvalid},
		"to somebody linked":       {bo.ID, liz.ID, policy.ErrConflict},
		"a main person to another": {alice.ID, bo.ID, policy.ErrConflict},
		"back":                     {alice.ID, liz.ID, policy.ErrConflict},
		"to a second one":          {liz.ID, bo.ID, policy.ErrConflict},
		"to nobody":                {bo.ID, 999, policy.ErrNotFound},
		"nobody":                   {999, alice.ID, policy.ErrNotFound},
		"across workspaces":        {bo.ID, theirs.ID, policy.ErrNotFound},
	} {
		if err := s.LinkPerson(ctx, "", c.person, c.main); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Of links that would make a chain together one is made.
	var made sync.Map
	var wg sync.WaitGroup
	cy := addUser(t, s, Person{Name: "cy"}, "")
	for _, pair := range [][2]int64{{bo.ID, cy.ID}, {cy.ID, bo.ID}, {cy.ID, alice.ID}} {
		wg.Go(func() {
			err := s.LinkPerson(ctx, "", pair[0], pair[1])
			if err == nil {
				made.Store(pair, true)
			} else if !errors.Is(err, policy.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	links, err := s.Links(ctx, "")
	must(t, err)
	mains, linked := map[int64]bool{}, map[int64]bool{}
	for _, l := range links {
		mains[l.Main], linked[l.Person] = true, true
	}
	for id := range mains {
		if linked[id] {
			t.Errorf("a chain: %v", links)
		}
	}
	if len(links) < 2 {
		t.Errorf("none was made: %v", links)
	}
}

func linkedAdmins(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	root, main := addUser(t, s, Person{Name: "root", SystemAdmin: true}, ""), addUser(t, s, Person{Name: "main"}, "")
	must(t, s.LinkPerson(ctx, "", root.ID, main.ID))
	is(t, s.SetPersonDisabled(ctx, "", main.ID, true), policy.ErrConflict)
	is(t, s.SetPersonAdmin(ctx, "", root.ID, false), policy.ErrConflict)
	// An administrator who is locked out with another person is none who is left.
	second, third := addUser(t, s, Person{Name: "second", SystemAdmin: true}, ""), addUser(t, s, Person{Name: "third"}, "")
	must(t, s.LinkPerson(ctx, "", second.ID, third.ID))
	must(t, s.SetPersonDisabled(ctx, "", third.ID, true))
	is(t, s.SetPersonDisabled(ctx, "", root.ID, true), policy.ErrConflict)
	is(t, s.SetPersonDisabled(ctx, "", main.ID, true), policy.ErrConflict)
	must(t, s.SetPersonDisabled(ctx, "", third.ID, false))
	must(t, s.SetPersonDisabled(ctx, "", main.ID, true))
	same(t, rolesOf(t, s, local("root"), "p"), "[] true")
	is(t, s.SetPersonDisabled(ctx, "", second.ID, true), policy.ErrConflict)
}

func groupsOfAdmins(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	root := addUser(t, s, Person{Name: "root", SystemAdmin: true}, "")
	liz := enroll(t, s, Person{Issuer: idp, Subject: "liz"})
	ops, err := s.CreateGroup(ctx, Group{Issuer: idp, Name: "ops", Admin: true})
	must(t, err)
	same(t, ops.Admin, false)
	tree, err := s.CreateGroup(ctx, Group{Issuer: idp, Name: "tree", DN: "CN=Ops,DC=Corp"})
	must(t, err)
	same(t, rolesOf(t, s, outside("liz", "ops", tree.DN), "p"), "[] false")
	for _, g := range []Group{ops, tree} {
		must(t, s.SetGroupAdmin(ctx, "", g.ID, true))
	}
	by := func(change func(*policy.Principal)) policy.Principal {
		p := outside("liz", "ops")
		change(&p)
		return p
	}
	for what, c := range map[string]struct {
		p    policy.Principal
		want string
	}{
		"by its name":                 {outside("liz", "x", "ops"), "[admin] false"},
		"by its DN":                   {outside("liz", "cn=ops,dc=corp"), "[admin] false"},
		"not by the name of one with": {outside("liz", "tree"), "[] false"},
		"no group":                    {outside("liz"), "[] false"},
		"nobody knows them":           {outside("eve", "ops"), "[] false"},
		"of another issuer":           {by(func(p *policy.Principal) { p.Issuer = "https://evil" }), "[] false"},
		"of another workspace":        {by(func(p *policy.Principal) { p.Workspace = "prod" }), "[] false"},
		"a workload":                  {by(func(p *policy.Principal) { p.Kind = policy.KindWorkload }), "[] false"},
		"a robot":                     {by(func(p *policy.Principal) { p.Kind = policy.KindRobot }), "[] true"},
	} {
		if got := rolesOf(t, s, c.p, "p"); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	// Who is in the group is not ours to say: a person has to stay.
	is(t, s.SetPersonAdmin(ctx, "", root.ID, false), policy.ErrConflict)
	must(t, s.SetPersonDisabled(ctx, "", liz.ID, true))
	same(t, rolesOf(t, s, outside("liz", "ops"), "p"), "[] true")
	must(t, s.SetPersonDisabled(ctx, "", liz.ID, false))

	must(t, s.UpdateGroup(ctx, Group{ID: ops.ID, Name: "crew"}))
	same(t, rolesOf(t, s, outside("liz", "ops"), "p"), "[] false")
	same(t, rolesOf(t, s, outside("liz", "crew"), "p"), "[admin] false")
	must(t, s.DeleteGroup(ctx, "", ops.ID))
	same(t, rolesOf(t, s, outside("liz", "crew"), "p"), "[] false")
	must(t, s.SetGroupAdmin(ctx, "", tree.ID, false))
	same(t, rolesOf(t, s, outside("liz", "cn=ops,dc=corp"), "p"), "[] false")
	is(t, s.SetGroupAdmin(ctx, "", ops.ID, true), policy.ErrNotFound)
}

func replicaLinks(t *testing.T, open func() *Store) {
	a, b, ctx := open(), open(), t.Context()
	liz, alice := pair(t, a)
	team, err := a.CreateGroup(ctx, Group{Issuer: idp, Name: "team"})
	must(t, err)
	sees := func(s *Store, want string) func() bool {
		return func() bool { return inBoth(t, s, outside("liz", "team")) == want }
	}
	must(t, a.LinkPerson(ctx, "", liz.ID, alice.ID))
	must(t, a.SetGroupAdmin(ctx, "", team.ID, true))
	eventually(t, "the link and the group are seen", sees(b, "[admin developer guest] [] / [admin] [{web/* guest []}]"))
	must(t, b.DeletePerson(ctx, "", alice.ID))
	must(t, b.DeleteGroup(ctx, "", team.ID))
	eventually(t, "their end is seen", sees(a, "[developer] [] / [] []"))
}
