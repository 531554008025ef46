package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bondgate/bondgate/policy/replay"
)

const noLatest = `package bondgate.rules.mine

# METADATA
# title: Nobody pulls latest
# custom:
#   code: mine.latest
#   severity: high
deny contains {"code": "mine.latest", "msg": "latest is not for pulling"} if {
	input.action == "manifest.pull"
	input.reference.value == "latest"
}
`

// bundleOf is a folder with the given files.
func bundleOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// codeOf is the exit code that a command ends with.
func codeOf(err error) int {
	var end *exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &end):
		return end.code
	}
	return 1
}

// exported is a server that answered pulls of latest and of another tag, and its
// decisions in a file.
func exported(t *testing.T) (*server, string) {
	t.Helper()
	s := start(t, t.TempDir())
	for _, tag := range []string{"latest", "1.0"} {
		if err := remote.Write(s.ref("team/app:"+tag), image(t), asAdmin); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		for _, tag := range []string{"latest", "1.0"} {
			if _, err := remote.Get(s.ref("team/app:"+tag), asAdmin); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code, _ := s.get("/v2/team/app/manifests/latest", "admin", "wrong"); code != 401 {
		t.Fatal(code)
	}
	file := filepath.Join(t.TempDir(), "decisions.jsonl")
	deadline := time.Now().Add(time.Minute)
	for {
		s.must("decisions", "export", "-o", file)
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(raw), `"manifest.pull"`) >= 2 && strings.Count(string(raw), `"kind":"record"`) > 8 {
			return s, file
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pulls were not recorded: %s", raw)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestPolicyReplay(t *testing.T) {
	s, file := exported(t)
	same, strict := bundleOf(t, nil), bundleOf(t, map[string]string{"mine.rego": noLatest})
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(raw), "\n")
	expect := func(text string) string {
		return filepath.Join(bundleOf(t, map[string]string{"expect.json": text}), "expect.json")
	}
	part := func(text string) string {
		return filepath.Join(bundleOf(t, map[string]string{"part.jsonl": text}), "part.jsonl")
	}
	for _, c := range []struct {
		sentence string
		args     []string
		code     int
		says     string
	}{
		{"the bundle that decided answers the same", []string{"--bundle", same}, 0, "nothing changes that was not expected"},
		{"and says so", []string{"--bundle", same}, 0, "requests), 0 of them not as recorded"},
		{"and so it does of a file", []string{"--bundle", same, "--from", file}, 0, "nothing changes that was not expected"},
		{"a rule more denies", []string{"--bundle", strict}, 1, "not expected: mine.latest: newly denied"},
		{"and tells whom", []string{"--bundle", strict, "--from", file}, 1, "admin manifest.pull team/app:latest"},
		{"and where it is written", []string{"--bundle", strict, "--from", file}, 1, "mine.rego:8"},
		{"not of another project", []string{"--bundle", strict, "--from", file, "--project", "other"}, 0, "replayed 0 decisions"},
		{"not of another time", []string{"--bundle", strict, "--from", file, "--until", "2020-01-01"}, 0, "replayed 0 decisions"},
		{"nor of the server's", []string{"--bundle", strict, "--since", "2100-01-01"}, 0, "replayed 0 decisions"},
		{"what is expected is well", []string{"--bundle", strict, "--expect", expect(`{"rules":{"mine.latest":{"newly_denied":99}}}`)}, 0, "nothing changes that was not"},
		{"what was to change and does not is told", []string{"--bundle", same, "--expect", expect(`{"rules":{"mine.latest":{"newly_denied":99}}}`)}, 0, "mine.latest was expected to change something"},
		{"an expectation has no other fields", []string{"--bundle", same, "--expect", expect(`{"rules":{"a":{"newly_denyed":1}}}`)}, 2, "newly_denyed"},
		{"nor negative numbers", []string{"--bundle", same, "--expect", expect(`{"rules":{"a":{"changed":-1}}}`)}, 2, "negative"},
		{"nor is it empty", []string{"--bundle", same, "--expect", expect(`{}`)}, 2, "rules"},
		{"a bundle is needed", nil, 2, "--bundle is needed"},
		{"a bundle is there", []string{"--bundle", filepath.Join(same, "none")}, 2, "no such file"},
		{"a bundle compiles", []string{"--bundle", bundleOf(t, map[string]string{"a.rego": "package bondgate.rules.a\n\ndeny contains x"})}, 2, "unsafe"},
		{"a format is known", []string{"--bundle", same, "--format", "xml"}, 2, "--format is one of"},
		{"a flag is known", []string{"--bundel", same}, 2, "unknown flag"},
		{"an argument is none", []string{"more"}, 2, "unknown command"},
		{"a time is one", []string{"--bundle", same, "--since", "yesterday"}, 2, "--since"},
		{"a file is there", []string{"--bundle", same, "--from", file + ".none"}, 2, "no such file"},
		{"a file that breaks off is no answer", []string{"--bundle", same, "--from", part(strings.Join(lines[:len(lines)-2], ""))}, 2, "has no end"},
		{"nor is one in the middle of a line", []string{"--bundle", same, "--from", part(string(raw[:len(raw)/2]))}, 2, ""},
		{"nor is an empty one", []string{"--bundle", same, "--from", part("")}, 2, "has no end"},
		{"nor is one that is something else", []string{"--bundle", same, "--from", part("<html>\n")}, 2, "line 1"},
		{"nesting has an end", []string{"--bundle", same, "--from", part(`{"kind":"record","record":{"input":` + strings.Repeat("[", 1<<20) + "\n")}, 2, ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			out, err := s.cli("", append([]string{"policy", "replay"}, c.args...)...)
			if err != nil {
				out += err.Error()
			}
			if got := codeOf(err); got != c.code || !strings.Contains(out, c.says) {
				t.Fatalf("ends with %d, want %d and %q:\n%.2000s", got, c.code, c.says, out)
			}
		})
	}

	t.Run("reports are written in each form", func(t *testing.T) {
		for format, start := range map[string]string{"json": "{", "sarif": "{", "junit": "<?xml", "table": "replayed"} {
			at := filepath.Join(t.TempDir(), "report")
			out, err := s.cli("", "policy", "replay", "--bundle", strict, "--from", file, "--format", format, "-o", at)
			if codeOf(err) != 1 || out != "" {
				t.Fatalf("%s: %v %s", format, err, out)
			}
			raw, err := os.ReadFile(at)
			if err != nil || !strings.HasPrefix(string(raw), start) || !strings.Contains(string(raw), "mine.latest") {
				t.Fatalf("%s: %v %s", format, err, raw)
			}
		}
	})
	t.Run("requests are counted, not records", func(t *testing.T) {
		out, err := cli(t, string(raw), "policy", "replay", "--bundle", strict, "--from", "-", "--json")
		var r replay.Report
		if codeOf(err) != 1 || json.Unmarshal([]byte(out), &r) != nil {
			t.Fatalf("%v %s", err, out)
		}
		if r.NewlyDenied.Requests < 3 || r.Recorded.Requests < r.Recorded.Decisions || r.Rules[0].Title != "Nobody pulls latest" {
			t.Fatalf("%s", out)
		}
	})
}

func TestPolicyDiff(t *testing.T) {
	none := bundleOf(t, nil)
	mine := bundleOf(t, map[string]string{"mine.rego": noLatest})
	for _, c := range []struct {
		sentence string
		a, b     string
		args     []string
		code     int
		says     string
	}{
		{"a bundle is the same as itself", mine, mine, nil, 0, "the rules are the same"},
		{"a rule is added", none, mine, nil, 1, "+ rule mine.latest of pack mine about manifest.pull (mine.rego:8)"},
		{"a rule is removed", mine, none, nil, 1, "- rule mine.latest of pack mine"},
		{"a severity is another one", mine, bundleOf(t, map[string]string{"mine.rego": strings.Replace(noLatest, "high", "low", 1)}), nil, 1, "severity: high -> low"},
		{"as JSON", none, mine, []string{"--format", "json"}, 1, `"change": "added"`},
		{"nothing as JSON", mine, mine, []string{"--json"}, 0, `"differences": []`},
		{"a folder is there", none, filepath.Join(none, "none"), nil, 2, "no such file"},
		{"a format is known", none, none, []string{"--format", "sarif"}, 2, "--format"},
		{"a folder parses", none, bundleOf(t, map[string]string{"a.rego": "nonsense"}), nil, 2, "parse"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			out, err := cli(t, "", append([]string{"policy", "diff", c.a, c.b}, c.args...)...)
			if err != nil {
				out += err.Error()
			}
			if got := codeOf(err); got != c.code || !strings.Contains(out, c.says) {
				t.Fatalf("ends with %d, want %d and %q:\n%s", got, c.code, c.says, out)
			}
		})
	}
}

