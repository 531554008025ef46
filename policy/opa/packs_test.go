package opa_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

func TestPacksCompleteWhatAProjectSays(t *testing.T) {
	plain := compileWith(t)
	set := compileWith(t, opa.File{Path: "bondgate/packs/data.json",
		Data: []byte(`{"image": {"mode": "warn", "config": {"max_age_days": 30}}, "rbac": {"mode": "off"}}`)})
	for _, c := range []struct {
		name string
		ev   policy.Evaluator
		own  []policy.Pack
		want string
	}{
		{"nothing said is rbac alone", plain, nil, "rbac=deny"},
		{"a project turns the image pack on", plain, []policy.Pack{{Name: "image", Mode: "deny", Config: []byte(`{"deny_root":true}`)}}, `image=deny{"deny_root":true} rbac=deny`},
		{"a project cannot turn rbac off", plain, []policy.Pack{{Name: "rbac", Mode: "off"}}, "rbac=deny"},
		{"a pack that is not loaded stays in the answer", plain, []policy.Pack{{Name: "vuln", Mode: "warn"}}, "rbac=deny vuln=warn"},
		{"a pack that is not loaded and off does not", plain, []policy.Pack{{Name: "vuln", Mode: "off"}}, "rbac=deny"},
		{"a pack said twice is as strict as the stricter", plain, []policy.Pack{{Name: "image", Mode: "warn"}, {Name: "image", Mode: "dryrun"}}, "image=warn rbac=deny"},
		{"the operator's data sets a mode, and never lowers rbac", set, nil, `image=warn{"max_age_days":30} rbac=deny`},
		{"a project cannot lower what the operator set", set, []policy.Pack{{Name: "image", Mode: "off"}}, `image=warn{"max_age_days":30} rbac=deny`},
		{"a project adds to a configuration and changes none of it", set, []policy.Pack{{Name: "image", Mode: "deny", Config: []byte(`{"deny_root":true,"max_age_days":9999}`)}}, `image=deny{"deny_root":true,"max_age_days":30} rbac=deny`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range c.ev.Packs(c.own) {
				got = append(got, p.Name+"="+string(p.Mode)+string(p.Config))
			}
			if strings.Join(got, " ") != c.want {
				t.Fatalf("got %v", got)
			}
		})
	}
}

func TestTheImagePackDeniesWhatAProjectConfigured(t *testing.T) {
	ev := compileWith(t)
	d := decide(t, ev, pullFacts(ev, policy.Pack{Name: "image", Mode: "deny", Config: []byte(`{"deny_root":true}`)}))
	if codes(d.Deny) != "image.root_user" || !strings.Contains(d.Deny[0].Remediation, "USER") {
		t.Fatalf("got %+v", d)
	}
	if d := decide(t, ev, pullFacts(ev, policy.Pack{Name: "image", Mode: "deny"})); !d.Allowed() {
		t.Fatalf("nothing is configured: %s", d.Message)
	}
}

func TestReadsAreThePathsThatTheRulesRead(t *testing.T) {
	shipped := compileWith(t).Reads(policy.ManifestPull)
	for _, p := range []string{"action", "purpose", "blob.manifest", "subject.roles", "project.packs", "waivers"} {
		if !slices.Contains(shipped, p) {
			t.Errorf("%s is not among %v", p, shipped)
		}
	}
	for _, p := range shipped {
		if strings.HasPrefix(p, "request") || p == "blob" || p == "blob.digest" || strings.HasPrefix(p, "upload") {
			t.Errorf("the shipped policy reads %s, which would part what many clients share", p)
		}
	}
	for _, c := range []struct{ name, rule, want string }{
		{"a plain path", `input.request.client_ip == "10.0.0.1"`, "request.client_ip"},
		{"a path in brackets", `input["request"]["user_agent"] == "x"`, "request.user_agent"},
		{"a path that goes on with a variable", "some k\n\tinput.request[k] == \"x\"", "request"},
		{"a path inside of brackets", `input.project.labels[input.request.host] == "x"`, "request.host"},
		{"a path inside of a comprehension", `count([x | x := input.request.method]) > 0`, "request.method"},
		{"a path by a function", `f(input.request)`, "request"},
		{"a key with a dot", `input.artifact.annotations["org.example.x"] == "x"`, "artifact.annotations"},
		{"a path in a text with holes", "x := $\"{input.request.host} is\"\n\tx == \"a is\"", "request.host"},
		{"a path under every", "every g in input.subject.groups { g == input.request.path }", "request.path"},
		{"a path under not", "not input.request.path", "request.path"},
		{"a path in the key of another rule", `keyed.a`, "request.host"},
		{"a path in an else", `other == 2`, "request.user_agent"},
		{"all of it", `object.get(input, "request", 1) == 1`, ""},
		{"all of it by a variable", "x := input\n\tx.request", ""},
		{"all of it by any key", "some k\n\tinput[k] == 1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev := compileWith(t, pack("", "deny contains {\"code\": \"mine.no\", \"msg\": \"no\"} if {\n\t"+c.rule+"\n}\n\nf(x) if x == 1\n\nkeyed[input.request.host] := 1\n\nother := 1 if { input.action == \"x\" } else := 2 if { input.request.user_agent == \"x\" }\n"))
			got := ev.Reads(policy.TagsList)
			if c.want == "" && got != nil || c.want != "" && !slices.Contains(got, c.want) {
				t.Fatalf("got %v", got)
			}
		})
	}
}

// TestWhatIsReadIsThere compares decisions on the part of the input that is read
// with rules that want one corner of it each.
func TestWhatIsReadIsThere(t *testing.T) {
	for _, c := range []struct{ name, rule string }{
		{"a label with dots", `input.artifact.annotations["org.example.x"] == "y"`},
		{"a plain field", `input.artifact.config.user == "1000"`},
		{"a field in a list", `input.artifact.layers[3].digest == "sha256:l3"`},
		{"any element", "some l in input.artifact.layers\n\tl.size == 30123"},
		{"what is not there", `input.blob == null`},
		{"a null on the way", `object.get(input.repository, "name", 1) == "payments/api"`},
		{"the whole of a part", `count(input.artifact) > 5`},
		{"one whole and one of its fields", "count(input.request) == 6\n\tinput.request.host == \"\""},
		{"all of it", `input["action"] == object.get(input, "action", 1)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule := "deny contains {\"code\": \"mine.no\", \"msg\": \"no\"} if {\n\tinput.action == \"manifest.pull\"\n\t" + c.rule + "\n}"
			ev := compileWith(t, pack("", rule))
			f := pullFacts(ev)
			f.Request.Artifact.Config.User = "1000"
			f.Request.Artifact.Annotations = map[string]string{"org.example.x": "y"}
			d := decide(t, ev, f)
			if want := c.name != "what is not there"; d.Allowed() == want {
				t.Fatalf("got %+v", d)
			}
		})
	}
}
