package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

const dave = "dave"

// governed is a server whose policy denies root, and says what a waiver must be.
func governed(t testing.TB) (g *harness.Gateway, folder string) {
	t.Helper()
	folder, _ = policyFolder(t)
	write(t, filepath.Join(folder, "data.json"), `{"bondgate": {"packs": {"governance": {"mode": "deny", "config": {
		"max_days": 90, "second_person": true, "ticket_required": true, "never_waive": ["vuln.known_exploited", "vuln.*|CVE-2024-3094"]
	}}}}}`)
	g = staffed(t, harness.Options{Policy: folder})
	g.AddUser(dave, password)
	addMember(t, g, carol, "projectAdmin")
	addMember(t, g, dave, "projectAdmin")
	return g, folder
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// as runs the command line of a person, over the network.
func as(t testing.TB, g *harness.Gateway, name string, args ...string) harness.Result {
	t.Helper()
	env := []string{"BONDGATE_USERNAME=" + name, "BONDGATE_PASSWORD=" + password}
	return harness.Run(t, env, "", harness.Binary(t), append(args, "--server", g.Host)...)
}

// refused is a command that fails and says why.
func refused(t testing.TB, r harness.Result, why ...string) {
	t.Helper()
	said := r.Fails(t)
	for _, want := range why {
		if !strings.Contains(said, want) {
			t.Errorf("it should say %q, and says %s", want, said)
		}
	}
}

// An exception, from the denial to its end: whoever needs it asks, another person
// approves, the pull passes, and on the second it is over.
func TestAWaiverIsAskedForApprovedByAnotherAndEndsByItself(t *testing.T) {
	g, _ := governed(t)
	digest := seed(t, g, team+"/app", "root", "")
	pull := func(path string) int { return g.Do(http.MethodGet, path, bob, password, harness.Accept, nil).Status }
	manifest := "/v2/" + team + "/app/manifests/root"
	crane := clients["crane"](t)
	crane.Login(g.Host, bob, password)
	readable(t, "crane", crane.Pull(g.Ref(team+"/app", "root")).Fails(t))

	ask := []string{"waiver", "request", "house.no_root", "--id", "W-1", "--project", team, "--reason", "vendor image"}
	refused(t, as(t, g, alice, append(ask, "--expires", "30d")...), "governance.ticket", "Fix:")
	ask = append(ask, "--ticket", "SEC-412")
	refused(t, as(t, g, alice, append(ask, "--expires", "91d")...), "governance.waiver_too_long", "90 days")
	refused(t, as(t, g, bob, append(ask, "--expires", "30d")...), "rbac.admin")
	refused(t, as(t, g, alice, "waiver", "request", "vuln.critical", "--project", team, "--ticket", "S", "--expires", "1d"), "governance.never_waived", "CVE-2024-3094")

	expires := time.Now().Add(12 * time.Second).Truncate(time.Second)
	as(t, g, alice, append(ask, "--expires", expires.UTC().Format(time.RFC3339))...).OK(t)
	if got := pull(manifest); got != http.StatusForbidden {
		t.Fatalf("a waiver that nobody approved: the pull answers %d", got)
	}
	if list := as(t, g, carol, "waiver", "list", "--project", team, "--state", "pending").OK(t); !strings.Contains(list, "W-1") {
		t.Fatalf("the one who is to approve sees %s", list)
	}
	refused(t, as(t, g, alice, "waiver", "approve", "W-1"), "governance.second_person")
	refused(t, as(t, g, bob, "waiver", "approve", "W-1"), "rbac.admin")
	refused(t, as(t, g, carol, "waiver", "add", "house.no_root", "--project", team, "--ticket", "S", "--expires", "1d"), "governance.second_person", "waiver request")
	as(t, g, carol, "waiver", "approve", "W-1", "--reason", "until Friday").OK(t)
	crane.Pull(g.Ref(team+"/app", "root")).OK(t)
	if shown := as(t, g, alice, "waiver", "show", "W-1").OK(t); !regexp.MustCompile(`(?s)state +expiring.*asked for by +alice.*decided by +carol: until Friday`).MatchString(shown) {
		t.Errorf("the waiver is shown as %s", shown)
	}

	// The answers are cached, and asked for without a pause: one that was sent at the
	// end or after it is a denial, one that came back before it is none.
	blob := "/v2/" + team + "/app/blobs/" + layerOf(t, g, team+"/app", digest)
	passed, denied := 0, 0
	for denied < 40 {
		for _, path := range []string{manifest, blob} {
			sent := time.Now()
			status := pull(path)
			back := time.Now()
			switch {
			case !sent.Before(expires) && status != http.StatusForbidden:
				t.Fatalf("%s after the end, GET %s answers %d", sent.Sub(expires), path, status)
			case back.Before(expires) && status != http.StatusOK:
				t.Fatalf("%s before the end, GET %s answers %d", expires.Sub(back), path, status)
			case status == http.StatusOK:
				passed++
			default:
				denied++
			}
		}
	}
	if passed == 0 {
		t.Fatal("nothing was pulled before the end")
	}
	readable(t, "crane", crane.Pull(g.Ref(team+"/app", "root")).Fails(t))
	if list := g.CLI("waiver", "list", "--state", "expired").OK(t); !strings.Contains(list, "W-1") {
		t.Errorf("what has ended is listed as %s", list)
	}
	refused(t, as(t, g, carol, "waiver", "approve", "W-1"), "does not wait")
	harness.Eventually(t, "the line about the end, and the metrics", func() error {
		metrics := string(g.Do(http.MethodGet, "/metrics", "", "", nil, nil).Body)
		if !strings.Contains(metrics, `bondgate_waivers{state="expired"} 1`) || strings.Contains(metrics, "bondgate_waiver_next_expiry_seconds ") {
			return fmt.Errorf("the metrics say %s", regexp.MustCompile(`(?m)^bondgate_waiver.*$`).FindAllString(metrics, -1))
		}
		if n := strings.Count(g.Log(), "a waiver ended"); n != 1 {
			return fmt.Errorf("the end was told %d times", n)
		}
		return nil
	})
}

// Two people look at each exception, whoever they are and however they go about it.
func TestNobodyApprovesWhatTheyAskedFor(t *testing.T) {
	g, _ := governed(t)
	ask := func(who, id string, more ...string) harness.Result {
		t.Helper()
		return as(t, g, who, append([]string{"waiver", "request", "house.no_root", "--id", id, "--project", team, "--ticket", "S-1", "--expires", "1d"}, more...)...)
	}
	ask(dave, "W-own").OK(t)
	refused(t, as(t, g, dave, "waiver", "approve", "W-own"), "governance.second_person", "dave")
	ask(alice, "W-owner", "--owner", "Dave").OK(t)
	refused(t, as(t, g, dave, "waiver", "approve", "W-owner"), "governance.second_person", "owner")
	as(t, g, carol, "waiver", "approve", "W-owner").OK(t)

	// Whoever changes what another one asked for has asked for it.
	ask(alice, "W-wider").OK(t)
	as(t, g, dave, "waiver", "update", "W-wider", "--expires", "2d").OK(t)
	refused(t, as(t, g, dave, "waiver", "approve", "W-wider"), "governance.second_person")
	// And what was approved is pending again when it is changed.
	as(t, g, carol, "waiver", "approve", "W-wider").OK(t)
	if said := as(t, g, dave, "waiver", "update", "W-wider", "--owner", dave).OK(t); !strings.Contains(said, "pending") {
		t.Errorf("a change of what was approved: %s", said)
	}
	// But for an end that comes earlier.
	as(t, g, carol, "waiver", "approve", "W-wider").OK(t)
	if said := as(t, g, dave, "waiver", "update", "W-wider", "--expires", "1h").OK(t); !strings.Contains(said, "expiring") {
		t.Errorf("an earlier end: %s", said)
	}

	// The person who is another one too is no second person.
	g.AddUser("dave-admin", password)
	addMember(t, g, "dave-admin", "projectAdmin")
	g.CLI("user", "link", "dave-admin", "--to", dave).OK(t)
	refused(t, as(t, g, "dave-admin", "waiver", "approve", "W-own"), "governance.second_person")
	// Nor is a request under an id that was taken back the one that was read.
	version := regexp.MustCompile(`version +(\S+)`).FindStringSubmatch(as(t, g, carol, "waiver", "show", "W-own").OK(t))[1]
	as(t, g, dave, "waiver", "remove", "W-own").OK(t)
	ask(dave, "W-own", "--term", "x").OK(t)
	refused(t, as(t, g, carol, "waiver", "approve", "W-own", "--version", version), "has changed")
}

// What a project asks of waivers is asked of every waiver that reaches it.
func TestAWaiverForSeveralProjectsIsJudgedInEach(t *testing.T) {
	folder, _ := policyFolder(t)
	g := staffed(t, harness.Options{Policy: folder})
	config := filepath.Join(t.TempDir(), "governance.json")
	write(t, config, `{"max_days": 7}`)
	g.CLI("project", "create", "lax").OK(t)
	g.CLI("project", "set", team, "--pack", "governance=deny", "--pack-config", "governance="+config).OK(t)
	add := func(where ...string) harness.Result {
		return g.CLI(append([]string{"waiver", "add", "house.no_root", "--expires", "8d"}, where...)...)
	}
	for name, where := range map[string][]string{
		"for the project":                 {"--project", team},
		"for another one too":             {"--project", "lax", "--project", team},
		"by a pattern of repositories":    {"--repository", team + "/*"},
		"by patterns of both":             {"--repository", "lax/*", "--repository", team + "/**"},
		"by a pattern of all":             {"--repository", "**"},
		"for everything":                  nil,
		"for a digest, wherever it is":    {"--digest", "sha256:" + strings.Repeat("a", 64)},
		"for a project with foreign path": {"--project", team, "--repository", "lax/x"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, add(where...), "governance.waiver_too_long") })
	}
	add("--project", "lax", "--id", "W-lax").OK(t)
	refused(t, g.CLI("waiver", "update", "W-lax", "--project", team), "governance.waiver_too_long")
	refused(t, g.CLI("waiver", "update", "W-lax", "--project", team, "--project", "lax"), "governance.waiver_too_long")
	if said := g.CLI("waiver", "update", "W-lax", "--project", team, "--expires", "6d").OK(t); !strings.Contains(said, "pending") {
		t.Errorf("a waiver that is for another project now: %s", said)
	}
}

