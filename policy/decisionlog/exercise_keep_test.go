package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func masksHide(t *testing.T, s site) {
	masks := func(c *Config) {
		c.Masks = []string{"subject.claims.email", "subject.name", "list.*.secret", "list.other"}
	}
	l := s.open(t, masks)
	mustWrite(t, l, record("d1", func(r *policy.Record) {
		r.Input = func() map[string]any {
			return map[string]any{
				"subject": map[string]any{"name": "alice", "claims": map[string]any{"email": "alice@acme", "n": nil}},
				"list":    []map[string]any{{"x": map[string]any{"secret": 4711}}, {"other": []string{"alice@acme"}}},
			}
		}
	}), record("d2", func(r *policy.Record) {
		r.Subject, r.Input = "", func() map[string]any { return map[string]any{"api": 1, "subject": map[string]any{"name": nil}} }
	}))
	e, err := l.Show(t.Context(), "d1")
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%s %+v", e.Input, e)
	if strings.Contains(shown, "alice") || strings.Contains(string(e.Input), "4711") || strings.Count(string(e.Input), `"hmac:`) != 4 || e.Replayable {
		t.Errorf("shown as %s", shown)
	}
	if e, err = l.Show(t.Context(), "d2"); err != nil || !e.Replayable {
		t.Errorf("a record with nothing to hide: %+v, %v", e, err)
	}
	if got := ids(tail(t, l, Query{Subject: "alice"})); got != "d1" {
		t.Errorf("searched by the masked name: %q", got)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = s.open(t, masks)
	if got := ids(tail(t, l, Query{Subject: "alice"})); got != "d1" {
		t.Errorf("the key is another one after a restart: %q", got)
	}
}

func followYields(t *testing.T, s site) {
	l := s.open(t, nil)
	mustWrite(t, l, record("before"))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var wrote atomic.Bool
	var got []string
	// Writing starts when the first poll is over; what is written before may be
	// seen or not.
	go func() {
		time.Sleep(50 * time.Millisecond)
		for i := range 5 {
			if err := l.Write(ctx, record(fmt.Sprint("d", i))); err != nil {
				t.Error(err)
			}
		}
		wrote.Store(true)
	}()
	for e, err := range l.Follow(ctx, Query{After: tail(t, l, Query{})[0].Cursor}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e.ID); len(got) == 5 {
			break
		}
	}
	if strings.Join(got, " ") != "d0 d1 d2 d3 d4" {
		t.Errorf("followed %v", got)
	}
	eventually(t, "the writer ends", wrote.Load)
}

