package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

const year = `"expires":"2027-01-01T00:00:00Z"`

// asked is a world with a waiver that bob asked for.
func asked(t *testing.T) *world {
	t.Helper()
	w := newWorld()
	w.projects["team"] = policy.Project{Name: "team"}
	w.waivers["W-1"] = policy.Waiver{
		ID: "W-1", Rule: "a.b", Terms: []string{"x"}, Projects: []string{"team"}, Owner: "bob", Requester: "bob", RequestedBy: "local#bob",
		State: policy.WaiverPending, Version: "v0", Created: now, Expires: now.AddDate(0, 1, 0), Origin: policy.WaiverOfAPI,
	}
	return w
}

func TestAWaiverGoesFromRequestToApproval(t *testing.T) {
	w := newWorld()
	a := w.api(t)
	status, body := do(t, a, alice, "POST", "/waivers", `{"state":"pending","rule":"a.b","projects":["team"],`+year+`}`)
	made := into[Waiver](t, body)
	if status != http.StatusCreated || made.State != policy.WaiverPending || made.Standing != policy.WaiverAsked || made.RequestedBy != "local#alice" || made.Approver != "" {
		t.Fatalf("%d %s", status, body)
	}
	if c := w.last().Admin; c.Verb != "request" || c.After.(map[string]any)["state"] != "pending" || c.After.(map[string]any)["self_decided"] != nil {
		t.Fatalf("the gate was asked %+v", c)
	}
	status, body = do(t, a, alice, "PUT", "/waivers/"+made.ID+"/approval", `{"approve":true,"version":"`+made.Version+`","reason":"fine"}`)
	got := into[Waiver](t, body)
	if status != http.StatusOK || got.State != policy.WaiverApproved || got.DecidedBy != "local#alice" || got.Remark != "fine" || !got.Decided.Equal(now) || got.Version == made.Version {
		t.Fatalf("%d %s", status, body)
	}
	c := w.last().Admin
	before, after := c.Before.(map[string]any), c.After.(map[string]any)
	if c.Verb != "approve" || before["state"] != "pending" || after["state"] != "approved" || after["requested_by"] != "local#alice" || after["self_decided"] != true {
		t.Fatalf("the gate was asked %+v", c)
	}
}

func TestTheGateIsToldWhetherTwoPeopleDecide(t *testing.T) {
	for name, c := range map[string]struct {
		by     string
		linked map[string]string
		want   any
	}{
		"somebody else asked":             {"local#bob", nil, false},
		"the same person asked":           {"local#alice", nil, true},
		"one of another issuer":           {"https://sso#alice", nil, false},
		"one who is linked to them":       {"https://sso#alice", map[string]string{"https://sso#alice": "local#alice"}, true},
		"nobody knows who asked any more": {"", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := asked(t)
			one := w.waivers["W-1"]
			one.RequestedBy, w.linked = c.by, c.linked
			w.waivers["W-1"] = one
			do(t, w.api(t), alice, "PUT", "/waivers/W-1/approval", `{"approve":true,"version":"v0"}`)
			if got := w.last().Admin.After.(map[string]any)["self_decided"]; got != c.want {
				t.Fatalf("the gate is told %v", got)
			}
		})
	}
}

