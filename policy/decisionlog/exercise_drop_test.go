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

// readsWhileDropped reads in every way while days are written and dropped: what is
// there is answered as it was, and what was dropped meanwhile is left out.
func readsWhileDropped(t *testing.T, s site) {
	c := newClock()
	open := func() *Log {
		return s.open(t, func(cfg *Config) {
			cfg.Now, cfg.RetentionDays, cfg.FlushEvery = c.now, 1, 5*time.Millisecond
		})
	}
	l := open()
	write := func() {
		for i := range 4 {
			at := c.now()
			mustWrite(t, l, record(fmt.Sprint(at.Format("02"), "-", i), func(r *policy.Record) {
				r.At, r.Input = at, func() map[string]any { return artifact(i) }
			}))
		}
	}
	write()
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for name, read := range map[string]func() error{
		"verify":    func() error { return readIntact(ctx, l) },
		"all":       func() error { return readAll(ctx, l) },
		"an export": func() error { return readExported(ctx, l) },
		"a search":  func() error { return readShown(ctx, l) },
	} {
		readers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := read(); err != nil && ctx.Err() == nil {
					t.Errorf("%s, time %d: %v", name, n, err)
					return
				}
			}
		})
	}
	for range 40 {
		c.move(24 * time.Hour)
		write()
	}
	cancel()
	readers.Wait()
	// A drop that readers kept waiting is tried again a minute later, or at the start.
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = open()
	if got := len(tail(t, l, Query{Limit: 1000})); got != 8 {
		t.Errorf("%d records are left of two days", got)
	}
	if r := verified(t, l); !r.Intact() || r.Records != 8 {
		t.Errorf("report %+v", r)
	}
}

func readIntact(ctx context.Context, l *Log) error {
	r, err := l.Verify(ctx)
	if err == nil && (!r.Intact() || len(r.Heads) != 1 || r.Records > r.Heads[0].Seq-r.Heads[0].Dropped+8) {
		err = fmt.Errorf("report %+v", r)
	}
	return err
}

func readAll(ctx context.Context, l *Log) error {
	last := int64(0)
	for e, err := range l.All(ctx, Query{}) {
		if err != nil {
			return err
		}
		if e.Seq <= last || e.Input == nil {
			return fmt.Errorf("after record %d comes %d", last, e.Seq)
		}
		last = e.Seq
	}
	return nil
}

func readExported(ctx context.Context, l *Log) error {
	text := &strings.Builder{}
	if err := l.Export(ctx, Query{}, func(line any) error { return json.NewEncoder(text).Encode(line) }); err != nil {
		return err
	}
	text.WriteString(`{"kind":"end"}`)
	for e, err := range ReadExport(strings.NewReader(text.String())) {
		if err != nil {
			return err
		}
		if len(e.Input) < 4<<10 {
			return fmt.Errorf("record %d came without its facts", e.Seq)
		}
	}
	return nil
}

func readShown(ctx context.Context, l *Log) error {
	some, err := l.Tail(ctx, Query{Limit: 20})
	if err != nil {
		return err
	}
	for i := range some {
		if _, err := l.Show(ctx, some[len(some)-1-i].ID); err != nil && !errors.Is(err, policy.ErrNotFound) {
			return err
		}
	}
	return nil
}
