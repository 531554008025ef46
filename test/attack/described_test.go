package attack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bondgate/bondgate/test/harness"
)

// good is what each route that takes a body is sent to succeed. n is another one
// each time, so that what is made has a name of its own.
func good(o operation, v map[string]string, n int) any {
	type object = map[string]any
	name := fmt.Sprint("made-", n)
	permissions := []any{object{"kind": "project", "namespace": v["project"], "access": []any{object{"resource": "repository", "action": "pull"}}}}
	return map[string]any{
		"POST /api/v1/users":                                                object{"name": name, "password": password},
		"PUT /api/v1/users/{user}/password":                                 object{"password": password},
		"PUT /api/v1/users/{user}/disabled":                                 object{"disabled": false},
		"POST /api/v1/projects":                                             object{"name": name},
		"PATCH /api/v1/projects/{project}":                                  object{"description": "changed"},
		"PUT /api/v1/projects/{project}/members/{kind}/{name}":              object{"role": "guest"},
		"POST /api/v1/waivers":                                              object{"rule": "image.root_user", "projects": []string{v["project"]}, "reason": "r", "expires": "2999-01-01T00:00:00Z"},
		"PATCH /api/v1/waivers/{waiver}":                                    object{"reason": "another"},
		"PUT /api/v1/waivers/{waiver}/approval":                             object{"approve": true, "version": v["version"]},
		"POST /api/v1/policy/explain":                                       object{"image": v["project"] + "/app", "action": "tags.list"},
		"POST /api/v1/breakglass":                                           object{"projects": []string{v["project"]}, "justification": "j", "ticket": "t"},
		"PUT /api/v1/breakglass/{grant}/approval":                           object{"approve": false},
		"PUT /api/v1/people/{user}/link":                                    object{"main": eve},
		"PUT /api/v1/groups/{group_id}/admin":                               object{"admin": true},
		"PUT /api/v1/roles/{role}":                                          object{"rights": []string{"pull"}},
		"POST /api/v1/workspaces":                                           object{"name": name, "hosts": []string{}, "admin": root, "admin_password": password},
		"PATCH /api/v1/workspaces/{workspace}":                              object{"description": "changed"},
		"POST /api/v1/access-tokens":                                        object{"name": name},
		"POST /api/v2.0/users":                                              object{"username": name + "h", "password": password, "email": name + "@example.org"},
		"PUT /api/v2.0/users/{user_id}":                                     object{"realname": "Changed"},
		"PUT /api/v2.0/users/{user_id}/sysadmin":                            object{"sysadmin_flag": true},
		"PUT /api/v2.0/users/{user_id}/password":                            object{"new_password": password},
		"POST /api/v2.0/usergroups":                                         object{"group_name": name, "group_type": 2},
		"PUT /api/v2.0/usergroups/{group_id}":                               object{"group_name": name, "group_type": 2},
		"POST /api/v2.0/projects":                                           object{"project_name": name + "h"},
		"PUT /api/v2.0/projects/{project_name_or_id}":                       object{"public": false},
		"POST /api/v2.0/projects/{project_name_or_id}/metadatas":            object{"auto_sbom": "true"},
		"PUT /api/v2.0/projects/{project_name_or_id}/metadatas/{meta_name}": object{v["meta_name"]: "true"},
		"POST /api/v2.0/projects/{project_name_or_id}/members":              object{"role_id": 2, "member_user": object{"username": eve}},
		"PUT /api/v2.0/projects/{project_name_or_id}/members/{mid}":         object{"role_id": 2},
		"POST /api/v2.0/robots":                                             object{"name": name, "level": "project", "duration": 30, "permissions": permissions},
		"PUT /api/v2.0/robots/{robot_id}":                                   object{"duration": 30, "permissions": permissions},
		"PUT /api/v2.0/projects/{project_name_or_id}/robots/{robot_id}":     object{"duration": 30, "permissions": permissions},
		"PATCH /api/v2.0/robots/{robot_id}":                                 object{},
	}[o.name()]
}

// needed is the query that a route does not answer without.
var needed = map[string]string{
	"GET /api/v2.0/users/search":      "?username=a",
	"GET /api/v2.0/usergroups/search": "?groupname=a",
	"HEAD /api/v2.0/projects":         "?project_name=blue",
}

