package arch

import (
	"slices"
	"strings"
	"testing"
)

// mayImport says, for each folder, which folders of ours its code may import. A
// folder is ruled by the longest entry that holds it; one without an entry fails,
// so that a new room is a decision and not an accident. Tests beside the code may
// import more: see testsMayImport.
var mayImport = []struct {
	folder string
	ours   []string
	why    string
}{
	{"policy", nil,
		"the nouns of a decision depend on nothing of ours, so that everything can depend on them"},
	{"policy/opa", []string{"policy"},
		"an evaluator knows the language of decisions and nothing else: it cannot look anything up"},
	{"policy/bundle", []string{"policy", "policy/opa", "rego"},
		"a bundle is the shipped rules, the author's, and the evaluator that they compile to"},
	{"policy/decisionlog", []string{"policy"},
		"a record is made of the nouns; what wrote it is not its business"},
	{"policy/replay", []string{"policy"},
		"a comparison of answers knows neither where they were kept nor where policy comes from"},
	{"policy/shadow", []string{"policy"},
		"a shadow is shown what was decided and is given a bundle; it can reach no verdict"},
	{"rego", nil,
		"the shipped bundle is data"},
	{"gateway", []string{"policy", "gateway"},
		"the edge is joined to storage by the small interfaces it declares, in cmd/bondgate"},
	{"gateway/ociroute", nil,
		"method and URL to a route is pure data, so that it can be fuzzed and reasoned about alone"},
	{"gateway/errcode", []string{"policy"},
		"it turns the error classes of policy into answers, and every room of the gateway uses it"},
	{"gateway/oci/manifest", []string{"policy"},
		"reading a manifest is a function of its bytes"},
	{"gateway/oci", []string{"policy", "gateway/errcode", "gateway/ociroute", "gateway/authn", "gateway/oci"},
		"the protocol asks the gate and the engine through interfaces of its own; it knows no HTTP framework and no token"},
	{"gateway/egress", []string{"policy"},
		"the way out knows addresses, not what a call is for; whoever calls is given a client or a dialer"},
	{"gateway/bounded", nil,
		"a map knows nothing of what is kept in it"},
	{"gateway/authn", []string{"policy", "gateway/errcode", "gateway/authn", "gateway/bounded"},
		"who is asking depends neither on what is asked nor on where people are stored"},
	{"gateway/token", []string{"policy", "gateway/errcode", "gateway/authn", "gateway/ociroute"},
		"the token service decides nothing itself: it asks the gate which scopes to grant, and reads names by the routes' own grammar"},
	{"gateway/limit", []string{"policy", "gateway/errcode", "gateway/authn", "gateway/bounded"},
		"counting knows names and addresses, and neither routes nor people"},
	{"gateway/api", []string{"policy", "gateway/errcode", "gateway/authn"},
		"management calls are decided like any request, through the same gate"},
	{"storage", []string{"policy"},
		"storage and gateway never meet: an engine or a database can be replaced without the protocol noticing"},
	{"storage/metadata", []string{"policy", "storage/metadata"},
		"storage and gateway never meet: an engine or a database can be replaced without the protocol noticing"},
	{"cmd/bondgate", []string{"policy", "rego", "gateway", "storage", "cmd/bondgate"},
		"the composition root is the one place that knows every room"},
	{"cmd/bondgate/internal/credential", []string{"policy", "gateway"},
		"a person's end of a login knows what the gateway publishes, and nothing of what it stores"},
	{"test/arch", nil, "it reads the tree, it is not part of it"},
	{"test/harness", nil, "it drives the built binary from outside, as an operator would"},
	{"test/e2e", []string{"test/harness"}, "real clients against the real binary: a test that reaches inside proves less"},
	{"test", []string{"policy", "rego", "gateway", "storage", "test"}, "benchmarks, attacks and campaigns may look at anything"},
}

