package decisionlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/policy"
)

// exported is an export as the API streams it.
func exported(t *testing.T, l *Log, q Query) string {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	n := 0
	if err := l.Export(t.Context(), q, func(line any) error { n++; return enc.Encode(line) }); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "{\"kind\":\"end\",\"lines\":%d}\n", n)
	return out.String()
}

func exportReadsBack(t *testing.T, s site) {
	l := s.open(t, nil)
	odd := map[string]any{"$x": map[string]any{"$fact": "sha256:00"}, "text": "<a>&\u2028\u0085\x01\"$fact\":", "n": json.Number("1.50")}
	for i := range 300 {
		mustOpen(t, l, record(fmt.Sprint("d", i), func(r *policy.Record) {
			switch i % 3 {
			case 0:
				r.Input = func() map[string]any { return artifact(i % 7) }
			case 1:
				r.Input = func() map[string]any { return odd }
			default:
				r.Input, r.Subject = nil, "bob"
			}
		}))
	}
	eventually(t, "all are written", func() bool { return len(tail(t, l, Query{Limit: 1000})) == 300 })
	for _, form := range []struct {
		name  string
		again func(string) string
	}{
		{"as it was written", func(s string) string { return s }},
		{"with its JSON written in another form", func(s string) string {
			var out strings.Builder
			for line := range strings.Lines(s) {
				v, err := decode([]byte(line))
				if err != nil {
					t.Fatal(err)
				}
				raw, _ := json.Marshal(v)
				out.WriteString(string(raw) + "\n")
			}
			return out.String()
		}},
	} {
		n := 0
		for e, err := range ReadExport(strings.NewReader(form.again(exported(t, l, Query{})))) {
			if err != nil {
				t.Fatalf("%s: %v", form.name, err)
			}
			shown, err := l.Show(t.Context(), e.ID)
			if err != nil || e.ID != fmt.Sprint("d", n) || string(e.Input) != string(shown.Input) || e.Hash != shown.Hash {
				t.Fatalf("%s: record %d came back as %s %.200s, want %.200s (%v)", form.name, n, e.ID, e.Input, shown.Input, err)
			}
			n++
		}
		if n != 300 {
			t.Errorf("%s: %d records came back", form.name, n)
		}
	}
	if n := strings.Count(exported(t, l, Query{Subject: "bob"}), "\n"); n != 101 {
		t.Errorf("the records of one person are %d lines", n)
	}
	if n := strings.Count(exported(t, l, Query{Limit: 150}), `"kind":"record"`); n != 150 {
		t.Errorf("150 records are %d", n)
	}
}

func mustOpen(t *testing.T, l *Log, r *policy.Record) {
	t.Helper()
	if err := l.Open(r); err != nil {
		t.Fatal(err)
	}
}

func TestAnExportThatIsNotWholeOrNotTrueIsRefused(t *testing.T) {
	const fact = `{"kind":"fact","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","body":{}}`
	for _, test := range []struct{ name, text string }{
		{"nothing at all", ""},
		{"no end", fact},
		{"the server gave up", `{"kind":"error","error":"x"}`},
		{"a line that is no JSON", "}"},
		{"a kind that there is not", `{"kind":"x"}`},
		{"a record without a record", `{"kind":"record"}`},
		{"a fact that is another", strings.Replace(fact, "{}}", "[]}", 1)},
		{"an input that is another", `{"kind":"record","record":{"input":{},"input_digest":"sha256:00"}}`},
		{"a fact that was not sent", recordOf(`{"a":{"$fact":"sha256:00"}}`)},
		{"a fact that is no digest", recordOf(`{"a":{"$fact":7}}`)},
		{"a fact beside other things", recordOf(`{"a":{"$fact":"sha256:00","x":1}}`)},
	} {
		failed := false
		for _, err := range ReadExport(strings.NewReader(test.text)) {
			failed = errors.Is(err, policy.ErrInvalid) || errors.Is(err, policy.ErrUnavailable)
		}
		if !failed {
			t.Errorf("%s: it is taken", test.name)
		}
	}
}

// recordOf is the line of a record with an input whose digest is right.
func recordOf(input string) string {
	digest := appendDigest(nil, sum([]byte(input)))
	return fmt.Sprintf(`{"kind":"record","record":{"input":%s,"input_digest":%q}}`+"\n"+`{"kind":"end"}`, input, digest)
}

func FuzzAnExportIsReadWithoutHarm(f *testing.F) {
	f.Add(recordOf(`{"a":{"$$x":1},"b":"\"$fact\":"}`))
	f.Add(recordOf(`{"$fact":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`))
	f.Fuzz(func(t *testing.T, text string) {
		for e, err := range ReadExport(strings.NewReader(text)) {
			if err == nil && len(e.Input) > 0 && !json.Valid(e.Input) {
				t.Errorf("%s is no JSON", e.Input)
			}
		}
	})
}
