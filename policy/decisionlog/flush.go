package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// run is the flusher, the only one that writes: at once for those who wait, and
// at every tick for the records that are open.
func (l *Log) run() {
	defer close(l.stopped)
	tick := time.NewTicker(l.cfg.FlushEvery)
	defer tick.Stop()
	ctx := context.Background()
	for {
		select {
		case <-l.wake:
			l.flush(ctx, false)
		case <-tick.C:
			l.flush(ctx, true)
			l.settle(ctx)
			l.expire(ctx)
		case <-l.stop:
			l.flush(ctx, true)
			for l.stuck == nil && l.waiting() { // nobody joins them any more
				l.flush(ctx, false)
			}
			l.settle(ctx)
			return
		}
	}
}

// flush writes those who wait and, at a tick, also all records that are open
// when it starts. A batch that failed is tried again first, at ticks only. Those
// who come meanwhile wait for the next flush: as long as somebody always waits, the
// next tick would otherwise never come.
func (l *Log) flush(ctx context.Context, tick bool) {
	if l.stuck != nil {
		if !tick {
			return
		}
		if !l.commit(ctx, l.stuck) {
			return
		}
		l.stuck = nil
	}
	l.mu.Lock()
	open := 0
	if tick {
		open = len(l.opened)
	}
	l.mu.Unlock()
	for {
		records, waits, fromOpen := l.take(open)
		if len(records) == 0 {
			return
		}
		open -= fromOpen
		t := l.encode(records)
		t.waits = waits
		if !l.commit(ctx, t) {
			l.stuck = t
			return
		}
		if open == 0 {
			if l.waiting() {
				l.wakeUp()
			}
			return
		}
	}
}

// waiting reports whether somebody waits for a record that is not taken yet.
func (l *Log) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.writes) > 0
}

func (l *Log) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take takes up to a chunk of records, those first that somebody waits for. They
// leave half of it to open ones.
func (l *Log) take(open int) (records []*policy.Record, waits []*write, fromOpen int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.writes), chunk-min(open, chunk/2))
	open = min(open, chunk-n)
	if n+open == 0 {
		return nil, nil, 0
	}
	records = make([]*policy.Record, 0, n+open)
	waits, l.writes = l.writes[:n:n], l.writes[n:]
	for _, w := range waits {
		records = append(records, w.record)
	}
	records = append(records, l.opened[:open]...)
	l.opened = dropFirst(l.opened, open)
	if len(l.writes) == 0 {
		l.writes = nil
	}
	return records, waits, open
}

// dropFirst lets the memory of what is gone be freed.
func dropFirst(all []*policy.Record, n int) []*policy.Record {
	clear(all[:n])
	if n == len(all) {
		return all[:0]
	}
	return all[n:]
}

// encode closes records and links them to the chain.
func (l *Log) encode(records []*policy.Record) *taken {
	l.day = max(l.day, l.cfg.Now().UTC().Format(time.DateOnly))
	for _, r := range records {
		// The clock may have gone back since: no record is in a day before its own, so
		// that a search by time knows where to begin.
		l.day = max(l.day, r.At.UTC().Format(time.DateOnly))
	}
	t := &taken{amount: len(records), batch: batch{
		day: l.day, writer: l.cfg.Writer, prev: l.head, rows: make([]row, 0, len(records)),
	}}
	seen := map[hash]bool{}
	l.encoder.ruler.begin()
	for _, r := range records {
		// A record stands for one request at least: the one that it was made for.
		count := max(r.Close(), 1)
		if l.encoder.drops(r) {
			l.dropped.Add(count)
			continue
		}
		one, facts := l.encoder.encode(r, count, l.head)
		for _, f := range facts {
			if !seen[f.digest] {
				seen[f.digest] = true
				t.batch.facts = append(t.batch.facts, f)
			}
		}
		t.batch.rows = append(t.batch.rows, one)
		l.head = head{one.seq, one.hash}
	}
	t.batch.next = l.head
	return t
}

// settle has the store write down where the chain ends. What it could not write
// now it finds in the records when it starts.
func (l *Log) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := l.store.settle(ctx); err != nil && l.Ready() == nil {
		l.cfg.Logger.Warn("the end of the decisions' chain cannot be written down", "error", err)
	}
}

// commit writes a batch, tells those who wait and keeps the state that Ready reads.
func (l *Log) commit(ctx context.Context, t *taken) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if len(t.batch.rows) > 0 { // else all were dropped
		err = l.store.append(ctx, &t.batch)
	}
	if err != nil {
		err = fmt.Errorf("decision log: write records: %w: %w", policy.ErrUnavailable, err)
		if l.failure.Swap(&err) == nil {
			l.cfg.Logger.Error("decisions cannot be recorded", "error", err)
		}
	} else {
		if l.failure.Swap(nil) != nil {
			l.cfg.Logger.Info("decisions can be recorded again")
		}
		l.mu.Lock()
		l.pending -= t.amount
		l.mu.Unlock()
	}
	for _, w := range t.waits {
		w.done <- err
	}
	t.waits = nil
	return err == nil
}

// expire drops the days that are too old, once a day and a minute after a failure again.
func (l *Log) expire(ctx context.Context) {
	if time.Now().Before(l.expireNot) {
		return
	}
	today := l.cfg.Now().UTC()
	name := today.Format(time.DateOnly)
	if l.cfg.RetentionDays < 0 || l.expired == name {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := today.AddDate(0, 0, -l.cfg.RetentionDays).Format(time.DateOnly)
	err := l.store.expire(ctx, before)
	if errors.Is(err, errReading) {
		return // until the next tick
	}
	if err != nil {
		l.expireNot = time.Now().Add(time.Minute)
		l.cfg.Logger.Warn("old decisions cannot be dropped", "before", before, "error", err)
		return
	}
	l.expired = name
}