// vendors have one importing folder each, so that a vendor can be understood,
// upgraded or replaced in one place.
var vendors = []struct {
	prefix  string
	folders []string
	why     string
}{
	{"github.com/open-policy-agent/opa", []string{"policy/opa", "policy/bundle"},
		"OPA's types never become ours"},
	{"github.com/distribution/distribution", []string{"storage/registry"},
		"the engine is behind a typed interface, and a client of another registry can stand in for it"},
	{"github.com/gin-gonic/gin", []string{"gateway"},
		"the HTTP framework ends at the edge"},
	{"modernc.org/sqlite", []string{"storage/metadata", "policy/decisionlog"},
		"SQL lives with those who own tables"},
	{"github.com/jackc/pgx", []string{"storage/metadata", "policy/decisionlog"},
		"SQL lives with those who own tables"},
	{"github.com/pressly/goose", []string{"storage/metadata", "policy/decisionlog"},
		"SQL lives with those who own tables"},
	{"database/sql", []string{"storage/metadata", "policy/decisionlog", "test"},
		"SQL lives with those who own tables"},
	{"github.com/go-jose/go-jose", []string{"gateway/token", "gateway/authn"},
		"one place makes and reads tokens"},
	{"github.com/spf13/cobra", []string{"cmd"},
		"flags are the command's, never a room's"},
	{"github.com/fsnotify/fsnotify", []string{"policy/bundle", "cmd"},
		"one folder is watched, by the one who owns it"},
	{"github.com/aquasecurity/trivy", []string{"scanning/trivy"},
		"hostile layers are never parsed in the serving process"},
	{"github.com/anchore/syft", []string{"sbom/syft"},
		"hostile layers are never parsed in the serving process"},
	{"github.com/sigstore", []string{"signing"},
		"one place verifies signatures"},
	{"github.com/in-toto", []string{"signing"},
		"one place reads attestations"},
	{"github.com/go-ldap", []string{"gateway/authn/ldap"},
		"one place speaks LDAP"},
	{"github.com/coreos/go-oidc", []string{"gateway/authn/oidc", "gateway/authn/jwt"},
		"one place speaks OpenID Connect"},
	{"golang.org/x/oauth2", []string{"gateway/authn/oidc", "cmd/bondgate/internal/credential"},
		"the two ends of a login: the gateway, and the person's own machine"},
	{"github.com/docker/docker-credential-helpers", []string{"cmd/bondgate/internal/credential"},
		"docker's protocol ends where credentials are kept"},
	{"github.com/google/go-containerregistry", []string{"test"},
		"a client belongs into tests: the server reads manifests with its own parser, and two that agree by construction hide a confusion"},
}

func TestWhoMayImportWhom(t *testing.T) {
	files := tree(t)
	for _, f := range files {
		rule, ok := ruleOf(f.Dir)
		if !ok {
			t.Errorf("%s: no rule says what folder %s may import: add it to mayImport, with the reason", f.Path, f.Dir)
			continue
		}
		for _, imported := range f.Imports {
			folder, mine := ours(imported)
			if !mine || allowed(f, folder, rule.ours) {
				continue
			}
			t.Errorf("%s imports %s, but %s may import only %s of ours: %s",
				f.Path, folder, rule.folder, list(rule.ours), rule.why)
		}
	}
}

type rule = struct {
	folder string
	ours   []string
	why    string
}

func ruleOf(dir string) (best rule, ok bool) {
	for _, r := range mayImport {
		if under(dir, r.folder) && (!ok || len(r.folder) > len(best.folder)) {
			best, ok = r, true
		}
	}
	return best, ok
}

// allowed: a folder may import its own package (an external test does), and
// whatever its rule lists. "policy" alone means that very folder; "gateway" and
// "storage" stand for all that lies under them when the rule is of their parent.
func allowed(f goFile, folder string, may []string) bool {
	if folder == f.Dir {
		return true
	}
	for _, m := range may {
		if folder == m {
			return true
		}
		if under(folder, m) && wholeTree(f.Dir, m) {
			return true
		}
	}
	return f.Test && testMayImport(f.Dir, folder)
}

// wholeTree says whether naming folder m in a rule means all under it too. For
// the composition root and the tests it does; within a room it means the room's
// own parts. policy is never meant whole by anybody else: its parts are reached
// from cmd only.
func wholeTree(dir, m string) bool {
	return under(dir, "cmd") || under(dir, "test") || under(dir, m)
}

// testMayImport: tests beside the code may put real neighbours together where a
// fake would prove less.
func testMayImport(dir, folder string) bool {
	if folder == "test/harness" {
		return true
	}
	switch {
	case under(dir, "policy"):
		return under(folder, "policy") || folder == "rego"
	case under(dir, "gateway"):
		return under(folder, "gateway") || under(folder, "policy") || folder == "rego"
	case under(dir, "storage"):
		return under(folder, "storage")
	case dir == "rego":
		return under(folder, "policy")
	}
	return false
}

func list(folders []string) string {
	if len(folders) == 0 {
		return "nothing"
	}
	return strings.Join(folders, ", ")
}

func TestPolicyImportsTheStandardLibraryAndGoDigestOnly(t *testing.T) {
	for _, f := range tree(t) {
		if f.Dir != "policy" || f.Test {
			continue
		}
		for _, imported := range f.Imports {
			if !standard(imported) && imported != "github.com/opencontainers/go-digest" {
				t.Errorf("%s imports %s: everything of ours imports policy, so what it imports everybody links", f.Path, imported)
			}
		}
	}
}

func TestEachVendorHasOneImportingFolder(t *testing.T) {
	for _, f := range tree(t) {
		for _, imported := range f.Imports {
			for _, v := range vendors {
				if imported != v.prefix && !strings.HasPrefix(imported, v.prefix+"/") {
					continue
				}
				home := slices.ContainsFunc(v.folders, func(folder string) bool { return under(f.Dir, folder) })
				// Campaigns may use any vendor to check the server from outside.
				if !home && !under(f.Dir, "test") && !(f.Test && v.prefix == "github.com/google/go-containerregistry") {
					t.Errorf("%s imports %s, whose place is %s: %s", f.Path, imported, strings.Join(v.folders, ", "), v.why)
				}
			}
		}
	}
}
