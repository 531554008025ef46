package harbor_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

func user(id int, name string, change object) object {
	u := object{
		"user_id": id, "username": name, "email": "", "realname": "", "comment": "", "sysadmin_flag": false,
		"admin_role_in_auth": false, "issuer": "local", "disabled": false, "creation_time": anything, "update_time": anything,
	}
	for k, v := range change {
		u[k] = v
	}
	return u
}

func TestUsersAreMadeReadChangedAndDeleted(t *testing.T) {
	w := newWorld(t)
	id := w.make("/users", object{"username": "alice", "password": password, "email": "a@x.org", "realname": "Alice A", "comment": "new"})
	alice := user(2, "alice", object{"email": "a@x.org", "realname": "Alice A", "comment": "new"})
	w.reads("/users/"+id, alice)
	w.reads("/users?sort=-user_id", []object{alice, user(1, harness.AdminUser, object{"sysadmin_flag": true})})
	w.reads("/users/search?username=lic", []object{{"user_id": 2, "username": "alice"}})
	w.reads("/users/current", user(1, harness.AdminUser, object{"sysadmin_flag": true}))

	w.do(http.StatusOK, http.MethodPut, "/users/"+id, object{"email": "b@x.org", "realname": "B", "comment": ""})
	alice["email"], alice["realname"], alice["comment"] = "b@x.org", "B", ""
	w.reads("/users/"+id, alice)

	w.do(http.StatusOK, http.MethodPut, "/users/"+id+"/sysadmin", object{"sysadmin_flag": true})
	alice["sysadmin_flag"] = true
	w.reads("/users/"+id, alice)
	if r := w.as("alice", http.MethodGet, "/users", nil); r.Status != http.StatusOK {
		t.Fatalf("an administrator of a moment ago gets %d", r.Status)
	}
	w.do(http.StatusOK, http.MethodPut, "/users/"+id+"/sysadmin", object{"sysadmin_flag": false})
	if r := w.as("alice", http.MethodGet, "/users", nil); r.Status != http.StatusForbidden {
		t.Fatalf("who is none any more gets %d", r.Status)
	}
	w.do(http.StatusConflict, http.MethodPut, "/users/1/sysadmin", object{"sysadmin_flag": false}) // the last one
	w.do(http.StatusConflict, http.MethodDelete, "/users/1", nil)
	w.do(http.StatusConflict, http.MethodPost, "/users", object{"username": "alice", "password": password})

	w.do(http.StatusOK, http.MethodPut, "/users/"+id+"/password", object{"new_password": "Another-horse-2"})
	if r := w.as("alice", http.MethodGet, "/users/current", nil); r.Status != http.StatusUnauthorized {
		t.Fatalf("the old password gets %d", r.Status)
	}
	w.do(http.StatusOK, http.MethodDelete, "/users/"+id, nil)
	w.do(http.StatusNotFound, http.MethodGet, "/users/"+id, nil)
	if next := w.make("/users", object{"username": "alice", "password": password}); next == id {
		t.Fatal("a number is given again")
	}
}

func project(id int, name string, change object) object {
	p := object{
		"project_id": id, "name": name, "owner_name": harness.AdminUser, "creation_time": anything, "update_time": anything,
		"deleted": false, "repo_count": 0, "current_user_role_id": 0, "current_user_role_ids": []any{}, "metadata": object{"public": "false"},
	}
	for k, v := range change {
		p[k] = v
	}
	return p
}

