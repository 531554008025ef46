package attack_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 19, for people: a token is a part of its owner, for as long as the owner
// lets it be.
func TestAnAccessTokenIsItsOwnersAndNoMore(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "tokens", "1000", nil))
	whole := w.accessToken(alice, object{"name": "whole"})
	part := w.accessToken(alice, object{"name": "part", "scopes": []any{object{"project": "red", "rights": []string{"pull"}}}})
	wide := w.accessToken(eve, object{"name": "wide", "scopes": []any{object{"project": "red", "rights": []string{"pull", "push", "delete", "manage"}}}})
	admins := w.accessToken(admin, object{"name": "admins"})
	reads := func(name, secret string) int { return w.with(name, secret, http.MethodGet, redImage, nil).Status }
	for _, s := range []secretOf{whole, part} {
		if got := reads(alice, s.Secret); got != http.StatusOK {
			t.Fatalf("%s: %d", s.Name, got)
		}
	}
	t.Run("a limit gives nothing that the owner has not", func(t *testing.T) {
		refused(t, "pull", w.with(eve, wide.Secret, http.MethodGet, redImage, nil), im.manifest)
		refused(t, "push", w.with(eve, wide.Secret, http.MethodPost, "/v2/red/app/blobs/uploads/", nil))
		refused(t, "manage", w.with(eve, wide.Secret, http.MethodGet, "/api/v2.0/projects/red/robots", nil))
	})
	t.Run("it reaches no further than its limits", func(t *testing.T) {
		refused(t, "push", w.with(alice, part.Secret, http.MethodPost, "/v2/red/app/blobs/uploads/", nil))
		w.member("blue", alice, "developer")
		refused(t, "another project", w.with(alice, part.Secret, http.MethodPost, "/v2/blue/app/blobs/uploads/", nil))
		refused(t, "a new project", w.with(alice, part.Secret, http.MethodPost, "/v2/newer/app/blobs/uploads/", nil))
		w.dismiss("blue", alice)
	})
	t.Run("it is known under its owner's name alone", func(t *testing.T) {
		for _, name := range []string{eve, admin, pat, "Alice", "", "alice ", "robot$alice", "nobody-at-all"} {
			if got := reads(name, whole.Secret); got != http.StatusUnauthorized {
				t.Errorf("%q: %d", name, got)
			}
		}
	})
	t.Run("it is unknown in another workspace", func(t *testing.T) {
		w.api(http.MethodPost, "/workspaces", object{"name": "other", "hosts": []string{otherHost}, "admin": root, "admin_password": password})
		w.ok(http.MethodGet, "/api/v1/workspaces/other", nil)
		r := w.call(caller{root, otherHost}, http.MethodPost, "/api/v1/users", object{"name": alice, "password": password + "-there"})
		if r.Status != http.StatusCreated {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		for _, host := range []string{otherHost, "OTHER.test", otherHost + ":80"} {
			if r := w.at(host, alice, whole.Secret, "/api/v2.0/users/current"); r.Status != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", host, r.Status, r.Body)
			}
			if r := w.at(host, admin, harness.AdminPassword, "/api/v2.0/users/current"); r.Status != http.StatusUnauthorized {
				t.Errorf("%s, by password: %d %s", host, r.Status, r.Body)
			}
		}
	})
	t.Run("it makes nothing that would outlive it", func(t *testing.T) {
		for name, s := range map[string]secretOf{alice: whole, admin: admins} {
			refused(t, name+" makes a token", w.with(name, s.Secret, http.MethodPost, "/api/v1/access-tokens", object{"name": "child"}))
			refused(t, name+" sets the password", w.with(name, s.Secret, http.MethodPut, "/api/v1/users/"+name+"/password", object{"password": password + "-new"}))
		}
		refused(t, "the administrator's makes one for alice", w.with(admin, admins.Secret, http.MethodPost, "/api/v1/access-tokens?user=alice", object{"name": "child"}))
		if r := w.as(alice, http.MethodGet, redImage, nil, nil); r.Status != http.StatusOK {
			t.Errorf("alice's password: %d", r.Status)
		}
	})
	t.Run("it takes part in what its owner may manage", func(t *testing.T) {
		if r := w.with(admin, admins.Secret, http.MethodGet, "/api/v1/users", nil); r.Status != http.StatusOK {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	})
}

