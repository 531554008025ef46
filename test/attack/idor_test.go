package attack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 20: an object of another project or another workspace by its number or its
// name (Harbor CVE-2022-31666 to 31671, CVE-2022-31667). The calls are made from
// the API's own description: a route with a parameter that this file does not know
// fails the test until somebody says what of it belongs to whom.

// marker stands in every text of blue's and of the default workspace's objects: no
// answer to anybody else may have it.
const marker = "not-for-you"

// otherHost is the name of the second workspace, and root its administrator.
const (
	otherHost = "other.test"
	root      = "root"
)

// operation is one method of one path of the description.
type operation struct {
	method, path string
	parameters   []string
	body         bool
	query        []string
	reply        json.RawMessage
	status       int
}

func (o operation) name() string { return o.method + " " + o.path }

// operations reads the description that the server gives of itself.
func (w *world) operations() []operation {
	w.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
			Body       *struct{} `json:"requestBody"`
			Responses  map[string]struct {
				Content map[string]struct{ Schema json.RawMessage }
			}
		}
	}
	if err := json.Unmarshal(w.api(http.MethodGet, "/openapi.json", nil), &doc); err != nil {
		w.t.Fatal(err)
	}
	var all []operation
	for path, methods := range doc.Paths {
		for method, op := range methods {
			o := operation{method: strings.ToUpper(method), path: path, body: op.Body != nil}
			for _, p := range op.Parameters {
				if p.In == "path" {
					o.parameters = append(o.parameters, p.Name)
				} else {
					o.query = append(o.query, p.Name)
				}
			}
			for status, r := range op.Responses {
				if n, _ := strconv.Atoi(status); n < 300 {
					o.status, o.reply = n, r.Content["application/json"].Schema
				}
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.name(), b.name()) })
	return all
}

var inBraces = regexp.MustCompile(`\{([a-z_]+)\}`)

// fill puts values for the parameters of a path.
func fill(path string, values map[string]string) string {
	return inBraces.ReplaceAllStringFunc(path, func(p string) string { return url.PathEscape(values[strings.Trim(p, "{}")]) })
}

// absent is what nobody has, for every parameter that there is.
var absent = map[string]string{
	"project": "nowhere", "project_name_or_id": "nowhere", "user": "nobody-at-all", "kind": "user", "name": "nobody-at-all",
	"waiver": "W-none", "grant": "bg-none", "decision": "0000000000000000", "role": "norole", "directory": "nodirectory", "workspace": "noworkspace",
	"token": "999999", "user_id": "999999", "group_id": "999999", "robot_id": "999999", "mid": "999999", "meta_name": "no_such_setting",
}