// A waiver in a file of the bundle was reviewed as the rules are.
func TestAWaiverStandsInAFileOfTheBundle(t *testing.T) {
	g, folder := governed(t)
	seed(t, g, team+"/app", "root", "")
	file := filepath.Join(folder, "waivers", "2026.json")
	pulls := func(want int) {
		t.Helper()
		harness.Eventually(t, fmt.Sprint("the pull answers ", want), func() error {
			if r := g.Do(http.MethodGet, "/v2/"+team+"/app/manifests/root", bob, password, harness.Accept, nil); r.Status != want {
				return fmt.Errorf("%d %s", r.Status, r.Body)
			}
			return nil
		})
	}
	pulls(http.StatusForbidden)
	waiver := `{"W-file": {"rule": "house.no_root", "scope": {"repositories": ["` + team + `/*"]}, "owner": "alice", "approver": "bob", "expires": "2999-01-01T00:00:00Z"},
		"W-none": {"rule": "rbac.admin", "owner": "alice", "expires": "2999-01-01T00:00:00Z"}}`
	write(t, file, waiver)
	pulls(http.StatusOK)
	if list := g.CLI("waiver", "list").OK(t); !regexp.MustCompile(`W-file +house.no_root +- +` + team + `/\* +alice +bob +active +bundle +2999`).MatchString(list) {
		t.Errorf("it is listed as %s", list)
	}
	if !strings.Contains(g.Log(), "waiver W-none lifts nothing: the rule rbac.admin is not waivable") {
		t.Error("nothing is said about a waiver of what cannot be waived")
	}
	refused(t, g.CLI("waiver", "remove", "W-file"), "file of the bundle")
	// Its id is taken by nobody: what the API has under it is another waiver.
	g.CLI("waiver", "request", "house.no_root", "--id", "W-file", "--project", team, "--ticket", "S", "--expires", "1d").OK(t)
	if both := g.CLI("waiver", "show", "W-file", "--origin", "bundle").OK(t) + g.CLI("waiver", "show", "W-file").OK(t); !regexp.MustCompile(`(?s)origin +bundle.*origin +api`).MatchString(both) {
		t.Errorf("the two are shown as %s", both)
	}
	write(t, file, strings.Replace(waiver, `"owner": "alice", "approver"`, `"approver"`, 1))
	harness.Eventually(t, "a waiver without an owner is refused", func() error {
		if s := g.CLI("status").OK(t); !strings.Contains(s, "owner") || !strings.Contains(s, "2026.json") {
			return fmt.Errorf("the status is %s", s)
		}
		return nil
	})
	pulls(http.StatusOK)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	pulls(http.StatusForbidden)
}

// layerOf is the digest of an image's first layer.
func layerOf(t testing.TB, g *harness.Gateway, repository, digest string) string {
	t.Helper()
	r := g.Do(http.MethodGet, "/v2/"+repository+"/manifests/"+digest, harness.AdminUser, harness.AdminPassword, harness.Accept, nil)
	layer := regexp.MustCompile(`"layers":\[\{[^}]*"digest":"(sha256:[0-9a-f]+)"`).FindSubmatch(r.Body)
	if layer == nil {
		t.Fatalf("the manifest is %d %s", r.Status, r.Body)
	}
	return string(layer[1])
}
