package attack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// mira manages red as pat does.
const mira = "mira"

type askedWaiver struct {
	ID, Version, State, Approver string
	Terms                        []string
}

// excusing is a world in which two people look at each waiver.
func excusing(t *testing.T) *world {
	t.Helper()
	folder := t.TempDir()
	data := `{"bondgate": {"packs": {"governance": {"mode": "deny", "config": {"second_person": true, "never_waive": ["vuln.known_exploited"]}}}}}`
	if err := os.WriteFile(filepath.Join(folder, "data.json"), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, harness.Options{Policy: folder})
	w.api(http.MethodPost, "/users", object{"name": mira, "password": password})
	w.member("red", mira, "projectAdmin")
	return w
}

const everAfter = "2999-01-01T00:00:00Z"

func (w *world) asks(who string, more object) (askedWaiver, harness.Response) {
	w.t.Helper()
	body := object{"state": "pending", "rule": "image.root_user", "projects": []string{"red"}, "owner": "the red team", "expires": everAfter}
	for k, v := range more {
		body[k] = v
	}
	r := w.call(caller{user: who}, http.MethodPost, "/api/v1/waivers", body)
	var made askedWaiver
	_ = json.Unmarshal(r.Body, &made)
	return made, r
}

func (w *world) approves(who string, a askedWaiver) harness.Response {
	w.t.Helper()
	return w.call(caller{user: who}, http.MethodPut, "/api/v1/waivers/"+a.ID+"/approval", object{"approve": true, "version": a.Version})
}

func (w *world) waiver(id string) (now askedWaiver) {
	w.t.Helper()
	if err := json.Unmarshal(w.api(http.MethodGet, "/waivers/"+id, nil), &now); err != nil {
		w.t.Fatal(err)
	}
	return now
}