func TestAChangeOfAWaiverHasToBeApprovedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		state policy.WaiverState
	}{
		"an earlier end":              {`{"expires":"2026-09-02T00:00:00Z"}`, policy.WaiverApproved},
		"nothing":                     {`{}`, policy.WaiverApproved},
		"the same again":              {`{"terms":["x"],"reason":""}`, policy.WaiverApproved},
		"a later end":                 {`{"expires":"2026-10-01T12:00:01Z"}`, policy.WaiverPending},
		"another rule":                {`{"rule":"a.c"}`, policy.WaiverPending},
		"more terms":                  {`{"terms":["x","y"]}`, policy.WaiverPending},
		"all terms":                   {`{"terms":[]}`, policy.WaiverPending},
		"another project":             {`{"projects":["other"]}`, policy.WaiverPending},
		"every project":               {`{"projects":[]}`, policy.WaiverPending},
		"a repository":                {`{"repositories":["team/x"]}`, policy.WaiverPending},
		"a digest":                    {`{"digests":["sha256:` + strings.Repeat("a", 64) + `"]}`, policy.WaiverPending},
		"another owner":               {`{"owner":"alice"}`, policy.WaiverPending},
		"another reason":              {`{"reason":"y"}`, policy.WaiverPending},
		"another ticket":              {`{"ticket":"y"}`, policy.WaiverPending},
		"an earlier end and a ticket": {`{"expires":"2026-09-02T00:00:00Z","ticket":"y"}`, policy.WaiverPending},
	} {
		t.Run(name, func(t *testing.T) {
			w := asked(t)
			one := w.waivers["W-1"]
			one.State, one.Approver, one.DecidedBy = policy.WaiverApproved, "carol", "local#carol"
			w.waivers["W-1"] = one
			status, body := do(t, w.api(t), alice, "PATCH", "/waivers/W-1", c.body)
			got := w.waivers["W-1"]
			if status != http.StatusOK || got.State != c.state {
				t.Fatalf("%d %s", status, body)
			}
			if pending := got.State == policy.WaiverPending; pending != (got.DecidedBy == "") || pending != (got.RequestedBy == "local#alice") {
				t.Fatalf("asked for by %q and decided by %q", got.RequestedBy, got.DecidedBy)
			}
			if state := w.last().Admin.After.(map[string]any)["state"]; state != string(c.state) {
				t.Fatalf("the gate was told it is %v", state)
			}
		})
	}
}

func TestWhatDoesNotFitAWaiverIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"an approver in the body":         {"POST", "/waivers", `{"rule":"a.b","approver":"bob",` + year + `}`, 400, "approver"},
		"a requester in the body":         {"POST", "/waivers", `{"rule":"a.b","requested_by":"local#bob",` + year + `}`, 400, "requested_by"},
		"a state that nobody can make":    {"POST", "/waivers", `{"state":"rejected","rule":"a.b",` + year + `}`, 400, "pending or approved"},
		"a request that has ended":        {"POST", "/waivers", `{"state":"pending","rule":"a.b","expires":"2026-09-01T12:00:00Z"}`, 400, "expired"},
		"a rule for all rules":            {"POST", "/waivers", `{"rule":"a.*",` + year + `}`, 400, "one rule"},
		"a pattern that matches nothing":  {"POST", "/waivers", `{"rule":"a.b","repositories":["a/{b}"],` + year + `}`, 400, "pattern"},
		"a state by a patch":              {"PATCH", "/waivers/W-1", `{"state":"approved"}`, 400, "state"},
		"an approver by a patch":          {"PATCH", "/waivers/W-1", `{"decided_by":"local#x"}`, 400, "decided_by"},
		"an end in the past":              {"PATCH", "/waivers/W-1", `{"expires":"2026-09-01T12:00:00Z"}`, 400, "expired"},
		"a change of what nobody read":    {"PATCH", "/waivers/W-1", `{"version":"old","reason":"y"}`, 409, "has changed"},
		"an approval of what nobody read": {"PUT", "/waivers/W-1/approval", `{"approve":true,"version":"old"}`, 409, "has changed"},
		"an approval of anything":         {"PUT", "/waivers/W-1/approval", `{"approve":true}`, 400, "version"},
		"an approval that says nothing":   {"PUT", "/waivers/W-1/approval", `{"version":"v0"}`, 400, "approve"},
		"an approval of what is decided":  {"PUT", "/waivers/W-2/approval", `{"approve":true,"version":"v0"}`, 409, "does not wait"},
		"an approval after the end":       {"PUT", "/waivers/W-3/approval", `{"approve":true,"version":"v0"}`, 400, "expired"},
		"an approval of nothing":          {"PUT", "/waivers/W-9/approval", `{"approve":true,"version":"v0"}`, 404, "not found"},
		"a change of a file":              {"PATCH", "/waivers/F-1", `{"reason":"y"}`, 409, "bundle"},
		"an approval of a file":           {"PUT", "/waivers/F-1/approval", `{"approve":false,"version":"v0"}`, 409, "bundle"},
		"a removal of a file":             {"DELETE", "/waivers/F-1", ``, 409, "bundle"},
		"a state that is none":            {"GET", "/waivers?state=fine", ``, 400, "pending"},
		"a span that is none":             {"GET", "/waivers?within=soon", ``, 400, "within"},
		"a span that goes back":           {"GET", "/waivers?within=-1h", ``, 400, "within"},
		"an origin that is none":          {"GET", "/waivers/W-1?origin=x", ``, 400, "origin"},
		"a file that is in the database":  {"GET", "/waivers/W-1?origin=bundle", ``, 404, "not found"},
		"a row that is in a file":         {"GET", "/waivers/F-1?origin=api", ``, 404, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			w := asked(t)
			two, three := w.waivers["W-1"], w.waivers["W-1"]
			two.ID, two.State = "W-2", policy.WaiverApproved
			three.ID, three.Expires = "W-3", now
			w.waivers["W-2"], w.waivers["W-3"] = two, three
			w.files = []policy.Waiver{{ID: "F-1", Rule: "a.b", Owner: "x", State: policy.WaiverApproved, Origin: policy.WaiverOfBundle}}
			status, body := do(t, w.api(t), alice, c.method, c.path, c.body)
			if status != c.status || !strings.Contains(body, c.says) {
				t.Fatalf("%d %s", status, body)
			}
			if len(w.waivers) != 3 || w.waivers["W-1"].Version != "v0" || w.waivers["W-2"].Version != "v0" || w.waivers["W-3"].Version != "v0" {
				t.Fatal("something changed")
			}
		})
	}
}

