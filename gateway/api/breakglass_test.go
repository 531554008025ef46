package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// glassWorld has carol and dave, and two projects.
func glassWorld() *world {
	w := newWorld()
	w.users["carol"], w.users["alice"] = User{Name: "carol"}, User{Name: "alice"}
	w.projects["team"], w.projects["web"] = policy.Project{Name: "team"}, policy.Project{Name: "web"}
	return w
}

func as(id string, change ...func(*policy.Principal)) authn.Caller {
	c := alice
	c.Principal.ID = id
	for _, f := range change {
		f(&c.Principal)
	}
	return c
}

func aGlass(id string, state policy.WaiverState) policy.BreakGlass {
	return policy.BreakGlass{
		ID: id, Issuer: policy.LocalIssuer, Subject: "carol", Kind: policy.KindUser, Projects: []string{"team"}, Justification: "j", Ticket: "t",
		Requester: "dave", RequestedBy: "local#dave", Created: now, Expires: now.Add(time.Hour), State: state,
	}
}

func TestAGrantIsMadeAsItIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		name, body   string
		secondPerson bool
		caller       authn.Caller
		want         string // kind issuer subject state expires
		verb         string
	}{
		{"for the caller and an hour, when nothing else is said", `{"projects":["team"],"justification":" j ","ticket":"t"}`, false, alice, "user local alice approved 1h0m0s", "create"},
		{"for another and until a moment", `{"subject":"carol","projects":["team"],"justification":"j","ticket":"t","expires":"2026-09-01T15:59:59.7Z"}`, false, alice, "user local carol approved 3h59m59s", "create"},
		{"for a robot that is named as one", `{"subject":"team+ci","kind":"robot","projects":["team"],"justification":"j","ticket":"t"}`, false, alice, "robot robot team+ci approved 1h0m0s", "create"},
		{"to be approved, because it was asked so", `{"projects":["team"],"justification":"j","ticket":"t","pending":true}`, false, alice, "user local alice pending 1h0m0s", "request"},
		{"to be approved, because the server says so", `{"projects":["team"],"justification":"j","ticket":"t"}`, true, alice, "user local alice pending 1h0m0s", "request"},
		{"by the operator for somebody", `{"subject":"carol","projects":["team"],"justification":"j","ticket":"t"}`, false, as("operator", func(p *policy.Principal) { p.Kind, p.Issuer = policy.KindOperator, "socket" }), "user local carol approved 1h0m0s", "create"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := glassWorld()
			w.secondPerson = c.secondPerson
			status, body := do(t, w.api(t), c.caller, http.MethodPost, "/breakglass", c.body)
			var b policy.BreakGlass
			if err := json.Unmarshal([]byte(body), &b); status != http.StatusCreated || err != nil {
				t.Fatalf("%d %s %v", status, body, err)
			}
			if got := fmt.Sprint(b.Kind, " ", b.Issuer, " ", b.Subject, " ", b.State, " ", b.Expires.Sub(now)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if b.Justification != "j" || b.RequestedBy != c.caller.Principal.Identity() || w.glass[b.ID].ID != b.ID || !strings.HasPrefix(b.ID, "bg-") {
				t.Errorf("%+v", b)
			}
			if got := w.last().Admin; got.Verb != c.verb || got.ID != b.ID || got.Before != nil {
				t.Errorf("the gate was asked %+v", got)
			}
		})
	}
}

func TestAGrantThatIsWrongIsRefused(t *testing.T) {
	machine := func(p *policy.Principal) { p.Kind = policy.KindRobot }
	operator := func(p *policy.Principal) { p.Kind = policy.KindOperator }
	for _, c := range []struct {
		name, body string
		caller     authn.Caller
		status     int
		says       string
	}{
		{"without a project", `{"justification":"j","ticket":"t"}`, alice, 400, "1 to 16 projects"},
		{"for every project there is", `{"projects":["*"],"justification":"j","ticket":"t"}`, alice, 400, "project's name"},
		{"without a justification", `{"projects":["team"],"justification":"  ","ticket":"t"}`, alice, 400, "a justification"},
		{"without a ticket", `{"projects":["team"],"justification":"j","ticket":""}`, alice, 400, "a ticket"},
		{"for longer than the server lets it", `{"projects":["team"],"justification":"j","ticket":"t","expires":"2026-09-01T16:00:01Z"}`, alice, 400, "4h0m0s at most"},
		{"for no time", `{"projects":["team"],"justification":"j","ticket":"t","expires":"2026-09-01T12:00:00Z"}`, alice, 400, "ended already"},
		{"for a group", `{"subject":"team","kind":"group","projects":["team"],"justification":"j","ticket":"t"}`, alice, 400, "not for a"},
		{"for a workload of nobody", `{"subject":"x","kind":"workload","projects":["team"],"justification":"j","ticket":"t"}`, alice, 400, "issuer of its own"},
		{"with a line that would be two in a log", `{"projects":["team"],"justification":"j\nk","ticket":"t"}`, alice, 400, "control characters"},
		{"for somebody who is not there", `{"subject":"nobody","projects":["team"],"justification":"j","ticket":"t"}`, alice, 404, "not found"},
		{"for the operator", `{"projects":["team"],"justification":"j","ticket":"t"}`, as("operator", operator), 400, "name whom"},
		{"by a machine, whatever rules say", `{"subject":"carol","projects":["team"],"justification":"j","ticket":"t"}`, as("ci", machine), 400, "by people"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := glassWorld()
			status, body := do(t, w.api(t), c.caller, http.MethodPost, "/breakglass", c.body)
			if status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%d %s", status, body)
			}
			if len(w.glass) != 0 {
				t.Error("it was made")
			}
		})
	}
}

