package attack_test

import (
	"net/http"
	"strings"
	"testing"
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
