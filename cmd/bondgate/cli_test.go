package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestTheCommandLine(t *testing.T) {
	s := start(t, t.TempDir())
	packConfig := filepath.Join(t.TempDir(), "image.json")
	if err := os.WriteFile(packConfig, []byte(`{"allow_root":false}`), 0o600); err != nil {
		t.Fatal(err)
	}
	// One after the other, as a person would: each line stands on those before.
	steps := []struct {
		sentence string
		line     string
		input    string
		// says and fails are regular expressions: what is written, or the error.
		says, fails string
	}{
		{"an account gets a password that is printed once", "user add alice --real-name Alice", "", `made user alice\npassword: \S{24}\n`, ""},
		{"an account gets the password of standard input", "user add bob --password-stdin", "bobs-password\n", `^made user bob\n$`, ""},
		{"a name is taken once", "user add bob --password-stdin", "bobs-password\n", "", "there already"},
		{"no password is none", "user add carol --password-stdin", "", "", "no password"},
		{"a password has a length", "user add carol --password-stdin", "short\n", "", "at least 8"},
		{"no password comes by an argument", "user add carol --password hush", "", "", "unknown flag"},
		{"accounts are listed", "user list", "", `NAME +ADMIN .*\nadmin +yes .*\nalice +- `, ""},
		{"accounts are listed as JSON", "user list --json", "", `"name": "bob"`, ""},
		{"a password is changed", "user passwd bob --password-stdin", "bobs-new-password\n", `^changed user bob\n$`, ""},
		{"nobody's password is not", "user passwd nobody", "", "", "not found"},
		{"an account is disabled", "user disable alice", "", `^disabled user alice\n$`, ""},
		{"an account is enabled", "user enable alice", "", `^enabled user alice\n$`, ""},
		{"the last administrator stays", "user disable admin", "", "", "last enabled administrator"},
		{"a project is private", "project create team --owner payments --label tier=prod", "", `^made private project team\n$`, ""},
		{"a project's name has a form", "project create Team", "", "", "a-z"},
		{"a project is made once", "project create team", "", "", "there already"},
		{"a project becomes public", "project set team --public", "", `: public`, ""},
		{"a project becomes private", "project set team --private", "", `: private`, ""},
		{"not both", "project set team --private --public", "", "", "none of the others can be"},
		{"a pack of rules is put in force", "project set team --pack image=deny --pack-config image=" + packConfig, "", "changed", ""},
		{"a mode is one of four", "project set team --pack image=maybe", "", "", "maybe"},
		{"a configuration is a file", "project set team --pack-config image=/nonexistent", "", "", "no such file"},
		{"projects are listed", "project list", "", `team +private +payments +image=deny`, ""},
		{"projects are listed as JSON", "project list --json", "", `"name": "team"`, ""},
		{"a member gets a role", "member add team alice developer", "", `^alice is developer in team\n$`, ""},
		{"a member gets another role", "member add team alice --role maintainer", "", "maintainer", ""},
		{"a group gets a role", "member add team cn=devs,o=acme guest --group --issuer ldap", "", "cn=devs,o=acme is guest", ""},
		{"nobody gets no role", "member add team nobody guest", "", "", "not found"},
		{"a role is one of five", "member add team alice king", "", "", "projectAdmin"},
		{"a role is needed", "member add team alice", "", "", "a role is needed"},
		{"members are listed", "member list team", "", `alice +user +local +maintainer +-\n`, ""},
		{"a member gets a part", "member add team alice developer --repositories team/web-*", "", "alice is developer", ""},
		{"a part is listed", "member list team", "", `alice +user +local +developer +team/web-\*\n`, ""},
		{"a part is shown", "project show team", "", `alice \(user, local\): developer of team/web-\*`, ""},
		{"a part is taken away", "member remove team alice --repositories team/web-* --json", "", `"name": "alice"`, ""},
		{"members are listed as JSON", "member list team --json", "", `"role": "maintainer"`, ""},
		{"a person is one with another", "user link bob --to alice", "", `^linked bob to alice\n$`, ""},
		{"with one", "user link bob --to admin", "", "", "one link"},
		{"not with itself", "user link admin --to admin", "", "", "itself"},
		{"nor with nobody", "user link admin --to nobody", "", "", "nobody is called"},
		{"everybody is listed", "user people", "", `NAME +ISSUER +SUBJECT +LINKED TO .*\nadmin +local +admin +- +yes .*\nalice .*\nbob +local +bob +alice +- `, ""},
		{"everybody is listed as JSON", "user people --json", "", `"linked_to": "alice"`, ""},
		{"they are parted", "user unlink bob", "", `^unlinked bob\n$`, ""},
		{"once", "user unlink bob", "", "", "not found"},
		{"a group is of administrators", "group admin cn=devs,o=acme --issuer ldap", "", `cn=devs,o=acme of ldap are administrators`, ""},
		{"groups are listed", "group list", "", `NAME +ISSUER +DN +ADMIN\ncn=devs,o=acme +ldap +- +yes\n`, ""},
		{"a group is so no more", "group admin cn=devs,o=acme --issuer ldap --off", "", `are not administrators`, ""},
		{"groups are listed as JSON", "group list --json", "", `"admin": false`, ""},
		{"a group of another issuer is another", "group admin cn=devs,o=acme --issuer other", "", "", "not found"},
		{"a project is shown", "project show team", "", `(?s)label +tier=prod.*member +alice.*owner +payments.*pack +image=deny \{"allow_root":false\}`, ""},
		{"a project is shown as JSON", "project show team --json", "", `"members": \[`, ""},
		{"a member loses the role", "member remove team alice", "", "removed", ""},
		{"who is no member does not", "member remove team alice", "", "", "not found"},
		{"a pack goes back to what the bundle says", "project set team --pack image=default", "", "changed", ""},
		{"a waiver has an end", "waiver add image.root_user", "", "", "expires"},
		{"a waiver's end is a moment", "waiver add image.root_user --expires soon", "", "", "moment"},
		{"a waiver lifts a rule", "waiver add image.root_user --id W-1 --expires 30d --project team --reason x", "", `made waiver W-1 of image.root_user until \S+Z`, ""},
		{"waivers are listed", "waiver list", "", `W-1 +image.root_user +- +team +operator`, ""},
		{"waivers are listed as JSON", "waiver list --json", "", `"id": "W-1"`, ""},
		{"a waiver names one rule", "waiver add image.* --expires 30d", "", "", "one rule"},
		{"a waiver is asked for", "waiver request image.max_age --id W-2 --expires 30d --project team --term x --reason y --ticket T-1", "", `^asked for waiver W-2 of image.max_age until \S+Z\n$`, ""},
		{"what is asked for is listed", "waiver list --state pending", "", `^ID .*\nW-2 +image.max_age +x +team +operator +- +pending +api +\S+Z\n$`, ""},
		{"what nobody approved is not active", "waiver list --state active", "", `^ID .*\nW-1 .*\n$`, ""},
		{"what nobody read is not approved", "waiver approve W-2 --version other", "", "", "has changed"},
		{"a waiver is rejected", "waiver reject W-2 --reason no", "", `^rejected waiver W-2: image.max_age x in team until \S+Z, asked for by operator\n$`, ""},
		{"a waiver is decided once", "waiver approve W-2", "", "", "does not wait"},
		{"a rejected waiver is listed", "waiver list --state rejected --project team", "", `\nW-2 `, ""},
		{"a rejected waiver is asked for again", "waiver update W-2 --reason better", "", `^changed waiver W-2: pending, until`, ""},
		{"a waiver is approved", "waiver approve W-2 --reason fine", "", `^approved waiver W-2`, ""},
		{"a waiver is shown", "waiver show W-2", "", `(?s)state +active\n.*reason +better\n.*asked for by +operator\ndecided by +operator: fine`, ""},
		{"a waiver ends earlier", "waiver update W-2 --expires 5d", "", `^changed waiver W-2: expiring`, ""},
		{"within what is soon", "waiver list --state expiring --within 24h", "", `^ID .*EXPIRES\n$`, ""},
		{"a waiver ends later once it is approved again", "waiver update W-2 --expires 6d", "", `^changed waiver W-2: pending`, ""},
		{"a waiver is taken back", "waiver remove W-1", "", "removed waiver W-1", ""},
		{"once", "waiver remove W-1", "", "", "not found"},
		{"the other too", "waiver remove W-2", "", "removed waiver W-2", ""},
		{"the server is well", "status", "", `(?s)bondgate +test.*policy +ok`, ""},
		{"the index is rebuilt", "reindex", "", `indexed 0 repositories`, ""},
		{"the index is rebuilt as JSON", "reindex --json", "", `"repositories": 0`, ""},
		{"a decision is of an action", "decisions tail --action fly", "", "", "fly"},
		{"a decision has an id", "decisions show none", "", "", "^decision none: not found$"},
		{"the newest decisions of a rule", "decisions tail --rule rbac.admin --since 1h --json", "", `^$`, ""},
		{"a number of decisions is not negative", "decisions list -n -1", "", "", "--number"},
		{"a waiver stands in one of its states", "waiver list --state over", "", "", "pending, active, expiring, expired or rejected"},
		{"soon is a span of time", "waiver list --within x", "", "", `^--within: "x"`},
		{"the end of a waiver is a moment", "waiver add house.rule --expires tomorrow", "", "", `^--expires: "tomorrow"`},
		{"the end of a grant is a moment", "breakglass open team --justification j --ticket t --expires soon", "", "", `^--expires: "soon"`},
		{"what would be decided of an image wants the image", "policy explain --action manifest.pull --image team/app:none", "", "", "there is no image team/app none: not found"},
		{"a version is printed", "version", "", `^bondgate \S+ \(go`, ""},
		{"a version is printed as JSON", "version --json", "", `"go": "go`, ""},
	}
	for _, step := range steps {
		out, err := s.cli(step.input, strings.Fields(step.line)...)
		switch {
		case step.fails == "" && err != nil:
			t.Fatalf("%s: %s: %v", step.sentence, step.line, err)
		case step.fails != "" && (err == nil || !regexp.MustCompile(step.fails).MatchString(err.Error())):
			t.Errorf("%s: %s: the error is %v", step.sentence, step.line, err)
		case !regexp.MustCompile(step.says).MatchString(out):
			t.Errorf("%s: %s: written is %s", step.sentence, step.line, out)
		}
	}
	if status, _ := s.get("/v2/", "bob", "bobs-new-password"); status != 200 {
		t.Errorf("the new password answers %d", status)
	}
	if status, _ := s.get("/v2/", "bob", "bobs-password"); status != 401 {
		t.Errorf("the old password answers %d", status)
	}
}