// bodies are what is sent where a body is taken: one that would do harm, and those
// that contradict what is there, whose refusal would tell that it is.
func bodies(o operation, values map[string]string) []any {
	permission := func(project string) []any {
		return []any{map[string]any{"kind": "project", "namespace": project, "access": []any{map[string]any{"resource": "repository", "action": "pull"}}}}
	}
	robot := map[string]any{"description": "mine", "duration": 30, "disable": true, "level": "project", "permissions": permission("blue")}
	contrary := maps.Clone(robot)
	contrary["name"], contrary["level"] = "another", "system"
	known := map[string][]any{
		"PUT /api/v1/users/{user}/password":                             {map[string]any{"password": password + "x"}},
		"PUT /api/v1/users/{user}/disabled":                             {map[string]any{"disabled": true}},
		"PUT /api/v1/people/{user}/link":                                {map[string]any{"main": eve}, map[string]any{"main": values["user"]}, map[string]any{"main": "nobody-at-all"}, map[string]any{"main": ""}},
		"PUT /api/v1/groups/{group_id}/admin":                           {map[string]any{"admin": true}},
		"PATCH /api/v1/projects/{project}":                              {map[string]any{"public": true, "owner": eve}, map[string]any{"owner": "\x07"}, map[string]any{"policies": map[string]any{"none": 1}}},
		"PUT /api/v1/projects/{project}/members/{kind}/{name}":          {map[string]any{"role": "projectAdmin"}, map[string]any{"role": "blue-reader"}, map[string]any{"role": "norole"}},
		"PATCH /api/v1/waivers/{waiver}":                                {map[string]any{"reason": "mine"}, map[string]any{"projects": []string{"red"}}, map[string]any{"expires": "2000-01-01T00:00:00Z"}, map[string]any{"version": "none"}},
		"PUT /api/v1/waivers/{waiver}/approval":                         {map[string]any{"approve": true, "version": "none"}, map[string]any{"approve": false, "version": "none"}},
		"PUT /api/v1/breakglass/{grant}/approval":                       {map[string]any{"approve": true}, map[string]any{"approve": false}},
		"PUT /api/v1/roles/{role}":                                      {map[string]any{"rights": []string{"pull"}}},
		"PATCH /api/v1/workspaces/{workspace}":                          {map[string]any{"description": "mine"}, map[string]any{"hosts": []string{"-"}}},
		"PUT /api/v2.0/users/{user_id}":                                 {map[string]any{"email": "mine@example.org"}},
		"PUT /api/v2.0/users/{user_id}/sysadmin":                        {map[string]any{"sysadmin_flag": true}},
		"PUT /api/v2.0/users/{user_id}/password":                        {map[string]any{"new_password": password + "x"}},
		"PUT /api/v2.0/usergroups/{group_id}":                           {map[string]any{"group_name": "mine", "group_type": 2}},
		"PUT /api/v2.0/projects/{project_name_or_id}":                   {map[string]any{"public": true}, map[string]any{"project_name": "another"}, map[string]any{"storage_limit": 5}},
		"POST /api/v2.0/projects/{project_name_or_id}/metadatas":        {map[string]any{"public": "true"}},
		"PUT /api/v2.0/projects/{project_name_or_id}/members/{mid}":     {map[string]any{"role_id": 1}},
		"PUT /api/v2.0/robots/{robot_id}":                               {robot, contrary, map[string]any{"duration": 0}},
		"PATCH /api/v2.0/robots/{robot_id}":                             {map[string]any{}, map[string]any{"secret": "Mine-own-secret-1"}},
		"PUT /api/v2.0/projects/{project_name_or_id}/robots/{robot_id}": {robot, contrary, map[string]any{"duration": 0}},
		"PUT /api/v2.0/projects/{project_name_or_id}/metadatas/{meta_name}": {
			map[string]any{values["meta_name"]: marker + "-changed"}, map[string]any{"another_setting": "false"},
		},
		"POST /api/v2.0/projects/{project_name_or_id}/members": {
			map[string]any{"role_id": 1, "member_user": map[string]any{"username": eve}},
			map[string]any{"role_id": 1, "member_user": map[string]any{}},
			map[string]any{"role_id": 1, "member_group": map[string]any{"group_name": "", "group_type": 2}},
		},
	}
	if !o.body {
		return []any{nil}
	}
	return known[o.name()]
}

// caller is somebody who is not allowed, and at which host.
type caller struct{ user, host string }

