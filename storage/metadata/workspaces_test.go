package metadata

import (
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func tenants(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	lead := func(host string) string {
		t.Helper()
		name, ok, err := s.WorkspaceOfHost(host)
		must(t, err)
		return text(name, ok)
	}
	must(t, s.CreateWorkspace(ctx, Workspace{Name: "prod", Description: "d", Hosts: []string{"Prod.example.com", "localhost:5001"}}))
	is(t, s.CreateWorkspace(ctx, Workspace{Name: "prod"}), policy.ErrConflict)
	is(t, s.CreateWorkspace(ctx, Workspace{Name: "test", Hosts: []string{"prod.example.com"}}), policy.ErrConflict)
	is(t, fails(s.WorkspaceByName(ctx, "test")), policy.ErrNotFound) // with its host or not at all
	must(t, s.CreateWorkspace(ctx, Workspace{Name: "test", Hosts: []string{"[::1]:5000"}}))
	for host, want := range map[string]string{
		"prod.example.com": "prod true", "PROD.example.com:443": "prod true", "localhost:5001": "prod true",
		"localhost:5000": " false", "localhost": " false", "evil.example.com": " false", "": " false", "[::1]:5000": "test true", "[::1]": " false",
	} {
		if got := lead(host); got != want {
			t.Errorf("%q leads to %s", host, got)
		}
	}
	w, err := s.WorkspaceByName(ctx, "prod")
	must(t, err)
	same(t, text(w.Name, w.Description, w.Hosts, w.Created.IsZero()), "prod d [localhost:5001 prod.example.com] false")
	w.Hosts, w.Description = []string{"other.example.com"}, "e"
	must(t, s.UpdateWorkspace(ctx, w))
	same(t, text(lead("prod.example.com"), lead("other.example.com")), " false prod true")
	is(t, s.UpdateWorkspace(ctx, Workspace{Name: "none"}), policy.ErrNotFound)
	all, err := s.Workspaces(ctx)
	must(t, err)
	same(t, text(len(all), all[0].Name, all[1].Name, all[1].Description, all[2].Hosts), "3 default prod e [[::1]:5000]")
	for _, bad := range []Workspace{{}, {Name: "A"}, {Name: "a/b"}, {Name: "x", Hosts: []string{""}}, {Name: "x", Hosts: []string{"http://a"}}} {
		is(t, s.CreateWorkspace(ctx, bad), policy.ErrInvalid)
	}

	addUser(t, s, Person{Workspace: "prod", Name: "alice", SystemAdmin: true}, "")
	addProject(t, s, policy.Project{Workspace: "prod", Name: "payments"})
	is(t, s.DeleteWorkspace(ctx, "prod"), policy.ErrConflict)
	is(t, s.DeleteWorkspace(ctx, policy.DefaultWorkspace), policy.ErrConflict)
	is(t, s.DeleteWorkspace(ctx, "none"), policy.ErrNotFound)
	must(t, s.DeleteProject(ctx, "prod", "payments"))
	robot := addRobot(t, s, Robot{Workspace: "prod", Name: "ci", Grants: []RobotGrant{{Project: AnyProject, Rights: []string{"admin"}}}})
	alice := policy.Principal{Workspace: "prod", Issuer: policy.LocalIssuer, ID: "alice", Kind: policy.KindUser}
	same(t, text(rolesOf(t, s, alice, "x"), has(t, s, asRobot(robot), "x", time.Now())), "[admin] false [] [{  [admin]}]")
	must(t, s.DeleteWorkspace(ctx, "prod"))
	same(t, text(rolesOf(t, s, alice, "x"), has(t, s, asRobot(robot), "x", time.Now())), "[] false [] [] disabled")
	same(t, lead("other.example.com"), " false")
	is(t, fails(s.User(ctx, "prod", "alice")), policy.ErrNotFound)
}

// isolation asks for everything of one workspace in the name of another.
func isolation(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	const here, there = "default", "prod"
	alice := addUser(t, s, Person{Name: "alice", SystemAdmin: true}, "hash")
	addUser(t, s, Person{Name: "root", SystemAdmin: true}, "")
	other := addUser(t, s, Person{Name: "other"}, "")
	p := addProject(t, s, policy.Project{Name: "payments"})
	m := addMember(t, s, Member{Project: "payments", Name: "alice", Role: "guest"})
	g, err := s.CreateGroup(ctx, Group{Issuer: idp, Name: "team"})
	must(t, err)
	r := addRobot(t, s, Robot{Name: "ci"})
	x := addToken(t, s, AccessToken{Issuer: policy.LocalIssuer, Owner: "alice", Name: "t"})
	must(t, s.CreateRole(ctx, Role{Name: "role", Rights: []string{"pull"}}))
	must(t, s.CreateSession(ctx, Session{ID: "x", Issuer: policy.LocalIssuer, Subject: "alice", Expires: time.Now().Add(time.Hour)}))
	calls := func(ws string) map[string]error {
		_, _, secrets := s.RobotSecrets(ctx, ws, "", "ci")
		_, _, byHash := s.AccessTokenByHash(ctx, ws, []byte("hash of t"))
		_, _, hash := s.PasswordHash(ctx, ws, "alice")
		return map[string]error{
			"PersonByID": fails(s.PersonByID(ctx, ws, alice.ID)), "PersonByName": fails(s.PersonByName(ctx, ws, "alice")),
			"PersonBySubject": fails(s.PersonBySubject(ctx, ws, policy.LocalIssuer, "alice")), "PasswordHash": hash,
			"SetPasswordHash": s.SetPasswordHash(ctx, ws, "alice", "hash"), "SetUserDisabled": s.SetUserDisabled(ctx, ws, "alice", false),
			"UpdatePerson": s.UpdatePerson(ctx, Person{Workspace: ws, ID: alice.ID}), "SetPersonAdmin": s.SetPersonAdmin(ctx, ws, alice.ID, true),
			"SetPersonDisabled": s.SetPersonDisabled(ctx, ws, alice.ID, false), "SetPersonAdmin off": s.SetPersonAdmin(ctx, ws, alice.ID, false),
			"GroupByID": fails(s.GroupByID(ctx, ws, g.ID)), "GroupByName": fails(s.GroupByName(ctx, ws, idp, "team")),
			"UpdateGroup": s.UpdateGroup(ctx, Group{Workspace: ws, ID: g.ID, Name: "team"}),
			"ProjectByID": fails(s.ProjectByID(ctx, ws, p.ID)), "Project": fails(s.Project(ctx, ws, "payments")),
			"UpdateProject": s.UpdateProject(ctx, Project{Project: policy.Project{Workspace: ws, Name: "payments"}}),
			"MemberByID":    fails(s.MemberByID(ctx, ws, "payments", m.ID)), "SetMemberRole": s.SetMemberRole(ctx, ws, "payments", m.ID, "guest"),
			"SetMember": fails(s.SetMember(ctx, Member{Workspace: ws, Project: "payments", Name: "alice", Role: "guest"})),
			"Role":      fails(s.Role(ctx, ws, "role")), "UpdateRole": s.UpdateRole(ctx, Role{Workspace: ws, Name: "role", Rights: []string{"pull"}}),
			"RobotByID": fails(s.RobotByID(ctx, ws, r.ID)), "RobotByName": fails(s.RobotByName(ctx, ws, "", "ci")), "RobotSecrets": secrets,
			"UpdateRobot": s.UpdateRobot(ctx, Robot{Workspace: ws, ID: r.ID}), "SetRobotSecret": s.SetRobotSecret(ctx, ws, r.ID, []byte("x"), time.Time{}),
			"AccessTokenByID": fails(s.AccessTokenByID(ctx, ws, x.ID)), "AccessTokenByHash": byHash,
			"Session": fails(s.Session(ctx, ws, "x", time.Now())), "SetGroupAdmin": s.SetGroupAdmin(ctx, ws, g.ID, true),
			"LinkPerson": s.LinkPerson(ctx, ws, other.ID, alice.ID),
		}
	}
	removals := []func(ws string) error{
		func(ws string) error { return s.UnlinkPerson(ctx, ws, other.ID) },
		func(ws string) error { return s.DeleteAccessToken(ctx, ws, x.ID) },
		func(ws string) error { return s.DeleteSession(ctx, ws, "x") },
		func(ws string) error { return s.RemoveMemberByID(ctx, ws, "payments", m.ID) },
		func(ws string) error { return s.DeleteRole(ctx, ws, "role") },
		func(ws string) error { return s.DeleteRobot(ctx, ws, r.ID) },
		func(ws string) error { return s.DeleteGroup(ctx, ws, g.ID) },
		func(ws string) error { return s.DeletePerson(ctx, ws, alice.ID) },
		func(ws string) error { return s.DeleteProject(ctx, ws, "payments") },
	}
	for call, err := range calls(there) {
		if err == nil {
			t.Errorf("%s reaches another workspace", call)
		} else {
			is(t, err, policy.ErrNotFound)
		}
	}
	for i, remove := range removals {
		if err := remove(there); err == nil {
			t.Errorf("removal %d reaches another workspace", i)
		} else {
			is(t, err, policy.ErrNotFound)
		}
	}
	people, n1, err1 := s.People(ctx, there, PeopleQuery{})
	_, n2, err2 := s.Groups(ctx, there, GroupQuery{})
	_, n3, err3 := s.Projects(ctx, there, ProjectQuery{})
	_, n4, err4 := s.Members(ctx, there, "payments", MemberQuery{})
	_, n5, err5 := s.Robots(ctx, there, RobotQuery{})
	tokens, err6 := s.AccessTokens(ctx, there, policy.LocalIssuer, "alice")
	roles, err7 := s.Roles(ctx, there)
	for _, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		must(t, err)
	}
	same(t, text(len(people), n1, n2, n3, n4, n5, len(tokens), len(roles)), "0 0 0 0 0 0 0 0")
	is(t, s.UpdateSession(ctx, Session{Workspace: there, ID: "x"}, nil), policy.ErrConflict)
	n, err := s.DeleteSessionsOf(ctx, there, policy.LocalIssuer, "alice")
	must(t, err)
	same(t, n, 0)
	// They would all have worked at home.
	for call, err := range calls(here) {
		if err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	for _, remove := range removals {
		must(t, remove(here))
	}
}

// numbersAreNew makes, removes and makes again.
func numbersAreNew(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addProject(t, s, policy.Project{Name: "payments"})
	addUser(t, s, Person{Name: "root", SystemAdmin: true}, "")
	kinds := map[string]struct {
		make   func(s *Store) int64
		remove func(s *Store, id int64) error
	}{
		"a person": {
			func(s *Store) int64 { return addUser(t, s, Person{Name: "x"}, "").ID },
			func(s *Store, id int64) error { return s.DeletePerson(ctx, "", id) },
		},
		"a group": {
			func(s *Store) int64 {
				g, err := s.CreateGroup(ctx, Group{Issuer: idp, Name: "x"})
				must(t, err)
				return g.ID
			},
			func(s *Store, id int64) error { return s.DeleteGroup(ctx, "", id) },
		},
		"a project": {
			func(s *Store) int64 { return addProject(t, s, policy.Project{Name: "x"}).ID },
			func(s *Store, _ int64) error { return s.DeleteProject(ctx, "", "x") },
		},
		"a member": {
			func(s *Store) int64 {
				return addMember(t, s, Member{Project: "payments", Issuer: idp, Name: "x", Role: "guest"}).ID
			},
			func(s *Store, id int64) error { return s.RemoveMemberByID(ctx, "", "payments", id) },
		},
		"a robot": {
			func(s *Store) int64 { return addRobot(t, s, Robot{Name: "x"}).ID },
			func(s *Store, id int64) error { return s.DeleteRobot(ctx, "", id) },
		},
		"an access token": {
			func(s *Store) int64 {
				return addToken(t, s, AccessToken{Issuer: policy.LocalIssuer, Owner: "root", Name: "x"}).ID
			},
			func(s *Store, id int64) error { return s.DeleteAccessToken(ctx, "", id) },
		},
	}
	last := map[string]int64{}
	for range 2 {
		for what, k := range kinds {
			for range 2 {
				id := k.make(s)
				if id <= last[what] {
					t.Errorf("%s has number %d after %d", what, id, last[what])
				}
				last[what] = id
				must(t, k.remove(s, id))
			}
		}
		must(t, s.Close())
		s = open()
	}
}

// replicaIdentity changes here and looks there.
func replicaIdentity(t *testing.T, open func() *Store) {
	a, b, ctx := open(), open(), t.Context()
	now := time.Now()
	addProject(t, a, policy.Project{Name: "payments"})
	liz := enroll(t, a, Person{Issuer: idp, Subject: "liz"})
	must(t, a.CreateRole(ctx, Role{Name: "ci", Rights: []string{"pull"}}))
	addMember(t, a, Member{Project: "payments", Issuer: idp, Name: "liz", Role: "ci"})
	r := addRobot(t, a, Robot{Name: "ci", Grants: []RobotGrant{{Project: AnyProject, Rights: []string{"pull"}}}})
	x := addToken(t, a, AccessToken{Issuer: idp, Owner: "liz", Name: "t", Limited: true})
	must(t, a.CreateWorkspace(ctx, Workspace{Name: "prod", Hosts: []string{"prod.example.com"}}))
	sees := func(s *Store, want string) func() bool {
		return func() bool {
			name, ok, err := s.WorkspaceOfHost("prod.example.com")
			must(t, err)
			return text(has(t, s, withToken(outside("liz"), x.ID), "payments", now), has(t, s, outside("liz"), "payments", now),
				has(t, s, asRobot(r), "payments", now), name, ok) == want
		}
	}
	eventually(t, "all is seen", sees(b, "[] [{ ci [pull]}] within [] [] [{ ci [pull]}] [] [{  [pull]}] prod true"))
	must(t, b.UpdateRole(ctx, Role{Name: "ci", Rights: []string{"list"}}))
	must(t, b.DeleteAccessToken(ctx, "", x.ID))
	must(t, b.DeleteRobot(ctx, "", r.ID))
	must(t, b.DeleteWorkspace(ctx, "prod"))
	eventually(t, "the changes are seen", sees(a, "[] [] disabled [] [{ ci [list]}] [] [] disabled  false"))
	must(t, a.DeletePerson(ctx, "", liz.ID))
	eventually(t, "the deletion is seen", sees(b, "[] [] disabled [] [] [] [] disabled  false"))
}