func TestPeopleWhoAreLinkedAreOneAtOnce(t *testing.T) {
	s := start(t, t.TempDir())
	for _, name := range []string{"alice", "bob"} {
		if _, err := s.cli(name+"s-password\n", "user", "add", name, "--password-stdin"); err != nil {
			t.Fatal(err)
		}
	}
	s.must("project", "create", "team")
	s.must("member", "add", "team", "alice", "guest")
	bob := func(path string, want int) {
		t.Helper()
		if status, body := s.get(path, "bob", "bobs-password"); status != want {
			t.Errorf("%s answers %d, not %d: %s", path, status, want, body)
		}
	}
	bob("/api/v1/projects/team", http.StatusNotFound)
	s.must("user", "link", "bob", "--to", "alice")
	bob("/api/v1/projects/team", http.StatusOK)
	if status, _ := s.get("/api/v1/people", "bob", "bobs-password"); status != http.StatusForbidden {
		t.Errorf("somebody who is no administrator lists people: %d", status)
	}
	s.must("user", "disable", "alice")
	bob("/api/v1/projects/team", http.StatusUnauthorized)
	s.must("user", "enable", "alice")
	s.must("user", "unlink", "bob")
	bob("/api/v1/projects/team", http.StatusNotFound)
	s.must("user", "link", "alice", "--to", "admin")
	bob("/api/v1/people", http.StatusForbidden)
	if status, _ := s.get("/api/v1/people", "alice", "alices-password"); status != http.StatusOK {
		t.Errorf("whoever is one with an administrator is answered %d", status)
	}
}