// elsewhere are the routes that need a directory service, and are tried with one in
// test/e2e; here they say that there is none.
var elsewhere = map[string]bool{
	"POST /api/v2.0/ldap/ping":                          true,
	"GET /api/v1/directories/{directory}/people/{user}": true,
}

// Every route that the API describes is there, answers with the status that the
// description has, and with what fits the schema where it has one.
func TestTheDescriptionOfTheAPIIsHeldToTheHandlers(t *testing.T) {
	w := newIdorWorld(t)
	v := maps.Clone(w.blue)
	v["token"] = ""
	w.api(http.MethodPost, "/access-tokens", map[string]any{"name": "for-the-list"})
	schemas := 0
	for n, o := range w.operations() {
		t.Run(o.name(), func(t *testing.T) {
			values := w.fresh(v, o, n)
			body := good(o, values, n)
			if o.body && body == nil && !elsewhere[o.name()] {
				t.Fatal("nobody says yet which body is good")
			}
			if elsewhere[o.name()] && body == nil && o.body {
				body = map[string]any{}
			}
			r := w.call(caller{user: admin}, o.method, fill(o.path, values)+needed[o.name()], body)
			switch {
			case elsewhere[o.name()]:
				if r.Status != http.StatusNotFound || bytes.Contains(r.Body, []byte("no such page")) {
					t.Errorf("%d %s", r.Status, r.Body)
				}
				return
			case r.Status != o.status && (r.Status != http.StatusNoContent || o.status != http.StatusOK || len(o.reply) > 0):
				t.Fatalf("%d %s, and %d is described", r.Status, r.Body, o.status)
			}
			if len(o.reply) == 0 {
				return
			}
			schemas++
			if err := fits(o.reply, r.Body); err != nil {
				t.Errorf("%s\n%v", r.Body, err)
			}
		})
	}
	if schemas < 25 {
		t.Errorf("only %d answers were compared with a schema", schemas)
	}
	t.Run("what is not described is not there", func(t *testing.T) {
		for _, path := range []string{"/api/v1/none", "/api/v2.0/none", "/api/v2.0/users/1/none", "/api/v3/users"} {
			if r := w.call(caller{user: admin}, http.MethodGet, path, nil); r.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, r.Status)
			}
		}
		for _, path := range []string{"/api/v1/status", "/api/v2.0/robots"} {
			if r := w.call(caller{user: admin}, http.MethodTrace, path, nil); r.Status != http.StatusMethodNotAllowed {
				t.Errorf("TRACE %s: %d", path, r.Status)
			}
		}
	})
}

// fresh makes anew what the call takes away, and the tokens that only their owner
// names.
func (w *idorWorld) fresh(v map[string]string, o operation, n int) map[string]string {
	w.t.Helper()
	v = maps.Clone(v)
	if o.method != http.MethodDelete && v["token"] != "" {
		return v
	}
	as, name := caller{user: admin}, fmt.Sprint("fresh-", n)
	switch {
	case strings.HasSuffix(o.path, "/approval"):
		var asked struct{ ID, Version string }
		if err := json.Unmarshal(w.api(http.MethodPost, "/waivers", map[string]any{
			"state": "pending", "rule": "image.root_user", "expires": "2999-01-01T00:00:00Z",
		}), &asked); err != nil {
			w.t.Fatal(err)
		}
		v["waiver"], v["version"] = asked.ID, asked.Version
	case strings.Contains(o.path, "{token}"):
		var made struct{ ID int64 }
		if err := json.Unmarshal(w.api(http.MethodPost, "/access-tokens", map[string]any{"name": name}), &made); err != nil {
			w.t.Fatal(err)
		}
		v["token"] = fmt.Sprint(made.ID)
	case strings.HasSuffix(o.path, "{user_id}") && o.method == http.MethodDelete:
		v["user_id"] = w.location(as, "/api/v2.0/users", map[string]any{"username": name, "password": password})
	case strings.HasSuffix(o.path, "{group_id}") && o.method == http.MethodDelete:
		v["group_id"] = w.location(as, "/api/v2.0/usergroups", map[string]any{"group_name": name, "group_type": 2})
	case strings.HasSuffix(o.path, "/link") && o.method == http.MethodDelete:
		v["user"] = name
		w.api(http.MethodPost, "/users", map[string]any{"name": name, "password": password})
		w.api(http.MethodPut, "/people/"+name+"/link", map[string]any{"main": eve})
	case o.method != http.MethodDelete:
	case strings.HasSuffix(o.path, "{role}"):
		v["role"] = name
		w.api(http.MethodPut, "/roles/"+name, map[string]any{"rights": []string{"pull"}})
	case strings.HasSuffix(o.path, "{workspace}"):
		v["workspace"] = name
		w.api(http.MethodPost, "/workspaces", map[string]any{"name": name, "hosts": []string{}, "admin": root, "admin_password": password})
	default:
		// A project of its own, with one thing of each kind.
		w.api(http.MethodPost, "/projects", map[string]any{"name": name})
		made := w.furnish(name, eve)
		w.member(name, eve, "guest")
		for _, key := range []string{"project", "project_name_or_id", "waiver", "grant", "robot_id", "mid", "meta_name", "name"} {
			v[key] = made[key]
		}
	}
	return v
}