// at asks for a page at a host, as somebody.
func (w *world) at(host, name, secret, path string) harness.Response {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, w.URL()+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Host = host
	req.SetBasicAuth(name, secret)
	resp, err := management.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return harness.Response{Status: resp.StatusCode, Header: resp.Header}
}

func TestAnAccessTokenEndsWithWhatItStandsFor(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(w *world, s secretOf)
	}{
		{"revoked", func(w *world, s secretOf) {
			if r := w.call(caller{user: gus}, http.MethodDelete, fmt.Sprintf("/api/v1/access-tokens/%d", s.ID), nil); r.Status != http.StatusNoContent {
				w.t.Fatalf("%d %s", r.Status, r.Body)
			}
		}},
		{"revoked by an administrator", func(w *world, s secretOf) {
			w.ok(http.MethodDelete, fmt.Sprintf("/api/v1/access-tokens/%d?user=gus", s.ID), nil)
		}},
		{"its owner disabled", func(w *world, _ secretOf) { w.api(http.MethodPut, "/users/gus/disabled", object{"disabled": true}) }},
		{"its owner without the role", func(w *world, _ secretOf) { w.dismiss("red", gus) }},
		{"its owner deleted, and one of the name made", func(w *world, _ secretOf) {
			var found []struct {
				ID int64 `json:"user_id"`
			}
			if err := json.Unmarshal(w.call(caller{user: admin}, http.MethodGet, "/api/v2.0/users/search?username=gus", nil).Body, &found); err != nil || len(found) != 1 {
				w.t.Fatal(err)
			}
			w.ok(http.MethodDelete, fmt.Sprintf("/api/v2.0/users/%d", found[0].ID), nil)
			w.api(http.MethodPost, "/users", object{"name": gus, "password": password})
			w.member("red", gus, "guest")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, harness.Options{})
			im := w.push(alice, newImage("red/app", "v1", "ends", "1000", nil))
			s := w.accessToken(gus, object{"name": "ci"})
			bearer := w.bearerOf(gus, s.Secret, "repository:red/app:pull")
			if r := w.bearer(bearer, http.MethodGet, redImage, harness.Accept, nil); r.Status != http.StatusOK {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
			c.end(w, s)
			refused(t, "with a bearer token from before", w.bearer(bearer, http.MethodGet, redImage, harness.Accept, nil), im.manifest)
			refused(t, "with its secret", w.with(gus, s.Secret, http.MethodGet, redImage, nil), im.manifest)
		})
	}
}