func TestAGrantIsApprovedByAnotherPersonWhateverRulesSay(t *testing.T) {
	linked := func(p *policy.Principal) { p.Issuer = "https://sso" }
	for _, c := range []struct {
		name   string
		caller authn.Caller
		grant  policy.BreakGlass
		body   string
		status int
		state  policy.WaiverState
	}{
		{"by somebody else", alice, aGlass("bg-1", policy.WaiverPending), `{"approve":true}`, 200, policy.WaiverApproved},
		{"refused by somebody else", alice, aGlass("bg-1", policy.WaiverPending), `{"approve":false}`, 200, policy.WaiverRejected},
		{"by whom it is for", as("carol"), aGlass("bg-1", policy.WaiverPending), `{"approve":true}`, 400, policy.WaiverPending},
		{"by who asked for it", as("dave"), aGlass("bg-1", policy.WaiverPending), `{"approve":true}`, 400, policy.WaiverPending},
		{"by another account of the same person", as("c-123", linked), aGlass("bg-1", policy.WaiverPending), `{"approve":true}`, 400, policy.WaiverPending},
		{"taken back by who asked for it", as("dave"), aGlass("bg-1", policy.WaiverPending), `{"approve":false}`, 200, policy.WaiverRejected},
		{"by a machine", as("ci", func(p *policy.Principal) { p.Kind = policy.KindRobot }), aGlass("bg-1", policy.WaiverPending), `{"approve":true}`, 400, policy.WaiverPending},
		{"a second time", alice, aGlass("bg-1", policy.WaiverApproved), `{"approve":true}`, 409, policy.WaiverApproved},
		{"after it was refused", alice, aGlass("bg-1", policy.WaiverRejected), `{"approve":true}`, 409, policy.WaiverRejected},
		{"after its end", alice, func() policy.BreakGlass {
			b := aGlass("bg-1", policy.WaiverPending)
			b.Expires = now
			return b
		}(), `{"approve":true}`, 409, policy.WaiverPending},
		{"when it lasts longer than the server lets it by now", alice, func() policy.BreakGlass {
			b := aGlass("bg-1", policy.WaiverPending)
			b.Expires = now.Add(5 * time.Hour)
			return b
		}(), `{"approve":true}`, 400, policy.WaiverPending},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := glassWorld()
			w.linked = map[string]string{"https://sso#c-123": "local#carol"}
			w.glass["bg-1"] = c.grant
			status, body := do(t, w.api(t), c.caller, http.MethodPut, "/breakglass/bg-1/approval", c.body)
			if got := w.glass["bg-1"]; status != c.status || got.State != c.state {
				t.Errorf("%d %s, and it is %s", status, body, got.State)
			}
			if got := w.glass["bg-1"]; status == 200 && got.DecidedBy != c.caller.Principal.Identity() {
				t.Errorf("decided by %q", got.DecidedBy)
			}
		})
	}
}