func TestProjectsAreMadeReadChangedAndDeleted(t *testing.T) {
	w := newWorld(t)
	id := w.make("/projects", object{"project_name": "red", "metadata": object{"public": "false", "auto_scan": "true"}, "storage_limit": -1})
	red := project(1, "red", object{"metadata": object{"public": "false", "auto_scan": "true"}})
	w.reads("/projects/"+id, red)
	w.reads("/projects/red", red)
	w.reads("/projects/red/metadatas", red["metadata"])
	w.reads("/projects/red/_deletable", object{"deletable": true, "message": ""})
	w.do(http.StatusOK, http.MethodHead, "/projects?project_name=red", nil)
	w.do(http.StatusNotFound, http.MethodHead, "/projects?project_name=none", nil)

	w.do(http.StatusOK, http.MethodPut, "/projects/red", object{"metadata": object{"public": "true", "severity": "high"}})
	red["metadata"] = object{"public": "true", "auto_scan": "true", "severity": "high"}
	w.reads("/projects/red", red)
	w.do(http.StatusOK, http.MethodPost, "/projects/red/metadatas", object{"prevent_vul": "true"})
	w.reads("/projects/red/metadatas/prevent_vul", object{"prevent_vul": "true"})
	w.do(http.StatusOK, http.MethodPut, "/projects/red/metadatas/prevent_vul", object{"prevent_vul": "false"})
	w.reads("/projects/red/metadatas/prevent_vul", object{"prevent_vul": "false"})
	w.do(http.StatusOK, http.MethodDelete, "/projects/red/metadatas/prevent_vul", nil)
	w.do(http.StatusNotFound, http.MethodGet, "/projects/red/metadatas/prevent_vul", nil)
	w.do(http.StatusOK, http.MethodPut, "/projects/red/metadatas/public", object{"public": "false"})
	red["metadata"] = object{"public": "false", "auto_scan": "true", "severity": "high"}
	w.reads("/projects/red", red)

	w.make("/projects", object{"project_name": "blue", "public": true})
	blue := project(2, "blue", object{"metadata": object{"public": "true"}})
	w.reads("/projects?sort=name", []object{blue, red})
	w.reads("/projects?name=re", []object{red})
	w.reads("/projects?public=true", []object{blue})
	w.reads("/projects?q=name%3D~lu", []object{blue})
	w.do(http.StatusConflict, http.MethodPost, "/projects", object{"project_name": "blue"})
	w.do(http.StatusOK, http.MethodDelete, "/projects/blue", nil)
	w.do(http.StatusNotFound, http.MethodGet, "/projects/blue", nil)
}

func TestAProjectWithRepositoriesIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.make("/projects", object{"project_name": "red"})
	w.push("red/app", "1")
	w.reads("/projects/red/_deletable", object{"deletable": false, "message": anything})
	w.do(http.StatusConflict, http.MethodDelete, "/projects/red", nil)
	w.reads("/projects/red", project(1, "red", object{"repo_count": 1}))
}