func TestOnlyWhoMayExcusesAndNobodyThemselves(t *testing.T) {
	w := excusing(t)
	for who, status := range map[string]int{
		alice: 201, mike: 201, pat: 201, admin: 201, gus: 403, lou: 403, bob: 404, eve: 404, nobody: 401,
	} {
		t.Run("ask by "+who, func(t *testing.T) {
			if _, r := w.asks(who, nil); r.Status != status {
				t.Errorf("it answers %d %s", r.Status, r.Body)
			}
		})
	}
	one, _ := w.asks(alice, object{"id": "W-guessed"})
	for who, status := range map[string]int{alice: 403, mike: 403, gus: 403, lou: 403, bob: 404, eve: 404, nobody: 401} {
		for name, do := range map[string]func() harness.Response{
			"approve": func() harness.Response { return w.approves(who, one) },
			"reject": func() harness.Response {
				return w.call(caller{user: who}, http.MethodPut, "/api/v1/waivers/W-guessed/approval", object{"approve": false, "version": one.Version})
			},
			"make one at once": func() harness.Response { _, r := w.asks(who, object{"state": "approved"}); return r },
			"ask for another project": func() harness.Response {
				_, r := w.asks(who, object{"projects": []string{"red", "blue"}})
				return r
			},
		} {
			t.Run(name+" by "+who, func(t *testing.T) {
				r := do()
				if r.Status != status && (status == 401 || r.Status != 403 && r.Status != 404) {
					t.Errorf("it answers %d %s", r.Status, r.Body)
				}
			})
		}
	}
	for who, may := range map[string]bool{alice: true, pat: true, mike: false, gus: false, bob: false, eve: false} {
		t.Run("change by "+who, func(t *testing.T) {
			r := w.call(caller{user: who}, http.MethodPatch, "/api/v1/waivers/W-guessed", object{"reason": "by " + who})
			if (r.Status == http.StatusOK) != may && who != alice {
				t.Errorf("it answers %d %s", r.Status, r.Body)
			}
		})
	}
	t.Run("no machine asks, and no credential for something else", func(t *testing.T) {
		robot := w.robot(pat, "red", "ci", "pull", "push")
		limited := w.accessToken(pat, object{"name": "ci", "scopes": []object{{"project": "red", "rights": []string{"pull", "push"}}}})
		body := object{"state": "pending", "rule": "image.root_user", "projects": []string{"red"}, "owner": "the red team", "expires": everAfter}
		for name, secret := range map[string]string{robot.Name: robot.Secret, pat: limited.Secret} {
			if r := w.with(name, secret, http.MethodPost, "/api/v1/waivers", body); r.Status != http.StatusForbidden {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
	})
	t.Run("nobody is claimed to have approved", func(t *testing.T) {
		for _, claim := range []string{"approver", "decided_by", "requester", "requested_by", "decided", "created", "origin", "version"} {
			if _, r := w.asks(pat, object{claim: "mira"}); r.Status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", claim, r.Status, r.Body)
			}
		}
	})
	t.Run("no waiver lifts what waivers must be", func(t *testing.T) {
		for _, rule := range []string{"governance.second_person", "rbac.admin"} {
			lifted, r := w.asks(mira, object{"rule": rule})
			if r.Status != http.StatusCreated {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
			if r := w.approves(pat, lifted); r.Status != http.StatusOK {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
		}
		own, _ := w.asks(pat, nil)
		if r := w.approves(pat, own); r.Status != http.StatusForbidden || !strings.Contains(string(r.Body), "governance.second_person") {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		if r := w.approves(alice, own); r.Status != http.StatusForbidden {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	})
	t.Run("the administrator is no second person either", func(t *testing.T) {
		own, _ := w.asks(admin, nil)
		if r := w.approves(admin, own); r.Status != http.StatusForbidden {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		if _, r := w.asks(admin, object{"state": "approved"}); r.Status != http.StatusForbidden {
			t.Errorf("at once: %d %s", r.Status, r.Body)
		}
		if _, r := w.asks(admin, object{"rule": "vuln.known_exploited", "projects": nil}); r.Status != http.StatusForbidden {
			t.Errorf("what is never waived: %d %s", r.Status, r.Body)
		}
	})
}

func TestAnApprovalIsOfWhatWasRead(t *testing.T) {
	w := excusing(t)
	t.Run("of many at once, one approves", func(t *testing.T) {
		one, _ := w.asks(alice, nil)
		var mu sync.Mutex
		answers := map[int]int{}
		var all sync.WaitGroup
		for i := range 16 {
			who := []string{pat, mira}[i%2]
			all.Go(func() {
				r := w.approves(who, one)
				mu.Lock()
				defer mu.Unlock()
				answers[r.Status]++
			})
		}
		all.Wait()
		if answers[http.StatusOK] != 1 || answers[http.StatusConflict] != 15 {
			t.Errorf("the answers are %v", answers)
		}
	})
	t.Run("a change that meets the approval is never approved with it", func(t *testing.T) {
		approved, changed := 0, 0
		for n := range 30 {
			one, _ := w.asks(alice, object{"id": fmt.Sprint("W-race-", n), "terms": []string{"CVE-1"}})
			var both sync.WaitGroup
			both.Go(func() { w.approves(pat, one) })
			both.Go(func() {
				w.call(caller{user: alice}, http.MethodPatch, "/api/v1/waivers/"+one.ID, object{"terms": []string{"CVE-1", "CVE-2"}})
			})
			both.Wait()
			switch now := w.waiver(one.ID); {
			case now.State == "approved" && len(now.Terms) == 1:
				approved++
			case now.State == "pending" && len(now.Terms) == 2:
				changed++
			default:
				t.Fatalf("it came to %+v", now)
			}
		}
		t.Logf("%d were approved as they were read, %d have to be read again", approved, changed)
	})
	t.Run("an approval that is sent again approves nothing", func(t *testing.T) {
		one, _ := w.asks(alice, object{"id": "W-again"})
		if r := w.approves(pat, one); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		w.call(caller{user: pat}, http.MethodPatch, "/api/v1/waivers/W-again", object{"terms": []string{"more"}})
		if r := w.approves(mira, one); r.Status != http.StatusConflict {
			t.Errorf("after a change: %d %s", r.Status, r.Body)
		}
		w.api(http.MethodDelete, "/waivers/W-again", nil)
		if r := w.approves(mira, one); r.Status != http.StatusNotFound {
			t.Errorf("after the removal: %d %s", r.Status, r.Body)
		}
		again, _ := w.asks(alice, object{"id": "W-again"})
		if r := w.approves(mira, one); r.Status != http.StatusConflict || again.Version == one.Version {
			t.Errorf("under the same id: %d %s", r.Status, r.Body)
		}
		if now := w.waiver("W-again"); now.State != "pending" {
			t.Errorf("it is %+v", now)
		}
	})
}

// A waiver of one workspace is none in another, whatever the projects are called.
func TestAWaiverStaysInItsWorkspace(t *testing.T) {
	w := newIdorWorld(t)
	body := object{"id": "W-theirs", "rule": "image.root_user", "projects": []string{"blue"}, "expires": everAfter}
	there := caller{root, otherHost}
	if r := w.call(there, http.MethodPost, "/api/v1/waivers", body); r.Status != http.StatusCreated {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	if list := string(w.api(http.MethodGet, "/waivers", nil)); strings.Contains(list, "W-theirs") {
		t.Errorf("here it is listed: %s", list)
	}
	for _, r := range []harness.Response{
		w.call(caller{user: admin}, http.MethodGet, "/api/v1/waivers/W-theirs", nil),
		w.call(caller{user: admin}, http.MethodDelete, "/api/v1/waivers/W-theirs", nil),
		w.call(there, http.MethodGet, "/api/v1/waivers/W-blue", nil),
		w.call(there, http.MethodDelete, "/api/v1/waivers/W-blue", nil),
	} {
		if r.Status != http.StatusNotFound {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	}
}
