package metadata

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func grants(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	now := time.Now()
	addProject(t, s, policy.Project{Name: "payments"})
	addUser(t, s, Person{Name: "alice"}, "")
	alice := Member{Project: "payments", Name: "alice", Role: "guest"}
	whole := addMember(t, s, alice)
	alice.Role, alice.Repositories = "maintainer", "payments/web-*"
	web := addMember(t, s, alice)
	alice.Role, alice.Repositories = "developer", "payments/api/**"
	api := addMember(t, s, alice)
	same(t, has(t, s, local("alice"), "payments", now), "[guest] [{payments/api/** developer []} {payments/web-* maintainer []}]")
	is(t, fails(s.AddMember(ctx, alice)), policy.ErrConflict)
	alice.Role = "guest"
	same(t, addMember(t, s, alice).ID, api.ID) // the same grant with another role
	must(t, s.SetMemberRole(ctx, "", "payments", web.ID, "developer"))
	same(t, has(t, s, local("alice"), "payments", now), "[guest] [{payments/api/** guest []} {payments/web-* developer []}]")
	is(t, s.SetMemberRole(ctx, "", "payments", web.ID, "admin"), policy.ErrInvalid)
	is(t, s.SetMemberRole(ctx, "", "payments", 99, "guest"), policy.ErrNotFound)
	must(t, s.RemoveMemberByID(ctx, "", "payments", whole.ID))
	same(t, has(t, s, local("alice"), "payments", now), "[] [{payments/api/** guest []} {payments/web-* developer []}]")
	is(t, s.RemoveMemberByID(ctx, "", "payments", whole.ID), policy.ErrNotFound)
	must(t, s.RemoveMember(ctx, alice)) // that grant
	same(t, has(t, s, local("alice"), "payments", now), "[] [{payments/web-* developer []}]")
	must(t, s.RemoveMember(ctx, Member{Project: "payments", Name: "alice"})) // all there is
	same(t, has(t, s, local("alice"), "payments", now), "[] []")
	for _, pattern := range []string{
		"web/*", "payments//a", "/payments", "payments/", "payments/A", "payments/{a,b}", "payments/[ab]", `payments/\*`,
		"payments/?", "payments/***", "payments/a b", "payments-evil/*", "payments/*/*/*/*/*/*/*",
	} {
		alice.Repositories = pattern
		if _, err := s.SetMember(ctx, alice); err == nil {
			t.Errorf("%q is taken", pattern)
		}
	}
	for _, pattern := range []string{"payments", "payments/**", "**/api", "*/web", "payments/a.b_c-d/*"} {
		alice.Repositories = pattern
		addMember(t, s, alice)
	}
	list, total, err := s.Members(ctx, "", "payments", MemberQuery{
		Page: Page{Limit: 1, Sort: []Order{{By: "id", Descending: true}}}, Name: Text{Contains: "LIC"}, Kind: MemberUser, Role: "guest",
	})
	must(t, err)
	same(t, text(total, list[0].Repositories), "5 payments/a.b_c-d/*")
	got, err := s.MemberByID(ctx, "", "payments", list[0].ID)
	must(t, err)
	same(t, text(got), text(list[0]))
}

func customRoles(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	now := time.Now()
	addProject(t, s, policy.Project{Name: "payments"})
	addUser(t, s, Person{Name: "alice"}, "")
	is(t, fails(s.SetMember(ctx, Member{Project: "payments", Name: "alice", Role: "releaser"})), policy.ErrInvalid)
	role := Role{Name: "releaser", Rights: []string{"push", "pull", "push"}, Description: "d"}
	must(t, s.CreateRole(ctx, role))
	is(t, s.CreateRole(ctx, role), policy.ErrConflict)
	addMember(t, s, Member{Project: "payments", Name: "alice", Role: "releaser"})
	addMember(t, s, Member{Project: "payments", Name: "alice", Role: "releaser", Repositories: "payments/web"})
	same(t, has(t, s, local("alice"), "payments", now), "[] [{ releaser [pull push]} {payments/web releaser [pull push]}]")
	role.Rights = []string{"list"}
	must(t, s.UpdateRole(ctx, role))
	same(t, has(t, s, local("alice"), "payments", now), "[] [{ releaser [list]} {payments/web releaser [list]}]")
	got, err := s.Role(ctx, "", "releaser")
	must(t, err)
	all, err := s.Roles(ctx, "")
	must(t, err)
	same(t, text(got.Rights, got.Description, text(all) == text([]Role{got})), "[list] d true")
	is(t, s.DeleteRole(ctx, "", "releaser"), policy.ErrConflict)
	must(t, s.RemoveMember(ctx, Member{Project: "payments", Name: "alice"}))
	must(t, s.DeleteRole(ctx, "", "releaser"))
	is(t, s.DeleteRole(ctx, "", "releaser"), policy.ErrNotFound)
	is(t, s.UpdateRole(ctx, role), policy.ErrNotFound)
	for what, r := range map[string]Role{
		"a shipped role": {Name: "guest", Rights: []string{"pull"}}, "the administrator": {Name: "admin", Rights: []string{"pull"}},
		"no rights": {Name: "x"}, "a right that is none": {Name: "x", Rights: []string{"fly"}},
		"the system": {Name: "x", Rights: []string{"admin"}}, "no name": {Rights: []string{"pull"}},
	} {
		if s.CreateRole(ctx, r) == nil {
			t.Errorf("%s is made", what)
		}
	}
}

