package attack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 19: robots and access tokens that reach further, or live longer, than who
// made them (Harbor CVE-2019-16919, CVE-2022-31667, #22900; zot CVE-2025-23208).

type object = map[string]any

// secretOf is an account and what it logs in with.
type secretOf struct {
	ID     int64
	Name   string
	Secret string
}

// access is Harbor's way to write a permission.
func access(project string, actions ...string) []any {
	var all []any
	for _, a := range actions {
		all = append(all, object{"resource": "repository", "action": a})
	}
	return []any{object{"kind": "project", "namespace": project, "access": all}}
}

func (w *world) robot(user, project, name string, actions ...string) secretOf {
	w.t.Helper()
	r := w.call(caller{user: user}, http.MethodPost, "/api/v2.0/robots",
		object{"name": name, "level": "project", "duration": 30, "permissions": access(project, actions...)})
	var made secretOf
	if err := json.Unmarshal(r.Body, &made); r.Status != http.StatusCreated || err != nil {
		w.t.Fatalf("make a robot: %d %s", r.Status, r.Body)
	}
	return made
}

func (w *world) accessToken(user string, body object) secretOf {
	w.t.Helper()
	r := w.call(caller{user: user}, http.MethodPost, "/api/v1/access-tokens", body)
	var made secretOf
	if err := json.Unmarshal(r.Body, &made); r.Status != http.StatusCreated || err != nil {
		w.t.Fatalf("make a token: %d %s", r.Status, r.Body)
	}
	return made
}

// with sends a request with a credential, at the default host or another one.
func (w *world) with(name, secret, method, path string, body any) harness.Response {
	w.t.Helper()
	var raw []byte
	if body != nil {
		raw = mustJSON(body)
	}
	return w.Do(method, path, name, secret, http.Header{"Content-Type": {"application/json"}, "Accept": harness.Accept["Accept"]}, strings.NewReader(string(raw)))
}

// bearerOf trades a credential for a token.
func (w *world) bearerOf(name, secret, scope string) string {
	w.t.Helper()
	r := w.with(name, secret, http.MethodGet, "/token?"+url.Values{"service": {w.Host}, "scope": {scope}}.Encode(), nil)
	var out struct{ Token string }
	if err := json.Unmarshal(r.Body, &out); r.Status != http.StatusOK || err != nil {
		w.t.Fatalf("token for %s: %d %s", name, r.Status, r.Body)
	}
	return out.Token
}

const redImage = "/v2/red/app/manifests/v1"

