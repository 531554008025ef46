package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// allJSON reports whether every line of a stream is JSON.
func allJSON(body string) bool {
	for line := range strings.Lines(body) {
		if !json.Valid([]byte(line)) {
			return false
		}
	}
	return true
}

func TestEveryRouteIsDecided(t *testing.T) {
	bodies := map[string]string{
		"POST /users":                                   `{"name":"bob","password":"long enough"}`,
		"PUT /users/{user}/password":                    `{"password":"long enough"}`,
		"PUT /users/{user}/disabled":                    `{"disabled":true}`,
		"POST /projects":                                `{"name":"new"}`,
		"PATCH /projects/{project}":                     `{"public":true}`,
		"PUT /projects/{project}/members/{kind}/{name}": `{"role":"guest"}`,
		"POST /breakglass":                              `{"subject":"carol","projects":["team"],"justification":"j","ticket":"t"}`,
		"PUT /breakglass/{grant}/approval":              `{"approve":true}`,
		"POST /waivers":                                 `{"rule":"image.root_user","expires":"2027-01-01T00:00:00Z"}`,
		"PATCH /waivers/{waiver}":                       `{"reason":"another"}`,
		"PUT /waivers/{waiver}/approval":                `{"approve":true,"version":"v1"}`,
		"POST /policy/explain":                          `{"image":"team/app:1","user":"carol","action":"manifest.pull"}`,
	}
	fill := strings.NewReplacer("{user}", "carol", "{project}", "team", "{kind}", "user", "{name}", "carol",
		"{waiver}", "W-1", "{grant}", "bg-1", "{decision}", "d9")
	for _, r := range routes() {
		name := r.method + " " + r.pattern
		t.Run(name, func(t *testing.T) {
			switch {
			case r.action != policy.AdminAPI && r.action != policy.DecisionRead:
				t.Fatalf("the action is %q", r.action)
			case r.resource == "" || r.verb == "" || r.plan == nil || r.status == 0:
				t.Fatal("the row is not complete")
			case (r.body != nil) != (bodies[name] != ""):
				t.Fatal("the test knows no body for this row, or one too many")
			}
			w := newWorld()
			w.users["carol"] = User{Name: "carol"}
			w.projects["team"] = policy.Project{Name: "team"}
			w.members["team"] = []Member{{Project: "team", Issuer: "local", Kind: "user", Name: "carol", Role: "guest"}}
			w.waivers["W-1"] = policy.Waiver{ID: "W-1", Rule: "a.b", Owner: "x", State: policy.WaiverPending, Version: "v1", Expires: now.AddDate(0, 1, 0)}
			w.glass["bg-1"] = policy.BreakGlass{
				ID: "bg-1", Issuer: "local", Subject: "carol", Kind: policy.KindUser, Projects: []string{"team"},
				RequestedBy: "local#carol", Expires: now.Add(time.Hour), State: policy.WaiverPending,
			}
			w.records = []DecisionRecord{{ID: "d9", Subject: "carol"}}
			before, _ := json.Marshal(w.state())

			w.deny = func(policy.Request) bool { return true }
			status, body := do(t, w.api(t), alice, r.method, fill.Replace(r.pattern), bodies[name])
			if status != http.StatusForbidden {
				t.Fatalf("a denied call answers %d %s", status, body)
			}
			after, _ := json.Marshal(w.state())
			if string(before) != string(after) {
				t.Fatalf("a denied call changed something: %s", after)
			}
			if len(w.asked) != 1 {
				t.Fatalf("the gate was asked %d times", len(w.asked))
			}
			got := w.last()
			if got.Action != r.action || got.Admin == nil || got.Admin.Resource != r.resource || got.Admin.Verb != r.verb ||
				got.Principal.ID != "alice" || got.ID != "r1" || got.HTTP.ClientIP != "192.0.2.1" || got.Purpose != policy.Use {
				t.Fatalf("the gate was asked %+v %+v", got, got.Admin)
			}

			w.deny = nil
			if status, body = do(t, w.api(t), alice, r.method, fill.Replace(r.pattern), bodies[name]); status >= 300 {
				t.Fatalf("an allowed call answers %d %s", status, body)
			}
			if body != "" && !json.Valid([]byte(body)) && !allJSON(body) {
				t.Fatalf("the answer is no JSON: %s", body)
			}

			w.outage = policy.ErrUnavailable
			if status, _ = do(t, w.api(t), alice, r.method, fill.Replace(r.pattern), bodies[name]); status != http.StatusServiceUnavailable {
				t.Fatalf("without a decision a call answers %d", status)
			}
			if raw, _ := json.Marshal(w.asked); strings.Contains(string(raw), "long enough") {
				t.Fatal("the gate was shown a password")
			}
		})
	}
}

