package attack_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// A way for emergencies is a way for attackers: who opens it for themselves, who
// keeps it open, who comes through with somebody else's.

// dirty is a server where red has an image that its rules deny.
func dirty(t *testing.T, o harness.Options) (*world, image) {
	t.Helper()
	w := newWorld(t, o)
	im := w.push(alice, newImage("red/app", "v1", "dirty", "", nil))
	w.deniesRoot("red", object{})
	for name, path := range map[string]string{"manifest": redImage, "layer": "/v2/red/app/blobs/" + im.layerDigest()} {
		if r := w.as(alice, http.MethodGet, path, harness.Accept, nil); r.Status != http.StatusForbidden {
			t.Fatalf("the %s of a denied image: %d %s", name, r.Status, r.Body)
		}
	}
	return w, im
}

// deniesRoot turns on the image pack and, with a configuration, the pack governance.
func (w *world) deniesRoot(project string, governance object) {
	w.t.Helper()
	packs := []any{object{"name": "image", "mode": "deny", "config": object{"deny_root": true}}}
	if len(governance) > 0 {
		packs = append(packs, object{"name": "governance", "mode": "deny", "config": governance})
	}
	w.api(http.MethodPatch, "/projects/"+project, object{"packs": packs})
}

func emergency(more object) object {
	body := object{"projects": []string{"red"}, "justification": "rollback", "ticket": "INC-1"}
	for k, v := range more {
		body[k] = v
	}
	return body
}

// open asks for a grant as somebody, which must be made, and answers its id.
func (w *world) open(user string, more object) string {
	w.t.Helper()
	r := w.call(caller{user: user}, http.MethodPost, "/api/v1/breakglass", emergency(more))
	var made struct{ ID string }
	if err := json.Unmarshal(r.Body, &made); r.Status != http.StatusCreated || err != nil {
		w.t.Fatalf("%s opens glass: %d %s", user, r.Status, r.Body)
	}
	return made.ID
}

// passes fails the test unless the image comes out whole, or not at all.
func (w *world) passes(t *testing.T, what string, im image, want int, get func(path string) harness.Response) {
	t.Helper()
	for _, path := range []string{redImage, "/v2/red/app/blobs/" + im.layerDigest()} {
		r := get(path)
		if r.Status != want {
			t.Errorf("%s: %s: %d %.200s", what, path, r.Status, r.Body)
		}
		if want != http.StatusOK {
			refused(t, what, r, im.manifest, im.layer)
		}
	}
}

func (w *world) getAs(user string) func(string) harness.Response {
	return func(path string) harness.Response { return w.as(user, http.MethodGet, path, harness.Accept, nil) }
}

