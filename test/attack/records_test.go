package attack_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 20: whoever is refused a look at something does not find it in the record of
// the refusal, which is theirs to read.
func TestTheRecordOfARefusedCallDoesNotHoldWhatWasRefused(t *testing.T) {
	w := excusing(t)
	const secret = "only for those who decide"
	asked, r := w.asks(pat, object{"reason": secret, "ticket": "SEC-77"})
	if r.Status != http.StatusCreated {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	w.api(http.MethodPost, "/users", object{"name": "lily", "password": password, "email": "lily@acme.example", "admin": true})
	glass := w.open(pat, object{"subject": alice, "justification": secret})
	for _, call := range []struct {
		user, method, path string
		body               object
	}{
		{gus, http.MethodGet, "/api/v1/waivers/" + asked.ID, nil},
		{gus, http.MethodPut, "/api/v1/waivers/" + asked.ID + "/approval", object{"approve": true, "version": asked.Version}},
		{gus, http.MethodPatch, "/api/v1/waivers/" + asked.ID, object{"rule": "image.max_age"}},
		{gus, http.MethodDelete, "/api/v1/waivers/" + asked.ID, nil},
		{mike, http.MethodGet, "/api/v1/breakglass/" + glass, nil},
		{mike, http.MethodDelete, "/api/v1/breakglass/" + glass, nil},
		{alice, http.MethodGet, "/api/v1/users/lily", nil},
		{gus, http.MethodPost, "/api/v1/policy/explain", object{"image": "red/app:v1", "user": mike, "action": "manifest.pull"}},
	} {
		var body []byte
		if call.body != nil {
			body = mustJSON(call.body)
		}
		id := w.denied(call.user, call.method, call.path, body)
		if id == "" {
			t.Errorf("%s %s by %s is not denied, or tells of no decision", call.method, call.path, call.user)
			continue
		}
		for _, path := range append(ways(id), "/api/v1/decisions/"+id) {
			r := w.as(call.user, http.MethodGet, path, http.Header{"Accept": {"application/json"}}, nil)
			text := string(r.Body)
			if r.Status != http.StatusOK {
				t.Errorf("%s of their own: %d %s", path, r.Status, text)
			}
			for _, told := range []string{secret, "SEC-77", "lily@acme", `"member"`, "admin.before.", "admin.after.", "admin.before =", "admin.after ="} {
				if strings.Contains(text, told) {
					t.Errorf("%s %s by %s: %s has %q:\n%.1500s", call.method, call.path, call.user, path, told, text)
				}
			}
		}
	}
}

// Class 15: who finds the token of a pipeline does not read what its owner did elsewhere.
func TestALimitedTokenReadsNoDecisionsBeyondItsLimits(t *testing.T) {
	dir := t.TempDir()
	file("rooted.rego", rooted)(t, dir)
	w := newWorld(t, harness.Options{Policy: dir})
	w.member("blue", alice, "developer")
	token := w.accessToken(alice, object{"name": "ci", "scopes": []any{object{"project": "red", "rights": []string{"pull"}}}})
	for project, want := range map[string]int{"red": http.StatusOK, "blue": http.StatusNotFound} {
		w.push(alice, newImage(project+"/app", "v1", project, "", nil))
		id := w.denied(alice, http.MethodGet, "/v2/"+project+"/app/manifests/v1", nil)
		if id == "" {
			t.Fatalf("the pull from %s is not denied", project)
		}
		for _, path := range append(ways(id), "/api/v1/decisions/"+id, "/api/v1/decisions?subject=alice&issuer=local&project="+project) {
			if r := w.with(alice, token.Secret, http.MethodGet, path, nil); r.Status != want {
				t.Errorf("%s of %s: %d %.200s", path, project, r.Status, r.Body)
			}
			if r := w.as(alice, http.MethodGet, path, nil, nil); r.Status != http.StatusOK {
				t.Errorf("%s of %s by alice: %d %.200s", path, project, r.Status, r.Body)
			}
		}
	}
	if r := w.with(alice, token.Secret, http.MethodGet, "/api/v1/decisions?subject=alice&issuer=local", nil); r.Status != http.StatusForbidden {
		t.Errorf("all of alice's: %d %.200s", r.Status, r.Body)
	}
}
