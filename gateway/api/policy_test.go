package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

func (w *world) ShadowReport(_ context.Context, workspace, project string) (policy.ShadowReport, error) {
	return policy.ShadowReport{Enabled: true, Revision: "of " + workspace + "/" + project}, nil
}

func (w *world) ResetShadow(context.Context, string) error {
	w.made++
	return nil
}

func (w *world) Inventory(_ context.Context, _, project string, yield func(InventoryImage) error) error {
	if w.slow != nil {
		w.reading <- project
		<-w.slow
	}
	for _, name := range []string{"one", "two"} {
		if err := yield(InventoryImage{Kind: "image", Project: project, Repository: project + "/" + name, Input: json.RawMessage(`{"api":1}`)}); err != nil {
			return err
		}
	}
	if project == "broken" {
		return errors.New("the database has gone")
	}
	return nil
}

func TestWhatOtherPolicyWouldDecideIsAskedOfAProjectOrOfAll(t *testing.T) {
	w := newWorld()
	w.projects["red"] = policy.Project{Name: "red"}
	a := w.api(t)
	for path, want := range map[string]struct {
		status        int
		verb, project string
	}{
		"/policy/shadow":                       {http.StatusOK, "shadow", ""},
		"/policy/shadow?project=red":           {http.StatusOK, "shadow", "red"},
		"/policy/shadow?project=none":          {http.StatusNotFound, "shadow", "none"},
		"/policy/inventory":                    {http.StatusOK, "audit", ""},
		"/policy/inventory?project=red":        {http.StatusOK, "audit", "red"},
		"/policy/inventory?project=none":       {http.StatusNotFound, "audit", "none"},
		"/policy/inventory?project=..%2fother": {http.StatusBadRequest, "", ""},
		"/policy/inventory?workspace=other":    {http.StatusBadRequest, "", ""},
	} {
		t.Run(path, func(t *testing.T) {
			asked := len(w.asked)
			status, body := do(t, a, alice, http.MethodGet, path, "")
			if status != want.status {
				t.Fatalf("%d %s", status, body)
			}
			if want.verb == "" {
				if len(w.asked) != asked {
					t.Errorf("the gate was asked about nonsense")
				}
				return
			}
			if q := w.last(); len(w.asked) != asked+1 || q.Admin.Resource != "policy" || q.Admin.Verb != want.verb || q.Repository.Name != want.project {
				t.Errorf("the gate was asked %d times, at last about %+v in %q", len(w.asked)-asked, q.Admin, q.Repository.Name)
			}
		})
	}
}

func TestAnInventoryThatBreaksOffSaysSo(t *testing.T) {
	w := newWorld()
	w.projects["red"], w.projects["broken"] = policy.Project{Name: "red"}, policy.Project{Name: "broken"}
	for project, last := range map[string]string{"red": `{"kind":"end","lines":2}`, "broken": `"kind":"error"`} {
		rec := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Prefix+"/policy/inventory?project="+project, http.NoBody)
		err := w.api(t).Serve(rec, req, alice)
		lines := strings.Split(strings.TrimSpace(rec.Body.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[2], last) || strings.Contains(rec.Body.String(), "database") {
			t.Errorf("%s: %v %s", project, err, rec.Body)
		}
		// The cause is for the log.
		if (project == "broken") != (err != nil && strings.Contains(err.Error(), "the database has gone")) {
			t.Errorf("%s: %v", project, err)
		}
		if !strings.HasPrefix(lines[0], `{"kind":"image"`) {
			t.Errorf("%s begins with %s", project, lines[0])
		}
	}
}

func TestOnePersonReadsTwoListsAtATime(t *testing.T) {
	w := newWorld()
	w.projects["red"] = policy.Project{Name: "red"}
	w.slow, w.reading = make(chan struct{}), make(chan string)
	a := w.api(t)
	const path = "/policy/inventory?project=red"
	ends := make(chan int)
	read := func(who authn.Caller) {
		go func() {
			status, _ := do(t, a, who, http.MethodGet, path, "")
			ends <- status
		}()
		<-w.reading
	}
	read(alice)
	read(alice)
	if status, body := do(t, a, alice, http.MethodGet, path, ""); status != http.StatusTooManyRequests {
		t.Errorf("a third: %d %s", status, body)
	}
	other := alice
	other.Principal.ID = "somebody else"
	read(other)
	close(w.slow)
	for range 3 {
		if status := <-ends; status != http.StatusOK {
			t.Errorf("%d", status)
		}
	}
	w.slow = nil
	if status, body := do(t, a, alice, http.MethodGet, path, ""); status != http.StatusOK {
		t.Errorf("afterwards: %d %s", status, body)
	}
}

func TestAShadowIsReset(t *testing.T) {
	w := newWorld()
	a := w.api(t)
	if status, body := do(t, a, alice, http.MethodDelete, "/policy/shadow", ""); status != http.StatusNoContent || w.made != 1 {
		t.Errorf("%d %s, %d resets", status, body, w.made)
	}
	if q := w.last(); q.Admin.Verb != "reset" || q.Repository.Name != "" {
		t.Errorf("the gate was asked about %+v", q.Admin)
	}
	w.deny = func(policy.Request) bool { return true }
	if status, _ := do(t, a, alice, http.MethodDelete, "/policy/shadow", ""); status != http.StatusForbidden || w.made != 1 {
		t.Errorf("%d, %d resets", status, w.made)
	}
}
