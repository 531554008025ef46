package identity

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// staffed is a gateway with a project and somebody for each way to have something
// to do with it.
func staffed(t *testing.T) *harness.Gateway {
	t.Helper()
	g := harness.StartGateway(t, harness.Options{})
	for _, name := range []string{"dev", "guest", "stranger", "part", "first", "janitor"} {
		g.AddUser(name, password)
	}
	g.CLI("role", "set", "cleaning", "--rights", "pull,list,delete", "--description", "takes away what is old").OK(t)
	apply(t, g, `project: team
members:
  - {user: dev, role: Developer}
  - {user: guest, role: Guest}
  - {user: part, role: Developer, repositories: "team/web-*"}
  - {user: first, role: Guest, repositories: "team/a*"}
  - {user: janitor, role: cleaning}
`)
	seed(t, g, "team/app", "team/web-shop", "team/old")
	return g
}

func TestEverybodyReachesWhatTheirRoleSays(t *testing.T) {
	t.Parallel()
	g := staffed(t)
	remove := func(user, repository string) int {
		return g.Do(http.MethodDelete, "/v2/"+repository+"/manifests/1", user, password, nil, nil).Status
	}
	for sentence, c := range map[string]struct {
		user, repository string
		pulls, pushes    bool
	}{
		"a developer pulls and pushes":                  {"dev", "team/app", true, true},
		"a guest pulls and does not push":               {"guest", "team/app", true, false},
		"a stranger does neither":                       {"stranger", "team/app", false, false},
		"a grant for a part holds there":                {"part", "team/web-shop", true, true},
		"a grant for a part holds for what is not yet":  {"part", "team/web-new", false, true},
		"a grant for a part does not hold elsewhere":    {"part", "team/app", false, false},
		"a role that somebody made gives what it names": {"janitor", "team/app", true, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			for verb, want := range map[string]bool{"pull": c.pulls, "push": c.pushes} {
				act, repository := pull, c.repository
				if verb == "push" {
					act, repository = push, c.repository+"-pushed"
				}
				r := act(t, g, c.user, password, repository)
				if (r.Err == nil) != want {
					t.Errorf("%s of %s by %s: %v %s", verb, repository, c.user, r.Err, r.Said())
				}
			}
		})
	}
	if got := remove("dev", "team/old"); got != http.StatusForbidden {
		t.Errorf("a developer's delete answers %d", got)
	}
	if got := remove("janitor", "team/old"); got != http.StatusAccepted {
		t.Errorf("a janitor's delete answers %d", got)
	}
	// Who has a part sees the part, wherever it stands in the order of names.
	for user, want := range map[string][]string{"part": {"team/web-shop"}, "first": {"team/app"}, "stranger": nil} {
		var seen struct{ Repositories []string }
		r := g.Do(http.MethodGet, "/v2/_catalog", user, password, nil, nil)
		if err := json.Unmarshal(r.Body, &seen); err != nil {
			t.Fatalf("the catalog: %v %s", err, r.Body)
		}
		for _, name := range []string{"team/app", "team/old", "team/web-shop"} {
			if slices.Contains(seen.Repositories, name) != slices.Contains(want, name) {
				t.Errorf("the catalog of %s: %s", user, r.Body)
			}
		}
	}
	// A role in use stays, and one that changes holds at the next request.
	g.CLI("role", "delete", "cleaning").Fails(t)
	g.CLI("role", "set", "cleaning", "--rights", "list").OK(t)
	if r := g.Do(http.MethodGet, "/v2/team/app/manifests/1", "janitor", password, harness.Accept, nil); r.Status != http.StatusForbidden {
		t.Errorf("a pull without the right any more answers %d: %s", r.Status, r.Body)
	}
}

// ownWords are what differs between two answers without telling anything: the
// names that were asked for, and what is new in each answer.
var ownWords = regexp.MustCompile(`there/app|team/app|team/none|there|team|\b[0-9A-HJKMNP-TV-Z]{26}\b|"token":"[^"]*"|"access_token":"[^"]*"|"issued_at":"[^"]*"|\b[0-9a-f]{24}\b`)