func TestBrokenGlassIsForWhomAndWhereItWasBroken(t *testing.T) {
	w, im := dirty(t, harness.Options{})
	blue := w.push(bob, newImage("blue/app", "v1", "dirty blue", "", nil))
	w.deniesRoot("blue", nil)
	w.member("blue", alice, "developer")
	robot, token := w.robot(pat, "red", "ci", "pull"), w.accessToken(alice, object{"name": "deploy", "scopes": []any{object{"project": "blue", "rights": []string{"pull"}}}})
	whole := w.accessToken(alice, object{"name": "whole"})
	bearer := w.token(alice, "repository:red/app:pull")
	id := w.open(pat, object{"subject": alice})

	w.passes(t, "whom it is for", im, http.StatusOK, w.getAs(alice))
	w.passes(t, "with a token from before", im, http.StatusOK, func(path string) harness.Response {
		return w.bearer(bearer, http.MethodGet, path, harness.Accept, nil)
	})
	w.passes(t, "with an access token of theirs", im, http.StatusOK, func(path string) harness.Response {
		return w.with(alice, whole.Secret, http.MethodGet, path, nil)
	})
	if r := w.getAs(alice)(redImage); !strings.Contains(strings.Join(r.Header.Values("Warning"), " "), "glass is broken: "+id) {
		t.Errorf("nobody is warned: %v", r.Header)
	}
	w.passes(t, "an access token for another project", im, http.StatusForbidden, func(path string) harness.Response {
		r := w.with(alice, token.Secret, http.MethodGet, path, nil)
		if r.Status == http.StatusNotFound { // told as what is not there
			r.Status = http.StatusForbidden
		}
		return r
	})
	w.passes(t, "another developer", im, http.StatusForbidden, w.getAs(mike))
	w.passes(t, "who opened it", im, http.StatusForbidden, w.getAs(pat))
	w.passes(t, "the administrator", im, http.StatusForbidden, w.getAs(admin))
	refused(t, "another project", w.as(alice, http.MethodGet, "/v2/blue/app/manifests/v1", harness.Accept, nil), blue.manifest)
	refused(t, "a deletion", w.as(alice, http.MethodDelete, "/v2/red/app/manifests/"+im.digest, nil, nil))

	t.Run("a robot has its own or none", func(t *testing.T) {
		pull := func(path string) harness.Response { return w.with(robot.Name, robot.Secret, http.MethodGet, path, nil) }
		w.open(admin, object{"subject": pat})
		w.passes(t, "by its maker's grant", im, http.StatusForbidden, pull)
		refused(t, "a grant for a person of its name", w.call(caller{user: admin}, http.MethodPost, "/api/v1/breakglass", emergency(object{"subject": robot.Name})))
		w.open(admin, object{"subject": robot.Name, "issuer": "robot"})
		w.passes(t, "by a grant for a person of its issuer", im, http.StatusForbidden, pull)
		own := w.open(pat, object{"subject": robot.Name, "kind": "robot"})
		w.passes(t, "by its own", im, http.StatusOK, pull)
		for what, r := range map[string]harness.Response{
			"opens":    w.with(robot.Name, robot.Secret, http.MethodPost, "/api/v1/breakglass", emergency(object{})),
			"approves": w.with(robot.Name, robot.Secret, http.MethodPut, "/api/v1/breakglass/"+own+"/approval", object{"approve": true}),
			"ends":     w.with(robot.Name, robot.Secret, http.MethodDelete, "/api/v1/breakglass/"+own, nil),
		} {
			refused(t, "a robot "+what, r)
		}
		w.ok(http.MethodDelete, "/api/v1/breakglass/"+own, nil)
		w.passes(t, "after its end", im, http.StatusForbidden, pull)
	})
	t.Run("it does not outlive its end", func(t *testing.T) {
		for name, c := range map[string]caller{"another developer": {user: mike}, "a stranger": {user: eve}, "of another project": {user: bob}} {
			refused(t, name+" ends it", w.call(c, http.MethodDelete, "/api/v1/breakglass/"+id, nil))
		}
		w.passes(t, "meanwhile", im, http.StatusOK, w.getAs(alice))
		if r := w.call(caller{user: alice}, http.MethodDelete, "/api/v1/breakglass/"+id, nil); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		w.passes(t, "afterwards", im, http.StatusForbidden, w.getAs(alice))
		w.passes(t, "afterwards, with a token from before", im, http.StatusForbidden, func(path string) harness.Response {
			return w.bearer(bearer, http.MethodGet, path, harness.Accept, nil)
		})
	})
	t.Run("it ends by itself", func(t *testing.T) {
		end := time.Now().Add(3 * time.Second).Truncate(time.Second)
		w.open(pat, object{"subject": alice, "expires": end.UTC().Format(time.RFC3339)})
		w.passes(t, "before", im, http.StatusOK, w.getAs(alice))
		time.Sleep(time.Until(end))
		w.passes(t, "on the second", im, http.StatusForbidden, w.getAs(alice))
	})
	t.Run("it ends with the right and with the account", func(t *testing.T) {
		w.open(pat, object{"subject": alice})
		w.passes(t, "before", im, http.StatusOK, w.getAs(alice))
		w.dismiss("red", alice)
		refused(t, "who is no member any more", w.getAs(alice)(redImage), im.manifest)
		w.member("red", alice, "developer")
		w.passes(t, "again", im, http.StatusOK, w.getAs(alice))
		w.api(http.MethodPut, "/users/alice/disabled", object{"disabled": true})
		refused(t, "who is disabled", w.bearer(bearer, http.MethodGet, redImage, harness.Accept, nil), im.manifest)
	})
}

// What somebody moves in an emergency is there for everybody after it.
func TestBrokenGlassMovesNoImmutableTag(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(alice, newImage("red/app", "v1", "what was tested", "1000", nil))
	w.api(http.MethodPatch, "/projects/red", object{"packs": []any{object{"name": "image", "mode": "deny", "config": object{
		"immutable_tags": []string{"v*"}, "allowed_tags": []string{"v*"},
	}}}})
	other := w.push(alice, newImage("red/app", "v2", "what was not", "1000", nil))
	w.open(pat, object{"subject": alice})
	other.tag = "hotfix"
	if r := w.put(alice, other, manifestType); r.Status != http.StatusCreated {
		t.Errorf("under a tag that rules of content deny: %d %s", r.Status, r.Body)
	}
	other.tag = "v1"
	refused(t, "the tag is moved", w.put(alice, other, manifestType), other.manifest)
}