func TestDecisionsAreListedInTheirOrder(t *testing.T) {
	s := start(t, t.TempDir())
	s.must("project", "create", "one")
	s.must("project", "create", "two")
	eventually(t, "both decisions are in the record", func() bool {
		out := s.must("decisions", "tail", "--subject", "operator")
		first, second := strings.Index(out, "  project:create one  "), strings.Index(out, "  project:create two  ")
		return first >= 0 && second > first
	})
	out := s.must("decisions", "tail", "--json", "--project", "two")
	var d struct{ ID, Action, Verdict string }
	if err := json.Unmarshal([]byte(strings.TrimSpace(out)), &d); err != nil || d.Action != "admin.api" || d.Verdict != "allow" {
		t.Fatalf("the decision about two is %s: %v", out, err)
	}
	if shown := s.must("decisions", "show", d.ID); !strings.Contains(shown, "operator") || !strings.Contains(shown, "admin.api") {
		t.Fatalf("it is shown as %s", shown)
	}
}

func TestTheManagementAPIOverHTTP(t *testing.T) {
	s := start(t, t.TempDir())
	if _, err := s.cli("bobs-password\n", "user", "add", "bob", "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[[2]string]int{
		{"admin", adminPassword}: 200, {"bob", "bobs-password"}: 403, {"bob", "wrong-password"}: 401, {}: 401,
	} {
		if status, body := s.get("/api/v1/users", who[0], who[1]); status != want {
			t.Errorf("%q is answered %d %s", who[0], status, body)
		}
	}
	s.must("user", "disable", "bob")
	if status, _ := s.get("/v2/", "bob", "bobs-password"); status != 401 {
		t.Errorf("a disabled account is answered %d", status)
	}
}