func TestANameOfDigitsIsANumberUnlessTheHeaderSaysOtherwise(t *testing.T) {
	w := newWorld(t)
	w.make("/projects", object{"project_name": "2"})
	w.make("/projects", object{"project_name": "other"})
	w.reads("/projects/2", project(2, "other", nil))
	r := w.Do(http.MethodGet, "/api/v2.0/projects/2", harness.AdminUser, harness.AdminPassword, http.Header{"X-Is-Resource-Name": {"true"}}, nil)
	if r.Status != http.StatusOK || !strings.Contains(string(r.Body), `"project_id":1`) {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
}

func member(id int, name, kind, role string, roleID, entity int, issuer string) object {
	return object{
		"id": id, "project_id": 1, "entity_name": name, "role_name": role, "role_id": roleID, "entity_id": entity,
		"entity_type": kind, "issuer": issuer,
	}
}

func TestMembersAreAddedChangedAndRemoved(t *testing.T) {
	w := newWorld(t)
	w.make("/projects", object{"project_name": "red"})
	w.make("/users", object{"username": "alice", "password": password})
	w.make("/users", object{"username": "bob", "password": password})
	one := w.make("/projects/red/members", object{"role_id": 2, "member_user": object{"username": "alice"}})
	two := w.make("/projects/red/members", object{"role_id": 3, "member_user": object{"user_id": 3}})
	alice, bob := member(1, "alice", "u", "developer", 2, 2, "local"), member(2, "bob", "u", "guest", 3, 3, "local")
	w.reads("/projects/red/members", []object{alice, bob})
	w.reads("/projects/red/members?entityname=ali", []object{alice})
	w.reads("/projects/1/members/"+two, bob)
	w.reads("/projects/red/summary", object{
		"repo_count": 0, "project_admin_count": 0, "maintainer_count": 0, "developer_count": 1, "guest_count": 1, "limited_guest_count": 0,
	})
	w.do(http.StatusConflict, http.MethodPost, "/projects/red/members", object{"role_id": 1, "member_user": object{"username": "alice"}})
	w.do(http.StatusNotFound, http.MethodPost, "/projects/red/members", object{"role_id": 1, "member_user": object{"username": "nobody"}})
	w.do(http.StatusBadRequest, http.MethodPost, "/projects/red/members", object{"role_id": 9, "member_user": object{"username": "bob"}})

	w.do(http.StatusOK, http.MethodPut, "/projects/red/members/"+one, object{"role_id": 1})
	alice["role_id"], alice["role_name"] = 1, "projectAdmin"
	w.reads("/projects/red/members/"+one, alice)
	if r := w.as("alice", http.MethodGet, "/projects/red/members", nil); r.Status != http.StatusOK {
		t.Fatalf("an administrator of the project gets %d %s", r.Status, r.Body)
	}
	w.do(http.StatusOK, http.MethodDelete, "/projects/red/members/"+one, nil)
	if r := w.as("alice", http.MethodGet, "/projects/red/members", nil); r.Status != http.StatusNotFound {
		t.Fatalf("who is no member any more gets %d %s", r.Status, r.Body)
	}
	w.reads("/projects/red/members", []object{bob})
}

func TestGroupsAreMadeReadChangedAndDeleted(t *testing.T) {
	w := newWorld(t)
	id := w.make("/usergroups", object{"group_name": "devs", "group_type": 3, "issuer": "https://sso.example"})
	devs := object{"id": 1, "group_name": "devs", "group_type": 3, "issuer": "https://sso.example"}
	w.reads("/usergroups/"+id, devs)
	w.reads("/usergroups", []object{devs})
	w.reads("/usergroups/search?groupname=dev", []object{{"id": 1, "group_name": "devs", "group_type": 3}})
	w.do(http.StatusConflict, http.MethodPost, "/usergroups", object{"group_name": "devs", "group_type": 3, "issuer": "https://sso.example"})
	w.make("/projects", object{"project_name": "red"})
	w.make("/projects/red/members", object{"role_id": 2, "member_group": object{"id": 1}})
	w.reads("/projects/red/members", []object{member(1, "devs", "g", "developer", 2, 1, "https://sso.example")})
	w.do(http.StatusOK, http.MethodDelete, "/usergroups/"+id, nil)
	w.do(http.StatusNotFound, http.MethodGet, "/usergroups/"+id, nil)
	w.reads("/projects/red/members", []any{})
}

func robotRequest(name, namespace string, actions ...string) object {
	access := []object{}
	for _, a := range actions {
		access = append(access, object{"resource": "repository", "action": a})
	}
	return object{
		"name": name, "description": "d", "level": "project", "duration": 30, "disable": false,
		"permissions": []object{{"kind": "project", "namespace": namespace, "access": access}},
	}
}

func TestRobotsAreMadeReadChangedAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.make("/projects", object{"project_name": "red"})
	r := w.do(http.StatusCreated, http.MethodPost, "/robots", robotRequest("ci", "red", "pull", "push"))
	var made struct {
		ID           int
		Name, Secret string
	}
	if err := json.Unmarshal(r.Body, &made); err != nil || made.Name != "robot$red+ci" || made.Secret == "" {
		t.Fatalf("%s", r.Body)
	}
	robot := object{
		"id": 1, "name": "robot$red+ci", "description": "d", "level": "project", "duration": 30, "editable": true, "disable": false,
		"expires_at": anything, "creator_name": harness.AdminUser, "creation_time": anything, "update_time": anything,
		"permissions": []object{{"kind": "project", "namespace": "red", "access": []object{
			{"resource": "repository", "action": "pull"}, {"resource": "repository", "action": "push"},
		}}},
	}
	w.reads("/robots/1", robot)
	w.reads("/projects/red/robots", []object{robot})
	w.reads("/projects/red/robots/1", robot)
	w.reads("/robots?q="+url.QueryEscape("Level=project,ProjectID=1"), []object{robot})
	w.reads("/robots", []any{}) // those of the system

	login := func(secret string) int {
		return w.Do(http.MethodGet, "/v2/", made.Name, secret, nil, nil).Status
	}
	if got := login(made.Secret); got != http.StatusOK {
		t.Fatalf("the robot gets %d", got)
	}
	var next struct{ Secret string }
	if err := json.Unmarshal(w.do(http.StatusOK, http.MethodPatch, "/robots/1", object{}).Body, &next); err != nil || next.Secret == "" || next.Secret == made.Secret {
		t.Fatalf("%+v, %v", next, err)
	}
	if a, b := login(made.Secret), login(next.Secret); a != http.StatusOK || b != http.StatusOK {
		t.Fatalf("while both are good the old secret gets %d and the new one %d", a, b)
	}

	change := robotRequest("", "red", "pull")
	change["disable"], change["description"] = true, "off"
	w.do(http.StatusOK, http.MethodPut, "/robots/1", change)
	robot["disable"], robot["description"] = true, "off"
	robot["permissions"] = change["permissions"]
	w.reads("/robots/1", robot)
	if got := login(next.Secret); got != http.StatusUnauthorized {
		t.Fatalf("a robot that is disabled gets %d", got)
	}
	w.do(http.StatusOK, http.MethodDelete, "/robots/1", nil)
	w.do(http.StatusNotFound, http.MethodGet, "/robots/1", nil)
}

