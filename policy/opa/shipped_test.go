package opa_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/rego"
)

const regoDir = "../../rego"

func capabilities(t *testing.T) *ast.Capabilities {
	t.Helper()
	raw, err := fs.ReadFile(rego.FS, rego.CapabilitiesFile)
	if err != nil {
		t.Fatal(err)
	}
	caps, err := ast.LoadCapabilitiesJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return caps
}

// TestTheTestsBesideTheRulesPass runs what stock `opa test rego/` runs.
func TestTheTestsBesideTheRulesPass(t *testing.T) {
	loaded, err := loader.NewFileLoader().WithProcessAnnotation(true).All([]string{regoDir})
	if err != nil {
		t.Fatal(err)
	}
	store := inmem.NewFromObject(loaded.Documents)
	txn, err := store.NewTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Abort(t.Context(), txn)
	results, err := tester.NewRunner().SetStore(store).
		SetCompiler(ast.NewCompiler().WithCapabilities(capabilities(t))).
		SetModules(loaded.ParsedModules()).RunTests(t.Context(), txn)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for r := range results {
		ran++
		if !r.Pass() {
			t.Errorf("%s: %s: %v", r.Location, r.Name, r.Error)
		}
	}
	if ran < 80 {
		t.Fatalf("only %d tests ran", ran)
	}
}

