package api

import (
	"net/http"
	"testing"

	"github.com/bondgate/bondgate/policy"
)

// What was judged is what is changed: a change that came in between is not taken
// back by one that knew nothing of it.
func TestAChangeMeanwhileIsNotOverwritten(t *testing.T) {
	t.Run("of a project", func(t *testing.T) {
		w := newWorld()
		w.projects["team"] = policy.Project{Name: "team", Public: true}
		w.deny = func(policy.Request) bool {
			w.projects["team"] = policy.Project{Name: "team", Public: false}
			return false
		}
		status, body := do(t, w.api(t), alice, http.MethodPatch, "/projects/team", `{"labels":{"tier":"prod"}}`)
		if status != http.StatusConflict || w.projects["team"].Public {
			t.Fatalf("%d %s, and the project is %+v", status, body, w.projects["team"])
		}
		w.deny = nil
		if status, body = do(t, w.api(t), alice, http.MethodPatch, "/projects/team", `{"labels":{"tier":"prod"}}`); status != http.StatusOK {
			t.Fatalf("again: %d %s", status, body)
		}
	})
	t.Run("of a waiver's id", func(t *testing.T) {
		w := newWorld()
		theirs := policy.Waiver{ID: "W-1", Rule: "a.b", Owner: "bob"}
		w.deny = func(policy.Request) bool {
			w.waivers["W-1"] = theirs
			return false
		}
		status, body := do(t, w.api(t), alice, http.MethodPost, "/waivers", `{"id":"W-1","rule":"image.root_user","expires":"2027-01-01T00:00:00Z"}`)
		if status != http.StatusConflict || w.waivers["W-1"].Owner != "bob" {
			t.Fatalf("%d %s, and the waiver is %+v", status, body, w.waivers["W-1"])
		}
	})
}
