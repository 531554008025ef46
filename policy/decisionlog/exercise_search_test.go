package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// model is what a log should answer, searched in the simplest way.
type model struct {
	all []*policy.Record // in the order in which they were written
}

func (m *model) matching(q Query) (ids []string) {
	for _, r := range m.all {
		if (q.Project == "" || q.Project == r.Project) && (q.Subject == "" || q.Subject == r.Subject) && (q.Issuer == "" || q.Issuer == r.Issuer) &&
			(q.Action == "" || q.Action == r.Action) && (q.Verdict == "" || q.Verdict == verdictOf(r)) &&
			(q.Rule == "" || slices.Contains(rulesOf(r.Decision.Deny, r.Decision.Warn, r.Decision.Dryrun, r.Decision.Waived), q.Rule)) &&
			(q.Since.IsZero() || !r.At.Before(q.Since)) && (q.Until.IsZero() || r.At.Before(q.Until)) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// someRecord is a record of mixed traffic: few of many things and many of few.
func someRecord(rng *rand.Rand, i int, at time.Time) *policy.Record {
	return record(fmt.Sprintf("id-%06d", i), func(r *policy.Record) {
		r.At = at
		r.Project = fmt.Sprint("p", rng.IntN(1+rng.IntN(40)))
		r.Subject = fmt.Sprint("s", rng.IntN(1+rng.IntN(300)))
		r.Issuer = []string{"local", "https://sso"}[rng.IntN(2)]
		r.Action = []policy.Action{policy.ManifestPull, policy.BlobPull, policy.TagsList}[rng.IntN(3)]
		r.Input = func() map[string]any { return map[string]any{"i": i} }
		switch rng.IntN(200) {
		case 0:
			r.Outage = "deadline"
		case 1, 2, 3:
			denied(r)
		case 4:
			r.Decision.Warn = []policy.Reason{{Code: "w.rare"}, {Code: "w.other"}}
		}
	})
}

func someQuery(rng *rand.Rand, m *model) Query {
	q := Query{Limit: 1 + rng.IntN(60)}
	one := m.all[rng.IntN(len(m.all))]
	for range 1 + rng.IntN(3) {
		switch rng.IntN(9) {
		case 0:
			q.Project = one.Project
		case 1:
			q.Subject = one.Subject
		case 2:
			q.Issuer = one.Issuer
		case 3:
			q.Action = one.Action
		case 4:
			q.Verdict = verdictOf(one)
		case 5:
			q.Rule = []string{"vuln.critical", "w.rare", "w.other", "none"}[rng.IntN(4)]
		case 6:
			q.Since = one.At
		case 7:
			q.Until = one.At
		case 8:
			q.Since, q.Until = one.At, one.At.Add(time.Minute)
		}
	}
	return q
}

func putTogether(t *testing.T, s site) {
	c := newClock()
	rng := rand.New(rand.NewPCG(1, 2))
	l := s.open(t, func(cfg *Config) { cfg.Now, cfg.RetentionDays = c.now, -1 })
	m := &model{}
	write := func(n int, wait bool) {
		for range n {
			c.move(time.Duration(rng.IntN(2000)) * time.Millisecond)
			// A record is written some time after its request, or seems to be before it.
			r := someRecord(rng, len(m.all), c.now().Add(time.Duration(rng.IntN(5000)-4000)*time.Millisecond))
			m.all = append(m.all, r)
			if wait {
				mustWrite(t, l, r)
			} else {
				mustOpen(t, l, r)
			}
		}
		eventually(t, "all are written", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.pending == 0
		})
	}
	write(300, true)
	write(segmentSize, false)
	write(700, true)
	c.move(24 * time.Hour)
	write(segmentSize/2, false)
	write(300, true)
	compare := func() {
		t.Helper()
		if r := verified(t, l); !r.Intact() || r.Records != int64(len(m.all)) {
			t.Fatalf("report %+v", r)
		}
		for range 150 {
			q := someQuery(rng, m)
			want := m.matching(q)
			if rng.IntN(2) == 0 {
				slices.Reverse(want)
			} else {
				q.After = 1
				want = slices.DeleteFunc(want, func(id string) bool { return id == m.all[0].ID })
			}
			got, whole := pages(t, l, q, rng.IntN(4)+1)
			if !whole {
				want = want[:min(len(want), len(got))]
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%+v: got %v, want %v", q, got, want)
			}
		}
		for range 30 {
			one := m.all[rng.IntN(len(m.all))]
			e, err := l.Show(t.Context(), one.ID)
			if err != nil || e.Project != one.Project || string(e.Input) != fmt.Sprintf(`{"i":%d}`, slices.Index(m.all, one)) {
				t.Fatalf("show %s: %+v, %v", one.ID, e, err)
			}
		}
		var all []string
		for e, err := range l.All(t.Context(), Query{Action: policy.BlobPull}) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e.ID)
		}
		if !slices.Equal(all, m.matching(Query{Action: policy.BlobPull})) {
			t.Fatalf("all of one action are %d records", len(all))
		}
	}
	compare()
	eventually(t, "records of the first day are in segments and packed together", func() bool {
		return s.count(t, "SELECT count(*) FROM "+s.tables().blocks+" WHERE count = 1") < 2*smallBlocks
	})
	compare()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = s.open(t, func(cfg *Config) { cfg.Now, cfg.RetentionDays = c.now, -1 })
	write(10, true)
	compare()
}

