package opa_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

// firing is an input on which a shipped rule says something.
type firing struct {
	code, term string
	// from is a piece of the rule that made the entry: it stands at the line that the
	// explanation names, or below it in the same rule.
	from  string
	facts policy.Facts
	// wants is a place that the explanation shows.
	wants string
}

func imageFiring(ev policy.Evaluator, action policy.Action, config string, bend func(*policy.Facts)) policy.Facts {
	f := pullFacts(ev, policy.Pack{Name: "image", Mode: policy.ModeDeny, Config: json.RawMessage(config)})
	f.Request.Action = action
	f.Subject.Roles = []string{"maintainer"}
	f.Request.Artifact.Config.User = "1000"
	if bend != nil {
		bend(&f)
	}
	return f
}

func firings(ev policy.Evaluator) []firing {
	image := func(action policy.Action, config string, bend func(*policy.Facts)) policy.Facts {
		return imageFiring(ev, action, config, bend)
	}
	admin := func(role string, call policy.AdminCall) policy.Facts {
		f := ask(ev, role, policy.AdminAPI, false)
		f.Request.Admin = &call
		return f
	}
	noProject := ask(ev, "admin", policy.ManifestPush, false)
	noProject.ProjectExists = false
	mount := ask(ev, "developer", policy.BlobMount, false)
	mount.Request.Mount.SubjectCanPullFrom = false
	other := admin("admin", policy.AdminCall{Resource: "workspace", Verb: "create", ID: "prod"})
	other.Request.Repository, other.Project, other.ProjectExists = policy.Repository{Workspace: "lab"}, policy.Project{}, false
	decision := ask(ev, "guest", policy.DecisionRead, false)
	decision.Request.Admin = &policy.AdminCall{Resource: "decision", Verb: "read", Before: map[string]any{"subject": "bob", "issuer": "local"}}
	machine := admin("admin", policy.AdminCall{Resource: "breakglass", Verb: "end", Before: map[string]any{"projects": []any{"payments"}}})
	machine.Request.Principal.Kind = policy.KindRobot

	return append(governanceFirings(ev), []firing{
		{"image.root_user", "", "config.deny_root == true", image(policy.ManifestPull, `{"deny_root":true}`,
			func(f *policy.Facts) { f.Request.Artifact.Config.User = "root" }), "artifact.config.user"},
		{"image.root_user", "", "config.deny_root == true", image(policy.ManifestPush, `{"deny_root":true}`,
			func(f *policy.Facts) { f.Request.Artifact.Config = nil }), "artifact.config"},
		{"image.required_label", "org.example/team", "some name in config.required_labels", image(policy.ManifestPush,
			`{"required_labels":["org.example/team","source"]}`, func(f *policy.Facts) {
				f.Request.Artifact.Config.Labels = map[string]string{"source": "x"}
			}), `artifact.config.labels["org.example/team"]`},
		{"image.tag_pattern", "latest", "config.allowed_tags", image(policy.ManifestPush, `{"allowed_tags":["v[0-9]*"]}`,
			func(f *policy.Facts) { f.Request.Reference = policy.Reference{Kind: policy.ByTag, Value: "latest"} }), "reference.value"},
		{"image.allowed_base", "", "config.allowed_bases", image(policy.ManifestPull, `{"allowed_bases":["docker.io/library/debian:*"]}`, func(f *policy.Facts) {
			f.Request.Artifact.Annotations, f.Request.Artifact.Config.Labels = nil, nil
		}), "artifact.base.name"},
		{"image.max_age", "", "config.max_age_days", image(policy.ManifestPull, `{"max_age_days":1}`, nil), "artifact.config.created"},
		{"image.media_type", "application/x-strange", "config.allowed_media_types", image(policy.ManifestPull, `{"allowed_media_types":["application/vnd.oci.*"]}`,
			func(f *policy.Facts) { f.Request.Artifact.Layers[0].MediaType = "application/x-strange" }), "artifact.layers[0]"},
		{"image.immutable_tag", "1.4.2", "input.reference.exists == true", image(policy.ManifestPush, `{"immutable_tags":["1.*"]}`,
			func(f *policy.Facts) { f.Request.Reference.Current = "sha256:other" }), "reference.value"},
		{"image.immutable_tag", "1.4.2", `input.action == "tag.delete"`, image(policy.TagDelete, `{"immutable_tags":["1.*"]}`, nil), "reference.value"},
		{"image.immutable_tag", "1.4.2", `input.action == "manifest.delete"`, image(policy.ManifestDelete, `{"immutable_tags":["1.*"]}`,
			func(f *policy.Facts) { f.Request.Artifact.Tags = []string{"1.4.2"} }), "artifact.tags[0]"},
		{"image.config", "denyroot", "some key, value in config", image(policy.ManifestPull, `{"denyroot":true}`, nil), "project.packs[0].config.denyroot"},

		{"rbac.disabled", "", "input.subject.disabled == true", ask(ev, "disabled", policy.ManifestPull, false), "subject.disabled"},
		{"rbac.anonymous", "manifest.pull", "input.subject.anonymous == true", ask(ev, "anonymous", policy.ManifestPull, false), "subject.anonymous"},
		{"rbac.mount_source", "", `input.action == "blob.mount"`, mount, "mount.subject_can_pull_from"},
		{"rbac.right", "push", "not told_otherwise", ask(ev, "guest", policy.ManifestPush, false), "subject.roles"},
		{"rbac.admin", "member:set", "input.action == \"admin.api\"", admin("guest", policy.AdminCall{Resource: "member", Verb: "set"}), "subject.roles"},
		{"rbac.admin", "decision.read", "input.action == \"decision.read\"", decision, "subject.roles"},
		{"rbac.robot_permissions", "delete", "some right in grant.rights", admin("developer", policy.AdminCall{
			Resource: "robot", Verb: "create", After: map[string]any{"project": "payments", "grants": []any{map[string]any{"project": "payments", "rights": []any{"delete"}}}},
		}), "subject.roles"},
		{"rbac.workspace", "create", "of_the_installation", other, "workspace"},
		{"rbac.breakglass_person", "breakglass:end", "not input.subject.kind in", machine, "subject.kind"},
		{"rbac.breakglass_self", "breakglass:approve", "self_decided", admin("projectAdmin", policy.AdminCall{
			Resource: "breakglass", Verb: "approve", Before: map[string]any{"projects": []any{"payments"}, "state": "pending"},
			After: map[string]any{"projects": []any{"payments"}, "state": "approved", "self_decided": true},
		}), "admin.after.self_decided"},
		{"rbac.breakglass_reason", "ticket", "some missing in", admin("admin", policy.AdminCall{
			Resource: "breakglass", Verb: "create",
			After: map[string]any{"projects": []any{"payments"}, "justification": "j", "ticket": "", "expires": "2026-09-21T15:00:00Z"},
		}), "admin.after"},
		{"rbac.no_project", "payments", "input.project.exists == false", noProject, "project.exists"},

		{"bondgate.pack_missing", "vuln", "some name in unloaded", imageFiring(ev, policy.ManifestPull, `{}`,
			func(f *policy.Facts) { f.Packs = append(f.Packs, policy.Pack{Name: "vuln", Mode: policy.ModeDeny}) }), "project.packs[2]"},
	}...)
}

