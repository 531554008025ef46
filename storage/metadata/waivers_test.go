package metadata

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func keepWaiver(t *testing.T, s *Store, w policy.Waiver) policy.Waiver {
	t.Helper()
	kept, err := s.AddWaiver(t.Context(), w)
	must(t, err)
	return kept
}

func waiversThatAreWrong(t *testing.T, open func() *Store) {
	s := open()
	for name, c := range map[string]struct {
		spoil func(w *policy.Waiver)
		says  string
	}{
		"without an id":                        {func(w *policy.Waiver) { w.ID = "" }, "id"},
		"with an id that is a path":            {func(w *policy.Waiver) { w.ID = "../x" }, "id"},
		"without a rule":                       {func(w *policy.Waiver) { w.Rule = "" }, "rule"},
		"of all rules":                         {func(w *policy.Waiver) { w.Rule = "image.*" }, "rule"},
		"of a rule and a term in one":          {func(w *policy.Waiver) { w.Rule = "vuln.x|CVE-1" }, "rule"},
		"without an owner":                     {func(w *policy.Waiver) { w.Owner = " " }, "owner"},
		"without an end":                       {func(w *policy.Waiver) { w.Expires = time.Time{} }, "end"},
		"without a state":                      {func(w *policy.Waiver) { w.State = "" }, "state"},
		"of a project that is none":            {func(w *policy.Waiver) { w.Projects = []string{"a/b"} }, "project"},
		"of all projects by a star":            {func(w *policy.Waiver) { w.Projects = []string{"*"} }, "project"},
		"with a pattern that cannot match":     {func(w *policy.Waiver) { w.Repositories = []string{"a/{b,c}"} }, "pattern"},
		"of no digest":                         {func(w *policy.Waiver) { w.Digests = []string{"latest"} }, "digest"},
		"with an empty term":                   {func(w *policy.Waiver) { w.Terms = []string{""} }, "term"},
		"with too many terms":                  {func(w *policy.Waiver) { w.Terms = make([]string, 1001); fill(w.Terms) }, "1000"},
		"with a reason that steers a terminal": {func(w *policy.Waiver) { w.Reason = "\x1b[2J" }, "reason"},
		"with a reason without end":            {func(w *policy.Waiver) { w.Reason = strings.Repeat("x", 5000) }, "reason"},
	} {
		t.Run(name, func(t *testing.T) {
			w := policy.Waiver{ID: "x", Rule: "r", Owner: "o", State: policy.WaiverApproved, Expires: time.Now().Add(time.Hour)}
			c.spoil(&w)
			_, err := s.AddWaiver(t.Context(), w)
			is(t, err, policy.ErrInvalid)
			if !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v does not speak of %s", err, c.says)
			}
		})
	}
	all, err := s.AllWaivers(t.Context())
	must(t, err)
	same(t, len(all), 0)
}

func fill(all []string) {
	for i := range all {
		all[i] = "x"
	}
}

func waiversInStates(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	w := policy.Waiver{
		ID: "w", Rule: "r", Owner: "o", State: policy.WaiverPending, Expires: time.Now().Add(time.Hour),
		Requester: "Liz", RequestedBy: "https://idp#liz", Origin: policy.WaiverOfBundle, Version: "mine",
	}
	asked := keepWaiver(t, s, w)
	same(t, text(asked.Origin, asked.Version != "mine", asked.RequestedBy), "api true https://idp#liz")
	same(t, len(viewOf(t, s).Waivers(repo, "", time.Now())), 0)

	// Of those who approve one version at once, one does.
	var won sync.Map
	var all sync.WaitGroup
	for _, who := range []string{"bob", "carol", "dave", "eve"} {
		all.Go(func() {
			approved := asked
			approved.State, approved.Approver = policy.WaiverApproved, who
			if _, err := s.ChangeWaiver(ctx, approved); err == nil {
				won.Store(who, true)
			} else {
				is(t, err, policy.ErrConflict)
			}
		})
	}
	all.Wait()
	winners := ""
	won.Range(func(who, _ any) bool { winners += who.(string); return true })
	now := viewOf(t, s).Waivers(repo, "", time.Now())
	same(t, text(len(now), now[0].Approver), text(1, winners))

	// A waiver under the id of one that is gone is another one.
	must(t, s.DeleteWaiver(ctx, "", "w", now[0].Version))
	again := keepWaiver(t, s, w)
	asked.State = policy.WaiverApproved
	_, err := s.ChangeWaiver(ctx, asked)
	is(t, err, policy.ErrConflict)
	same(t, again.Version != asked.Version, true)
	same(t, len(viewOf(t, s).Waivers(repo, "", time.Now())), 0)

	other := w
	other.Workspace = "prod"
	keepWaiver(t, s, other)
	everything, err := s.AllWaivers(ctx)
	must(t, err)
	same(t, len(everything), 2)
}

