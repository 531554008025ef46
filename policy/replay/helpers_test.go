package replay_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
	"github.com/bondgate/bondgate/policy/replay"
)

// folder is a bundle's folder with the given files.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// compiled is the shipped bundle with the given files.
func compiled(t testing.TB, files map[string]string) *opa.Evaluator {
	t.Helper()
	ev, err := bundle.Compile(t.Context(), folder(t, files), opa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// rule is a module of a pack with one rule: it denies pulls of which cond holds.
func rule(pack, code, msg, cond string) string {
	return fmt.Sprintf(`package bondgate.rules.%s

# METADATA
# title: %s
# custom:
#   code: %s
deny contains {"code": %q, "msg": %q} if {
	input.action == "manifest.pull"
	%s
}
`, pack, msg, code, code, msg, cond)
}

var noon = time.Date(2026, 9, 21, 12, 0, 0, 0, time.UTC)

// pull is a pull by alice, who may.
func pull(repo, tag string) policy.Facts {
	project := policy.Repository{Name: repo}.Project()
	return policy.Facts{
		Request: policy.Request{
			At: noon, Action: policy.ManifestPull, Purpose: policy.Use,
			Principal:  policy.Principal{Workspace: policy.DefaultWorkspace, Issuer: policy.LocalIssuer, ID: "alice", Kind: policy.KindUser, Auth: policy.AuthBasic},
			HTTP:       policy.HTTP{Method: "GET", Path: "/v2/" + repo + "/manifests/" + tag, ClientIP: "10.1.2.3", UserAgent: "docker/29.0", Host: "reg.acme"},
			Repository: policy.Repository{Workspace: policy.DefaultWorkspace, Name: repo},
			Reference:  policy.Reference{Kind: policy.ByTag, Value: tag},
		},
		Subject:       policy.Subject{Roles: []string{"developer"}, Grants: []policy.Grant{{Repositories: project + "/**", Role: "developer"}}},
		Project:       policy.Project{Workspace: policy.DefaultWorkspace, Name: project},
		ProjectExists: true,
	}
}

// by gives a request to somebody else.
func by(f policy.Facts, who string) policy.Facts {
	f.Request.Principal.ID = who
	return f
}

// decided is the case of facts that a bundle decided, as the decision log gives it
// back: all of it JSON.
func decided(t testing.TB, ev *opa.Evaluator, id string, count int64, f policy.Facts) replay.Case {
	t.Helper()
	f.Revision, f.Packs = ev.Revision(), ev.Packs(f.Project.Packs)
	f.Waivers = ev.Waivers(f.Request.Repository, "", f.Request.At)
	was, err := ev.Decide(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(policy.Document(f))
	if err != nil {
		t.Fatal(err)
	}
	r := &f.Request
	return replay.Case{
		ID: id, At: r.At, Count: count, Action: r.Action, Subject: r.Principal.ID, Project: r.Repository.Project(),
		Repository: r.Repository.Name, Reference: r.Reference.Value, Raw: raw, Packs: f.Project.Packs, Was: was,
	}
}

func each(cases ...replay.Case) iter.Seq2[replay.Case, error] {
	return func(yield func(replay.Case, error) bool) {
		for _, c := range cases {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func run(t testing.TB, judge replay.Judge, opts replay.Options, cases ...replay.Case) replay.Report {
	t.Helper()
	report, err := replay.Run(t.Context(), each(cases...), judge, opts)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// ruleOf is what a report says of a rule.
func ruleOf(t testing.TB, r replay.Report, code string) replay.Rule {
	t.Helper()
	for _, rule := range r.Rules {
		if rule.Code == code {
			return rule
		}
	}
	t.Fatalf("the report has no rule %s: %+v", code, r.Rules)
	return replay.Rule{}
}