// roleRace gives a role that is being deleted: whoever is later sees the other.
func roleRace(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addProject(t, s, policy.Project{Name: "payments"})
	addUser(t, s, Person{Name: "alice"}, "")
	for i := range 10 {
		name := fmt.Sprint("role", i)
		must(t, s.CreateRole(ctx, Role{Name: name, Rights: []string{"pull"}}))
		var failed atomic.Int64
		var wg sync.WaitGroup
		for _, change := range []func() error{
			func() error { return s.DeleteRole(ctx, "", name) },
			func() error { return fails(s.SetMember(ctx, Member{Project: "payments", Name: "alice", Role: name})) },
		} {
			wg.Go(func() {
				if change() != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		same(t, failed.Load(), 1)
	}
}

func workloads(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addProject(t, s, policy.Project{Name: "payments"})
	must(t, s.CreateRole(ctx, Role{Name: "ci", Rights: []string{"push"}}))
	bySub := addMember(t, s, Member{Project: "payments", Issuer: idp, Kind: MemberWorkload, Name: "repo:acme/web:main", Role: "guest"})
	addMember(t, s, Member{
		Project: "payments", Issuer: idp, Kind: MemberWorkload, Name: "main of acme/web", Role: "developer",
		Claims: map[string]string{"repository": "acme/web", "ref": "main", "protected": "true"},
	})
	addMember(t, s, Member{
		Project: "payments", Issuer: idp, Kind: MemberWorkload, Name: "admins", Role: "ci", Repositories: "payments/web",
		Claims: map[string]string{"teams": "ops"},
	})
	work := func(sub string, claims map[string]any) policy.Principal {
		return policy.Principal{Issuer: idp, ID: sub, Kind: policy.KindWorkload, Claims: claims}
	}
	main := map[string]any{"repository": "acme/web", "ref": "main", "protected": true, "run": 7.0}
	for what, c := range map[string]struct {
		p    policy.Principal
		want string
	}{
		"its subject":           {work("repo:acme/web:main", nil), "[guest] []"},
		"all claims":            {work("x", main), "[developer] []"},
		"subject and claims":    {work("repo:acme/web:main", main), "[developer guest] []"},
		"a claim of a list":     {work("x", map[string]any{"teams": []any{"dev", "ops"}}), "[] [{payments/web ci [push]}]"},
		"a list of strings":     {work("x", map[string]any{"teams": []string{"ops"}}), "[] [{payments/web ci [push]}]"},
		"not in the list":       {work("x", map[string]any{"teams": []any{"dev", 7.0}}), "[] []"},
		"one claim is missing":  {work("x", map[string]any{"repository": "acme/web", "ref": "main"}), "[] []"},
		"one claim is another":  {work("x", map[string]any{"repository": "acme/web", "ref": "dev", "protected": true}), "[] []"},
		"a part of a claim":     {work("x", map[string]any{"repository": "acme/web2", "ref": "main", "protected": true}), "[] []"},
		"no claims":             {work("x", nil), "[] []"},
		"the label of a grant":  {work("main of acme/web", nil), "[] []"},
		"another issuer":        {policy.Principal{Issuer: "https://evil", ID: "repo:acme/web:main", Kind: policy.KindWorkload, Claims: main}, "[] []"},
		"a person of that name": {outside("repo:acme/web:main"), "[] []"},
		"a claim that is a map": {work("x", map[string]any{"teams": map[string]any{"ops": true}}), "[] []"},
	} {
		if got := has(t, s, c.p, "payments", time.Now()); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	must(t, s.RemoveMemberByID(ctx, "", "payments", bySub.ID))
	same(t, has(t, s, work("repo:acme/web:main", nil), "payments", time.Now()), "[] []")
	for what, m := range map[string]Member{
		"claims of a person":      {Issuer: idp, Name: "x", Claims: map[string]string{"a": "b"}},
		"a claim without a value": {Issuer: idp, Kind: MemberWorkload, Name: "x", Claims: map[string]string{"a": ""}},
		"a claim without a name":  {Issuer: idp, Kind: MemberWorkload, Name: "x", Claims: map[string]string{"": "b"}},
		"no name":                 {Issuer: idp, Kind: MemberWorkload, Claims: map[string]string{"a": "b"}},
		"a robot of an issuer":    {Issuer: idp, Kind: MemberRobot, Name: "ci"},
	} {
		m.Project, m.Role = "payments", "guest"
		if _, err := s.SetMember(ctx, m); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func deletedProjects(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	now := time.Now()
	addUser(t, s, Person{Name: "alice"}, "")
	first := addProject(t, s, policy.Project{Name: "payments"})
	addProject(t, s, policy.Project{Name: "payments-two"})
	addMember(t, s, Member{Project: "payments", Name: "alice", Role: "guest"})
	own := addRobot(t, s, Robot{Project: "payments", Name: "ci", Grants: []RobotGrant{{Rights: []string{"pull"}}}})
	addMember(t, s, Member{Project: "payments-two", Kind: MemberRobot, Name: "payments+ci", Role: "guest"})
	system := addRobot(t, s, Robot{Name: "ci", Grants: []RobotGrant{
		{Project: "payments", Rights: []string{"pull"}}, {Project: "payments-two", Rights: []string{"push"}},
	}})
	token := addToken(t, s, AccessToken{
		Issuer: policy.LocalIssuer, Owner: "alice", Name: "t", Limited: true,
		Limits: []RobotGrant{{Project: "payments", Rights: []string{"pull"}}},
	})
	blob := func(s *Store) error { _, _, err := s.Blob(ctx, repo, dig("left")); return err }
	image := image("one")
	must(t, s.Push(ctx, image, nil))
	must(t, s.AddBlob(ctx, repo, dig("left"), "", 7))
	is(t, s.DeleteProject(ctx, "", "payments"), policy.ErrConflict)
	same(t, rolesOf(t, s, local("alice"), "payments"), "[guest] false")
	_, err := s.DeleteManifest(ctx, repo, image.Digest, nil)
	must(t, err)
	must(t, blob(s))
	must(t, s.DeleteProject(ctx, "", "payments"))
	is(t, s.DeleteProject(ctx, "", "payments"), policy.ErrNotFound)

	// Whoever makes a project of that name finds nothing of the first.
	second := addProject(t, s, policy.Project{Name: "payments"})
	same(t, second.ID > first.ID, true)
	is(t, blob(s), policy.ErrNotFound)
	same(t, rolesOf(t, s, local("alice"), "payments"), "[] false")
	same(t, has(t, s, asRobot(own), "payments", now), "[] [] disabled")
	same(t, has(t, s, asRobot(system), "payments", now), "[] []")
	same(t, has(t, s, asRobot(system), "payments-two", now), "[] [{  [push]}]")
	same(t, has(t, s, withToken(local("alice"), token.ID), "payments", now), "[] [] within []")
	is(t, fails(s.RobotByID(ctx, "", own.ID)), policy.ErrNotFound)
	_, members, err := s.Members(ctx, "", "payments-two", MemberQuery{})
	must(t, err)
	same(t, members, 0)
}

func projectRecords(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	p, err := s.CreateProject(ctx, Project{
		Project: policy.Project{Name: "payments", Owner: "alice"}, Description: "d", Created: time.UnixMicro(9),
		Metadata: map[string]string{"auto_scan": "true"}, Policies: []byte(`{"image":{"mode":"warn"}}`),
	})
	must(t, err)
	got, err := s.ProjectByID(ctx, "", p.ID)
	must(t, err)
	same(t, text(got), text(p))
	p.Description, p.Metadata, p.Policies, p.Public = "e", nil, nil, true
	must(t, s.UpdateProject(ctx, p))
	got, err = s.Project(ctx, "", "payments")
	must(t, err)
	same(t, text(got), text(p))
	addProject(t, s, policy.Project{Name: "web", Owner: "bob"})
	yes := true
	for want, q := range map[string]ProjectQuery{
		"2 payments": {Page: Page{Limit: 1}}, "2 web": {Page: Page{Limit: 1, Sort: []Order{{By: "name", Descending: true}}}},
		"1 payments": {Public: &yes}, "1 web": {Owner: "bob"},
	} {
		list, total, err := s.Projects(ctx, "", q)
		must(t, err)
		same(t, text(total, list[0].Name), want)
	}
	for _, bad := range []Project{
		{Project: policy.Project{Name: "*"}}, {Project: policy.Project{Name: "a+b"}}, {Project: policy.Project{Name: ""}},
		{Project: policy.Project{Name: "x"}, Policies: []byte("{")},
	} {
		is(t, fails(s.CreateProject(ctx, bad)), policy.ErrInvalid)
	}
}
