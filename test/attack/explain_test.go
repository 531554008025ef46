package attack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// rooted denies every pull of an image that runs as root; what it says comes from
// the image.
const rooted = `package bondgate.rules.rooted

import data.bondgate.lib.image

# METADATA
# title: No root
# custom:
#   code: rooted.user
#   owner: platform
deny contains {"code": "rooted.user", "term": said, "msg": said} if {
	input.action == "manifest.pull"
	image.runs_as_root
	said := object.get(input.artifact.annotations, "said", "root")
}
`

// denied does something as user and answers the id in the denial; empty for what is
// not told.
func (w *world) denied(user, method, path string, body []byte) string {
	w.t.Helper()
	header := harness.Accept.Clone()
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	r := w.as(user, method, path, header, body)
	id := regexp.MustCompile(`Decision: ([0-9A-Za-z_-]+)`).FindSubmatch(r.Body)
	if r.Status/100 != 4 || id == nil {
		return ""
	}
	return string(id[1])
}

// ways are the pages that explain a decision.
func ways(id string) []string {
	return []string{"/d/" + id, "/api/v1/decisions/" + id + "/explanation"}
}

// noID is an id of the right form that nobody has.
const noID = "01AAAAAAAAAAAAAAAAAAAAAAAA"

// Class 20: the decision of somebody else by its id.
func TestADecisionIsExplainedToNobodyElse(t *testing.T) {
	dir := t.TempDir()
	file("rooted.rego", rooted)(t, dir)
	w := newWorld(t, harness.Options{Policy: dir})
	w.api(http.MethodPost, "/workspaces", map[string]any{"name": "other", "hosts": []string{otherHost}, "admin": root, "admin_password": password})
	w.push(alice, newImage("red/app", "v1", "red", "", nil))
	id := w.denied(alice, http.MethodGet, "/v2/red/app/manifests/v1", nil)
	if id == "" {
		t.Fatal("the pull is not denied, or its denial names no decision")
	}
	stable := func(r harness.Response, id string) string {
		text := strings.ReplaceAll(string(r.Body), id, "ID")
		return fmt.Sprint(r.Status, regexp.MustCompile(`(?:https?://[^ /"]+/d/)?\b01[0-9A-Z]{24}\b`).ReplaceAllString(text, "ID"))
	}
	for i := range ways(id) {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, user := range []string{alice, pat, admin} {
				if r := w.as(user, method, ways(id)[i], nil, nil); r.Status != http.StatusOK {
					t.Errorf("%s %s by %s: %d %s", method, ways(id)[i], user, r.Status, r.Body)
				}
			}
			for _, c := range []caller{{user: bob}, {user: eve}, {user: gus}, {user: mike}, {user: nobody}, {root, otherHost}} {
				there := w.call(c, method, ways(id)[i], nil)
				missing := w.call(c, method, ways(noID)[i], nil)
				// Who belongs to the project may know that something was decided in it.
				alike := stable(there, id) == stable(missing, noID) || i > 0 && (c.user == gus || c.user == mike)
				if !alike || there.Status < 400 || strings.Contains(string(there.Body), "rooted") {
					t.Errorf("%s %s by %q:\n%s\nand of what is not there\n%s", method, ways(id)[i], c.user, stable(there, id), stable(missing, noID))
				}
			}
		}
		bearer := w.token(alice, "repository:red/app:pull")
		if a, b := w.bearer(bearer, http.MethodGet, ways(id)[i], nil, nil), w.bearer(bearer, http.MethodGet, ways(noID)[i], nil, nil); a.Status != http.StatusForbidden || string(a.Body) != string(b.Body) {
			t.Errorf("a registry token opens %s: %d %s", ways(id)[i], a.Status, a.Body)
		}
		if r := w.call(caller{user: nobody}, http.MethodGet, ways(id)[i], nil); r.Status != http.StatusUnauthorized {
			t.Errorf("nobody opens %s: %d", ways(id)[i], r.Status)
		}
	}
	if r := w.as(alice, http.MethodGet, "/d/"+id, http.Header{"Accept": {"text/html"}}, nil); !strings.Contains(string(r.Body), "<h1>It was denied</h1>") {
		t.Errorf("a browser gets %d %s", r.Status, r.Body)
	}
}

// Class 20: what was told as not found is not found in the record of it either.
func TestTheRecordOfADenialTellsNoMoreThanTheDenial(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(bob, newImage("blue/app", "v1", "blue", "1000", nil))
	w.as(eve, http.MethodGet, "/v2/blue/app/manifests/v1", harness.Accept, nil)
	w.as(eve, http.MethodGet, "/v2/none/app/manifests/v1", harness.Accept, nil)
	seen := map[string]string{}
	harness.Eventually(t, "both are recorded", func() error {
		r := w.as(eve, http.MethodGet, "/api/v1/decisions?subject=eve&issuer=local&action=manifest.pull", nil, nil)
		var all []map[string]any
		if err := json.Unmarshal(r.Body, &all); err != nil {
			return fmt.Errorf("%d %s: %w", r.Status, r.Body, err)
		}
		for _, rec := range all {
			id, _ := rec["id"].(string)
			project, _ := rec["project"].(string)
			seen[project] = id
			if digest, there := rec["digest"]; there && digest != "" {
				t.Errorf("the list tells that %s is there: %v", project, digest)
			}
		}
		if seen["blue"] == "" || seen["none"] == "" {
			return fmt.Errorf("there are %v", seen)
		}
		return nil
	})
	for project, id := range seen {
		for _, path := range append(ways(id), "/api/v1/decisions/"+id) {
			there, missing := w.as(eve, http.MethodGet, path, nil, nil), w.as(eve, http.MethodGet, strings.Replace(path, id, noID, 1), nil, nil)
			if there.Status != missing.Status || there.Status < 400 {
				t.Errorf("%s about %s: %d %s, and %d of what is not there", path, project, there.Status, there.Body, missing.Status)
			}
			if r := w.as(admin, http.MethodGet, path, nil, nil); r.Status != http.StatusOK {
				t.Errorf("an auditor reads %s: %d", path, r.Status)
			}
		}
	}
}

