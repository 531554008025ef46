package replay_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bondgate/bondgate/policy/replay"
)

// reports are of every kind: nothing, changes that are expected and that are not,
// answers that are not as recorded, hostile names.
func reports(t *testing.T) map[string]*replay.Report {
	t.Helper()
	latest := map[string]string{"a.rego": rule("mine", "mine.latest", "no latest", `input.reference.value == "latest"`)}
	was, now := compiled(t, nil), compiled(t, latest)
	hostile := decided(t, was, "D3<&\x00\x1b[31m]]>", 1, by(pull("p/app", "latest"), "eve\u202e\"'\x07<script>"))
	hostile.Owner, hostile.Repository = "a:b/ c", strings.Repeat("é", 600)
	unequal := decided(t, now, "D4", 9, pull("p/app", "latest"))
	unequal.Was.Deny[0].Message = "something else"
	undecided := decided(t, was, "D5", 1, pull("p/app", "latest"))
	undecided.Raw = json.RawMessage("[]")
	masked := decided(t, was, "D6", 1, pull("p/app", "latest"))
	masked.Masked = []string{"subject"}
	all := []replay.Case{
		decided(t, was, "D1", 3, pull("p/app", "latest")), decided(t, was, "D2", 1, pull("q/app", "1.0")),
		hostile, unequal, undecided, masked,
	}
	out := map[string]*replay.Report{}
	add := func(name string, judge replay.Judge, expect *replay.Expectation, cases ...replay.Case) {
		r := run(t, judge, replay.Options{Expect: expect}, cases...)
		for i := range r.Rules {
			r.Rules[i].Title, r.Rules[i].File, r.Rules[i].Line = "A <title>", "rules/a b:c.rego", 7
		}
		out[name] = &r
	}
	add("no case at all", now, nil)
	add("nothing changes", was, nil, all[0], all[1])
	add("everything changes", now, nil, all...)
	add("as expected", now, &replay.Expectation{Rules: map[string]replay.ExpectedRule{
		"mine.latest": {Changes: replay.Changes{NewlyDenied: 3}}, "mine.typo": {},
	}}, all[0], all[1])
	return out
}

func TestSARIFIsAsItsSchemaSays(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("testdata", "sarif-schema-2.1.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range reports(t) {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := replay.WriteSARIF(&out, r, "bondgate policy replay", "1.2.3"); err != nil {
				t.Fatal(err)
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Fatalf("%v\n%s", err, out.Bytes())
			}
			if got := strings.Contains(out.String(), `"level": "error"`); got == r.OK() {
				t.Fatalf("the report is well: %v, and has an error: %v", r.OK(), got)
			}
		})
	}
	// A schema that takes anything would prove nothing.
	if err := schema.Validate(map[string]any{"version": "2.1.0", "runs": []any{map[string]any{"results": "none"}}}); err == nil {
		t.Fatal("the schema takes what is no report")
	}
}

func TestJUnitIsAsItsSchemaSays(t *testing.T) {
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		if os.Getenv("BONDGATE_E2E") == "require" {
			t.Fatal("xmllint is not here: scripts/e2e-deps installs it")
		}
		t.Skip("xmllint is not here: scripts/e2e-deps installs it")
	}
	for name, r := range reports(t) {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := replay.WriteJUnit(&out, r, "bondgate policy replay"); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), lint, "--noout", "--nonet", "--schema", filepath.Join("testdata", "jenkins-junit.xsd"), "-")
			cmd.Stdin = bytes.NewReader(out.Bytes())
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s\n%s", err, said, out.Bytes())
			}
			var suites struct {
				Tests    int `xml:"tests,attr"`
				Failures int `xml:"failures,attr"`
				Cases    []struct {
					Failures []struct{} `xml:"failure"`
				} `xml:"testsuite>testcase"`
			}
			if err := xml.Unmarshal(out.Bytes(), &suites); err != nil {
				t.Fatal(err)
			}
			failed := 0
			for _, c := range suites.Cases {
				if len(c.Failures) > 0 {
					failed++
				}
			}
			if suites.Tests != len(suites.Cases) || suites.Failures != failed || (failed == 0) != r.OK() {
				t.Fatalf("%+v: %d failed, the report is well: %v", suites, failed, r.OK())
			}
		})
	}
}
