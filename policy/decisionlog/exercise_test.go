package decisionlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// site is a place where a backend keeps its records, for one test.
type site struct {
	// open opens the log anew; it is closed with the test.
	open func(t *testing.T, change func(*Config)) *Log
	// exec meddles with what is stored, behind the log's back.
	exec  func(t *testing.T, text string)
	count func(t *testing.T, text string) int
	// The tables of the day that is written.
	tables func() tables
	// makeFormer makes of what is stored the work of an older version, and config
	// is how to open it.
	makeFormer func(t *testing.T)
	config     func(t *testing.T) Config
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func record(id string, change ...func(*policy.Record)) *policy.Record {
	r := &policy.Record{
		ID: id, At: time.Date(2026, 11, 21, 10, 0, 0, 123456000, time.UTC), RequestID: "req-" + id,
		Action: "manifest.pull", Purpose: "use", Subject: "alice", Issuer: "local", Project: "payments",
		Repository: "payments/api", Reference: "1.4.2", Digest: "sha256:aa",
		Decision: policy.Decision{Verdict: policy.Allow, Visible: true, Revision: "r1"},
		Input: func() map[string]any {
			return map[string]any{"api": 1, "action": "manifest.pull", "subject": map[string]any{"name": "alice", "claims": map[string]any{"email": "alice@acme"}}}
		},
	}
	r.Hit()
	for _, f := range change {
		f(r)
	}
	return r
}

func denied(r *policy.Record) {
	r.Decision.Verdict = policy.Deny
	r.Decision.Deny = []policy.Reason{{Code: "vuln.critical", Pack: "vuln", Mode: "deny", Message: "a \"bad\" one\n"}}
	r.Decision.Message = "[vuln.critical] a bad one"
}

func mustWrite(t *testing.T, l *Log, records ...*policy.Record) {
	t.Helper()
	for _, r := range records {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := l.Write(ctx, r); err != nil {
			t.Fatalf("write %s: %v", r.ID, err)
		}
		cancel()
	}
}

func tail(t *testing.T, l *Log, q Query) []Entry {
	t.Helper()
	all, err := l.Tail(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func ids(all []Entry) string {
	var out []string
	for _, e := range all {
		out = append(out, e.ID)
	}
	return strings.Join(out, " ")
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func verified(t *testing.T, l *Log) Report {
	t.Helper()
	r, err := l.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// exercise is what every backend has to do; each test gets a site of its own.
func exercise(t *testing.T, newSite func(t *testing.T) site) {
	tests := []struct {
		name string
		run  func(t *testing.T, s site)
	}{
		{"a record is there when Write returns", writeIsThere},
		{"an opened record counts until a flush closes it", openCounts},
		{"records of many who write at once are all there, in one chain", manyWriters},
		{"a search finds by every field, page by page, the newest first", searchFinds},
		{"no search crosses workspaces", workspacesApart},
		{"show gives the whole input back, and large facts are stored once", factsOnce},
		{"an input cannot name a fact", noForgedFact},
		{"a masked value is nowhere, and its record is not replayable", masksHide},
		{"a document that is no JSON stops nothing", badInput},
		{"follow yields what is written from now on", followYields},
		{"what was put together is found as before", putTogether},
		{"the clock jumps, and everything is found by its time", foundByTime},
		{"a former format is refused", formerFormat},
		{"an export is read back as it was", exportReadsBack},
		{"retention drops days and the chain still verifies", retentionDrops},
		{"everything is read while days are dropped", readsWhileDropped},
		{"the chain goes on after the log was opened again", chainGoesOn},
		{"verify finds what was changed, removed or inserted", tamperingFound},
		{"a failed flush makes the log unready and loses nothing", failureRecovers},
		{"a batch whose answer was lost is written once", lostAnswer},
		{"what does not fit in memory is refused", boundRefuses},
		{"nothing is taken after Close, and Close writes what waits", closeWrites},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, newSite(t)) })
	}
}

func writeIsThere(t *testing.T, s site) {
	l := s.open(t, nil)
	mustWrite(t, l, record("d1", denied, func(r *policy.Record) {
		r.Decision.Waived = []policy.Waived{{Code: "c", Waiver: "W-1"}}
		r.Decision.Obligations = []policy.Obligation{{Type: "audit", Fields: map[string]any{"level": "full"}}}
		r.Decision.Granted = []policy.Scope{{Type: "repository", Name: "payments/api", Actions: []string{"pull"}}}
		r.Decision.RetryAfter = 20 * time.Second
	}))
	e, err := l.Show(t.Context(), "d1")
	if err != nil {
		t.Fatal(err)
	}
	if e.Verdict != "deny" || e.Count != 1 || e.RequestID != "req-d1" || e.Subject != "alice" || e.Deny[0].Message != "a \"bad\" one\n" ||
		e.Waived[0].Waiver != "W-1" || e.Obligation[0].Fields["level"] != "full" || e.Granted[0].Actions[0] != "pull" ||
		e.RetryAfter != 20_000 || !e.Replayable || e.Workspace != "default" || !e.At.Equal(record("").At) {
		t.Errorf("read back as %+v", e)
	}
	want := `{"action":"manifest.pull","api":1,"subject":{"claims":{"email":"alice@acme"},"name":"alice"}}`
	if string(e.Input) != want {
		t.Errorf("input %s, want %s", e.Input, want)
	}
	if _, err := l.Show(t.Context(), "none"); !errors.Is(err, policy.ErrNotFound) {
		t.Errorf("show of nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Write(ctx, record("late")); !errors.Is(err, policy.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("write after the end of its context: %v", err)
	}
}

func openCounts(t *testing.T, s site) {
	l := s.open(t, nil)
	r := record("d1")
	if err := l.Open(r); err != nil {
		t.Fatal(err)
	}
	n := int64(1)
	for r.Hit() {
		n++
		time.Sleep(time.Millisecond)
	}
	eventually(t, "the record is written", func() bool { return len(tail(t, l, Query{})) == 1 })
	if e := tail(t, l, Query{})[0]; e.Count != n || e.ID != "d1" {
		t.Errorf("counted %d, want %d", e.Count, n)
	}
}

func manyWriters(t *testing.T, s site) {
	l := s.open(t, nil)
	const each, writers = 25, 16
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("d-%d-%d", w, i)
				if i%5 == 0 {
					if err := l.Open(record(id)); err != nil {
						t.Error(err)
					}
				} else if err := l.Write(t.Context(), record(id)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "all are written", func() bool { return len(tail(t, l, Query{Limit: 1000})) == each*writers })
	r := verified(t, l)
	if !r.Intact() || r.Records != each*writers || r.Heads[0].Seq != each*writers {
		t.Errorf("report %+v", r)
	}
}

func searchFinds(t *testing.T, s site) {
	l := s.open(t, nil)
	mustWrite(t, l,
		record("a"), record("b", denied), record("c", func(r *policy.Record) { r.Subject, r.Issuer = "bob", "https://sso" }),
		record("d", func(r *policy.Record) {
			r.Project, r.Action = "base", "blob.pull"
			r.Decision.Warn, r.Decision.Waived = []policy.Reason{{Code: "w.x"}, {Code: "w.x"}}, []policy.Waived{{Code: "c.x"}}
		}),
		record("e", func(r *policy.Record) { r.Outage = "deadline" }),
		record("f", func(r *policy.Record) { r.At = r.At.Add(time.Hour) }),
	)
	all := tail(t, l, Query{})
	for _, test := range []struct {
		name string
		q    Query
		want string
	}{
		{"everything", Query{}, "f e d c b a"},
		{"the denials", Query{Verdict: "deny"}, "b"},
		{"the outages, which are no denials", Query{Verdict: "outage"}, "e"},
		{"of one subject", Query{Subject: "bob"}, "c"},
		{"of one issuer", Query{Issuer: "https://sso"}, "c"},
		{"of one rule", Query{Rule: "vuln.critical"}, "b"},
		{"of a rule that only warned", Query{Rule: "w.x"}, "d"},
		{"of a rule that was waived", Query{Rule: "c.x"}, "d"},
		{"of a rule and somebody whom it did not hit", Query{Rule: "c.x", Subject: "bob"}, ""},
		{"before a time", Query{Until: record("").At.Add(time.Minute), Verdict: "allow", Limit: 2}, "d c"},
		{"at no time", Query{Since: record("").At, Until: record("").At}, ""},
		{"of one project", Query{Project: "base"}, "d"},
		{"of one action", Query{Action: "blob.pull"}, "d"},
		{"of a subject with a forbidden character", Query{Subject: "a\x00'\xff"}, ""},
		{"since a time", Query{Since: record("").At.Add(time.Minute)}, "f"},
		{"the first page", Query{Limit: 2}, "f e"},
		{"the next page", Query{Limit: 2, Before: all[1].Cursor}, "d c"},
		{"what came after, the oldest first", Query{Limit: 2, After: all[4].Cursor}, "c d"},
	} {
		if got := ids(tail(t, l, test.q)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if all[0].Input != nil {
		t.Error("a search answers inputs")
	}
}

func workspacesApart(t *testing.T, s site) {
	l := s.open(t, nil)
	mustWrite(t, l, record("a"), record("b", func(r *policy.Record) { r.Workspace = "other" }))
	if got := ids(tail(t, l, Query{})); got != "a" {
		t.Errorf("the default workspace: %q", got)
	}
	if got := ids(tail(t, l, Query{Workspace: "other"})); got != "b" {
		t.Errorf("the other: %q", got)
	}
}

// artifact is a document like a real one: large, with an age that changes.
func artifact(age int) map[string]any {
	var findings []any
	for i := range 200 {
		findings = append(findings, map[string]any{"id": fmt.Sprintf("CVE-2026-%04d", i), "severity": "HIGH", "cvss": 7.5})
	}
	labels := map[string]any{}
	for i := range 40 {
		labels[fmt.Sprintf("org.example.label-%d", i)] = strings.Repeat("x", 100)
	}
	return map[string]any{"artifact": map[string]any{
		"pushed": map[string]any{"age_s": age}, "config": map[string]any{"labels": labels},
		"vulnerabilities": map[string]any{"status": "ok", "findings": findings},
	}, "$odd": map[string]any{"$fact": "sha256:00", "$$x": 1}, "": nil}
}

func factsOnce(t *testing.T, s site) {
	l := s.open(t, nil)
	for i := range 5 {
		mustWrite(t, l, record(fmt.Sprint("d", i), func(r *policy.Record) { r.Input = func() map[string]any { return artifact(i) } }))
	}
	for i := range 5 {
		e, err := l.Show(t.Context(), fmt.Sprint("d", i))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(artifact(i))
		if again, _ := decode(want); !sameJSON(t, e.Input, again) {
			t.Errorf("input came back as %.300s", e.Input)
		}
	}
	if n := s.count(t, "SELECT count(*) FROM "+s.tables().facts); n != 2 {
		t.Errorf("%d facts are stored, want the findings and the labels once", n)
	}
	if r := verified(t, l); !r.Intact() || r.Facts != 2 {
		t.Errorf("report %+v", r)
	}
}

func sameJSON(t *testing.T, text []byte, v any) bool {
	t.Helper()
	a, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(v)
	return string(x) == string(y)
}

func noForgedFact(t *testing.T, s site) {
	l := s.open(t, nil)
	mustWrite(t, l, record("d0", func(r *policy.Record) { r.Input = func() map[string]any { return artifact(1) } }))
	e, err := l.Show(t.Context(), "d0")
	if err != nil {
		t.Fatal(err)
	}
	forged := map[string]any{"annotations": map[string]any{"$fact": e.Facts[0]}}
	mustWrite(t, l, record("d1", func(r *policy.Record) { r.Input = func() map[string]any { return forged } }))
	if e, err = l.Show(t.Context(), "d1"); err != nil || !sameJSON(t, e.Input, forged) {
		t.Errorf("shown as %.200s, %v", e.Input, err)
	}
}

func badInput(t *testing.T, s site) {
	l := s.open(t, nil)
	mustWrite(t, l,
		record("panics", func(r *policy.Record) { r.Input = func() map[string]any { panic("no document") } }),
		record("function", func(r *policy.Record) {
			r.Input = func() map[string]any { return map[string]any{"f": func() {}} }
		}),
		record("none", func(r *policy.Record) { r.Input = nil }), record("good"))
	for _, e := range tail(t, l, Query{}) {
		if good := e.ID == "good"; e.Replayable != good || (e.InputError == "") != (good || e.ID == "none") {
			t.Errorf("%s: replayable %v, error %q", e.ID, e.Replayable, e.InputError)
		}
	}
	if r := verified(t, l); !r.Intact() {
		t.Errorf("report %+v", r)
	}
}