func TestAStrangerCannotTellWhatIsHiddenFromWhatIsNotThere(t *testing.T) {
	t.Parallel()
	g := staffed(t)
	shape := func(r harness.Response) string {
		h := r.Header.Clone()
		for _, own := range []string{"Date", "Content-Length", "X-Request-Id"} {
			h.Del(own)
		}
		var out strings.Builder
		_ = h.Write(&out) // to memory
		return ownWords.ReplaceAllString(http.StatusText(r.Status)+"\n"+out.String()+"\n"+string(r.Body), "_")
	}
	digest := g.Digest("team/app", "1")
	zero := "sha256:" + strings.Repeat("0", 64)
	for _, user := range []string{"stranger", "part"} {
		for sentence, c := range map[string]struct{ method, hidden, absent string }{
			"a manifest by tag":       {"GET", "/v2/team/app/manifests/1", "/v2/there/app/manifests/1"},
			"a manifest by digest":    {"GET", "/v2/team/app/manifests/" + digest, "/v2/there/app/manifests/" + digest},
			"the head of a manifest":  {"HEAD", "/v2/team/app/manifests/1", "/v2/team/none/manifests/1"},
			"a repository":            {"GET", "/v2/team/app/manifests/1", "/v2/team/none/manifests/1"},
			"a blob":                  {"GET", "/v2/team/app/blobs/" + zero, "/v2/there/app/blobs/" + zero},
			"tags":                    {"GET", "/v2/team/app/tags/list", "/v2/team/none/tags/list"},
			"referrers":               {"GET", "/v2/team/app/referrers/" + digest, "/v2/team/none/referrers/" + digest},
			"an upload":               {"POST", "/v2/team/app/blobs/uploads/", "/v2/team/none/blobs/uploads/"},
			"a delete":                {"DELETE", "/v2/team/app/manifests/1", "/v2/team/none/manifests/1"},
			"the scope of a token":    {"GET", "/token?scope=repository:team/app:pull", "/token?scope=repository:team/none:pull"},
			"the scopes of a project": {"GET", "/token?scope=repository:team/app:push", "/token?scope=repository:there/app:push"},
		} {
			if user == "part" && strings.Contains(c.absent, "there") {
				continue // who has a part of a project knows that the project is there
			}
			t.Run(user+", "+sentence, func(t *testing.T) {
				hidden := shape(g.Do(c.method, c.hidden, user, password, harness.Accept, nil))
				absent := shape(g.Do(c.method, c.absent, user, password, harness.Accept, nil))
				if hidden != absent {
					t.Errorf("%s answers\n%s\n%s answers\n%s", c.hidden, hidden, c.absent, absent)
				}
			})
		}
	}
	id := func() string {
		r := asked(g, "GET", "/api/v2.0/projects/team", harness.AdminUser, harness.AdminPassword, nil)
		return regexp.MustCompile(`"project_id":(\d+)`).FindStringSubmatch(string(r.Body))[1]
	}()
	for hidden, absent := range map[string]string{
		"/api/v1/projects/team":                    "/api/v1/projects/there",
		"/api/v1/projects/team/members":            "/api/v1/projects/there/members",
		"/api/v2.0/projects/team":                  "/api/v2.0/projects/there",
		"/api/v2.0/projects/" + id:                 "/api/v2.0/projects/999999",
		"/api/v2.0/projects/" + id + "/members":    "/api/v2.0/projects/999999/members",
		"/api/v2.0/projects/team/summary":          "/api/v2.0/projects/there/summary",
		"/api/v2.0/projects/team/robots":           "/api/v2.0/projects/there/robots",
		"/api/v2.0/projects/team/metadatas/public": "/api/v2.0/projects/there/metadatas/public",
	} {
		number := regexp.MustCompile(`\b(` + id + `|999999)\b`)
		a := number.ReplaceAllString(shape(g.Do("GET", hidden, "stranger", password, nil, nil)), "_")
		b := number.ReplaceAllString(shape(g.Do("GET", absent, "stranger", password, nil, nil)), "_")
		if a != b {
			t.Errorf("%s answers\n%s\n%s answers\n%s", hidden, a, absent, b)
		}
	}
	// In the words of a client, too.
	said := func(repository string) string {
		return ownWords.ReplaceAllString(pull(t, g, "stranger", password, repository).Fails(t), "_")
	}
	if hidden, absent := said("team/app"), said("there/app"); hidden != absent {
		t.Errorf("crane says %q and %q", hidden, absent)
	}
}