// What the documented schema takes the command takes, and nothing else.
func TestAnExpectationIsAsItsSchemaSays(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "replay-expect.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	for text, good := range map[string]bool{
		`{"rules": {}}`: true,
		`{"rules": {"a.b": {}, "(granted)": {"changed": 3}}}`:                                                               true,
		`{"rules": {"a.b": {"newly_denied": 3, "newly_allowed": 1, "changed": 2, "projects": {"p": {"newly_denied": 5}}}}}`: true,
		`{}`:                                     false,
		`[]`:                                     false,
		`{"rules": []}`:                          false,
		`{"rules": {}, "rule": {}}`:              false,
		`{"rules": {"a": {"denied": 1}}}`:        false,
		`{"rules": {"a": {"newly_denied": -1}}}`: false,
		`{"rules": {"a": {"newly_denied": "1"}}}`:                 false,
		`{"rules": {"a": {"newly_denied": 1.5}}}`:                 false,
		`{"rules": {"a": {"projects": {"p": {"changed": -1}}}}}`:  false,
		`{"rules": {"a": {"projects": {"p": {"projects": {}}}}}}`: false,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = readExpectation(filepath.Join(bundleOf(t, map[string]string{"e.json": text}), "e.json"))
		if taken := schema.Validate(doc) == nil; taken != good || (err == nil) != good {
			t.Errorf("%s: the schema takes it: %v, the command: %v", text, taken, err)
		}
	}
}