func TestTheShippedRulesCompileStrictly(t *testing.T) {
	modules := map[string]*ast.Module{}
	schemas := ast.NewSchemaSet()
	err := filepath.WalkDir(regoDir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(at, ".rego") {
			return err
		}
		raw, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		modules[at], err = ast.ParseModuleWithOpts(at, string(raw), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c := ast.NewCompiler().WithStrict(true).WithCapabilities(capabilities(t)).WithSchemas(schemas)
	if c.Compile(modules); c.Failed() {
		t.Fatal(c.Errors)
	}
	for name, m := range modules {
		pkg := m.Package.Path.String()
		if !strings.HasPrefix(pkg, "data.bondgate.rules.") || strings.HasSuffix(name, "_test.rego") {
			continue
		}
		if _, err := os.Stat(strings.TrimSuffix(name, ".rego") + "_test.rego"); err != nil && path.Base(name) != "pack.rego" {
			t.Errorf("%s has no tests beside it", name)
		}
		described := false
		for _, r := range m.Rules {
			if r.Head.Name != "deny" {
				continue
			}
			for _, a := range r.Annotations {
				code, _ := a.Custom["code"].(string)
				_, waivable := a.Custom["waivable"].(bool)
				fix, _ := a.Custom["remediation"].(string)
				described = described || code != "" && waivable && fix != "" && a.Title != "" && a.Description != "" && a.Custom["severity"] != nil
			}
			if !described {
				t.Errorf("%s: a deny without full METADATA", r.Loc())
			}
		}
	}
}

func TestNoBuiltinOnTheListDependsOnAnythingButItsArguments(t *testing.T) {
	known := map[string]*ast.Builtin{}
	for _, b := range ast.Builtins {
		known[b.Name] = b
	}
	forbidden := []string{"http.send", "opa.runtime", "time.now_ns", "rego.parse_module", "trace",
		"crypto.x509.parse_and_verify_certificates", "crypto.x509.parse_and_verify_certificates_with_options"}
	for _, b := range capabilities(t).Builtins {
		full := known[b.Name]
		switch {
		case full == nil:
			t.Errorf("%s is not in this version of OPA", b.Name)
		case full.IsNondeterministic(), slices.Contains(forbidden, b.Name),
			strings.HasPrefix(b.Name, "net."), strings.HasPrefix(b.Name, "rand."):
			t.Errorf("%s is on the list", b.Name)
		}
	}
}

// schemaOf compiles the shipped schema of an action.
func schemaOf(t *testing.T, action policy.Action) *jsonschema.Schema {
	t.Helper()
	name := "schemas/input/" + string(action) + ".jsonschema"
	f, err := rego.FS.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTheInputIsAsItsSchemaSays keeps the schemas and the document together: what
// the gateway feeds in passes, and a misspelt field does not.
func TestTheInputIsAsItsSchemaSays(t *testing.T) {
	ev := compileWith(t)
	for _, action := range policy.Actions() {
		t.Run(string(action), func(t *testing.T) {
			s := schemaOf(t, action)
			doc := inputOf(t, ask(ev, "developer", action, false))
			check := func(what string, doc map[string]any) {
				if err := s.Validate(doc); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			check("the least", doc)
			check("all there is", inputOf(t, everything(ev, action)))
			doc["artefact"] = map[string]any{}
			if s.Validate(doc) == nil {
				t.Error("a misspelt field passes")
			}
		})
	}
}

// everything is a request with all the parts that its action can have.
func everything(ev policy.Evaluator, action policy.Action) policy.Facts {
	f := ask(ev, "developer", action, true)
	f.Waivers = []policy.Waiver{{ID: "W", Rule: "a.b", Terms: []string{"x"}, Owner: "o", Expires: time.Unix(1800000000, 0)}}
	f.BreakGlass = &policy.BreakGlass{ID: "bg-1", Justification: "j", Ticket: "t", Expires: time.Unix(1800000000, 0)}
	f.Project.Owner, f.Project.Labels = "team", map[string]string{"tier": "prod"}
	f.Request.Principal.Claims = map[string]any{"amr": []string{"mfa"}}
	f.Request.Principal.Groups = []string{"devs"}
	switch action {
	case policy.ManifestPull, policy.ManifestPush, policy.ManifestDelete, policy.TagDelete:
		a := benchArtifact()
		a.Subject = &policy.Descriptor{Digest: "sha256:ss"}
		a.Annotations = map[string]string{"org.opencontainers.image.base.name": "debian:12"}
		a.Manifests = []policy.Child{{Platform: policy.Platform{OS: "linux", Architecture: "arm64"}}}
		f.Request.Artifact = a
		f.Request.Reference = policy.Reference{Kind: policy.ByTag, Value: "1", Current: a.Digest}
	case policy.ReferrersList:
		f.Request.Reference = policy.Reference{Kind: policy.ByDigest, Value: "sha256:aa"}
		f.Request.Referrers = &policy.ReferrersQuery{ArtifactType: "x/y", Count: 3}
	case policy.BlobPush, policy.UploadStatus, policy.UploadCancel:
		f.Request.Upload = &policy.Upload{Session: "u", DeclaredSize: 3, Digest: "sha256:aa"}
	case policy.BlobMount, policy.BlobDelete:
		f.Request.Blob = &policy.Blob{Digest: "sha256:aa", Size: 3}
	case policy.TokenIssue:
		f.Request.Token = &policy.TokenRequest{Service: "reg", TTL: time.Minute}
		f.Scopes = []policy.ScopeFacts{{Scope: policy.Scope{Type: "repository", Name: "a/b", Actions: []string{"pull"}}, Project: policy.Project{Name: "a"}}}
	case policy.DecisionRead:
		f.Request.Admin = &policy.AdminCall{Resource: "decision", Verb: "read", Before: map[string]any{"subject": "alice"}}
	}
	return f
}

// inputOf is the document as JSON carries it.
func inputOf(t *testing.T, f policy.Facts) map[string]any {
	t.Helper()
	raw, err := json.Marshal(policy.Document(f))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return doc.(map[string]any)
}

// TestWhatTheShippedRulesReadIsInASchema finds a misspelt field in a shipped rule.
func TestWhatTheShippedRulesReadIsInASchema(t *testing.T) {
	var schemas []map[string]any
	for _, action := range policy.Actions() {
		raw, err := fs.ReadFile(rego.FS, "schemas/input/"+string(action)+".jsonschema")
		if err != nil {
			t.Fatal(err)
		}
		var s map[string]any
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		schemas = append(schemas, s)
	}
	for _, p := range compileWith(t).Reads(policy.ManifestPull) {
		keys := strings.Split(p, ".")
		if !slices.ContainsFunc(schemas, func(s map[string]any) bool { return has(s, keys) }) {
			t.Errorf("input.%s is in no schema", p)
		}
	}
	if has(schemas[0], []string{"subject", "called"}) {
		t.Error("a field that is not there is found")
	}
}

// has follows keys through the properties of a schema; what is free-form has every key.
func has(schema map[string]any, keys []string) bool {
	if len(keys) == 0 || len(schema) == 0 {
		return true
	}
	if either, ok := schema["anyOf"].([]any); ok {
		return slices.ContainsFunc(either, func(s any) bool { return has(s.(map[string]any), keys) })
	}
	properties, _ := schema["properties"].(map[string]any)
	if sub, ok := properties[keys[0]].(map[string]any); ok {
		return has(sub, keys[1:])
	}
	return schema["type"] == "object" && schema["additionalProperties"] != false
}