// management calls the API: many small calls, over connections that stay.
var management = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// call sends a request as somebody at a host.
func (w *world) call(c caller, method, path string, body any) harness.Response {
	w.t.Helper()
	var raw []byte
	if body != nil {
		raw = mustJSON(body)
	}
	req, err := http.NewRequest(method, w.URL()+path, bytes.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if req.Host = w.Host; c.host != "" {
		req.Host = c.host
	}
	if c.user != nobody {
		req.SetBasicAuth(c.user, passwordOf(c.user))
	}
	resp, err := management.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return harness.Response{Status: resp.StatusCode, Header: resp.Header, Body: answer}
}

// idorWorld is a world with one thing of every kind in red, in blue, and in a
// workspace of its own.
type idorWorld struct {
	*world
	// blue and red name the things of the two projects, theirs those of the default
	// workspace as the other workspace's administrator would try them.
	blue, red map[string]string
}

func (w *world) location(c caller, path string, body any) string {
	w.t.Helper()
	r := w.call(c, http.MethodPost, path, body)
	if r.Status != http.StatusCreated {
		w.t.Fatalf("POST %s: %d %s", path, r.Status, r.Body)
	}
	at := r.Header.Get("Location")
	return at[strings.LastIndexByte(at, '/')+1:]
}

func newIdorWorld(t *testing.T) *idorWorld {
	t.Helper()
	w := newWorld(t, harness.Options{})
	all := &idorWorld{world: w}
	all.blue, all.red = w.furnish("blue", bob), w.furnish("red", pat)
	w.api(http.MethodPut, "/roles/blue-reader", map[string]any{"rights": []string{"pull"}, "description": marker})
	w.api(http.MethodPut, "/users/bob/disabled", map[string]any{"disabled": false})
	w.api(http.MethodPost, "/workspaces", map[string]any{"name": "other", "hosts": []string{otherHost}, "admin": root, "admin_password": password})
	w.api(http.MethodPost, "/workspaces", map[string]any{"name": "third", "description": marker, "hosts": []string{"third.test"}, "admin": root, "admin_password": password})
	for _, values := range []map[string]string{all.blue, all.red} {
		values["role"], values["workspace"], values["directory"] = "blue-reader", "third", absent["directory"]
	}
	return all
}

// furnish puts one thing of each kind into a project, and answers what each is called.
func (w *world) furnish(project, person string) map[string]string {
	w.t.Helper()
	as := caller{user: admin}
	group := w.location(as, "/api/v2.0/usergroups", map[string]any{"group_name": project + "-team-" + marker, "group_type": 2})
	member := w.location(as, "/api/v2.0/projects/"+project+"/members", map[string]any{"role_id": 3, "member_group": map[string]any{"id": number(group)}})
	robot := w.location(as, "/api/v2.0/robots", map[string]any{
		"name": "ci", "level": "project", "duration": 30, "description": marker,
		"permissions": []any{map[string]any{"kind": "project", "namespace": project, "access": []any{map[string]any{"resource": "repository", "action": "pull"}}}},
	})
	w.api(http.MethodPost, "/waivers", map[string]any{
		"id": "W-" + project, "rule": "image.root_user", "projects": []string{project}, "reason": marker, "owner": person, "expires": "2999-01-01T00:00:00Z",
	})
	var grant struct{ ID string }
	if err := json.Unmarshal(w.api(http.MethodPost, "/breakglass", map[string]any{
		"subject": person, "projects": []string{project}, "justification": marker, "ticket": marker, "pending": true,
	}), &grant); err != nil {
		w.t.Fatal(err)
	}
	w.api(http.MethodPatch, "/projects/"+project, map[string]any{"description": marker, "labels": map[string]any{"note": marker}})
	if r := w.call(as, http.MethodPost, "/api/v2.0/projects/"+project+"/metadatas", map[string]any{"auto_scan": "true", "note": marker}); r.Status != http.StatusOK {
		w.t.Fatalf("settings: %d %s", r.Status, r.Body)
	}
	var token struct{ ID int64 }
	var users []struct {
		ID   int64  `json:"user_id"`
		Name string `json:"username"`
	}
	if err := json.Unmarshal(w.call(caller{user: person}, http.MethodPost, "/api/v1/access-tokens", map[string]any{"name": marker}).Body, &token); err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(w.call(as, http.MethodGet, "/api/v2.0/users/search?username="+person, nil).Body, &users); err != nil || len(users) != 1 {
		w.t.Fatal(err, users)
	}
	if r := w.call(as, http.MethodPut, fmt.Sprintf("/api/v2.0/users/%d", users[0].ID), map[string]any{"comment": marker, "realname": marker}); r.Status != http.StatusOK {
		w.t.Fatalf("%d %s", r.Status, r.Body)
	}
	// A decision about the person in the project.
	w.as(person, http.MethodGet, "/v2/"+project+"/app/tags/list", nil, nil)
	var decisions []struct{ ID string }
	if err := json.Unmarshal(w.api(http.MethodGet, "/decisions?project="+project+"&limit=1", nil), &decisions); err != nil || len(decisions) == 0 {
		w.t.Fatalf("no decision about %s: %v", project, err)
	}
	return map[string]string{
		"project": project, "project_name_or_id": project, "user": person, "kind": "user", "name": person, "waiver": "W-" + project, "grant": grant.ID,
		"decision": decisions[0].ID, "token": strconv.FormatInt(token.ID, 10), "user_id": strconv.FormatInt(users[0].ID, 10),
		"group_id": group, "robot_id": robot, "mid": member, "meta_name": "auto_scan",
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// state is all that the administrator sees of what the callers must leave alone.
func (w *idorWorld) state() string {
	w.t.Helper()
	var b strings.Builder
	for _, path := range []string{
		"/api/v1/users", "/api/v1/people", "/api/v1/groups", "/api/v1/projects/blue", "/api/v1/projects/blue/members", "/api/v1/waivers", "/api/v1/breakglass?all=true", "/api/v1/roles", "/api/v1/workspaces",
		"/api/v1/access-tokens?user=bob", "/api/v2.0/users?page_size=100", "/api/v2.0/usergroups", "/api/v2.0/projects/blue",
		"/api/v2.0/projects/blue/metadatas", "/api/v2.0/projects/blue/members", "/api/v2.0/projects/blue/robots", "/api/v2.0/robots",
	} {
		r := w.call(caller{user: admin}, http.MethodGet, path, nil)
		if r.Status != http.StatusOK {
			w.t.Fatalf("%s: %d %s", path, r.Status, r.Body)
		}
		b.WriteString(path + "\n" + string(r.Body))
	}
	return b.String()
}

// inherent are the routes that tell by their nature whether somebody exists: to
// whoever may add members, and about a name alone.
var inherent = map[string]string{
	"PUT /api/v1/projects/{project}/members/{kind}/{name}": "whoever manages a project's members sees whether the one to be added is known",
}

func TestNobodyReachesWhatIsOthersByItsNumberOrName(t *testing.T) {
	w := newIdorWorld(t)
	tried := 0
	for _, o := range w.operations() {
		if len(o.parameters) == 0 {
			continue
		}
		t.Run(o.name(), func(t *testing.T) {
			for _, p := range o.parameters {
				if absent[p] == "" || w.blue[p] == "" {
					t.Fatalf("nobody says yet whose {%s} is", p)
				}
			}
			if bodies(o, w.blue) == nil {
				t.Fatal("nobody says yet which body would do harm")
			}
			before := w.state()
			for _, c := range []caller{{user: pat}, {user: eve}, {user: nobody}, {root, otherHost}} {
				tried += w.attempt(t, c, o)
			}
			if after := w.state(); after != before {
				t.Errorf("it changed something\nbefore %s\nafter  %s", before, after)
			}
		})
	}
	if tried < 500 {
		t.Errorf("only %d calls were made", tried)
	}
}

// attempt makes the calls of one route as one caller: with everything of blue's, by
// name and by number, and with red's path and the rest of blue's; each beside the
// same call about what is not there.
func (w *idorWorld) attempt(t *testing.T, c caller, o operation) (tried int) {
	byNumber := maps.Clone(w.blue)
	byNumber["project_name_or_id"] = w.projectID("blue")
	noNumber := maps.Clone(absent)
	noNumber["project_name_or_id"] = "999999"
	pairs := [][2]map[string]string{{w.blue, absent}, {byNumber, noNumber}}
	if len(o.parameters) > 1 && c.host == "" {
		mixed, nothing := maps.Clone(w.blue), maps.Clone(absent)
		for _, m := range []map[string]string{mixed, nothing} {
			m["project"], m["project_name_or_id"] = "red", "red"
		}
		if !slices.Contains(o.parameters, "meta_name") { // a name in its project, and no object of another one
			pairs = append(pairs, [2]map[string]string{mixed, nothing})
		}
	}
	for i, pair := range pairs {
		if i == 2 && c.user == pat && inherent[o.name()] != "" {
			continue
		}
		for n := range bodies(o, pair[0]) {
			for _, q := range queries(o) {
				there := w.call(c, o.method, fill(o.path, pair[0])+q[0], bodies(o, pair[0])[n])
				missing := w.call(c, o.method, fill(o.path, pair[1])+q[1], bodies(o, pair[1])[n])
				tried += 2
				what := fmt.Sprintf("%s %s%s by %q, body %d", o.method, fill(o.path, pair[0]), q[0], c.user, n)
				if bytes.Contains(there.Body, []byte(marker)) {
					t.Errorf("%s: reads %s", what, there.Body)
				}
				if got, want := told(there, pair[0]), told(missing, pair[1]); got != want {
					t.Errorf("%s is told apart from what is not there:\n%s\n%s", what, got, want)
				}
			}
		}
	}
	return tried
}

func (w *idorWorld) projectID(name string) string {
	w.t.Helper()
	var p struct {
		ID int64 `json:"project_id"`
	}
	if err := json.Unmarshal(w.call(caller{user: admin}, http.MethodGet, "/api/v2.0/projects/"+name, nil).Body, &p); err != nil {
		w.t.Fatal(err)
	}
	return strconv.FormatInt(p.ID, 10)
}

// queries are what is added to a path: nothing, and whatever names somebody.
func queries(o operation) [][2]string {
	all := [][2]string{{"", ""}}
	if slices.Contains(o.query, "user") {
		all = append(all, [2]string{"?user=bob", "?user=" + absent["user"]})
	}
	return all
}

// changing is what differs in each answer: the number of its decision, and the address
// of its page, whose host looks like numbers that were named.
var changing = regexp.MustCompile(`(?:https?://[^ /"]+/d/)?\b01[0-9A-Z]{24}\b`)

// pageOfDecision is where the server says that a decision can be read: a number may
// stand in the server's own address.
var pageOfDecision = regexp.MustCompile(`https?://[^/ ]+/d/`)

// told is an answer without what the caller named and what differs each time. What
// is told of a success is looked at by its marker.
func told(r harness.Response, values map[string]string) string {
	if r.Status < 300 {
		return strconv.Itoa(r.Status)
	}
	named := slices.SortedFunc(maps.Values(values), func(a, b string) int { return len(b) - len(a) })
	text := pageOfDecision.ReplaceAllString(string(r.Body), "")
	for _, v := range named {
		if v != values["kind"] {
			text = regexp.MustCompile(`\b`+regexp.QuoteMeta(v)+`\b`).ReplaceAllString(text, "{}")
		}
	}
	return fmt.Sprint(r.Status, " ", changing.ReplaceAllString(text, "#"))
}