func retentionDrops(t *testing.T, s site) {
	c := newClock()
	l := s.open(t, func(cfg *Config) { cfg.Now, cfg.RetentionDays = c.now, 2 })
	for i := range 4 {
		mustWrite(t, l, record(fmt.Sprint("x", i), func(r *policy.Record) { r.At = c.now() }), record(fmt.Sprint("y", i)))
		c.move(24 * time.Hour)
	}
	// It is the 25th: of the 23rd and the 24th there are records.
	eventually(t, "two days are left", func() bool { return ids(tail(t, l, Query{})) == "y3 x3 y2 x2" })
	r := verified(t, l)
	if !r.Intact() || r.Records != 4 || r.Heads[0].Dropped != 4 || r.Heads[0].Seq != 8 {
		t.Errorf("report %+v", r)
	}
	c.move(90 * 24 * time.Hour)
	eventually(t, "all is dropped", func() bool { return len(tail(t, l, Query{})) == 0 })
	mustWrite(t, l, record("last"))
	if r := verified(t, l); !r.Intact() || r.Heads[0].Seq != 9 {
		t.Errorf("report %+v", r)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.move(90 * 24 * time.Hour)
	l = s.open(t, func(cfg *Config) { cfg.Now, cfg.RetentionDays = c.now, 2 })
	if got := tail(t, l, Query{}); len(got) != 0 {
		t.Errorf("at the start %q was not dropped", ids(got))
	}
	mustWrite(t, l, record("again"))
	if r := verified(t, l); !r.Intact() || r.Heads[0].Seq != 10 {
		t.Errorf("report %+v", r)
	}
}

func chainGoesOn(t *testing.T, s site) {
	for i := range 3 {
		l := s.open(t, nil)
		mustWrite(t, l, record(fmt.Sprint("d", i)))
		if r := verified(t, l); !r.Intact() || r.Records != int64(i+1) || len(r.Heads) != 1 || r.Heads[0].Seq != int64(i+1) {
			t.Errorf("report %+v", r)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l := s.open(t, func(c *Config) { c.Writer = "another" })
	mustWrite(t, l, record("d3"))
	if r := verified(t, l); !r.Intact() || len(r.Heads) != 2 {
		t.Errorf("report %+v", r)
	}
	if got := ids(tail(t, l, Query{})); got != "d3 d2 d1 d0" {
		t.Errorf("the order over two writers is %q", got)
	}
}

// all are the tables, those that hold the truth first.
func (t tables) all() []string { return []string{t.blocks, t.facts, t.ends, t.segments, t.names} }

func tamperingFound(t *testing.T, s site) {
	l := s.open(t, nil)
	for i := range 6 {
		mustWrite(t, l, record(fmt.Sprint("d", i), denied, func(r *policy.Record) {
			r.Input = func() map[string]any { return artifact(i) }
		}))
	}
	if r := verified(t, l); !r.Intact() {
		t.Fatalf("report %+v", r)
	}
	tables := s.tables()
	for _, table := range tables.all() {
		s.exec(t, "CREATE TABLE saved_"+table+" AS SELECT * FROM "+table)
	}
	for _, test := range []struct {
		name, text, kind string
		first            int64
	}{
		{"a record is changed", "UPDATE BLOCKS SET bodies = (SELECT bodies FROM BLOCKS WHERE seq = 1) WHERE seq = 3", Changed, 3},
		{"what is packed is cut off", "UPDATE BLOCKS SET bodies = substr(bodies, 1, 60) WHERE seq = 3", Changed, 3},
		{"what is packed is no longer there", "UPDATE BLOCKS SET bodies = substr(bodies, 1, 0) WHERE seq = 3", Changed, 3},
		{"the last record's hash is changed", "UPDATE BLOCKS SET hash = (SELECT hash FROM BLOCKS WHERE seq = 1) WHERE seq = 6", Changed, 6},
		{"a hash in the middle is changed", "UPDATE BLOCKS SET hash = (SELECT hash FROM BLOCKS WHERE seq = 1) WHERE seq = 3", Changed, 3},
		{"the words that people search by are changed", "UPDATE NAMES SET piece = (SELECT substr(piece, 1, 0) FROM NAMES LIMIT 1)", Changed, 1},
		{"the times that people search by are changed", "UPDATE BLOCKS SET times = facets WHERE seq = 4", Changed, 4},
		{"a block says that it holds more", "UPDATE BLOCKS SET count = 2 WHERE seq = 4", Changed, 4},
		{"a block says that it holds too many", "UPDATE BLOCKS SET count = 4611686018427387904 WHERE seq = 4", Changed, 4},
		{"an input is changed", "UPDATE BLOCKS SET inputs = (SELECT inputs FROM BLOCKS WHERE seq = 1) WHERE seq = 5", Changed, 5},
		{"an input is taken out", "UPDATE BLOCKS SET inputs = substr(inputs, 1, 0) WHERE seq = 5", Changed, 5},
		{"a fact is changed", "UPDATE FACTS SET body = substr(body, 1, 9)", Changed, 0},
		{"the facts are removed", "DELETE FROM FACTS", Changed, 1},
		{"the first record is removed", "DELETE FROM BLOCKS WHERE seq = 1", Removed, 1},
		{"two records are removed", "DELETE FROM BLOCKS WHERE seq IN (3, 4)", Removed, 3},
		{"the last record is removed", "DELETE FROM BLOCKS WHERE seq = 6", Removed, 6},
		{"all records are removed", "DELETE FROM BLOCKS", Removed, 1},
		{"a record is removed and the next takes its place", "DELETE FROM BLOCKS WHERE seq = 3; UPDATE BLOCKS SET seq = seq - 1 WHERE seq > 3", Changed, 3},
		{"a record is written twice", "INSERT INTO BLOCKS SELECT 1000 + n, count, writer, 7, at_min, at_max, id_min, id_max, hash, facets, places, times, bodies, inputs FROM BLOCKS WHERE seq = 2", Changed, 7},
		{"a record is spliced in", "UPDATE BLOCKS SET n = n + 1 WHERE seq = 6; INSERT INTO BLOCKS SELECT n + 4, count, writer, seq, at_min, at_max, id_min, id_max, hash, facets, places, times, bodies, inputs FROM BLOCKS WHERE seq = 2", Inserted, 2},
		{"a record of an unknown writer is added", "INSERT INTO BLOCKS SELECT 1000 + n, count, 'mallory', 1, at_min, at_max, id_min, id_max, hash, facets, places, times, bodies, inputs FROM BLOCKS WHERE seq = 2", Inserted, 1},
		{"two records change places", "UPDATE BLOCKS SET n = 1000 WHERE seq = 2; UPDATE BLOCKS SET seq = 99 WHERE seq = 2; UPDATE BLOCKS SET seq = 2 WHERE seq = 3; UPDATE BLOCKS SET seq = 3 WHERE seq = 99", Changed, 2},
		{"a block is put elsewhere", "UPDATE BLOCKS SET n = 1000 WHERE seq = 2", Removed, 2},
	} {
		text := strings.NewReplacer("BLOCKS", tables.blocks, "FACTS", tables.facts, "NAMES", tables.names).Replace(test.text)
		for one := range strings.SplitSeq(text, "; ") {
			s.exec(t, one)
		}
		r := verified(t, l)
		if r.Intact() || r.Findings[0].Kind != test.kind || r.Findings[0].First != test.first || r.Findings[0].Kind == Changed && r.Findings[0].Day == "" {
			t.Errorf("%s: found %+v", test.name, r.Findings)
		}
		for _, table := range tables.all() {
			s.exec(t, "DELETE FROM "+table)
			s.exec(t, "INSERT INTO "+table+" SELECT * FROM saved_"+table)
		}
	}
	if r := verified(t, l); !r.Intact() {
		t.Errorf("put back, yet %+v", r)
	}
}

// flaky is a backend that fails when it is told to.
type flaky struct {
	backend
	refuse, lose atomic.Bool
	refused      atomic.Int64
}

func (f *flaky) append(ctx context.Context, b *batch) error {
	if f.refuse.Load() {
		f.refused.Add(1)
		return errors.New("disk full")
	}
	err := f.backend.append(ctx, b)
	if f.lose.Swap(false) && err == nil {
		return errors.New("connection lost")
	}
	return err
}

// openFlaky opens a site and puts a backend that can fail before its own.
func openFlaky(t *testing.T, s site, change func(*Config)) (*Log, *flaky) {
	l := s.open(t, change)
	close(l.stop)
	<-l.stopped
	f := &flaky{backend: l.store}
	again, err := start(t.Context(), l.cfg, l.mask, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.refuse.Store(false)
		if err := again.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return again, f
}

func failureRecovers(t *testing.T, s site) {
	l, f := openFlaky(t, s, nil)
	mustWrite(t, l, record("d0"))
	f.refuse.Store(true)
	if err := l.Write(t.Context(), record("d1")); !errors.Is(err, policy.ErrUnavailable) {
		t.Errorf("write to a full disk: %v", err)
	}
	if err := l.Ready(); !errors.Is(err, policy.ErrUnavailable) {
		t.Errorf("ready with a full disk: %v", err)
	}
	if err := l.Write(t.Context(), record("d2")); !errors.Is(err, policy.ErrUnavailable) {
		t.Errorf("write while not ready: %v", err)
	}
	if err := l.Open(record("d3")); err != nil {
		t.Errorf("open while there is memory: %v", err)
	}
	before := f.refused.Load()
	eventually(t, "it is tried again", func() bool { return f.refused.Load() > before+1 })
	f.refuse.Store(false)
	eventually(t, "it is ready again", func() bool { return l.Ready() == nil })
	eventually(t, "nothing is lost", func() bool { return ids(tail(t, l, Query{})) == "d3 d1 d0" })
	mustWrite(t, l, record("d4"))
	if r := verified(t, l); !r.Intact() || r.Records != 4 {
		t.Errorf("report %+v", r)
	}
}

func lostAnswer(t *testing.T, s site) {
	l, f := openFlaky(t, s, nil)
	f.lose.Store(true)
	if err := l.Write(t.Context(), record("d0")); !errors.Is(err, policy.ErrUnavailable) {
		t.Errorf("a lost answer: %v", err)
	}
	eventually(t, "it is ready again", func() bool { return l.Ready() == nil })
	mustWrite(t, l, record("d1"))
	if got := ids(tail(t, l, Query{})); got != "d1 d0" {
		t.Errorf("kept %q", got)
	}
	if r := verified(t, l); !r.Intact() {
		t.Errorf("report %+v", r)
	}
}

func boundRefuses(t *testing.T, s site) {
	l, f := openFlaky(t, s, func(c *Config) { c.Capacity = 10 })
	f.refuse.Store(true)
	for i := range 10 {
		if err := l.Open(record(fmt.Sprint("d", i))); err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
	if err := l.Open(record("more")); !errors.Is(err, policy.ErrUnavailable) {
		t.Errorf("one more: %v", err)
	}
	f.refuse.Store(false)
	eventually(t, "there is room again", func() bool { return l.Open(record("later")) == nil })
	eventually(t, "all are written", func() bool { return len(tail(t, l, Query{})) == 11 })
}

func closeWrites(t *testing.T, s site) {
	l := s.open(t, nil)
	for i := range 3 {
		if err := l.Open(record(fmt.Sprint("d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Open(record("late")); !errors.Is(err, policy.ErrUnavailable) {
		t.Errorf("open after Close: %v", err)
	}
	if err := l.Write(t.Context(), record("late")); !errors.Is(err, policy.ErrUnavailable) {
		t.Errorf("write after Close: %v", err)
	}
	if got := ids(tail(t, s.open(t, nil), Query{})); got != "d2 d1 d0" {
		t.Errorf("kept %q", got)
	}
}