// pages reads some pages that follow each other.
func pages(t *testing.T, l *Log, q Query, n int) (ids []string, whole bool) {
	t.Helper()
	for range n {
		page := tail(t, l, q)
		for _, e := range page {
			ids = append(ids, e.ID)
			if q.After > 0 {
				q.After = e.Cursor
			} else {
				q.Before = e.Cursor
			}
		}
		if len(page) < q.Limit {
			return ids, true
		}
	}
	return ids, false
}

func foundByTime(t *testing.T, s site) {
	c := newClock()
	l := s.open(t, func(cfg *Config) { cfg.Now, cfg.RetentionDays = c.now, -1 })
	start := c.now()
	at := map[string]time.Time{}
	for i, jump := range []time.Duration{0, 30 * time.Minute, -72 * time.Hour, time.Hour, 26 * time.Hour, 400 * 24 * time.Hour, -399 * 24 * time.Hour, time.Second} {
		c.move(jump)
		id := fmt.Sprint("d", i)
		at[id] = c.now()
		mustWrite(t, l, record(id, func(r *policy.Record) { r.At = c.now() }))
	}
	if got := ids(tail(t, l, Query{})); got != "d7 d6 d5 d4 d3 d2 d1 d0" {
		t.Errorf("the order is %q", got)
	}
	for id, made := range at {
		if got := ids(tail(t, l, Query{Since: made, Until: made.Add(time.Microsecond)})); got != id {
			t.Errorf("made at %s: found %q, want %q", made.Sub(start), got, id)
		}
	}
	if got := ids(tail(t, l, Query{Until: start})); got != "d7 d6 d4 d3 d2" {
		t.Errorf("before the start: %q", got)
	}
	if r := verified(t, l); !r.Intact() || r.Records != 8 {
		t.Errorf("report %+v", r)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = s.open(t, func(cfg *Config) { cfg.Now, cfg.RetentionDays = c.now, -1 })
	mustWrite(t, l, record("last", func(r *policy.Record) { r.At = c.now() }))
	if got := ids(tail(t, l, Query{Since: c.now()})); got != "last d7 d5 d1 d0" {
		t.Errorf("since now: %q", got)
	}
}

func formerFormat(t *testing.T, s site) {
	if err := s.open(t, nil).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.makeFormer(t)
	_, err := Open(context.Background(), s.config(t))
	if !errors.Is(err, policy.ErrUnsupported) || !strings.Contains(err.Error(), "format") {
		t.Errorf("opened as %v", err)
	}
}

func FuzzHostileBlocksAreReadWithoutHarm(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	rows := []row{{body: []byte(`{}`), input: []byte(`{"a":1}`)}, {body: []byte(strings.Repeat(`{"b":2}`, 9000))}}
	f.Add(c.packBodies(hash{}, rows), c.packInputs(rows), []byte{1, 0, 0}, []byte{1, 1, 2, 0, 0}, []byte{2, 2})
	f.Add([]byte{1}, []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, []byte{0}, []byte{1, 1, 255, 255, 3}, []byte{})
	f.Fuzz(func(t *testing.T, bodies, inputs, facets, places, times []byte) {
		b := &block{n: 1, seq: 1, count: 2, writer: "w", bodies: bodies, inputs: inputs}
		if rows := c.rows(b, "", []int64{1, 2}, true); len(rows) != 2 {
			t.Errorf("%d rows of 2", len(rows))
		}
		_, _, _ = c.whole(b)
		if cols, err := decodeColumns(facets, places, times); err == nil {
			if cols.count() != len(cols.times) {
				t.Errorf("%d facets and %d times", cols.count(), len(cols.times))
			}
			again, err := decodeColumns(cols.encode())
			if err != nil || !slices.Equal(again.facets, cols.facets) || !slices.Equal(again.times, cols.times) {
				t.Errorf("written again it is another: %v", err)
			}
		}
		_ = newMatcher(search{project: "p"}).read(facets)
	})
}