// A waiver is allowed where it was, where it is to be and in every project that it
// reaches; the first that refuses ends it.
func TestAWaiverIsJudgedInEveryProjectThatItReaches(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		want               string
	}{
		"one project":                  {"POST", "/waivers", `{"rule":"a.b","projects":["team"],` + year + `}`, "team"},
		"two projects":                 {"POST", "/waivers", `{"rule":"a.b","projects":["team","other"],` + year + `}`, ",other,team"},
		"patterns of two":              {"POST", "/waivers", `{"rule":"a.b","repositories":["team/*","other/**"],` + year + `}`, ",other,team"},
		"everything":                   {"POST", "/waivers", `{"rule":"a.b",` + year + `}`, ",strict"},
		"a digest":                     {"POST", "/waivers", `{"rule":"a.b","digests":["sha256:` + strings.Repeat("a", 64) + `"],` + year + `}`, ",strict"},
		"a change within":              {"PATCH", "/waivers/W-1", `{"reason":"y"}`, "team"},
		"a change to another project":  {"PATCH", "/waivers/W-1", `{"projects":["other"]}`, "team,other"},
		"a change to one more":         {"PATCH", "/waivers/W-1", `{"projects":["team","other"]}`, "team,,other"},
		"an approval of what is wide":  {"PUT", "/waivers/W-2/approval", `{"approve":true,"version":"v0"}`, "#W-2,,other,team"},
		"a narrowing of what was wide": {"PATCH", "/waivers/W-2", `{"projects":["team"]}`, "#W-2,team"},
		"a look at what is wide":       {"GET", "/waivers/W-2", ``, "#W-2"},
		"a removal of what is wide":    {"DELETE", "/waivers/W-2", ``, "#W-2"},
		"a look at what is not there":  {"GET", "/waivers/W-9", ``, "#W-9"},
		"a list of a project":          {"GET", "/waivers?project=team", ``, "team"},
		"a list":                       {"GET", "/waivers", ``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := asked(t)
			w.projects["strict"] = policy.Project{Name: "strict", Packs: []policy.Pack{{Name: "governance", Mode: policy.ModeDeny}}}
			two := w.waivers["W-1"]
			two.ID, two.Projects = "W-2", []string{"team", "other"}
			w.waivers["W-2"] = two
			places := func() string {
				var all []string
				for _, r := range w.asked {
					all = append(all, r.Repository.Name)
				}
				return strings.Join(all, ",")
			}
			do(t, w.api(t), alice, c.method, c.path, c.body)
			if got := places(); got != c.want {
				t.Fatalf("it was judged in %q", got)
			}
			last := w.last().Repository.Name
			w = asked(t)
			w.projects["strict"] = policy.Project{Name: "strict", Packs: []policy.Pack{{Name: "governance", Mode: policy.ModeDeny}}}
			w.waivers["W-2"] = two
			w.deny = func(r policy.Request) bool { return r.Repository.Name == last }
			if status, body := do(t, w.api(t), alice, c.method, c.path, c.body); status != http.StatusForbidden {
				t.Fatalf("refused in %q, and it answers %d %s", last, status, body)
			}
		})
	}
}

