package opa_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

func logs(body string) opa.File {
	return opa.File{Path: "log.rego", Data: []byte("package system.log\n\n" + body + "\n")}
}

// event is a decision event like that of a pull by alice.
func event() map[string]any {
	return map[string]any{
		"decision_id": "d1", "path": "bondgate/decision", "labels": map[string]any{"id": "w"},
		"result":    map[string]any{"allow": true, "deny": []any{}},
		"timestamp": "2026-11-21T10:00:00Z",
		"input": map[string]any{
			"action":  "manifest.pull",
			"subject": map[string]any{"name": "alice", "claims": map[string]any{"email": "alice@acme"}, "groups": []any{"devs"}},
			"request": map[string]any{"client_ip": "10.1.2.3", "user_agent": "docker/29.0"},
		},
	}
}

func shown(r policy.RecordRuling) string {
	var out []string
	for _, m := range r.Masks {
		at := "/" + strings.Join(m.Path, "/")
		if m.Upsert {
			at += fmt.Sprintf("=%v", m.Value)
		}
		out = append(out, at)
	}
	slices.Sort(out)
	if r.Drop {
		out = append(out, "drop")
	}
	if r.Failure != nil {
		out = append(out, r.Failure.Error())
	}
	return strings.Join(out, " ")
}

func TestRulesOfTheDecisionLogSayWhatIsHidden(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"a path", `mask contains "/input/request/user_agent"`, "/request/user_agent"},
		{"an operation", `mask contains {"op": "remove", "path": "/input/subject/claims"}`, "/subject/claims"},
		{"a value of the author's", `mask contains {"op": "upsert", "path": "/input/subject/name", "value": "somebody"}`, "/subject/name=somebody"},
		{"a value that is made of what is there", "mask contains {\"op\": \"upsert\", \"path\": \"/input/request/client_ip\", \"value\": net} if {\n\tp := split(input.input.request.client_ip, \".\")\n\tnet := concat(\".\", [p[0], p[1], \"0\", \"0\"])\n}", "/request/client_ip=10.1.0.0"},
		{"a condition that holds", `mask contains "/input/subject/claims" if input.input.action == "manifest.pull"`, "/subject/claims"},
		{"a condition that does not", `mask contains "/input/subject/claims" if input.input.action == "blob.pull"`, ""},
		{"a path that is made", "mask contains sprintf(\"/input/subject/claims/%s\", [name]) if some name, _ in input.input.subject.claims", "/subject/claims/email"},
		{"a key with a slash", `mask contains "/input/artifact/annotations/org.acme~1team"`, "/artifact/annotations/org.acme/team"},
		{"all of the input", `mask contains "/input"`, "/"},
		{"a mask that is one set", `mask := {"/input/a", "/input/b"}`, "/a /b"},
		{"a mask that is a list", `mask := ["/input/a"]`, "/a"},
		{"a mask that is undefined", `mask := ["/input/a"] if input.input.action == "blob.pull"`, ""},
		{"what OPA records and we do not", `mask contains "/nd_builtin_cache"`, ""},
		{"help of a rule beside", "bad := {\"devs\"}\n\nmask contains \"/input/subject/groups\" if {\n\tsome g in input.input.subject.groups\n\tg in bad\n}", "/subject/groups"},
		{"a drop", `drop if input.result.allow`, "drop"},
		{"a drop that is false", "default drop := false\n\ndrop if not input.result.allow", ""},
		{"a drop that is no truth", `drop := "yes"`, ""},
		{"a drop that fails", "mask contains \"/input/a\"\n\ndrop if to_number(input.input.action) > 1", "/a system.log.drop: eval_builtin_error at log.rego:5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := compileWith(t, logs(c.body)).LogRules()
			got, err := rules.About(t.Context(), event())
			if err != nil || shown(got) != c.want {
				t.Errorf("%q, %v, want %q", shown(got), err, c.want)
			}
		})
	}
}