// tryChanges makes the changes and looks whether the rule still denies.
func tryChanges(t *testing.T, ev *opa.Evaluator, f policy.Facts, r policy.ExplainedReason, changes []policy.Change) {
	t.Helper()
	doc, err := opa.Apply(policy.Document(f), changes)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ev.DecideInput(t.Context(), doc)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(d.Deny, func(x policy.Reason) bool { return x.Code == r.Code && x.Term == r.Term }) {
		t.Errorf("%s still denies after %v", r.Code, changes)
	}
	for _, c := range changes {
		for _, never := range []string{"api", "action", "bundle", "purpose", "subject.id", "subject.issuer", "artifact.digest"} {
			if c.Path == never || strings.HasPrefix(c.Path, never+".") {
				t.Errorf("nobody can change %s", c.Path)
			}
		}
	}
}

func TestEveryShippedRuleIsExplainedAndTurned(t *testing.T) {
	ev := compileWith(t)
	for i, c := range firings(ev) {
		t.Run(fmt.Sprintf("%02d %s", i, c.code), func(t *testing.T) {
			x, err := ev.Explain(t.Context(), policy.Document(c.facts))
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(x.Reasons, func(r policy.ExplainedReason) bool { return r.Code == c.code && r.Term == c.term })
			if at < 0 {
				t.Fatalf("it did not fire: %s", codes(x.Decision.Deny))
			}
			r := x.Reasons[at]
			checkPlace(t, r, c.from)
			if !slices.ContainsFunc(r.Facts, func(f policy.Fact) bool { return f.Path == c.wants }) {
				t.Errorf("%s is not among the facts: %v", c.wants, r.Facts)
			}
			if strings.HasPrefix(c.code, "bondgate.") == (r.Title != "") {
				t.Errorf("the title is %q", r.Title)
			}
			if c.wants == "subject.kind" {
				return // who asks is not changed: somebody else has to ask
			}
			if len(r.Changes) == 0 || x.Partial {
				t.Fatalf("no change was found, partial %v", x.Partial)
			}
			t.Logf("%s:%d %v others %v", r.File, r.Line, r.Changes, r.Others)
			for _, set := range append([][]policy.Change{r.Changes}, r.Others...) {
				tryChanges(t, ev, c.facts, r, set)
			}
		})
	}
}

// checkPlace looks whether the rule at the named line has the piece in its body.
func checkPlace(t *testing.T, r policy.ExplainedReason, piece string) {
	t.Helper()
	raw, err := os.ReadFile(regoDir + "/" + strings.TrimPrefix(r.File, "shipped:"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	if r.Line < 1 || r.Line > len(lines) || !strings.Contains(lines[r.Line-1], "contains") {
		t.Fatalf("%s:%d is not where a rule begins", r.File, r.Line)
	}
	body, _, _ := strings.Cut(strings.Join(lines[r.Line-1:], "\n"), "\n}")
	if !strings.Contains(body, piece) {
		t.Errorf("%s:%d is not the rule with %q", r.File, r.Line, piece)
	}
}

// TestNoShippedRuleIsWithoutAFiringCase keeps the table above complete.
func TestNoShippedRuleIsWithoutAFiringCase(t *testing.T) {
	ev := compileWith(t)
	have := map[string]bool{}
	for _, c := range firings(ev) {
		have[c.code] = true
	}
	for _, f := range sourceWith(t).Files {
		if !strings.HasPrefix(f.Path, "rules/") || !strings.HasSuffix(f.Path, ".rego") {
			continue
		}
		m, err := ast.ParseModuleWithOpts(f.Path, string(f.Data), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range m.Annotations {
			if code, ok := a.Custom["code"].(string); ok && !have[code] {
				t.Errorf("%s has no case", code)
			}
		}
	}
}

func TestTheSameInputIsExplainedTheSame(t *testing.T) {
	ev := compileWith(t)
	for _, c := range firings(ev)[:4] {
		var first string
		for range 3 {
			x, err := ev.Explain(t.Context(), policy.Document(c.facts))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = string(raw)
			} else if string(raw) != first {
				t.Fatalf("%s was explained\n%s\nand then\n%s", c.code, first, raw)
			}
		}
	}
}