func TestWhatARobotMayHaveIsListedAndNothingElseIsTaken(t *testing.T) {
	w := newWorld(t)
	w.make("/projects", object{"project_name": "red"})
	r := w.do(http.StatusOK, http.MethodGet, "/permissions", nil)
	var list struct{ Project []object }
	if err := json.Unmarshal(r.Body, &list); err != nil || len(list.Project) == 0 {
		t.Fatalf("%s", r.Body)
	}
	for i, access := range list.Project {
		body := robotRequest(fmt.Sprint("r", i), "red")
		body["permissions"] = []object{{"kind": "project", "namespace": "red", "access": []object{access}}}
		w.do(http.StatusCreated, http.MethodPost, "/robots", body)
	}
	w.do(http.StatusBadRequest, http.MethodPost, "/robots", robotRequest("x", "red", "scan"))
	w.do(http.StatusBadRequest, http.MethodPost, "/robots", robotRequest("x", "red"))
	w.do(http.StatusNotFound, http.MethodPost, "/robots", robotRequest("x", "none", "pull"))
}

func TestListsComeInPages(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		w.make("/projects", object{"project_name": fmt.Sprintf("p%02d", i)})
	}
	r := w.do(http.StatusOK, http.MethodGet, "/projects?page=2&page_size=10&sort=-name", nil)
	var got []struct{ Name string }
	if err := json.Unmarshal(r.Body, &got); err != nil || len(got) != 10 || got[0].Name != "p14" || got[9].Name != "p05" {
		t.Fatalf("%s", r.Body)
	}
	if n := r.Header.Get("X-Total-Count"); n != "25" {
		t.Fatalf("X-Total-Count %s", n)
	}
	for _, want := range []string{"page=1", `rel="prev"`, "page=3", `rel="next"`} {
		if !strings.Contains(r.Header.Get("Link"), want) {
			t.Fatalf("Link %s", r.Header.Get("Link"))
		}
	}
	w.do(http.StatusBadRequest, http.MethodGet, "/projects?page_size=101", nil)
	w.do(http.StatusBadRequest, http.MethodGet, "/projects?sort=secret", nil)
	w.do(http.StatusBadRequest, http.MethodGet, "/users?q="+url.QueryEscape("password=~a"), nil)
}

func TestPeopleSeeTheProjectsThatAreTheirs(t *testing.T) {
	w := newWorld(t)
	w.make("/users", object{"username": "alice", "password": password})
	for _, name := range []string{"hers", "others"} {
		w.make("/projects", object{"project_name": name})
	}
	w.make("/projects", object{"project_name": "open", "public": true})
	w.make("/projects/hers/members", object{"role_id": 3, "member_user": object{"username": "alice"}})
	r := w.as("alice", http.MethodGet, "/projects", nil)
	var got []struct{ Name string }
	if err := json.Unmarshal(r.Body, &got); err != nil || len(got) != 2 || got[0].Name != "hers" || got[1].Name != "open" || r.Header.Get("X-Total-Count") != "2" {
		t.Fatalf("%d %s %s", r.Status, r.Header.Get("X-Total-Count"), r.Body)
	}
	for _, path := range []string{"/projects/others", "/projects/2", "/projects/none", "/projects/99"} {
		if r := w.as("alice", http.MethodGet, path, nil); r.Status != http.StatusNotFound || !strings.Contains(string(r.Body), "not found") {
			t.Errorf("%s: %d %s", path, r.Status, r.Body)
		}
	}
}

func TestErrorsHaveTheShapeThatClientsRead(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		code         string
	}{
		{http.MethodGet, "/projects/none", nil, 404, "NOT_FOUND"},
		{http.MethodPost, "/projects", object{"project_name": "UPPER"}, 400, "BAD_REQUEST"},
		{http.MethodPost, "/projects", object{"unknown": 1}, 400, "BAD_REQUEST"},
		{http.MethodGet, "/users/x", nil, 400, "BAD_REQUEST"},
		{http.MethodGet, "/nothing", nil, 404, "NOT_FOUND"},
	} {
		r := w.do(c.status, c.method, c.path, c.body)
		var out struct {
			Errors []struct{ Code, Message string }
		}
		if err := json.Unmarshal(r.Body, &out); err != nil || len(out.Errors) != 1 || out.Errors[0].Message == "" {
			t.Fatalf("%s %s: %s", c.method, c.path, r.Body)
		}
		if out.Errors[0].Code != c.code {
			t.Errorf("%s %s: code %s, not %s", c.method, c.path, out.Errors[0].Code, c.code)
		}
	}
}
