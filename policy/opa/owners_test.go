package opa_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

func TestWhatAnAuthorMayNotWriteIsRefusedInWords(t *testing.T) {
	rule := "\n\ndeny contains {\"code\": \"x.y\", \"msg\": \"m\"} if input.action == \"manifest.pull\"\n"
	for _, c := range []struct{ name, path, body, says string }{
		{"the decision itself", "a.rego", "package bondgate\n\nallow := true\n", "not yours"},
		{"a package of the library", "a.rego", "package bondgate.lib.image\n\nx := 1\n", "not yours"},
		{"the rbac pack", "a.rego", "package bondgate.rules.rbac\n\nmay_manage if true\n", "cannot be extended"},
		{"a package below the rbac pack", "a.rego", "package bondgate.rules.rbac.extra\n\nx := 1\n", "cannot be extended"},
		{"the image pack", "a.rego", "package bondgate.rules.image" + rule, "cannot be extended"},
		{"a package below that of the log", "a.rego", "package system.log.more\n\nx := 1\n", "not yours"},
		{"a mask of the answer", "a.rego", "package system.log\n\nmask contains \"/result/deny\"\n", "not for a mask"},
		{"a mask that is no path", "a.rego", "package system.log\n\nmask contains \"input.subject\"\n", "begins with /input"},
		{"a mask with an operation that is none", "a.rego", "package system.log\n\nmask contains {\"op\": \"hide\", \"path\": \"/input/x\"}\n", "remove or upsert"},
		{"a mask that is a function", "a.rego", "package system.log\n\nmask(x) := x\n", "neither a function"},
		{"a drop that is a set", "a.rego", "package system.log\n\ndrop contains true\n", "true or false"},
		{"a mask that asks the network", "a.rego", "package system.log\n\nmask contains http.send({\"method\": \"GET\", \"url\": \"http://x\"}).body\n", "undefined function http.send"},
		{"a package of somebody else's", "a.rego", "package main" + rule, "not yours"},
		{"a pack of a project", "a.rego", "package bondgate.rules.p_payments" + rule, "belong to projects"},
		{"the root of the rules", "a.rego", "package bondgate.rules\n\nrbac := 1\n", "not yours"},
		{"a deny that is one value", "a.rego", "package bondgate.rules.mine\n\ndeny := {\"code\": \"x\", \"msg\": \"m\"} if input.action == \"x\"\n", "contains"},
		{"a deny that is a function", "a.rego", "package bondgate.rules.mine\n\ndeny(x) := x\n", "contains"},
		{"a deny that is an object", "a.rego", "package bondgate.rules.mine\n\ndeny[\"a\"] := {\"code\": \"x\", \"msg\": \"m\"}\n", "contains"},
		{"a deny below a deny", "a.rego", "package bondgate.rules.mine\n\ndeny.a contains 1\n", "contains"},
		{"a deny in a package below a pack", "a.rego", "package bondgate.rules.mine.sub" + rule, "nobody asks for a deny below a pack"},
		{"a package that is called deny", "a.rego", "package bondgate.rules.mine.deny\n\nx := 1\n", "cannot be called"},
		{"a rule that asks the network", "a.rego", "package bondgate.rules.mine\n\nx := http.send({\"method\": \"GET\", \"url\": \"http://x\"})\n", "undefined function http.send"},
		{"a rule that asks the clock", "a.rego", "package bondgate.rules.mine\n\nx := time.now_ns()\n", "undefined function time.now_ns"},
		{"a rule that asks the environment", "a.rego", "package bondgate.rules.mine\n\nx := opa.runtime()\n", "undefined function opa.runtime"},
		{"a rule that asks chance", "a.rego", "package bondgate.rules.mine\n\nx := rand.intn(\"a\", 5)\n", "undefined function rand.intn"},
		{"a rule that asks for a name's address", "a.rego", "package bondgate.rules.mine\n\nx := net.lookup_ip_addr(\"a\")\n", "undefined function net.lookup_ip_addr"},
		{"a rule that makes an id", "a.rego", "package bondgate.rules.mine\n\nx := uuid.rfc4122(\"a\")\n", "undefined function uuid.rfc4122"},
		{"a field that the schema does not have", "a.rego", "package bondgate.rules.mine\n\n# METADATA\n# schemas:\n#   - input: schema.input[\"manifest.pull\"]\ndeny contains {\"code\": \"x\", \"msg\": \"m\"} if input.artifact.confg.user == \"\"\n", "confg"},
		{"a rule that does not parse", "a.rego", "package bondgate.rules.mine\n\ndeny contains {\n", "rego_parse_error"},
		{"an empty file", "a.rego", "", "empty"},
		{"the code of a rule that is built in", "a.rego", "package bondgate.rules.mine\n\n# METADATA\n# custom:\n#   code: bondgate.mine\n" + strings.TrimSpace(rule) + "\n", "belongs to the gateway"},
		{"a date that is none", "a.rego", "package bondgate.rules.mine\n\n# METADATA\n# custom:\n#   code: x.y\n#   effective_on: soon\n" + strings.TrimSpace(rule) + "\n", "effective_on"},
		{"a fact group that is none", "a.rego", "package bondgate.rules.mine\n\n# METADATA\n# custom:\n#   code: x.y\n#   needs: [vulnerability]\n" + strings.TrimSpace(rule) + "\n", "no fact group"},
		{"a class that is none", "a.rego", "# METADATA\n# scope: package\n# custom:\n#   class: both\npackage bondgate.rules.mine" + rule, "access or content"},
		{"data at the root", "data.json", `{"x": 1}`, "not yours to set"},
		{"data of the decision", "data.json", `{"bondgate": {"meta": {}}}`, "not yours to set"},
		{"data of a shipped pack", "bondgate/rules/rbac/data.json", `{"rights": {}}`, "not yours to set"},
		{"data that is a deny", "bondgate/rules/mine/data.json", `{"deny": []}`, "not yours to set"},
		{"data that is no object", "bondgate/rules/mine/data.json", `[]`, "data.json"},
		{"a mode for a pack that is not there", "bondgate/packs/data.json", `{"gone": {"mode": "deny"}}`, "no such pack"},
		{"a mode that is none", "bondgate/packs/data.json", `{"image": {"mode": "hard"}}`, "mode is"},
		{"a misspelt key for a pack", "bondgate/packs/data.json", `{"image": {"mod": "deny"}}`, "unknown field"},
		{"a root that is not theirs", ".manifest", `{"roots": ["bondgate"]}`, "not yours"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := opa.Compile(t.Context(), sourceWith(t, opa.File{Path: c.path, Data: []byte(c.body)}))
			if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("want an error with %q, got %v", c.says, err)
			}
		})
	}
}