// Nobody has days to wait: the end is moved in the database, as if they had passed.
func TestWhatHasExpiredIsNotBroughtBackByEnablingIt(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "expired", "1000", nil))
	robot, token := w.robot(pat, "red", "ci", "pull"), w.accessToken(gus, object{"name": "ci"})
	fromRobot := w.bearerOf(robot.Name, robot.Secret, "repository:red/app:pull")
	fromToken := w.bearerOf(gus, token.Secret, "repository:red/app:pull")
	w.Stop()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.DataDir, "bondgate.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"robots", "access_tokens"} {
		// They were made 30 days and three quarters of an hour ago, to live for 30 days.
		r, err := db.Exec("UPDATE " + table + " SET created = created - (expires - created) * 1001 / 1000, expires = created - (expires - created) / 1000")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.RowsAffected(); n != 1 || err != nil {
			t.Fatal(table, n, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w.Start()
	gone := func(when string) {
		t.Helper()
		refused(t, when+": the robot's secret", w.with(robot.Name, robot.Secret, http.MethodGet, redImage, nil), im.manifest)
		refused(t, when+": the robot's bearer token", w.bearer(fromRobot, http.MethodGet, redImage, harness.Accept, nil), im.manifest)
		refused(t, when+": the token", w.with(gus, token.Secret, http.MethodGet, redImage, nil), im.manifest)
		refused(t, when+": the token's bearer token", w.bearer(fromToken, http.MethodGet, redImage, harness.Accept, nil), im.manifest)
	}
	gone("expired")
	path := fmt.Sprintf("/api/v2.0/robots/%d", robot.ID)
	w.ok(http.MethodPut, path, object{"disable": true, "permissions": access("red", "pull")})
	w.ok(http.MethodPut, path, object{"disable": false, "permissions": access("red", "pull")})
	w.ok(http.MethodPut, path, object{"disable": false, "duration": 30, "permissions": access("red", "pull")})
	w.ok(http.MethodPut, path, object{"disable": false, "duration": 30, "expires_at": 1 << 33, "permissions": access("red", "pull")})
	gone("enabled again")
	// A rotation makes a secret of an account that is over.
	r := w.call(caller{user: admin}, http.MethodPatch, path, object{})
	var made secretOf
	if err := json.Unmarshal(r.Body, &made); err != nil || !strings.HasPrefix(made.Secret, "bgr_") {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	refused(t, "the new secret", w.with(robot.Name, made.Secret, http.MethodGet, redImage, nil), im.manifest)
	// A longer life is what brings it back, and is a change that is judged and kept.
	w.ok(http.MethodPut, path, object{"disable": false, "duration": 90, "permissions": access("red", "pull")})
	if r := w.with(robot.Name, made.Secret, http.MethodGet, redImage, nil); r.Status != http.StatusOK {
		t.Errorf("with a longer life: %d %s", r.Status, r.Body)
	}
}

// Whoever manages a project takes back what it gave, a role that somebody made
// included.
func TestAProjectsAdministratorTakesBackARoleThatSomebodyMade(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.api(http.MethodPut, "/roles/reader", object{"rights": []string{"pull", "list"}})
	w.api(http.MethodPut, "/roles/blue-only", object{"rights": []string{"pull", "push"}})
	path := "/api/v1/projects/red/members/user/eve"
	for _, step := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPut, path, object{"role": "reader"}},
		{http.MethodPut, path, object{"role": "guest"}},
		{http.MethodPut, path, object{"role": "reader"}},
		{http.MethodDelete, path, nil},
	} {
		if r := w.call(caller{user: pat}, step.method, step.path, step.body); r.Status/100 != 2 {
			t.Errorf("%s %v: %d %s", step.method, step.body, r.Status, r.Body)
		}
	}
	refused(t, "a maintainer gives one", w.call(caller{user: mike}, http.MethodPut, path, object{"role": "reader"}))
	// Somebody whose own role was made gives no right on that they have not.
	w.api(http.MethodPut, "/roles/keeper", object{"rights": []string{"list", "manage"}})
	w.api(http.MethodPut, "/projects/blue/members/user/eve", object{"role": "keeper"})
	refused(t, "a right that the giver has not", w.call(caller{user: eve}, http.MethodPut, "/api/v1/projects/blue/members/user/gus", object{"role": "blue-only"}))
	refused(t, "a shipped role that gives more", w.call(caller{user: eve}, http.MethodPut, "/api/v1/projects/blue/members/user/eve", object{"role": "projectAdmin"}))
	refused(t, "the project's administrator is taken away", w.call(caller{user: eve}, http.MethodDelete, "/api/v1/projects/blue/members/user/bob", nil))
	limited := w.accessToken(pat, object{"name": "members", "scopes": []any{object{"project": "red", "rights": []string{"manage"}}}})
	refused(t, "a token that manages and no more", w.with(pat, limited.Secret, http.MethodPut, path, object{"role": "projectAdmin"}))
	refused(t, "oneself to more", w.call(caller{user: eve}, http.MethodPut, "/api/v1/projects/blue/members/user/eve", object{"role": "blue-only"}))
	refused(t, "a robot with more", w.call(caller{user: eve}, http.MethodPost, "/api/v2.0/robots", object{"name": "x", "level": "project", "duration": 1, "permissions": access("blue", "push")}))
}
