package metadata

import (
	"fmt"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func addRobot(t testing.TB, s *Store, r Robot) Robot {
	t.Helper()
	r, err := s.CreateRobot(t.Context(), r, []byte("hash of "+r.Name))
	must(t, err)
	return r
}

func addToken(t testing.TB, s *Store, x AccessToken) AccessToken {
	t.Helper()
	x, err := s.CreateAccessToken(t.Context(), x, []byte("hash of "+x.Name))
	must(t, err)
	return x
}

func asRobot(r Robot) policy.Principal {
	return policy.Principal{
		Workspace: r.Workspace, Issuer: RobotIssuer, ID: "robot$" + r.FullName(), Kind: policy.KindRobot,
		Credential: fmt.Sprint("robot:", r.ID),
	}
}

func withToken(p policy.Principal, id int64) policy.Principal {
	p.Credential = fmt.Sprint("access-token:", id)
	return p
}

// has writes what a subject is in a project.
func has(t testing.TB, s *Store, p policy.Principal, project string, at time.Time) string {
	t.Helper()
	x := viewOf(t, s).Subject(p, project, at)
	got := text(x.Roles, x.Grants)
	if x.Limited {
		got += text(" within", x.Limits)
	}
	if x.Disabled {
		got += " disabled"
	}
	return got
}

func robots(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	addProject(t, s, policy.Project{Name: "payments"})
	addProject(t, s, policy.Project{Name: "web"})
	ci := addRobot(t, s, Robot{
		Project: "payments", Name: "ci", Description: "d", CreatorIssuer: policy.LocalIssuer, Creator: "gone",
		Expires: now.Add(time.Hour), Permissions: []byte(`[{"kind":"project"}]`),
		Grants: []RobotGrant{{Rights: []string{"push", "pull", "pull"}}, {Repositories: "payments/web-*", Rights: []string{"delete"}}},
	})
	same(t, ci.FullName(), "payments+ci")
	got, err := s.RobotByName(ctx, "", "payments", "ci")
	must(t, err)
	same(t, text(got), text(ci))
	same(t, has(t, s, asRobot(ci), "payments", now), "[] [{  [pull push]} {payments/web-*  [delete]}]")
	same(t, has(t, s, asRobot(ci), "web", now), "[] []")
	same(t, text(*viewOf(t, s).Subject(asRobot(ci), "payments", now).Robot), "{ci payments gone}")
	same(t, has(t, s, asRobot(ci), "payments", now.Add(time.Hour)), "[] [] disabled")
	for what, p := range map[string]policy.Principal{
		"a robot without a credential":   {Issuer: RobotIssuer, ID: "robot$payments+ci", Kind: policy.KindRobot},
		"a robot with a token":           withToken(asRobot(ci), ci.ID),
		"a robot that nobody made":       asRobot(Robot{ID: 99, Name: "x"}),
		"the robot of another workspace": asRobot(Robot{Workspace: "prod", ID: ci.ID, Name: "ci", Project: "payments"}),
		"a person with its credential":   {Issuer: idp, ID: "liz", Kind: policy.KindUser, Credential: asRobot(ci).Credential},
	} {
		if got := has(t, s, p, "payments", now); got != "[] [] disabled" {
			t.Errorf("%s has %s", what, got)
		}
	}

	all := addRobot(t, s, Robot{Name: "all", Grants: []RobotGrant{
		{Project: AnyProject, Rights: []string{"pull"}}, {Project: "web", Repositories: "web/**", Rights: []string{"push"}},
	}})
	same(t, has(t, s, asRobot(all), "payments", now), "[] [{  [pull]}]")
	same(t, has(t, s, asRobot(all), "web", now), "[] [{  [pull]} {web/**  [push]}]")
	same(t, has(t, s, asRobot(all), "", now), "[] [{  [pull]}]")
	// What a robot is a member of comes on top.
	addMember(t, s, Member{Project: "web", Kind: MemberRobot, Name: "all", Role: "maintainer", Repositories: "web/a"})
	addMember(t, s, Member{Project: "web", Kind: MemberRobot, Name: "payments+ci", Role: "guest"})
	same(t, has(t, s, asRobot(all), "web", now), "[] [{  [pull]} {web/**  [push]} {web/a maintainer []}]")
	same(t, has(t, s, asRobot(all), "payments", now), "[] [{  [pull]}]")
	same(t, has(t, s, asRobot(ci), "web", now), "[guest] []")

	ci.Disabled, ci.Grants, ci.Description = true, ci.Grants[:1], "e"
	must(t, s.UpdateRobot(ctx, ci))
	same(t, has(t, s, asRobot(ci), "payments", now), "[] [] disabled")
	ci.Disabled, ci.Expires = false, time.Time{}
	must(t, s.UpdateRobot(ctx, ci))
	same(t, has(t, s, asRobot(ci), "payments", now.Add(time.Hour)), "[] [{  [pull push]}]")
	system, none := "", "nothing"
	for want, q := range map[string]RobotQuery{
		"2 [all ci]": {}, "1 [all]": {Project: &system}, "1 [ci]": {Name: Text{Contains: "C"}}, "0 []": {Project: &none},
		"2 [ci all]": {Page: Page{Sort: []Order{{By: "name", Descending: true}}}}, "2 [ci]": {Page: Page{Offset: 1}},
	} {
		list, total, err := s.Robots(ctx, "", q)
		must(t, err)
		names := make([]string, len(list))
		for i, r := range list {
			names[i] = r.Name
		}
		same(t, text(total, names), want)
	}

	must(t, s.DeleteRobot(ctx, "", ci.ID))
	is(t, s.DeleteRobot(ctx, "", ci.ID), policy.ErrNotFound)
	is(t, s.UpdateRobot(ctx, ci), policy.ErrNotFound)
	same(t, has(t, s, asRobot(ci), "web", now), "[] [] disabled")
	again := addRobot(t, s, Robot{Project: "payments", Name: "ci", Grants: []RobotGrant{{Rights: []string{"pull"}}}})
	same(t, has(t, s, asRobot(again), "web", now), "[] []") // its namesake's membership went with that
}

func badRobots(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addProject(t, s, policy.Project{Name: "payments"})
	addProject(t, s, policy.Project{Name: "web"})
	addRobot(t, s, Robot{Project: "payments", Name: "ci"})
	addRobot(t, s, Robot{Name: "ci"}) // the system has names of its own
	pull := []string{"pull"}
	for what, c := range map[string]struct {
		r    Robot
		want error
	}{
		"a name that is taken":                    {Robot{Project: "payments", Name: "ci"}, policy.ErrConflict},
		"a project that is not there":             {Robot{Project: "nowhere", Name: "x"}, policy.ErrNotFound},
		"a grant for a project that is not there": {Robot{Name: "x", Grants: []RobotGrant{{Project: "nowhere", Rights: pull}}}, policy.ErrNotFound},
		"a project's robot elsewhere":             {Robot{Project: "payments", Name: "x", Grants: []RobotGrant{{Project: "web", Rights: pull}}}, policy.ErrInvalid},
		"a project's robot everywhere":            {Robot{Project: "payments", Name: "x", Grants: []RobotGrant{{Project: AnyProject, Rights: pull}}}, policy.ErrInvalid},
		"a project's robot as administrator":      {Robot{Project: "payments", Name: "x", Grants: []RobotGrant{{Rights: []string{"admin"}}}}, policy.ErrInvalid},
		"settings of a part":                      {Robot{Project: "payments", Name: "x", Grants: []RobotGrant{{Repositories: "payments/*", Rights: []string{"manage"}}}}, policy.ErrInvalid},
		"a right that is none":                    {Robot{Project: "payments", Name: "x", Grants: []RobotGrant{{Rights: []string{"fly"}}}}, policy.ErrInvalid},
		"a grant without rights":                  {Robot{Project: "payments", Name: "x", Grants: []RobotGrant{{}}}, policy.ErrInvalid},
		"a pattern elsewhere":                     {Robot{Project: "payments", Name: "x", Grants: []RobotGrant{{Repositories: "web/*", Rights: pull}}}, policy.ErrInvalid},
		"a grant of the system for no project":    {Robot{Name: "x", Grants: []RobotGrant{{Rights: pull}}}, policy.ErrInvalid},
		"no name":                                 {Robot{Project: "payments"}, policy.ErrInvalid},
		"a name that looks like a project's":      {Robot{Name: "payments+ci"}, policy.ErrInvalid},
		"permissions that are not JSON":           {Robot{Name: "x", Permissions: []byte("{")}, policy.ErrInvalid},
	} {
		if _, err := s.CreateRobot(ctx, c.r, []byte("h")); err == nil {
			t.Errorf("%s: a robot is made", what)
		} else {
			is(t, err, c.want)
		}
	}
	is(t, fails(s.CreateRobot(ctx, Robot{Name: "x"}, nil)), policy.ErrInvalid)
	is(t, s.SetRobotSecret(ctx, "", 1, nil, time.Time{}), policy.ErrInvalid)
}

func robotSecrets(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addProject(t, s, policy.Project{Name: "payments"})
	r := addRobot(t, s, Robot{Project: "payments", Name: "ci"})
	good := func() string {
		t.Helper()
		got, hashes, err := s.RobotSecrets(ctx, "", "payments", "ci")
		must(t, err)
		same(t, got.ID, r.ID)
		all := ""
		for _, h := range hashes {
			all += fmt.Sprintf("%s %v;", h.Hash, h.Until.IsZero())
		}
		return all
	}
	same(t, good(), "hash of ci true;")
	soon := time.Now().Add(time.Hour)
	before := viewOf(t, s).Revision()
	must(t, s.SetRobotSecret(ctx, "", r.ID, []byte("2"), soon))
	same(t, good(), "2 true;hash of ci false;")
	if viewOf(t, s).Revision() <= before {
		t.Error("a new secret does not show in the revision")
	}
	must(t, s.SetRobotSecret(ctx, "", r.ID, []byte("3"), soon))
	same(t, good(), "3 true;2 false;")
	must(t, s.SetRobotSecret(ctx, "", r.ID, []byte("4"), time.Now().Add(-time.Second)))
	same(t, good(), "4 true;")
	must(t, s.SetRobotSecret(ctx, "", r.ID, []byte("5"), time.Time{}))
	same(t, good(), "5 true;")
	is(t, s.SetRobotSecret(ctx, "", 99, []byte("6"), soon), policy.ErrNotFound)
	_, _, err := s.RobotSecrets(ctx, "", "", "ci")
	is(t, err, policy.ErrNotFound)
}

func accessTokens(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	addProject(t, s, policy.Project{Name: "payments"})
	addProject(t, s, policy.Project{Name: "web"})
	liz := enroll(t, s, Person{Issuer: idp, Subject: "liz", Name: "Liz", Groups: []string{"team"}})
	enroll(t, s, Person{Issuer: idp, Subject: "eve"})
	addMember(t, s, Member{Project: "payments", Issuer: idp, Name: "liz", Role: "maintainer"})
	whole := addToken(t, s, AccessToken{Issuer: idp, Owner: "liz", Name: "whole", Expires: now.Add(time.Hour)})
	part := addToken(t, s, AccessToken{Issuer: idp, Owner: "liz", Name: "part", Limited: true, Limits: []RobotGrant{
		{Project: "payments", Repositories: "payments/*", Rights: []string{"pull"}}, {Project: AnyProject, Rights: []string{"list"}},
	}})
	nothing := addToken(t, s, AccessToken{Issuer: idp, Owner: "liz", Name: "nothing", Limited: true})
	liz1 := outside("liz")
	same(t, has(t, s, withToken(liz1, whole.ID), "payments", now), "[maintainer] []")
	same(t, has(t, s, withToken(liz1, whole.ID), "payments", now.Add(time.Hour)), "[] [] disabled")
	same(t, has(t, s, withToken(liz1, part.ID), "payments", now), "[maintainer] [] within [{payments/*  [pull]} {  [list]}]")
	same(t, has(t, s, withToken(liz1, part.ID), "web", now), "[] [] within [{  [list]}]")
	same(t, has(t, s, withToken(liz1, nothing.ID), "payments", now), "[maintainer] [] within []")
	same(t, has(t, s, withToken(outside("eve"), whole.ID), "payments", now), "[] [] disabled") // another's
	same(t, has(t, s, withToken(liz1, 99), "payments", now), "[] [] disabled")
	odd := liz1
	odd.Credential = "password"
	same(t, has(t, s, odd, "payments", now), "[] [] disabled")
	odd.Credential = "session:x"
	same(t, has(t, s, odd, "payments", now), "[maintainer] []")

	got, owner, err := s.AccessTokenByHash(ctx, "", []byte("hash of part"))
	must(t, err)
	same(t, text(got), text(part))
	same(t, text(got.OwnerName, owner.ID, owner.Groups), text("Liz", liz.ID, "[team]"))
	_, _, err = s.AccessTokenByHash(ctx, "", []byte("hash"))
	is(t, err, policy.ErrNotFound)
	list, err := s.AccessTokens(ctx, "", idp, "liz")
	must(t, err)
	same(t, text(len(list), list[0].Name, list[2].Name), "3 nothing whole")
	for what, c := range map[string]struct {
		x    AccessToken
		want error
	}{
		"a name that is taken":        {AccessToken{Issuer: idp, Owner: "liz", Name: "part"}, policy.ErrConflict},
		"nobody's":                    {AccessToken{Issuer: idp, Owner: "nobody", Name: "x"}, policy.ErrNotFound},
		"a project that is not there": {AccessToken{Issuer: idp, Owner: "liz", Name: "x", Limited: true, Limits: []RobotGrant{{Project: "no", Rights: []string{"pull"}}}}, policy.ErrNotFound},
		"limits that do not limit":    {AccessToken{Issuer: idp, Owner: "liz", Name: "x", Limits: []RobotGrant{{Project: "web", Rights: []string{"pull"}}}}, policy.ErrInvalid},
		"no name":                     {AccessToken{Issuer: idp, Owner: "liz"}, policy.ErrInvalid},
	} {
		if _, err := s.CreateAccessToken(ctx, c.x, []byte("h")); err == nil {
			t.Errorf("%s: a token is made", what)
		} else {
			is(t, err, c.want)
		}
	}
	is(t, fails(s.CreateAccessToken(ctx, AccessToken{Issuer: idp, Owner: "liz", Name: "x"}, nil)), policy.ErrInvalid)

	must(t, s.SetPersonDisabled(ctx, "", liz.ID, true))
	same(t, has(t, s, withToken(liz1, part.ID), "payments", now), "[] [] disabled")
	must(t, s.SetPersonDisabled(ctx, "", liz.ID, false))
	must(t, s.DeleteAccessToken(ctx, "", part.ID))
	same(t, has(t, s, withToken(liz1, part.ID), "payments", now), "[] [] disabled")
	is(t, s.DeleteAccessToken(ctx, "", part.ID), policy.ErrNotFound)
}

func stamps(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	alice := addUser(t, s, Person{Name: "alice"}, "1")
	r := addRobot(t, s, Robot{Name: "ci", Expires: time.Now().Add(time.Hour)})
	x := addToken(t, s, AccessToken{Issuer: policy.LocalIssuer, Owner: "alice", Name: "t"})
	old := addToken(t, s, AccessToken{Issuer: policy.LocalIssuer, Owner: "alice", Name: "old", Expires: time.Now().Add(-time.Hour)})
	must(t, s.CreateSession(ctx, Session{ID: "x", Issuer: policy.LocalIssuer, Subject: "alice", Expires: time.Now().Add(time.Hour)}))
	tokened, robot, sessioned := withToken(local("alice"), x.ID), asRobot(r), local("alice")
	sessioned.Credential = "session:x"
	stamp := func(p policy.Principal) string {
		t.Helper()
		stamp, err := s.Stamp(ctx, p)
		must(t, err)
		return stamp
	}
	ended := func(p policy.Principal) {
		t.Helper()
		is(t, fails(s.Stamp(ctx, p)), policy.ErrUnauthenticated)
	}
	changed := func(p policy.Principal, change func()) {
		t.Helper()
		before := stamp(p)
		same(t, stamp(p), before)
		change()
		if stamp(p) == before {
			t.Fatalf("%s of %s is the same", before, p.ID)
		}
	}
	changed(local("alice"), func() { must(t, s.SetPasswordHash(ctx, "", "alice", "2")) })
	for _, p := range []policy.Principal{local("alice"), tokened} {
		changed(p, func() {
			must(t, s.SetPersonDisabled(ctx, "", alice.ID, true))
			ended(p)
			must(t, s.SetPersonDisabled(ctx, "", alice.ID, false))
		})
	}
	ended(sessioned) // with the disabling, for good
	must(t, s.CreateSession(ctx, Session{ID: "x", Issuer: policy.LocalIssuer, Subject: "alice", Expires: time.Now().Add(time.Hour)}))
	same(t, stamp(sessioned), stamp(local("alice")))
	changed(robot, func() { must(t, s.SetRobotSecret(ctx, "", r.ID, []byte("x"), time.Now().Add(time.Hour))) })
	changed(robot, func() {
		r.Disabled = true
		must(t, s.UpdateRobot(ctx, r))
		ended(robot)
		r.Disabled = false
		must(t, s.UpdateRobot(ctx, r))
	})
	must(t, s.DeleteAccessToken(ctx, "", x.ID))
	must(t, s.DeleteSession(ctx, "", "x"))
	r.Expires = time.Now().Add(-time.Second)
	must(t, s.UpdateRobot(ctx, r))
	elsewhere, odd := local("alice"), local("alice")
	elsewhere.Workspace, odd.Credential = "prod", "robot:1"
	for _, p := range []policy.Principal{
		tokened, withToken(local("alice"), old.ID), sessioned, robot, elsewhere, odd, local("nobody"), {},
		{Issuer: idp, ID: "sub", Kind: policy.KindWorkload}, {ID: "uid:0", Kind: policy.KindOperator},
	} {
		ended(p)
	}
}

func usesOfCredentials(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addUser(t, s, Person{Name: "alice"}, "")
	r := addRobot(t, s, Robot{Name: "ci"})
	x := addToken(t, s, AccessToken{Issuer: policy.LocalIssuer, Owner: "alice", Name: "t"})
	revision := viewOf(t, s).Revision()
	at := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	s.TouchCredential(policy.CredentialRobot, r.ID, at)
	s.TouchCredential(policy.CredentialRobot, r.ID, at.Add(-time.Hour)) // a slower request
	s.TouchCredential(policy.CredentialAccessToken, x.ID, at.Add(time.Second))
	s.TouchCredential(policy.CredentialRobot, 99, at)
	s.TouchCredential("odd", 1, at)
	same(t, len(s.uses.pending), 3)
	r, err := s.RobotByID(ctx, "", r.ID)
	must(t, err)
	same(t, r.LastUsed.IsZero(), true) // not on a request's path
	must(t, s.Close())
	s = open()
	r, err = s.RobotByID(ctx, "", r.ID)
	must(t, err)
	x, err = s.AccessTokenByID(ctx, "", x.ID)
	must(t, err)
	same(t, text(r.LastUsed.Equal(at), x.LastUsed.Equal(at.Add(time.Second)), viewOf(t, s).Revision()), text("true true", revision))
	s.TouchCredential(policy.CredentialRobot, r.ID, at.Add(-time.Minute)) // another replica knew better
	must(t, s.flushUses(ctx))
	r, err = s.RobotByID(ctx, "", r.ID)
	must(t, err)
	same(t, r.LastUsed.Equal(at), true)
}