// fits compares an answer with a JSON Schema.
func fits(schema, answer []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("answer.json", doc); err != nil {
		return err
	}
	compiled, err := c.Compile("answer.json")
	if err != nil {
		return err
	}
	got, err := jsonschema.UnmarshalJSON(bytes.NewReader(answer))
	if err != nil {
		return err
	}
	return compiled.Validate(got)
}

// Whoever is not signed in, and whoever is and has nothing, gets out of the lists
// nothing of blue's.
func TestListsShowNobodyWhatIsOthers(t *testing.T) {
	w := newIdorWorld(t)
	for _, o := range w.operations() {
		if o.method != http.MethodGet || len(o.parameters) > 0 {
			continue
		}
		for _, c := range []caller{{user: pat}, {user: eve}, {user: nobody}, {root, otherHost}} {
			for _, q := range []string{needed[o.name()], "?project=blue", "?q=ProjectID=" + w.projectID("blue"), "?user=bob", "?subject=bob&issuer=local", "?name=blue", "?page_size=100"} {
				r := w.call(c, http.MethodGet, o.path+q, nil)
				// What root asked about in its own workspace are its own decisions.
				own := c.host != "" && strings.Contains(o.path, "/decisions")
				seen := bytes.Contains(r.Body, []byte(`"blue"`)) && !own || bytes.Contains(r.Body, []byte(marker)) && c.user != pat || bytes.Contains(r.Body, []byte(`robot$blue`))
				if seen {
					t.Errorf("GET %s%s by %q at %q: %s", o.path, q, c.user, c.host, r.Body)
				}
			}
		}
	}
}

// A list that is asked about a project tells nobody whether it is there.
func TestAFilterTellsNoProjectFromNone(t *testing.T) {
	w := newIdorWorld(t)
	id := w.projectID("blue")
	for _, c := range []struct{ method, there, missing string }{
		{http.MethodHead, "/api/v2.0/projects?project_name=blue", "/api/v2.0/projects?project_name=purple"},
		{http.MethodGet, "/api/v1/decisions?project=blue", "/api/v1/decisions?project=purple"},
		{http.MethodGet, "/api/v1/breakglass?project=blue", "/api/v1/breakglass?project=purple"},
		{http.MethodGet, "/api/v1/waivers?project=blue", "/api/v1/waivers?project=purple"},
		{http.MethodGet, "/api/v2.0/robots?q=ProjectID=" + id, "/api/v2.0/robots?q=ProjectID=999999"},
		{http.MethodGet, "/api/v2.0/projects?name=blue", "/api/v2.0/projects?name=purple"},
		{http.MethodGet, "/api/v2.0/projects?q=name=blue", "/api/v2.0/projects?q=name=purple"},
		{http.MethodGet, "/api/v2.0/projects?owner=bob", "/api/v2.0/projects?owner=purple"},
	} {
		for _, who := range []caller{{user: pat}, {user: eve}, {user: nobody}, {root, otherHost}} {
			if who.host != "" && strings.Contains(c.there, "decisions") {
				continue // its own calls about what is not there are its own decisions
			}
			there, missing := w.call(who, c.method, c.there, nil), w.call(who, c.method, c.missing, nil)
			a, b := told(there, map[string]string{"": "blue", "id": id}), told(missing, map[string]string{"": "purple", "id": "999999"})
			if a != b || there.Header.Get("X-Total-Count") != missing.Header.Get("X-Total-Count") || there.Status == http.StatusOK && string(there.Body) != string(missing.Body) {
				t.Errorf("%s %s by %q is told apart:\n%s %s\n%s %s", c.method, c.there, who.user, a, there.Body, b, missing.Body)
			}
		}
	}
}