func (w *world) state() []any {
	return []any{w.users, w.hashes, w.projects, w.members, w.waivers, w.glass}
}

func TestEveryRouteHasASchema(t *testing.T) {
	for _, r := range Routes() {
		raw, err := json.Marshal(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case slices.Contains([]string{"POST", "PUT", "PATCH"}, r.Method) && r.Path != Prefix+"/reindex":
			if !strings.Contains(string(raw), `"additionalProperties":false`) {
				t.Errorf("%s %s: the schema is open: %s", r.Method, r.Path, raw)
			}
		case string(raw) != "false":
			t.Errorf("%s %s: a body is described: %s", r.Method, r.Path, raw)
		}
	}
}

func TestBadInput(t *testing.T) {
	long := strings.Repeat("a", 300)
	tests := map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"an unknown key":                     {"POST", "/users", `{"name":"bob","password":"long enough","root":true}`, 400, "root"},
		"two values":                         {"POST", "/users", `{"name":"bob","password":"long enough"}{}`, 400, "more than one"},
		"no JSON":                            {"POST", "/users", `name=bob`, 400, "does not fit"},
		"no body":                            {"POST", "/users", ``, 400, "does not fit"},
		"a body where none belongs":          {"POST", "/reindex", `{}`, 400, "no body"},
		"a body beyond the limit":            {"POST", "/users", `{"name":"` + strings.Repeat("a", maxBody) + `"}`, 413, "1 MiB"},
		"an unknown query parameter":         {"GET", "/users?admin=1", ``, 400, "admin"},
		"a short password":                   {"POST", "/users", `{"name":"bob","password":"short"}`, 400, "at least 8"},
		"a password with a line break":       {"POST", "/users", `{"name":"bob","password":"long\nenough"}`, 400, "control"},
		"a user's name with a slash":         {"POST", "/users", `{"name":"a/b","password":"long enough"}`, 400, "letters"},
		"a user's name with a line break":    {"POST", "/users", `{"name":"a\nb","password":"long enough"}`, 400, "letters"},
		"a user's name of 300 letters":       {"POST", "/users", `{"name":"` + long + `","password":"long enough"}`, 400, "letters"},
		"no e-mail address":                  {"POST", "/users", `{"name":"bob","password":"long enough","email":"x"}`, 400, "e-mail"},
		"a project in capitals":              {"POST", "/projects", `{"name":"Team"}`, 400, "a-z"},
		"a project of two components":        {"POST", "/projects", `{"name":"a/b"}`, 400, "a-z"},
		"a project of 64 letters":            {"POST", "/projects", `{"name":"` + long[:64] + `"}`, 400, "63"},
		"a project that ends in a dot":       {"POST", "/projects", `{"name":"a."}`, 400, "a-z"},
		"a mode that there is not":           {"POST", "/projects", `{"name":"a","packs":[{"name":"image","mode":"maybe"}]}`, 400, "maybe"},
		"a pack that is named twice":         {"POST", "/projects", `{"name":"a","packs":[{"name":"x","mode":"off"},{"name":"x","mode":"deny"}]}`, 400, "twice"},
		"a pack configured by a list":        {"POST", "/projects", `{"name":"a","packs":[{"name":"x","mode":"off","config":[]}]}`, 400, "object"},
		"a role that there is not":           {"PUT", "/projects/team/members/user/carol", `{"role":"king"}`, 400, "king"},
		"a kind of member that there is not": {"PUT", "/projects/team/members/king/carol", `{"role":"guest"}`, 400, "king"},
		"a member that nobody is":            {"PUT", "/projects/team/members/user/nobody", `{"role":"guest"}`, 404, "member user:local:nobody in project team: not found"},
		"a member of no project":             {"PUT", "/projects/none/members/user/carol", `{"role":"guest"}`, 404, "not found"},
		"a member who is none":               {"DELETE", "/projects/team/members/user/carol", ``, 404, "not found"},
		"a waiver without an end":            {"POST", "/waivers", `{"rule":"a.b"}`, 400, "expires"},
		"a waiver that ended":                {"POST", "/waivers", `{"rule":"a.b","expires":"2020-01-01T00:00:00Z"}`, 400, "expired"},
		"a waiver of no rule":                {"POST", "/waivers", `{"rule":"","expires":"2027-01-01T00:00:00Z"}`, 400, "rule"},
		"a waiver of no digest":              {"POST", "/waivers", `{"rule":"a.b","digests":["x"],"expires":"2027-01-01T00:00:00Z"}`, 400, "digest"},
		"a waiver that is there":             {"POST", "/waivers", `{"id":"W-1","rule":"a.b","expires":"2027-01-01T00:00:00Z"}`, 409, "already"},
		"a user that is there":               {"POST", "/users", `{"name":"carol","password":"long enough"}`, 409, "already"},
		"a user that is not":                 {"GET", "/users/nobody", ``, 404, "user nobody: not found"},
		"a decision that is not":             {"GET", "/decisions/x", ``, 404, "decision x: not found"},
		"a limit of none":                    {"GET", "/decisions?limit=0", ``, 400, "limit"},
		"an action that there is not":        {"GET", "/decisions?action=fly", ``, 400, "fly"},
		"a verdict that there is not":        {"GET", "/decisions?verdict=maybe", ``, 400, "maybe"},
		"a cursor that is none":              {"GET", "/decisions?after=x", ``, 400, "cursor"},
		"a cursor before the first":          {"GET", "/decisions?before=0", ``, 400, "cursor"},
		"a time that is none":                {"GET", "/decisions?since=yesterday", ``, 400, "since is a time"},
		"an end that is no time":             {"GET", "/decisions/export?until=1", ``, 400, "until is a time"},
		"a page that is not":                 {"GET", "/nothing", ``, 404, "no such page"},
		"a method that a page has not":       {"PUT", "/projects", `{}`, 405, "method"},
		"the last administrator":             {"PUT", "/users/root/disabled", `{"disabled":true}`, 409, "last enabled"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.users["carol"] = User{Name: "carol"}
			w.users["root"] = User{Name: "root", Admin: true}
			w.projects["team"] = policy.Project{Name: "team"}
			w.waivers["W-1"] = policy.Waiver{ID: "W-1"}
			before, _ := json.Marshal(w.state())
			status, body := do(t, w.api(t), alice, tt.method, tt.path, tt.body)
			if status != tt.status || !strings.Contains(body, tt.says) {
				t.Fatalf("the answer is %d %s", status, body)
			}
			if after, _ := json.Marshal(w.state()); string(before) != string(after) {
				t.Fatalf("something changed: %s", after)
			}
		})
	}
}