func TestEveryCommandSaysWhatItDoes(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s says nothing of itself", cmd.CommandPath())
		}
		if !cmd.HasSubCommands() && cmd.Args == nil {
			t.Errorf("%s takes any arguments", cmd.CommandPath())
		}
		if strings.Contains(cmd.CommandPath(), "list") && cmd.Flag("json") == nil {
			t.Errorf("%s prints no JSON", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(deps{}))
}

func TestConfigCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bondgate.yaml")
	if err := os.WriteFile(file, []byte("listen: localhost:1\nlistn: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cli(t, "", "config", "check", file); err == nil || !strings.Contains(err.Error(), "bondgate.yaml:2: unknown key listn") {
		t.Errorf("the check says %v", err)
	}
	if err := os.WriteFile(file, []byte("listen: localhost:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := cli(t, "", "config", "check", file); err != nil || !strings.HasSuffix(out, ": ok\n") {
		t.Errorf("the check says %q %v", out, err)
	}
	if _, err := cli(t, "", "config", "chekc", file); err == nil {
		t.Error("a command that does not exist is no error")
	}
	if out, err := cli(t, "", "config", "schema"); err != nil || !json.Valid([]byte(out)) {
		t.Errorf("the schema is %q %v", out, err)
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]string{
		"72h": "2026-09-04T12:00:00Z", "30d": "2026-10-01T12:00:00Z", "2027-01-31": "2027-01-31T00:00:00Z",
		"2027-01-31T12:00:00Z": "2027-01-31T12:00:00Z",
		"":                     "", "-1h": "", "0d": "", "-3d": "", "1.5d": "", "31.1.2027": "",
	}
	for s, want := range tests {
		at, err := moment(s, now)
		if (err == nil) != (want != "") || err == nil && at.Format(time.RFC3339) != want {
			t.Errorf("%q is %v %v", s, at, err)
		}
	}
}

func TestNothingSteersATerminal(t *testing.T) {
	if got := clean("a\x1b[31mb\r\nc\u202ed"); got != "a\ufffd[31mb\ufffd\ufffdc\ufffdd" {
		t.Fatalf("it is %q", got)
	}
}