// A grant for a part of a project is for a part of that one.
func TestAPatternReachesNoOtherProject(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(bob, newImage("blue/app", "v1", "patterns", "1000", nil))
	w.push(alice, newImage("red/app", "v1", "patterns", "1000", nil))
	for _, pattern := range []string{"blue/**", "**", "*/**", "*/app", "red*/**", "red/../blue/**", "{red,blue}/**", "[a-z]*/**", "red/**,blue/**", "b?ue/**", "blue/app", "red/app"} {
		r := w.call(caller{user: pat}, http.MethodPut, "/api/v1/projects/red/members/user/eve?repositories="+url.QueryEscape(pattern), object{"role": "developer"})
		if r.Status != http.StatusOK && r.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", pattern, r.Status, r.Body)
		}
		refused(t, pattern+": pull", w.as(eve, http.MethodGet, "/v2/blue/app/manifests/v1", harness.Accept, nil))
		refused(t, pattern+": push", w.as(eve, http.MethodPost, "/v2/blue/app/blobs/uploads/", nil, nil))
		refused(t, pattern+": the project's members", w.call(caller{user: eve}, http.MethodGet, "/api/v1/projects/red/members", nil))
	}
	if r := w.as(eve, http.MethodGet, redImage, harness.Accept, nil); r.Status != http.StatusOK {
		t.Errorf("what was given: %d %s", r.Status, r.Body)
	}
}