func TestAGrantForSeveralProjectsIsAskedAboutInEach(t *testing.T) {
	asked := func(w *world) (projects []string) {
		for _, r := range w.asked {
			projects = append(projects, r.Repository.Name)
		}
		return projects
	}
	body := `{"projects":["web","team","web"],"justification":"j","ticket":"t"}`
	w := glassWorld()
	if status, text := do(t, w.api(t), alice, http.MethodPost, "/breakglass", body); status != http.StatusCreated || !slices.Equal(asked(w), []string{"team", "web"}) {
		t.Errorf("%d %s, asked about %v", status, text, asked(w))
	}
	w = glassWorld()
	w.deny = func(r policy.Request) bool { return r.Repository.Name == "web" }
	if status, text := do(t, w.api(t), alice, http.MethodPost, "/breakglass", body); status != http.StatusForbidden || len(w.glass) != 0 {
		t.Errorf("%d %s, %d made", status, text, len(w.glass))
	}
	for method, path := range map[string]string{http.MethodGet: "/breakglass/bg-1", http.MethodDelete: "/breakglass/bg-1", http.MethodPut: "/breakglass/bg-1/approval"} {
		b := aGlass("bg-1", policy.WaiverPending)
		b.Projects = []string{"team", "web"}
		w.glass["bg-1"], body = b, ""
		if method == http.MethodPut {
			body = `{"approve":true}`
		}
		if status, text := do(t, w.api(t), alice, method, path, body); status != http.StatusForbidden || w.glass["bg-1"].State != policy.WaiverPending || !w.glass["bg-1"].Ended.IsZero() {
			t.Errorf("%s: %d %s", method, status, text)
		}
	}
}

func TestADecisionUnderBrokenGlassIsListedWithItsJustification(t *testing.T) {
	w := glassWorld()
	w.glass["bg-1"] = aGlass("bg-1", policy.WaiverApproved)
	w.records = []DecisionRecord{{ID: "d1", BreakGlass: "bg-1"}, {ID: "d2"}, {ID: "d3", BreakGlass: "bg-gone"}}
	status, body := do(t, w.api(t), alice, http.MethodGet, "/decisions", "")
	var got []DecisionRecord
	if err := json.Unmarshal([]byte(body), &got); status != http.StatusOK || err != nil || len(got) != 3 {
		t.Fatalf("%d %s", status, body)
	}
	if got[0].Justification != "j" || got[1].Justification != "" || got[2].Justification != "" {
		t.Errorf("%s", body)
	}
}

func TestAGrantIsEndedOnce(t *testing.T) {
	w := glassWorld()
	w.glass["bg-1"] = aGlass("bg-1", policy.WaiverApproved)
	status, body := do(t, w.api(t), alice, http.MethodDelete, "/breakglass/bg-1", "")
	if b := w.glass["bg-1"]; status != http.StatusOK || b.InForce(now) || b.EndedBy != "alice" {
		t.Errorf("%d %s, %+v", status, body, b)
	}
	if status, body = do(t, w.api(t), as("dave"), http.MethodDelete, "/breakglass/bg-1", ""); status != http.StatusConflict || w.glass["bg-1"].EndedBy != "alice" {
		t.Errorf("a second time: %d %s", status, body)
	}
	if status, body = do(t, w.api(t), alice, http.MethodDelete, "/breakglass/bg-none", ""); status != http.StatusNotFound {
		t.Errorf("of nothing: %d %s", status, body)
	}
}

func TestGrantsAreListedForWhomTheyConcern(t *testing.T) {
	w := glassWorld()
	for id, change := range map[string]func(*policy.BreakGlass){
		"bg-1": func(*policy.BreakGlass) {},
		"bg-2": func(b *policy.BreakGlass) { b.Subject, b.Projects = "alice", []string{"team", "web"} },
		"bg-3": func(b *policy.BreakGlass) { b.Ended = now },
		"bg-4": func(b *policy.BreakGlass) { b.Projects = []string{"web"} },
	} {
		b := aGlass(id, policy.WaiverApproved)
		change(&b)
		w.glass[id] = b
	}
	for query, want := range map[string]string{
		"":                      "bg-1[team] bg-2[team web] bg-4[web]",
		"?all=true":             "bg-1[team] bg-2[team web] bg-3[team] bg-4[web]",
		"?project=team":         "bg-1[team] bg-2[team]",
		"?own=true":             "bg-2[team web]",
		"?own=true&project=web": "bg-2[team web]",
	} {
		status, body := do(t, w.api(t), alice, http.MethodGet, "/breakglass"+query, "")
		var all []policy.BreakGlass
		if err := json.Unmarshal([]byte(body), &all); status != http.StatusOK || err != nil {
			t.Fatalf("%d %s", status, body)
		}
		var got []string
		for _, b := range all {
			got = append(got, fmt.Sprint(b.ID, b.Projects))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %v, want %s", query, got, want)
		}
	}
	if before, _ := w.last().Admin.Before.(map[string]any); w.last().Admin.Verb != "list" || before != nil && before["subject"] != "alice" {
		t.Errorf("the gate was asked %+v", w.last().Admin)
	}
	for _, bad := range []string{"?own=yes", "?all=1", "?project=A", "?who=x"} {
		if status, body := do(t, w.api(t), alice, http.MethodGet, "/breakglass"+bad, ""); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
}