// Class 20: a what-if tells nobody about people and images of others.
func TestAWhatIfTellsAnAdministratorOfAProjectAboutItsMembersOnly(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(alice, newImage("red/app", "v1", "red", "1000", nil))
	w.push(bob, newImage("blue/app", "v1", "blue", "1000", nil))
	ask := func(user, image, about string) harness.Response {
		return w.as(user, http.MethodPost, "/api/v1/policy/explain", http.Header{"Content-Type": {"application/json"}},
			mustJSON(map[string]any{"image": image, "user": about, "action": "manifest.pull"}))
	}
	stable := func(r harness.Response, names ...string) string {
		text := regexp.MustCompile(`(?:https?://[^ /"]+/d/)?\b01[0-9A-Z]{24}\b`).ReplaceAllString(string(r.Body), "ID")
		for _, name := range names {
			text = strings.ReplaceAll(text, name, "NAME")
		}
		return fmt.Sprint(r.Status, " ", text)
	}
	if r := ask(pat, "red/app:v1", alice); r.Status != http.StatusOK || !strings.Contains(string(r.Body), `"verdict":"allow"`) {
		t.Errorf("about a member: %d %s", r.Status, r.Body)
	}
	if r := ask(admin, "blue/app:v1", eve); r.Status != http.StatusOK || !strings.Contains(string(r.Body), "rbac.right") {
		t.Errorf("by the administrator: %d %s", r.Status, r.Body)
	}
	want := stable(ask(pat, "red/app:v1", "nobody-at-all"), "nobody-at-all")
	for _, c := range [][2]string{{"red/app:v1", bob}, {"red/app:v1", eve}, {"red/app:v1", admin}, {"red/none:v1", bob}} {
		if r := ask(pat, c[0], c[1]); r.Status != http.StatusForbidden || stable(r) != want {
			t.Errorf("about %v: %s, and about nobody %s", c, stable(r), want)
		}
	}
	for _, user := range []string{pat, alice, eve} {
		want := stable(ask(user, "none/app:v1", bob))
		for _, c := range [][2]string{{"blue/app:v1", bob}, {"blue/none:v1", bob}, {"blue/app:v1", "nobody-at-all"}} {
			if r := ask(user, c[0], c[1]); r.Status < 400 || stable(r) != want {
				t.Errorf("%s about %v: %s, and of what is not there %s", user, c, stable(r), want)
			}
		}
	}
	if r := ask(nobody, "red/app:v1", alice); r.Status != http.StatusUnauthorized {
		t.Errorf("nobody asks: %d", r.Status)
	}
}

// Class 25: what an image says of itself is text on the page that explains it.
func TestThePageOfADecisionShowsTheTextOfOthersAsText(t *testing.T) {
	dir := t.TempDir()
	file("rooted.rego", rooted)(t, dir)
	w := newWorld(t, harness.Options{Policy: dir})
	const html = `</code><script>fetch('//evil')</script><img src=x onerror=alert(1)>"'><a href="javascript:alert(1)">`
	w.push(alice, newImage("red/app", "v1", "poison", "root", func(m map[string]any) {
		m["annotations"] = map[string]any{"said": html + poison + "'; touch /tmp/owned; '", html + poison: poison}
	}))
	id := w.denied(alice, http.MethodGet, "/v2/red/app/manifests/v1", nil)
	if id == "" {
		t.Fatal("the pull is not denied")
	}
	for _, accept := range []string{"text/html", "text/plain", "*/*"} {
		r := w.as(alice, http.MethodGet, "/d/"+id, http.Header{"Accept": {accept}}, nil)
		body := string(r.Body)
		if r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, body)
		}
		headersAreText(t, "the page", r.Header)
		if bad := harmful(body); bad != "" {
			t.Errorf("as %s it has %s", accept, bad)
		}
		if strings.Contains(body, "\ntime=2026-01-01") || strings.Contains(body, "\n{\"level\"") {
			t.Errorf("as %s a line is forged:\n%s", accept, body)
		}
		isHTML := strings.HasPrefix(r.Header.Get("Content-Type"), "text/html")
		if isHTML != (accept == "text/html") || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("as %s it is %v", accept, r.Header)
		}
		if isHTML && (strings.Contains(body, "<script") || strings.Contains(body, "<img") || strings.Contains(body, `href="javascript`)) {
			t.Errorf("the page has what the image wrote:\n%s", body)
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") {
			t.Errorf("the policy of the page is %q", csp)
		}
		for line := range strings.Lines(body) {
			if strings.Contains(line, "bondgate waiver request") && strings.Contains(line, "; touch /tmp/owned; '") && !strings.Contains(line, `'\''; touch /tmp/owned; '\''`) && !isHTML {
				t.Errorf("the command runs what the image wrote: %s", line)
			}
		}
	}
}
