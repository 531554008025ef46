package decisionlog

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func TestCanonicalJSONHasOneForm(t *testing.T) {
	for _, test := range []struct {
		name string
		in   any
		want string
	}{
		{"keys are sorted", map[string]any{"b": 1, "a": nil, "": true}, `{"":true,"a":null,"b":1}`},
		{"whole floats are whole numbers", []any{1.0, -0.5, 1e300, int64(math.MaxInt64), uint8(7)}, `[1,-0.5,1e+300,9223372036854775807,7]`},
		{"numbers that were read stay as they are", json.Number("1.50"), `1.50`},
		{"text is escaped no more than needed", "a\"\\\n\r\t\x01<é>\u2028", "\"a\\\"\\\\\\n\\r\\t\\u0001<é>\u2028\""},
		{"what is no UTF-8 is replaced", "a\xffb\xc3", "\"a\ufffdb\ufffd\""},
		{"named strings are strings", []policy.Action{"blob.pull"}, `["blob.pull"]`},
		{"structs are as encoding/json sees them, and sorted", policy.Scope{Type: "r", Name: "n", Actions: []string{"pull"}}, `{"actions":["pull"],"name":"n","type":"r"}`},
		{"times are text", time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), `"2026-11-21T00:00:00Z"`},
		{"maps of text", map[string]string{"b": "2", "a": "1"}, `{"a":"1","b":"2"}`},
		{"empty lists are lists", []any{[]string{}, map[string]any{}, []map[string]any(nil)}, `[[],{},[]]`},
	} {
		c := canonical{plain: true}
		if err := c.value(test.in, nil, 0); err != nil || string(c.buf) != test.want {
			t.Errorf("%s: %s, %v, want %s", test.name, c.buf, err, test.want)
		}
	}
	for _, bad := range []any{math.NaN(), func() {}, deep(300)} {
		c := canonical{plain: true}
		if err := c.value(bad, nil, 0); err == nil {
			t.Errorf("written as %.100s", c.buf)
		}
	}
}

func TestARecordIsCanonical(t *testing.T) {
	r := record("d1", denied, func(r *policy.Record) {
		r.Repeats, r.Outage, r.Input = "d0", "deadline", func() map[string]any { return artifact(1) }
		r.Decision.Warn, r.Decision.Dryrun = r.Decision.Deny, r.Decision.Deny
		r.Decision.Waived = []policy.Waived{{Code: "c", Waiver: "w"}}
		r.Decision.Obligations = []policy.Obligation{{Type: "audit", Fields: map[string]any{"level": "full"}}}
		r.Decision.Granted = []policy.Scope{{Type: "repository", Name: "n", Actions: []string{"pull"}}}
		r.Decision.RetryAfter = time.Second
		r.Decision.BreakGlass = "bg-1"
		r.Packs = []policy.Pack{{Name: "vuln", Mode: policy.ModeWarn, Config: json.RawMessage(`{"b": 1, "a": 2.50}`)}, {Name: "rbac", Mode: policy.ModeDeny}}
	})
	e := newEncoder("w", nil, testKey)
	e.mask, _ = parseMasks([]string{"artifact.pushed"})
	one, _ := e.encode(r, 3, head{})
	v, err := decode(one.body)
	if err != nil {
		t.Fatalf("%s: %v", one.body, err)
	}
	c := canonical{plain: true}
	if err := c.value(v, nil, 0); err != nil || string(c.buf) != string(one.body) {
		t.Errorf("%s is canonically %s", one.body, c.buf)
	}
	if n := len(v.(map[string]any)); n != 34 {
		t.Errorf("%d members: one of the record's is never written, or a new one is not tested", n)
	}
}

func deep(n int) any {
	var v any
	for range n {
		v = []any{v}
	}
	return v
}

func FuzzCanonicalJSONIsReadBackAsItWas(f *testing.F) {
	f.Add(`{"b":[1,2.5,{"$fact":"x"}],"a":"é\n\u0000"}`)
	f.Add(`{"big":"` + strings.Repeat("x", 5000) + `","list":[` + strings.Repeat(`{"k":"v"},`, 500) + `1]}`)
	f.Fuzz(func(t *testing.T, text string) {
		v, err := decode([]byte(text))
		doc, ok := v.(map[string]any)
		if err != nil || !ok {
			t.Skip()
		}
		c := canonical{split: true}
		if c.root(doc, nil) != nil {
			t.Skip()
		}
		facts := map[string][]byte{}
		for _, one := range c.facts {
			facts[string(appendDigest(nil, one.digest))] = one.body
		}
		spliced, err := splice(nil, c.buf, func(name string) ([]byte, error) { return facts[name], nil }, 0)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := decode(spliced)
		if err != nil {
			t.Fatalf("%s: %v", spliced, err)
		}
		x, _ := json.Marshal(whole)
		y, _ := json.Marshal(doc)
		if string(x) != string(y) {
			t.Errorf("%s came back as %s", y, x)
		}
	})
}

func TestMasksWithAnEmptyPartAreRefused(t *testing.T) {
	for _, path := range []string{"", "a..b", ".a", "a."} {
		if _, err := parseMasks([]string{path}); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name string
		cfg  Config
	}{
		{"no place", Config{}},
		{"a database that is not PostgreSQL", Config{Dir: dir, DSN: "mysql://x"}},
		{"a negative retention", Config{Dir: dir, RetentionDays: -2}},
		{"a capacity of nothing", Config{Dir: dir, Capacity: -1}},
		{"a flush that is too rare", Config{Dir: dir, FlushEvery: time.Second}},
		{"a short mask key", Config{Dir: dir, MaskKey: []byte("short")}},
		{"a writer that is a path", Config{Dir: dir, Writer: "../x"}},
		{"a database, and nobody's name", Config{DSN: "postgres://x"}},
		{"masks without a key", Config{DSN: "postgres://x", Writer: "w", Masks: []string{"a"}}},
	} {
		if _, err := Open(t.Context(), test.cfg); err == nil {
			t.Errorf("%s is taken", test.name)
		}
	}
}