func TestAManifestBindsItsAuthor(t *testing.T) {
	man := opa.File{Path: ".manifest", Data: []byte(`{"roots": ["bondgate/rules/mine"]}`)}
	if _, err := opa.Compile(t.Context(), sourceWith(t, man, pack("", always))); err != nil {
		t.Fatal(err)
	}
	_, err := opa.Compile(t.Context(), sourceWith(t, man, mine(noroot)))
	if err == nil || !strings.Contains(err.Error(), "outside of the roots") {
		t.Fatalf("got %v", err)
	}
}

func TestAHelperBelowOnesOwnPackIsAllowed(t *testing.T) {
	ev := compileWith(t,
		opa.File{Path: "mine/help.rego", Data: []byte("package bondgate.rules.mine.help\n\nbad(name) if name == data.bondgate.rules.mine.list[_]\n")},
		opa.File{Path: "bondgate/rules/mine/data.json", Data: []byte(`{"list": ["alice"]}`)},
		pack("", `deny contains {"code": "mine.no", "msg": "no"} if {
	input.action == "manifest.pull"
	data.bondgate.rules.mine.help.bad(input.subject.name)
}`))
	if d := decide(t, ev, pullFacts(ev)); codes(d.Deny) != "mine.no" {
		t.Fatalf("got %+v", d)
	}
}

func TestASourceHasLimits(t *testing.T) {
	src := sourceWith(t, pack("", always))
	src.Limits = opa.Limits{Files: 3}
	if _, err := opa.Compile(t.Context(), src); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Fatalf("too many files: %v", err)
	}
	src.Limits = opa.Limits{Bytes: 100}
	if _, err := opa.Compile(t.Context(), src); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Fatalf("too many bytes: %v", err)
	}
	src.Limits = opa.Limits{CompileTime: 1}
	if _, err := opa.Compile(t.Context(), src); !errors.Is(err, policy.ErrInvalid) {
		t.Fatalf("too long: %v", err)
	}
}