func TestWaiversAreListedByWhatTheyAmountTo(t *testing.T) {
	w := asked(t)
	add := func(id string, state policy.WaiverState, left time.Duration, projects ...string) {
		w.waivers[id] = policy.Waiver{ID: id, Rule: "a.b", Owner: "x", Projects: projects, State: state, Expires: now.Add(left)}
	}
	const day = 24 * time.Hour
	add("W-2", policy.WaiverApproved, 30*day, "team")
	add("W-3", policy.WaiverApproved, 3*day, "team", "other")
	add("W-4", policy.WaiverApproved, 0, "team")
	add("W-5", policy.WaiverRejected, 30*day)
	w.files = []policy.Waiver{{ID: "W-2", Rule: "a.c", Owner: "x", State: policy.WaiverApproved, Origin: policy.WaiverOfBundle, Expires: now.Add(2 * day)}}
	a := w.api(t)
	for query, want := range map[string]string{
		"":                           "W-1 W-2 W-2 W-3 W-4 W-5",
		"?state=pending":             "W-1",
		"?state=active":              "W-2 W-2 W-3",
		"?state=expiring":            "W-2 W-3",
		"?state=expiring&within=60h": "W-2",
		"?state=expired":             "W-4",
		"?state=rejected":            "W-5",
		"?project=team":              "W-1 W-2 W-4",
		"?project=other":             "",
	} {
		status, body := do(t, a, alice, "GET", "/waivers"+query, "")
		var ids []string
		for _, one := range into[[]Waiver](t, body) {
			ids = append(ids, one.ID)
		}
		if got := strings.Join(ids, " "); status != http.StatusOK || got != want {
			t.Errorf("%q answers %d %q", query, status, got)
		}
	}
}

func TestNobodyFillsTheDatabaseWithRequests(t *testing.T) {
	w := newWorld()
	a := w.api(t)
	post := func(state string) (int, string) {
		return do(t, a, alice, "POST", "/waivers", `{"state":"`+state+`","rule":"a.b","projects":["team"],`+year+`}`)
	}
	for range mostAsked {
		if status, body := post("pending"); status != http.StatusCreated {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, body := post("pending"); status != http.StatusBadRequest || !strings.Contains(body, "take one back") {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := post("approved"); status != http.StatusCreated {
		t.Fatalf("one that waits for nobody: %d %s", status, body)
	}
	for id, one := range w.waivers {
		if one.State == policy.WaiverPending {
			delete(w.waivers, id)
			break
		}
	}
	if status, body := post("pending"); status != http.StatusCreated {
		t.Fatalf("after one was taken back: %d %s", status, body)
	}
}
