package attack_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// What other policy would decide names people, images and reasons: class 20 for the
// routes that take a project in their query.
func TestWhatOtherPolicyWouldDecideIsToldOfOnesOwnProjectOnly(t *testing.T) {
	next := t.TempDir()
	never := []byte(`package bondgate.rules.house

deny contains {"code": "house.never", "msg": "never"} if input.action == "manifest.pull"
`)
	if err := os.WriteFile(filepath.Join(next, "never.rego"), never, 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, harness.Options{Env: []string{"BONDGATE_POLICY_SHADOW_DIR=" + next}})
	w.api(http.MethodPost, "/workspaces", map[string]any{"name": "other", "hosts": []string{otherHost}, "admin": root, "admin_password": password})
	for _, repo := range []string{"red/app", "blue/secret-" + marker} {
		w.push(admin, newImage(repo, "v1", repo, "", nil))
		if r := w.as(admin, http.MethodGet, "/v2/"+repo+"/manifests/v1", nil, nil); r.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", repo, r.Status, r.Body)
		}
	}
	harness.Eventually(t, "the shadow has seen both", func() error {
		if said := string(w.api(http.MethodGet, "/policy/shadow", nil)); strings.Count(said, `"kind":"denied"`) < 2 {
			return errors.New(said)
		}
		return nil
	})

	at := func(c caller, method, path string) harness.Response {
		t.Helper()
		return w.call(c, method, "/api/v1/policy/"+path, nil)
	}
	for _, route := range []string{"shadow", "inventory"} {
		t.Run(route, func(t *testing.T) {
			t.Run("an administrator sees all of the workspace", func(t *testing.T) {
				if r := at(caller{user: admin}, http.MethodGet, route); r.Status != http.StatusOK || !strings.Contains(string(r.Body), marker) || !strings.Contains(string(r.Body), "red/app") {
					t.Errorf("%d %s", r.Status, r.Body)
				}
			})
			t.Run("a project's administrator sees the project", func(t *testing.T) {
				if r := at(caller{user: pat}, http.MethodGet, route+"?project=red"); r.Status != http.StatusOK || strings.Contains(string(r.Body), marker) || !strings.Contains(string(r.Body), "red/app") {
					t.Errorf("%d %s", r.Status, r.Body)
				}
			})
			for _, c := range []caller{{user: pat}, {user: mike}, {user: alice}, {user: bob}, {user: eve}, {user: nobody}} {
				t.Run("neither the others' nor all: "+c.user, func(t *testing.T) {
					for _, query := range []string{"", "?project=", "?project=blue", "?project=blue&project=red", "?project=blue%2F", "?workspace=default"} {
						r := at(c, http.MethodGet, route+query)
						if r.Status/100 == 2 || strings.Contains(string(r.Body), marker) {
							t.Errorf("%s: %d %s", query, r.Status, r.Body)
						}
					}
					// What is there and what is not are told apart by nobody.
					blue, none := at(c, http.MethodGet, route+"?project=blue"), at(c, http.MethodGet, route+"?project=none")
					if c.user != bob && blue.Status != none.Status {
						t.Errorf("blue is %d %s, and none is %d %s", blue.Status, blue.Body, none.Status, none.Body)
					}
				})
			}
			t.Run("another workspace's administrator sees none of it", func(t *testing.T) {
				for _, query := range []string{"", "?project=blue", "?project=red"} {
					r := at(caller{root, otherHost}, http.MethodGet, route+query)
					if strings.Contains(string(r.Body), marker) || strings.Contains(string(r.Body), "red/app") || query != "" && r.Status != http.StatusNotFound {
						t.Errorf("%s: %d %s", query, r.Status, r.Body)
					}
				}
			})
		})
	}
	t.Run("nobody but the administrator resets, and in the own workspace only", func(t *testing.T) {
		for _, c := range []caller{{user: pat}, {user: mike}, {user: eve}, {user: nobody}} {
			if r := at(c, http.MethodDelete, "shadow"); r.Status != http.StatusForbidden && r.Status != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", c.user, r.Status, r.Body)
			}
		}
		if r := at(caller{root, otherHost}, http.MethodDelete, "shadow"); r.Status != http.StatusNoContent {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		if said := string(w.api(http.MethodGet, "/policy/shadow", nil)); strings.Count(said, `"kind":"denied"`) < 2 {
			t.Errorf("somebody reset it: %s", said)
		}
	})
}