// What a body names is as far away as what a path names.
func TestABodyReachesNothingOfOthers(t *testing.T) {
	w := newIdorWorld(t)
	type object = map[string]any
	permissions := func(project string) []any {
		return []any{object{"kind": "project", "namespace": project, "access": []any{object{"resource": "repository", "action": "pull"}}}}
	}
	before := w.state()
	for _, c := range []struct {
		name, method, path string
		who                caller
		there, missing     any
	}{
		{"a robot in a project of others", http.MethodPost, "/api/v2.0/robots", caller{user: pat},
			object{"name": "x", "level": "project", "duration": 1, "permissions": permissions("blue")},
			object{"name": "x", "level": "project", "duration": 1, "permissions": permissions("purple")}},
		{"a robot of the system", http.MethodPost, "/api/v2.0/robots", caller{user: pat},
			object{"name": "x", "level": "system", "duration": 1, "permissions": permissions("blue")},
			object{"name": "x", "level": "system", "duration": 1, "permissions": permissions("purple")}},
		{"a robot of red's that is to reach blue", http.MethodPut, "/api/v2.0/robots/" + w.red["robot_id"], caller{user: pat},
			object{"duration": 30, "permissions": permissions("blue")}, object{"duration": 30, "permissions": permissions("purple")}},
		{"a waiver for a project of others", http.MethodPost, "/api/v1/waivers", caller{user: pat},
			object{"rule": "image.root_user", "projects": []string{"blue"}, "reason": "r", "expires": "2999-01-01T00:00:00Z"},
			object{"rule": "image.root_user", "projects": []string{"purple"}, "reason": "r", "expires": "2999-01-01T00:00:00Z"}},
		{"a waiver for both", http.MethodPost, "/api/v1/waivers", caller{user: pat},
			object{"rule": "image.root_user", "projects": []string{"red", "blue"}, "reason": "r", "expires": "2999-01-01T00:00:00Z"},
			object{"rule": "image.root_user", "projects": []string{"red", "purple"}, "reason": "r", "expires": "2999-01-01T00:00:00Z"}},
		{"a project that is there already", http.MethodPost, "/api/v2.0/projects", caller{user: eve},
			object{"project_name": "blue"}, object{"project_name": "purple"}},
		{"the same in our own API", http.MethodPost, "/api/v1/projects", caller{user: eve}, object{"name": "blue"}, object{"name": "purple"}},
		{"a person that is there already", http.MethodPost, "/api/v2.0/users", caller{user: pat},
			object{"username": bob, "password": password}, object{"username": "purple", "password": password}},
		{"a host of another workspace", http.MethodPatch, "/api/v1/workspaces/other", caller{root, otherHost},
			object{"hosts": []string{"third.test"}}, object{"hosts": []string{"nowhere.test"}}},
		{"a role that somebody made, told apart from none", http.MethodPut, "/api/v1/projects/blue/members/user/eve", caller{user: eve},
			object{"role": "blue-reader"}, object{"role": "norole"}},
		{"a token of somebody else's", http.MethodPost, "/api/v1/access-tokens?user=bob", caller{user: pat}, object{"name": "x"}, object{"name": "y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			there, missing := w.call(c.who, c.method, c.path, c.there), w.call(c.who, c.method, c.path, c.missing)
			refused(t, c.name, there)
			if a, b := told(there, map[string]string{"": "blue"}), told(missing, map[string]string{"": "purple"}); a != b {
				t.Errorf("told apart:\n%s\n%s", a, b)
			}
		})
	}
	t.Run("members of other workspaces have no number here", func(t *testing.T) {
		r := w.call(caller{root, otherHost}, http.MethodPost, "/api/v2.0/projects", object{"project_name": "mine"})
		if r.Status != http.StatusCreated {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		for _, body := range []object{
			{"role_id": 1, "member_user": object{"user_id": number(w.blue["user_id"])}},
			{"role_id": 1, "member_user": object{"username": bob}},
			{"role_id": 1, "member_group": object{"id": number(w.blue["group_id"])}},
		} {
			if r := w.call(caller{root, otherHost}, http.MethodPost, "/api/v2.0/projects/mine/members", body); r.Status != http.StatusNotFound {
				t.Errorf("%v: %d %s", body, r.Status, r.Body)
			}
		}
	})
	if after := w.state(); after != before {
		t.Errorf("something changed\nbefore %s\nafter  %s", before, after)
	}
	if r := w.Do(http.MethodGet, "/api/v1/status", admin, harness.AdminPassword, nil, nil); r.Status != http.StatusOK {
		t.Errorf("the server: %d", r.Status)
	}
}

// A directory is one workspace's: another one does not learn that it is there, and
// not what it is called.
func TestAWorkspaceDoesNotLearnOfAnothersDirectory(t *testing.T) {
	w := newWorld(t, harness.Options{Config: `identity:
  ldap:
    - {name: hidden, servers: ["ldaps://127.0.0.1:1"], base_dn: "dc=a", filter: "(uid=%s)", anonymous_search: true}
`})
	w.api(http.MethodPost, "/workspaces", object{"name": "other", "hosts": []string{otherHost}, "admin": root, "admin_password": password})
	there := caller{root, otherHost}
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{http.MethodGet, "/api/v2.0/systeminfo", nil},
		{http.MethodPost, "/api/v2.0/usergroups", object{"group_name": "g", "group_type": 1}},
		{http.MethodGet, "/api/v2.0/usergroups", nil},
		{http.MethodPost, "/api/v2.0/ldap/ping", object{}},
		{http.MethodPost, "/api/v2.0/ldap/ping", object{"name": "hidden"}},
		{http.MethodGet, "/api/v1/directories/hidden/people/bob", nil},
	} {
		r := w.call(there, c.method, c.path, c.body)
		if bytes.Contains(r.Body, []byte("ldap")) || bytes.Contains(r.Body, []byte("hidden")) && !strings.Contains(fmt.Sprint(c.path, c.body), "hidden") || r.Status/100 == 2 && c.method == http.MethodPost {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.Status, r.Body)
		}
	}
	if r := w.call(caller{user: admin}, http.MethodGet, "/api/v2.0/systeminfo", nil); !bytes.Contains(r.Body, []byte("ldap_auth")) {
		t.Errorf("its own workspace: %s", r.Body)
	}
}