// Class 22: whoever may ask asks for no more than people can look through, and hides
// nothing behind it.
func TestNobodyFillsTheListOfEmergencies(t *testing.T) {
	w := newWorld(t, harness.Options{})
	last := 0
	for n := 0; n < 150 && last != http.StatusBadRequest; n++ {
		last = w.call(caller{user: alice}, http.MethodPost, "/api/v1/breakglass", emergency(object{"pending": true})).Status
	}
	if last != http.StatusBadRequest {
		t.Fatalf("so many grants: %d", last)
	}
	id := w.open(pat, nil)
	w.ok(http.MethodDelete, "/api/v1/breakglass/"+id, nil)
	if r := w.call(caller{user: mike}, http.MethodPost, "/api/v1/breakglass", emergency(object{"pending": true})); r.Status != http.StatusCreated {
		t.Errorf("somebody else: %d %s", r.Status, r.Body)
	}
}

func TestNobodyBreaksGlassForThemselvesWhoMayNot(t *testing.T) {
	w, im := dirty(t, harness.Options{})
	w.api(http.MethodPost, "/workspaces", object{"name": "other", "hosts": []string{otherHost}, "admin": root, "admin_password": password})
	limited := w.accessToken(pat, object{"name": "pulls", "scopes": []any{object{"project": "red", "rights": []string{"pull", "push"}}}})
	ask := func(c caller, more object) harness.Response {
		return w.call(c, http.MethodPost, "/api/v1/breakglass", emergency(more))
	}
	for name, r := range map[string]harness.Response{
		"a developer":                            ask(caller{user: alice}, nil),
		"a maintainer":                           ask(caller{user: mike}, nil),
		"a guest, to be approved":                ask(caller{user: gus}, object{"pending": true}),
		"a stranger":                             ask(caller{user: eve}, object{"pending": true}),
		"nobody at all":                          ask(caller{user: nobody}, nil),
		"a developer for a friend":               ask(caller{user: alice}, object{"pending": true, "subject": mike}),
		"who manages red, for blue":              ask(caller{user: pat}, object{"projects": []string{"blue"}}),
		"who manages red, for red and blue":      ask(caller{user: pat}, object{"projects": []string{"red", "blue"}}),
		"who manages red, for a stranger":        ask(caller{user: pat}, object{"subject": eve}),
		"who manages red, by a token that pulls": w.with(pat, limited.Secret, http.MethodPost, "/api/v1/breakglass", emergency(nil)),
		"who manages all of another workspace":   ask(caller{root, otherHost}, object{"subject": alice, "issuer": "local"}),
		"for longer than is let":                 ask(caller{user: admin}, object{"subject": alice, "expires": time.Now().Add(5 * time.Hour).UTC().Format(time.RFC3339)}),
	} {
		refused(t, name, r)
		if r.Status < 300 {
			t.Errorf("%s: %s", name, r.Body)
		}
	}
	w.passes(t, "afterwards", im, http.StatusForbidden, w.getAs(alice))
	if got := string(w.api(http.MethodGet, "/breakglass?all=true", nil)); strings.TrimSpace(got) != "[]" {
		t.Errorf("there is %s", got)
	}
	// A grant in another workspace for somebody of the same name.
	if r := w.call(caller{root, otherHost}, http.MethodPost, "/api/v1/projects", object{"name": "red"}); r.Status != http.StatusCreated {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	if r := w.call(caller{root, otherHost}, http.MethodPost, "/api/v1/users", object{"name": alice, "password": password + "-there"}); r.Status != http.StatusCreated {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	if r := ask(caller{root, otherHost}, object{"subject": alice}); r.Status != http.StatusCreated {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	w.passes(t, "by a grant of another workspace", im, http.StatusForbidden, w.getAs(alice))
}

func TestASecondPersonIsASecondPerson(t *testing.T) {
	w, im := dirty(t, harness.Options{Config: "policy:\n  breakglass:\n    second_person: true\n"})
	w.member("red", bob, "projectAdmin")
	approve := func(user, id string) harness.Response {
		return w.call(caller{user: user}, http.MethodPut, "/api/v1/breakglass/"+id+"/approval", object{"approve": true})
	}
	id := w.open(alice, nil)
	w.passes(t, "nobody approved it", im, http.StatusForbidden, w.getAs(alice))
	for _, user := range []string{alice, mike, gus, eve, nobody} {
		refused(t, user+" approves it", approve(user, id))
	}
	w.passes(t, "nobody who may approved it", im, http.StatusForbidden, w.getAs(alice))
	if r := approve(bob, id); r.Status != http.StatusOK {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	w.passes(t, "approved", im, http.StatusOK, w.getAs(alice))
	if r := approve(pat, id); r.Status != http.StatusConflict {
		t.Errorf("a second approval: %d %s", r.Status, r.Body)
	}

	for name, c := range map[string]struct{ asks, subject, approves string }{
		"for oneself":              {pat, pat, pat},
		"asked for another":        {pat, alice, pat},
		"asked by another":         {bob, pat, pat},
		"the administrator's own":  {admin, admin, admin},
		"the administrator's word": {admin, alice, admin},
	} {
		id := w.open(c.asks, object{"subject": c.subject})
		refused(t, name, approve(c.approves, id))
	}
	t.Run("nor is another account of the same person", func(t *testing.T) {
		w.api(http.MethodPut, "/people/pat/link", object{"main": mike})
		w.member("red", mike, "projectAdmin")
		id := w.open(mike, object{"subject": mike})
		refused(t, "the one that is linked", approve(pat, id))
		w.passes(t, "and nothing passes", im, http.StatusForbidden, w.getAs(mike))
	})
}

func TestAProjectsRulesAboutEmergenciesHoldForAdministrators(t *testing.T) {
	w, _ := dirty(t, harness.Options{})
	w.deniesRoot("red", object{"breakglass_second_person": true, "breakglass_max_minutes": 90, "breakglass_ticket_pattern": "INC-*"})
	ask := func(more object) harness.Response {
		return w.call(caller{user: admin}, http.MethodPost, "/api/v1/breakglass", emergency(more))
	}
	for what, more := range map[string]object{
		"alone":                    {"subject": alice},
		"hidden among others":      {"subject": alice, "projects": []string{"blue", "red"}},
		"for longer":               {"subject": alice, "pending": true, "expires": time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)},
		"with a ticket of no kind": {"subject": alice, "pending": true, "ticket": "none"},
	} {
		if r := ask(more); r.Status != http.StatusForbidden || !strings.Contains(string(r.Body), "governance.breakglass_") {
			t.Errorf("%s: %d %s", what, r.Status, r.Body)
		}
	}
	if r := ask(object{"subject": alice, "pending": true}); r.Status != http.StatusCreated {
		t.Errorf("as it must be: %d %s", r.Status, r.Body)
	}
}

// What was served under broken glass is on record before it is served, and says so.
func TestBrokenGlassLeavesARecord(t *testing.T) {
	w, im := dirty(t, harness.Options{})
	id := w.open(admin, object{"subject": alice, "justification": "rollback of the night"})
	w.passes(t, "under glass", im, http.StatusOK, w.getAs(alice))
	metrics := string(w.as(admin, http.MethodGet, "/metrics", nil, nil).Body)
	for _, want := range []string{"bondgate_breakglass_open 1", "bondgate_breakglass_uses_total 2"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not have %q", want)
		}
	}
	w.passes(t, "right before the kill", im, http.StatusOK, w.getAs(alice))
	w.Kill()
	log := w.Log()
	w.Start()
	var all []struct {
		ID, Action, Verdict, BreakGlass string
		Waived                          []struct{ Code, Waiver string }
	}
	if err := json.Unmarshal(w.api(http.MethodGet, "/decisions?project=red&subject=alice&verdict=allow&limit=100", nil), &all); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, d := range all {
		if d.BreakGlass != id {
			continue
		}
		found++
		if d.Action != "manifest.pull" || len(d.Waived) != 1 || d.Waived[0].Code != "image.root_user" || d.Waived[0].Waiver != id {
			t.Errorf("%+v", d)
		}
		if page := w.as(alice, http.MethodGet, "/d/"+d.ID, nil, nil); page.Status != http.StatusOK || !strings.Contains(string(page.Body), "under broken glass only") || !strings.Contains(string(page.Body), id) {
			t.Errorf("the page of decision %s: %d %s", d.ID, page.Status, page.Body)
		}
		shown := string(w.api(http.MethodGet, "/decisions/"+d.ID, nil))
		for _, want := range []string{id, "rollback of the night", "INC-1", `"level":"full"`} {
			if !strings.Contains(shown, want) {
				t.Errorf("decision %s does not say %q: %s", d.ID, want, shown)
			}
		}
	}
	if found == 0 {
		t.Errorf("after a kill right behind the answer no record names %s", id)
	}
	if !slices.ContainsFunc(strings.Split(log, "\n"), func(line string) bool {
		return strings.Contains(line, "WARN") && strings.Contains(line, id) && strings.Contains(line, "INC-1")
	}) {
		t.Errorf("the server's log does not warn of %s:\n%s", id, log)
	}
}
