package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/decisionlog"
)

func TestDecisionsAreFoundExportedAndVerified(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	for _, name := range []string{"one", "two", "three"} {
		s.must("project", "create", name)
	}
	count := func(args ...string) int {
		out := s.must(append([]string{"decisions", "list", "--json"}, args...)...)
		return strings.Count(out, "\n")
	}
	eventually(t, "all are in the record", func() bool { return count("--action", "admin.api", "--project", "three") == 1 })
	for _, c := range []struct {
		what string
		args []string
		want int
	}{
		{"of one project", []string{"--project", "one"}, 1},
		{"of a project that nobody asked for", []string{"--project", "none"}, 0},
		{"denied", []string{"--verdict", "deny"}, 0},
		{"of a rule that never fired", []string{"--rule", "image.root_user"}, 0},
		{"at most two", []string{"-n", "2"}, 2},
		{"before anything was asked", []string{"--until", "2026-01-01"}, 0},
		{"since a while, of one who is not there", []string{"--since", "1h", "--subject", "nobody", "--issuer", "local"}, 0},
		{"since tomorrow", []string{"--since", time.Now().Add(24 * time.Hour).Format(time.RFC3339)}, 0},
	} {
		if n := count(c.args...); n != c.want {
			t.Errorf("%s: %d decisions, want %d", c.what, n, c.want)
		}
	}
	if n := count("-n", "0", "--since", "7d", "--action", "admin.api"); n < 3 {
		t.Errorf("all are %d", n)
	}
	for _, bad := range []string{"yesterday", "-1h", "d"} {
		if _, err := s.cli("", "decisions", "list", "--since="+bad); err == nil || !strings.Contains(err.Error(), "no time such as") {
			t.Errorf("since %s: %v", bad, err)
		}
	}

	file := filepath.Join(t.TempDir(), "export.jsonl")
	s.must("decisions", "export", "--project", "two", "-o", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range decisionlog.ReadExport(bytes.NewReader(text)) {
		if err != nil || e.Project != "two" || !json.Valid(e.Input) {
			t.Fatalf("record %+v: %v", e, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d records were exported", n)
	}
	if out := s.must("decisions", "export", "--project", "two"); out != string(text) {
		t.Errorf("to the terminal goes %q", out)
	}

	if out := s.must("decisions", "verify"); !strings.Contains(out, "1 days: intact") {
		t.Errorf("verified as %s", out)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	days, err := filepath.Glob(filepath.Join(dir, "decisions", "decisions-*"))
	if err != nil || len(days) == 0 {
		t.Fatal(days, err)
	}
	for _, f := range days {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s = start(t, dir)
	s.must("project", "create", "four")
	out, err := s.cli("", "decisions", "verify")
	var end *exit
	if !errors.As(err, &end) || end.code != exitDiffers || !strings.Contains(out, "NOT as it was written") || !strings.Contains(out, "removed") {
		t.Errorf("after a day was removed it says %v and %s", err, out)
	}
	out, err = s.cli("", "decisions", "verify", "--json")
	var v api.Verification
	if json.Unmarshal([]byte(out), &v) != nil || err == nil || v.Intact || v.Findings[0].Kind != decisionlog.Removed || v.Findings[0].First != 1 {
		t.Errorf("as JSON it says %v and %s", err, out)
	}
}

// Class 25: whoever names a tag or a project writes into what others read.
func TestNoDecisionSteersATerminal(t *testing.T) {
	const evil = "a\x1b[2J\u009b31m\u202e\r\nfake\tline\x00"
	reasons := []policy.Reason{{Code: evil, Pack: evil, Message: evil, Remediation: evil, Term: evil}}
	d := &api.DecisionRecord{
		ID: evil, Verdict: evil, Action: policy.Action(evil), Subject: evil, Issuer: evil, Project: evil, Repository: evil, Reference: evil,
		Digest: evil, Message: evil, Deny: reasons, Outage: evil, RequestID: evil, Revision: evil, Writer: evil, Hash: evil, Count: 2,
		Input: json.RawMessage(`{"x":"` + "\u009b\u202e" + `"}`),
	}
	v := &api.Verification{
		Heads:    []api.VerificationHead{{Writer: evil, Hash: evil}},
		Findings: []api.VerificationFinding{{Kind: evil, Writer: evil, Day: evil, What: evil}},
	}
	for _, asJSON := range []bool{false, true} {
		r := &operator{json: asJSON}
		var out bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetOut(&out)
		if err := errors.Join(r.printDecision(cmd, d), r.printVerification(cmd, v)); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if line = strings.TrimSuffix(line, "\n"); clean(line) != line || strings.HasPrefix(line, "fake") {
				t.Errorf("it writes %q", line)
			}
		}
	}
	var out bytes.Buffer
	if err := copyLines(&out, strings.NewReader(`{"kind":"record","x":"`+"\u009b\u202e"+`"}`+"\n"+`{"kind":"end"}`+"\n")); err != nil || strings.ContainsAny(out.String(), "\u009b\u202e") {
		t.Errorf("an export writes %q, %v", out.String(), err)
	}
	if err := copyLines(&out, strings.NewReader(`{"kind":"record"}`+"\n")); !errors.Is(err, errNotWhole) {
		t.Errorf("half an export: %v", err)
	}
}