func TestMasksThatFailSayNothingIsKnown(t *testing.T) {
	for _, c := range []struct{ name, body, says string }{
		{"a builtin that fails", `mask contains "/input/a" if to_number(input.input.action) > 1`, "eval_builtin_error"},
		{"two values of one rule", "mask := [\"/input/a\"] if input.input.action\n\nmask := [\"/input/b\"] if input.result", "eval_conflict_error"},
		{"a path that is none", `mask contains input.input.action`, "begins with /input"},
		{"a path into the answer", `mask contains concat("/", ["", "result", "deny"])`, "not for a mask"},
		{"a number", `mask contains count(input.input)`, "a path is a text"},
		{"an operation that is none", `mask contains {"op": input.input.action, "path": "/input/a"}`, "remove or upsert"},
		{"no set", `mask := "/input/a"`, "no set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := compileWith(t, logs(c.body)).LogRules().About(t.Context(), event())
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q, %v, want %q", shown(got), err, c.says)
			}
		})
	}
}

func TestAMaskThatNeverEndsIsCutShort(t *testing.T) {
	rules := compileWith(t, logs("mask contains \"/input/a\" if {\n\tsome a in numbers.range(1, 100000)\n\tsome b in numbers.range(1, 100000)\n\ta + b == 0\n}")).LogRules()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := rules.About(ctx, event()); err == nil {
		t.Error("it ended")
	}
}

func TestTheDecisionLogChangesNoDecision(t *testing.T) {
	plain := compileWith(t, pack("", always))
	with := compileWith(t, pack("", always), logs(`mask contains "/input/request/user_agent" if input.input.artifact.annotations.x == "y"`+"\n\ndrop if input.result.allow"))
	if !slices.Equal(plain.Reads(policy.ManifestPull), with.Reads(policy.ManifestPull)) {
		t.Errorf("a decision reads %q without and %q with it", plain.Reads(policy.ManifestPull), with.Reads(policy.ManifestPull))
	}
	if plain.LogRules() != nil {
		t.Error("a bundle without rules of the log has some")
	}
	// A rule that asks the log for its masks gets no answer.
	asks := compileWith(t, logs(`mask contains "/input/a"`), pack("", `deny contains {"code": "mine.no", "msg": "no"} if {
	input.action == "manifest.pull"
	count(data.system.log.mask) > 0
}`))
	if d := decide(t, asks, pullFacts(asks)); !d.Allowed() {
		t.Errorf("a decision saw the masks: %s", d.Message)
	}
}

func TestAManifestMayNameTheDecisionLog(t *testing.T) {
	for roots, good := range map[string]bool{`["bondgate/rules/mine", "system/log"]`: true, `["bondgate/rules/mine"]`: false, `["system"]`: false} {
		_, err := opa.Compile(t.Context(), sourceWith(t, opa.File{Path: ".manifest", Data: []byte(`{"roots": ` + roots + `}`)}, logs(`mask contains "/input/a"`)))
		if (err == nil) != good {
			t.Errorf("%s: %v", roots, err)
		}
	}
}

func TestAMaskOfWhatARuleReadsIsWarnedOf(t *testing.T) {
	reads := pack("", `deny contains {"code": "mine.no", "msg": "no"} if {
	input.action == "manifest.pull"
	input.request.user_agent == "x"
}`)
	for _, c := range []struct{ name, body, warns string }{
		{"a path that is read", `mask contains "/input/request/user_agent"`, "log.rego:3: the mask of input.request.user_agent"},
		{"a part of it", `mask contains "/input/request"`, "input.request hides"},
		{"all of the input", `mask contains "/input"`, "the mask of input"},
		{"an operation", `mask contains {"op": "upsert", "path": "/input/request/user_agent", "value": x} if x := 1`, "input.request.user_agent"},
		{"one of a list", `mask := ["/input/artifact/annotations/x", "/input/request/user_agent"]`, "input.request.user_agent"},
		{"a path that no rule reads", `mask contains "/input/subject/claims/email"`, ""},
		{"a path that is made", `mask contains concat("/", ["", "input", "request"])`, ""},
	} {
		got := strings.Join(compileWith(t, reads, logs(c.body)).Warnings(), "\n")
		if c.warns == "" && got != "" || !strings.Contains(got, c.warns) {
			t.Errorf("%s: %q, want %q", c.name, got, c.warns)
		}
	}
}
