package opa_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
)

const oldTags = `package bondgate.rules.mine

import data.bondgate.lib.text

# METADATA
# title: Old tags
# custom:
#   code: mine.old
#   severity: low
#   waivable: true
deny contains {"code": "mine.old", "msg": msg} if {
	input.action == "manifest.pull"
	old(input.reference.value)
	msg := sprintf("%s is old", [input.reference.value])
}

old(tag) if startswith(tag, "0.")
`

func fileWaiver(expires string) string {
	return fmt.Sprintf(`{"W-1": {"rule": "mine.old", "scope": {"projects": ["team"]}, "owner": "alice", "approver": "bob", "reason": "moving", "ticket": "T-1",
"created": "2026-09-01T00:00:00Z", "expires": %q}}`, expires)
}

func rulesOf(t *testing.T, files map[string]string) opa.Ruleset {
	t.Helper()
	src, err := bundle.Load("", opa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range files {
		src.Files = append(src.Files, opa.File{Path: name, Data: []byte(body)})
	}
	rules, err := opa.Rules(src)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestTwoBundlesAreComparedInRules(t *testing.T) {
	with := func(old, now string) map[string]string {
		if !strings.Contains(oldTags, old) {
			t.Fatalf("%q is not there", old)
		}
		return map[string]string{"mine.rego": strings.Replace(oldTags, old, now, 1)}
	}
	base := map[string]string{"mine.rego": oldTags}
	data := func(body string) map[string]string { return map[string]string{"mine.rego": oldTags, "data.json": body} }
	for _, c := range []struct {
		sentence string
		was, now map[string]string
		// want are the differences as "change what name: fields".
		want []string
	}{
		{"nothing", base, base, nil},
		{"a comment and the layout are no difference", base,
			with("\told(input.reference.value)\n", "\n\t# as they say\n\told(  input.reference.value  )\n"), nil},
		{"nor is the file", base, map[string]string{"sub/other.rego": oldTags}, nil},
		{"a rule that is added", nil, base, []string{"added pack mine: class, mode", "added rule mine.old", "added helper old"}},
		{"a rule that is removed", base, nil, []string{"removed pack mine: class, mode", "removed rule mine.old", "removed helper old"}},
		{"a condition", base, with(`input.action == "manifest.pull"`, `input.action == "manifest.push"`),
			[]string{"changed rule mine.old: actions, condition"}},
		{"a helper", base, with(`"0."`, `"1."`), []string{"changed helper old: condition"}},
		{"what METADATA says", base, with("#   severity: low\n#   waivable: true", "#   severity: high\n#   waivable: false\n#   effective_on: \"2027-01-01T00:00:00Z\""),
			[]string{"changed rule mine.old: severity, effective_on, waivable"}},
		{"a title", base, with("Old tags", "Tags of old"), []string{"changed rule mine.old: title"}},
		{"a code is a change of the rule", base,
			map[string]string{"mine.rego": strings.ReplaceAll(oldTags, "mine.old", "mine.aged")}, []string{"changed rule mine.aged: code, condition"}},
		{"and so is a pack", base, map[string]string{"mine.rego": strings.Replace(oldTags, "rules.mine", "rules.ours", 1)},
			[]string{"removed pack mine: class, mode", "added pack ours: class, mode", "removed helper old", "changed rule mine.old: pack", "added helper old"}},
		{"one more way to be denied", base,
			map[string]string{"mine.rego": oldTags, "more.rego": "package bondgate.rules.mine\n\ndeny contains {\"code\": \"mine.old\", \"msg\": \"x\"} if input.action == \"tags.list\"\n"},
			[]string{"changed rule mine.old: actions, condition"}},
		{"the default mode of a pack", base, data(`{"bondgate": {"packs": {"mine": {"mode": "warn"}}}}`), []string{"changed pack mine: mode"}},
		{"a shipped pack", base, data(`{"bondgate": {"packs": {"image": {"mode": "deny", "config": {"deny_root": true}}}}}`),
			[]string{"changed pack image: mode, config"}},
		{"the data of a pack", base, data(`{"bondgate": {"rules": {"mine": {"tags": ["0.1"]}}}}`), []string{"changed pack mine: data"}},
		{"a waiver in a file", base, map[string]string{"mine.rego": oldTags, "waivers.json": fileWaiver("2027-01-01T00:00:00Z")}, []string{"added waiver W-1"}},
		{"a waiver that lasts longer", map[string]string{"waivers.json": fileWaiver("2027-01-01T00:00:00Z")},
			map[string]string{"waivers.json": fileWaiver("2027-06-01T00:00:00Z")}, []string{"changed waiver W-1: expires"}},
		{"what records show", nil, map[string]string{"log.rego": "package system.log\n\nmask contains \"/input/request/client_ip\"\n"}, []string{"added record mask"}},
		{"the same word of another import", with("import data.bondgate.lib.text", "import data.bondgate.rules.mine.a as list"),
			map[string]string{"mine.rego": strings.Replace(oldTags, "data.bondgate.lib.text", "data.bondgate.rules.mine.b as list", 1)}, nil},
		{"an import that a rule uses", map[string]string{"mine.rego": strings.Replace(strings.Replace(oldTags, "data.bondgate.lib.text", "data.bondgate.rules.mine.a as list", 1), `startswith(tag, "0.")`, "tag in list.tags", 1)},
			map[string]string{"mine.rego": strings.Replace(strings.Replace(oldTags, "data.bondgate.lib.text", "data.bondgate.rules.mine.b as list", 1), `startswith(tag, "0.")`, "tag in list.tags", 1)},
			[]string{"changed helper old: condition"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			var got []string
			for _, d := range rulesOf(t, c.was).Diff(rulesOf(t, c.now)) {
				line := d.Change + " " + d.What + " " + d.Name
				var fields []string
				for _, f := range d.Fields {
					if f.Was == f.Now {
						t.Errorf("%s: %s is %q, then and now", line, f.Field, f.Was)
					}
					fields = append(fields, f.Field)
				}
				if d.Change == opa.DiffChanged || d.What == "pack" {
					line += ": " + strings.Join(fields, ", ")
				}
				got = append(got, line)
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestWhatAComparisonCannotReadIsRefused(t *testing.T) {
	for what, body := range map[string]string{
		"no Rego":              "nonsense",
		"a package of another": "package bondgate.lib.text\n\nx := 1\n",
		"METADATA that is off": "package bondgate.rules.mine\n\n# METADATA\n# custom:\n#   code: 7\ndeny contains {\"code\": \"a\", \"msg\": \"a\"} if input.action == \"tags.list\"\n",
	} {
		src, err := bundle.Load("", opa.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		src.Files = append(src.Files, opa.File{Path: "mine.rego", Data: []byte(body)})
		if rules, err := opa.Rules(src); err == nil {
			t.Errorf("%s: %d rules", what, len(rules.Rules))
		}
	}
}

// A rule without METADATA is told apart by the code in its head, or else by its name.
func TestRulesAreCalledByTheirCodes(t *testing.T) {
	rules := rulesOf(t, map[string]string{"a.rego": `package bondgate.rules.a

deny contains {"code": "a.one", "msg": "x"} if input.action == "tags.list"

deny contains entry if {
	some name in ["a", "b"]
	entry := {"code": name, "msg": "x"}
}

warn contains {"code": "a.warn", "msg": "x"} if input.action in {"tags.list", "catalog.list"}

obligation contains {"type": "audit"} if true
`})
	var got []string
	for _, r := range rules.Rules {
		if r.Pack == "a" {
			got = append(got, fmt.Sprint(r.Kind, " ", r.Code, " ", r.Actions))
		}
	}
	want := []string{"deny a.one [tags.list]", "deny deny [*]", "obligation audit [*]", "warn a.warn [catalog.list tags.list]"}
	if !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
}