func waiverEndsAreToldOnce(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	end := policy.Waiver{ID: "w", Origin: policy.WaiverOfAPI, Expires: time.UnixMicro(1e15)}
	claim := func(w policy.Waiver) bool {
		t.Helper()
		first, err := s.ClaimWaiverEnd(ctx, w)
		must(t, err)
		return first
	}
	same(t, text(claim(end), claim(end)), "true false")
	file, later, prod := end, end, end
	file.Origin, later.Expires, prod.Workspace = policy.WaiverOfBundle, end.Expires.Add(time.Second), "prod"
	same(t, text(claim(file), claim(later), claim(prod), claim(end)), "true true true false")
	later.Expires = end.Expires.AddDate(1, 0, 0)
	same(t, claim(later), true)
	same(t, claim(end), true) // what is long over is forgotten
}

func linkedPeopleAreOne(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	liz := enroll(t, s, Person{Issuer: idp, Subject: "liz"})
	alice := addUser(t, s, Person{Name: "alice"}, "")
	enroll(t, s, Person{Issuer: idp, Subject: "alice"})
	one := func(issuerA, a, issuerB, b string) bool {
		t.Helper()
		same, err := s.OnePerson(ctx, "", policy.Principal{Issuer: issuerA, ID: a}, policy.Principal{Issuer: issuerB, ID: b})
		must(t, err)
		return same
	}
	same(t, one("local", "alice", "local", "alice"), true)
	same(t, one("local", "alice", idp, "alice"), false)
	same(t, one("local", "alice", idp, "liz"), false)
	same(t, one("local", "nobody", idp, "nobody"), false)
	must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID))
	same(t, one("local", "alice", idp, "liz"), true)
	same(t, one(idp, "liz", "local", "alice"), true)
	same(t, one(idp, "liz", idp, "alice"), false)
}

func waiversOfADeletedProjectEnd(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	addProject(t, s, policy.Project{Name: "gone"})
	addProject(t, s, policy.Project{Name: "stays"})
	put := func(id string, projects, repositories []string) {
		keepWaiver(t, s, policy.Waiver{
			ID: id, Rule: "r", Owner: "o", State: policy.WaiverApproved, Expires: time.Now().Add(time.Hour),
			Projects: projects, Repositories: repositories,
		})
	}
	put("alone", []string{"gone"}, nil)
	put("both", []string{"gone", "stays"}, nil)
	put("pattern", nil, []string{"gone/**"})
	put("patterns", nil, []string{"gone", "gone/*", "stays/*"})
	put("prefix", []string{"gone2"}, nil)
	put("wide", nil, nil)
	ids := func(name string) (all []string) {
		for _, w := range viewOf(t, s).Waivers(policy.Repository{Name: name}, "", time.Now()) {
			all = append(all, w.ID)
		}
		return all
	}
	same(t, text(ids("gone/x")), "[alone both pattern patterns wide]")
	must(t, s.DeleteProject(ctx, "", "gone"))
	addProject(t, s, policy.Project{Name: "gone"})
	same(t, text(ids("gone/x")), "[wide]")
	same(t, text(ids("stays/x")), "[both patterns wide]")
	list, err := s.Waivers(ctx, "")
	must(t, err)
	same(t, len(list), 4)
}