func TestWhatIsNotThereIsToldToThoseWhoMayAsk(t *testing.T) {
	w := newWorld()
	w.deny = func(policy.Request) bool { return true }
	_, missing := do(t, w.api(t), alice, "GET", "/users/nobody", "")
	w.users["carol"] = User{Name: "carol"}
	_, there := do(t, w.api(t), alice, "GET", "/users/carol", "")
	if missing != there {
		t.Fatalf("a denial tells %s from %s", missing, there)
	}
}

// A refusal of what does not fit tells that it is there: it comes after the decision.
// What is wrong with a call by itself is told to everybody.
func TestWhatDoesNotFitIsToldToThoseWhoMayAsk(t *testing.T) {
	for _, c := range []struct{ name, method, path, body string }{
		{"a project with another owner", "PATCH", "/projects/team", `{"owner":"\u0007"}`},
		{"a member with a role that nobody made", "PUT", "/projects/team/members/user/carol", `{"role":"none"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.users["carol"] = User{Name: "carol"}
			w.deny = func(policy.Request) bool { return true }
			_, missing := do(t, w.api(t), alice, c.method, c.path, c.body)
			w.projects["team"] = policy.Project{Name: "team"}
			_, there := do(t, w.api(t), alice, c.method, c.path, c.body)
			if missing != there {
				t.Fatalf("a refusal tells %s from %s", missing, there)
			}
			w.deny = nil
			if status, said := do(t, w.api(t), alice, c.method, c.path, c.body); status != http.StatusBadRequest {
				t.Fatalf("whoever may ask is told %d %s", status, said)
			}
		})
	}
	w := newWorld()
	w.deny = func(policy.Request) bool { return true }
	if status, _ := do(t, w.api(t), alice, "PATCH", "/projects/Team", `{}`); status != http.StatusBadRequest || len(w.asked) != 0 {
		t.Fatalf("a name that is none gets %d", status)
	}
}

func TestWhoMayCall(t *testing.T) {
	w := newWorld()
	a := w.api(t)
	scoped := alice
	scoped.Scoped = true
	if status, _ := do(t, a, scoped, "GET", "/users", ""); status != http.StatusForbidden || len(w.asked) != 0 {
		t.Fatalf("a registry token gets %d", status)
	}
	w.deny = func(policy.Request) bool { return true }
	if status, _ := do(t, a, authn.Caller{}, "GET", "/users", ""); status != http.StatusUnauthorized {
		t.Fatalf("nobody in particular gets %d", status)
	}
}

func TestAFormOfAnotherSiteIsRefused(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, Prefix+"/users", strings.NewReader(`{"name":"bob","password":"long enough"}`))
	r.Header.Set("Content-Type", "text/plain")
	rec := httptest.NewRecorder()
	err := newWorld().api(t).Serve(rec, r, alice)
	var e *errcode.Error
	if !errors.As(err, &e) || e.Status != http.StatusUnsupportedMediaType {
		t.Fatalf("the error is %v", err)
	}
}

func TestTheGateSeesWhatChanges(t *testing.T) {
	w := newWorld()
	w.users["carol"] = User{Name: "carol"}
	a := w.api(t)
	do(t, a, alice, "POST", "/projects", `{"name":"team"}`)
	if p := w.projects["team"]; p.Public || p.Owner != "alice" {
		t.Fatalf("the project is %+v", p)
	}
	do(t, a, alice, "PATCH", "/projects/team", `{"public":true}`)
	if c := w.last(); c.Repository.Name != "team" || c.Admin.Before.(Project).Public || !c.Admin.After.(Project).Public {
		t.Fatalf("the gate was asked %+v", c.Admin)
	}
	do(t, a, alice, "PUT", "/projects/team/members/user/carol", `{"role":"guest"}`)
	do(t, a, alice, "PUT", "/projects/team/members/user/carol", `{"role":"maintainer"}`)
	if c := w.last(); c.Admin.Before.(Member).Role != "guest" || c.Admin.After.(Member).Role != "maintainer" || c.Admin.ID != "user:local:carol" {
		t.Fatalf("the gate was asked %+v", c.Admin)
	}
	do(t, a, alice, "POST", "/waivers", `{"rule":"image.root_user","projects":["team"],"repositories":["team/*"],"expires":"2027-01-01T00:00:00Z"}`)
	if c := w.last(); c.Repository.Name != "team" || c.Admin.After.(map[string]any)["owner"] != "alice" {
		t.Fatalf("the gate was asked %+v", c)
	}
	for _, wide := range []string{`"projects":["team","other"],`, ``, `"projects":["team"],"repositories":["other/x"],`} {
		before := len(w.asked)
		do(t, a, alice, "POST", "/waivers", `{"rule":"image.root_user",`+wide+`"expires":"2027-01-01T00:00:00Z"}`)
		if c := w.asked[before]; c.Repository.Name != "" {
			t.Fatalf("a waiver that reaches beyond a project is judged in %q", c.Repository.Name)
		}
	}
	group := "cn=devs,ou=a%2Fb"
	if status, body := do(t, a, alice, "PUT", "/projects/team/members/group/"+group+"?issuer=ldap", `{"role":"guest"}`); status != http.StatusOK ||
		into[Member](t, body).Name != "cn=devs,ou=a/b" {
		t.Fatalf("a group gets %d %s", status, body)
	}
}

func TestAProjectIsMadeOnceForParallelPushes(t *testing.T) {
	w := newWorld()
	m, err := NewMaker(MakerConfig{Gate: w, Directory: w, Projects: w, Auto: "admins"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := m.EnsureProject(t.Context(), alice, "", "team"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if w.made != 1 || len(w.asked) != 1 {
		t.Fatalf("the project was made %d times, the gate asked %d times", w.made, len(w.asked))
	}
	if p := w.projects["team"]; p.Public || p.Workspace != policy.DefaultWorkspace {
		t.Fatalf("the project is %+v", p)
	}
	if c := w.last(); c.Action != policy.AdminAPI || c.Admin.Auto != "admins" || c.Admin.Verb != "create" || c.Repository.Name != "team" {
		t.Fatalf("the gate was asked %+v", c.Admin)
	}
}

func TestAProjectIsNotMade(t *testing.T) {
	w := newWorld()
	m, err := NewMaker(MakerConfig{Gate: w, Directory: w, Projects: w, Auto: "admins"})
	if err != nil {
		t.Fatal(err)
	}
	w.deny = func(policy.Request) bool { return true }
	for _, c := range []authn.Caller{alice, {}} {
		if err := m.EnsureProject(t.Context(), c, "", "team"); !errors.Is(err, policy.ErrNotFound) {
			t.Errorf("a denial is %v", err)
		}
	}
	w.outage = policy.ErrUnavailable
	if err := m.EnsureProject(t.Context(), alice, "", "team"); !errors.Is(err, policy.ErrUnavailable) {
		t.Errorf("an outage is %v", err)
	}
	w.outage = nil
	if err := m.EnsureProject(t.Context(), alice, "", "Bad Name"); err == nil || w.made != 0 {
		t.Errorf("a bad name is %v, %d projects were made", err, w.made)
	}
}