func TestARobotReachesNoFurtherThanItsMaker(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(alice, newImage("red/app", "v1", "robots", "1000", nil))
	made := w.robot(pat, "red", "ci", "pull")
	for _, c := range []struct {
		name, user string
		body       object
	}{
		{"a developer makes one", alice, object{"name": "x", "level": "project", "duration": 1, "permissions": access("red", "pull")}},
		{"a maintainer makes one", mike, object{"name": "x", "level": "project", "duration": 1, "permissions": access("red", "pull")}},
		{"one for another project", pat, object{"name": "x", "level": "project", "duration": 1, "permissions": access("blue", "pull")}},
		{"one for every project", pat, object{"name": "x", "level": "system", "duration": 1, "permissions": access("*", "pull")}},
		{"one for every project of the level project", pat, object{"name": "x", "level": "project", "duration": 1, "permissions": access("*", "pull")}},
		{"one for two projects", pat, object{"name": "x", "level": "project", "duration": 1, "permissions": append(access("red", "pull"), access("blue", "pull")...)}},
		{"one of no level", pat, object{"name": "x", "duration": 1, "permissions": access("red", "pull")}},
		{"one that administers", pat, object{"name": "x", "level": "project", "duration": 1, "permissions": access("red", "admin")}},
		{"one of the system's kind", pat, object{"name": "x", "level": "project", "duration": 1, "permissions": []any{
			object{"kind": "system", "namespace": "/", "access": []any{object{"resource": "user", "action": "create"}}}}}},
		{"one with a secret of the caller's own", pat, object{"name": "x", "level": "project", "duration": 1, "secret": "Known-to-others-1", "permissions": access("red", "pull")}},
		{"one with a plus in its name", pat, object{"name": "red+x", "level": "project", "duration": 1, "permissions": access("red", "pull"), "description": "+"}},
		{"one whose name leaves the project", pat, object{"name": "robot$blue+x", "level": "project", "duration": 1, "permissions": access("red", "pull")}},
		{"one that lives for ever and a day", pat, object{"name": "x", "level": "project", "duration": 1 << 40, "permissions": access("red", "pull")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.call(caller{user: c.user}, http.MethodPost, "/api/v2.0/robots", c.body)
			if strings.Contains(c.name, "plus") { // its own project before the name is how Harbor shows it
				if r.Status == http.StatusCreated && !strings.Contains(string(r.Body), `"robot$red+x"`) {
					t.Errorf("%s", r.Body)
				}
				return
			}
			refused(t, c.name, r)
		})
	}
	t.Run("it does what it may and nothing beside it", func(t *testing.T) {
		if r := w.with(made.Name, made.Secret, http.MethodGet, redImage, nil); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		for method, path := range map[string]string{
			http.MethodPut: redImage, http.MethodDelete: redImage, http.MethodPost: "/v2/red/app/blobs/uploads/",
		} {
			refused(t, method, w.with(made.Name, made.Secret, method, path, nil))
		}
		for _, path := range []string{"/v2/blue/app/manifests/v1", "/api/v1/users", "/api/v2.0/robots", "/api/v2.0/projects/red/robots", "/api/v1/access-tokens"} {
			refused(t, path, w.with(made.Name, made.Secret, http.MethodGet, path, nil))
		}
	})
	t.Run("it makes no robot and changes none, itself least", func(t *testing.T) {
		path := fmt.Sprintf("/api/v2.0/robots/%d", made.ID)
		refused(t, "PUT", w.with(made.Name, made.Secret, http.MethodPut, path, object{"duration": 30, "permissions": access("red", "pull", "push", "delete")}))
		refused(t, "PATCH", w.with(made.Name, made.Secret, http.MethodPatch, path, object{}))
		refused(t, "POST", w.with(made.Name, made.Secret, http.MethodPost, "/api/v2.0/robots", object{"name": "y", "level": "project", "duration": 1, "permissions": access("red", "pull")}))
	})
	t.Run("one that administers the project gives no more than it has", func(t *testing.T) {
		w.api(http.MethodPut, "/projects/red/members/robot/red+ci", object{"role": "maintainer"})
		refused(t, "as a maintainer", w.with(made.Name, made.Secret, http.MethodPost, "/api/v2.0/robots", object{"name": "y", "level": "project", "duration": 1, "permissions": access("red", "pull")}))
		w.api(http.MethodPut, "/projects/red/members/robot/red+ci", object{"role": "projectAdmin"})
		refused(t, "elsewhere", w.with(made.Name, made.Secret, http.MethodPost, "/api/v2.0/robots", object{"name": "y", "level": "project", "duration": 1, "permissions": access("blue", "pull")}))
		refused(t, "a system's", w.with(made.Name, made.Secret, http.MethodPost, "/api/v2.0/robots", object{"name": "y", "level": "system", "duration": 1, "permissions": access("*", "pull")}))
	})
}

func TestNobodyIsMistakenForARobot(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(alice, newImage("red/app", "v1", "names", "1000", nil))
	made := w.robot(pat, "red", "ci", "pull")
	for _, name := range []string{"robot$red+ci", "robot$ci", "red+ci", "robot$", "a$b", "a+b"} {
		r := w.call(caller{user: admin}, http.MethodPost, "/api/v1/users", object{"name": name, "password": password})
		if r.Status != http.StatusBadRequest {
			t.Errorf("a person called %s: %d %s", name, r.Status, r.Body)
		}
		r = w.call(caller{user: admin}, http.MethodPost, "/api/v2.0/users", object{"username": name, "password": password})
		if r.Status != http.StatusBadRequest {
			t.Errorf("a person called %s, in Harbor's API: %d %s", name, r.Status, r.Body)
		}
		r = w.call(caller{user: admin}, http.MethodPost, "/api/v1/projects", object{"name": name})
		if r.Status != http.StatusBadRequest {
			t.Errorf("a project called %s: %d %s", name, r.Status, r.Body)
		}
	}
	for _, name := range []string{"red+ci", "ci", "ROBOT$red+ci", "robot$blue+ci", "robot$ci", "robot$red", "robot$red+ci+", "robot$+ci", "robot$red+ci ", " robot$red+ci", "robot$red%2Bci", "pat", ""} {
		if r := w.with(name, made.Secret, http.MethodGet, redImage, nil); r.Status != http.StatusUnauthorized {
			t.Errorf("the secret under %q: %d", name, r.Status)
		}
	}
	for _, secret := range []string{made.Secret[:len(made.Secret)-1], made.Secret + "x", strings.ToUpper(made.Secret), password, "", "bgr_", "bgp_" + made.Secret[4:]} {
		if r := w.with(made.Name, secret, http.MethodGet, redImage, nil); r.Status != http.StatusUnauthorized {
			t.Errorf("the name with %q: %d", secret, r.Status)
		}
	}
}

func TestARobotThatEndsEndsAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(w *world, r secretOf)
		back func(w *world, r secretOf)
	}{
		{"disabled", func(w *world, r secretOf) {
			w.ok(http.MethodPut, fmt.Sprintf("/api/v2.0/robots/%d", r.ID), object{"duration": 30, "disable": true, "permissions": access("red", "pull")})
		}, func(w *world, r secretOf) {
			w.ok(http.MethodPut, fmt.Sprintf("/api/v2.0/robots/%d", r.ID), object{"duration": 30, "permissions": access("red", "pull")})
		}},
		{"deleted", func(w *world, r secretOf) { w.ok(http.MethodDelete, fmt.Sprintf("/api/v2.0/robots/%d", r.ID), nil) }, nil},
		{"deleted, and one of its name made", func(w *world, r secretOf) {
			w.ok(http.MethodDelete, fmt.Sprintf("/api/v2.0/robots/%d", r.ID), nil)
			w.robot(pat, "red", "ci", "pull", "push", "delete")
		}, nil},
		{"of a project that was deleted and made again", func(w *world, r secretOf) {
			w.push(alice, newImage("red/app", "v1", "again", "1000", nil))
			w.clear("red/app")
			w.ok(http.MethodDelete, "/api/v2.0/projects/red", nil)
			w.api(http.MethodPost, "/projects", object{"name": "red"})
			w.member("red", alice, "developer")
			w.push(alice, newImage("red/app", "v1", "again", "1000", nil))
		}, nil},
		{"without what it might", func(w *world, r secretOf) {
			w.ok(http.MethodPut, fmt.Sprintf("/api/v2.0/robots/%d", r.ID), object{"duration": 30, "permissions": access("red", "list")})
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, harness.Options{})
			im := w.push(alice, newImage("red/app", "v1", "again", "1000", nil))
			made := w.robot(pat, "red", "ci", "pull")
			bearer := w.bearerOf(made.Name, made.Secret, "repository:red/app:pull")
			if r := w.bearer(bearer, http.MethodGet, redImage, harness.Accept, nil); r.Status != http.StatusOK {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
			c.end(w, made)
			refused(t, "with a token from before", w.bearer(bearer, http.MethodGet, redImage, harness.Accept, nil), im.manifest)
			refused(t, "with its secret", w.with(made.Name, made.Secret, http.MethodGet, redImage, nil), im.manifest)
			if c.back == nil {
				return
			}
			c.back(w, made)
			if r := w.with(made.Name, made.Secret, http.MethodGet, redImage, nil); r.Status != http.StatusOK {
				t.Errorf("back again: %d", r.Status)
			}
		})
	}
	t.Run("rotated", func(t *testing.T) {
		w := newWorld(t, harness.Options{Config: "identity:\n  robots:\n    overlap: 1ns\n"})
		im := w.push(alice, newImage("red/app", "v1", "rotated", "1000", nil))
		made := w.robot(pat, "red", "ci", "pull")
		r := w.call(caller{user: pat}, http.MethodPatch, fmt.Sprintf("/api/v2.0/robots/%d", made.ID), object{})
		if r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		var now secretOf
		if err := json.Unmarshal(r.Body, &now); err != nil {
			t.Fatal(err)
		}
		refused(t, "with the secret from before", w.with(made.Name, made.Secret, http.MethodGet, redImage, nil), im.manifest)
		if r := w.with(made.Name, now.Secret, http.MethodGet, redImage, nil); r.Status != http.StatusOK {
			t.Errorf("with the new one: %d", r.Status)
		}
	})
}

// ok is a call of the administrator's that succeeds.
func (w *world) ok(method, path string, body any) {
	w.t.Helper()
	if r := w.call(caller{user: admin}, method, path, body); r.Status/100 != 2 {
		w.t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
	}
}

// clear deletes what a repository has.
func (w *world) clear(repository string) {
	w.t.Helper()
	digest := w.Digest(repository, "v1")
	if r := w.as(admin, http.MethodDelete, "/v2/"+repository+"/manifests/"+digest, nil, nil); r.Status != http.StatusAccepted {
		w.t.Fatalf("delete: %d %s", r.Status, r.Body)
	}
}
