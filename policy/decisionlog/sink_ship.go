package decisionlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// sink ships to one receiver.
type sink struct {
	cfg    Sink
	pace   pace
	holder string
	store  backend
	now    func() time.Time
	log    *slog.Logger

	// Of run alone.
	bytes int    // of a delivery; less than configured for a receiver that takes less
	bare  string // the id of a record that the receiver finds too large
	calm  int    // deliveries since it was last too much
	tries int    // failures in a row

	mu    sync.Mutex
	state SinkStatus
	since time.Time // when the oldest record that is not delivered was made
}

// run ships until ctx ends, and then once more what is there already, if that
// went well before: the last lines of a server that stops are worth a moment.
func (s *sink) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := s.try(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	for s.tries == 0 && s.try(last) == 0 && last.Err() == nil {
	}
	// When it fails, another replica waits until the lease is over.
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = s.store.release(free, s.cfg.Name, s.holder)
}

// try makes one step and answers how long to wait before the next.
func (s *sink) try(ctx context.Context) (wait time.Duration) {
	step, cancel := context.WithTimeout(ctx, min(s.cfg.Timeout+patience, s.pace.lease))
	defer cancel()
	more, err := s.step(step)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0 // it was told to end
	case err != nil:
		wait = s.failed(err)
		if wait > s.pace.lease/2 {
			// Another replica would not know that the receiver is to be left alone.
			_, _, _ = s.store.hold(step, s.cfg.Name, s.holder, wait+s.pace.lease)
		}
		return wait
	case more:
		return 0
	}
	return s.pace.poll
}

// step delivers one batch and reports whether there may be another.
func (s *sink) step(ctx context.Context) (more bool, err error) {
	at, held, err := s.place(ctx)
	if err != nil {
		return false, fmt.Errorf("where the sink is: %w", err)
	}
	ends, err := s.store.ends(ctx)
	if err != nil {
		return false, fmt.Errorf("what is in the log: %w", err)
	}
	if !held {
		s.seen(at, ends, false)
		return false, nil
	}
	if lost := at.dropped(ends); lost > 0 {
		if err := s.store.keep(ctx, s.cfg.Name, s.holder, at); err != nil {
			return false, fmt.Errorf("remember what was lost: %w", err)
		}
		s.mourn(lost, at.Lost, "retention dropped records before they were delivered")
	}
	s.seen(at, ends, true)
	if at.lag(ends) == 0 {
		s.delivered(0, 0)
		return false, nil
	}
	batch, err := s.read(ctx, at)
	if err != nil {
		return false, fmt.Errorf("read the log: %w", err)
	}
	if len(batch.events) > 0 {
		s.mu.Lock()
		s.since = batch.since
		s.mu.Unlock()
		if again, err := s.send(ctx, batch); err != nil || again {
			return again, err
		}
	}
	if batch.at.N == at.N {
		return false, nil // the records are not there yet, or not any more
	}
	// Told to end by now, it still remembers what it has delivered.
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := s.store.keep(keep, s.cfg.Name, s.holder, batch.at); err != nil {
		return false, fmt.Errorf("remember how far the sink is: %w", err)
	}
	if gone := batch.at.Lost - at.Lost; gone > 0 {
		s.mourn(gone, batch.at.Lost, "records are missing in the log, or cannot be read")
	}
	s.delivered(int64(len(batch.events)), batch.bare)
	s.seen(batch.at, ends, true)
	return true, nil
}

// place is where the sink is and whether this process ships to it.
func (s *sink) place(ctx context.Context) (position, bool, error) {
	p, held, err := s.store.hold(ctx, s.cfg.Name, s.holder, s.pace.lease)
	if err != nil || p != nil {
		if p == nil {
			p = &position{}
		}
		return p.clone(), held, err
	}
	if !held {
		return position{}.clone(), false, nil
	}
	first, err := began(ctx, s.store, s.store.newest, s.cfg.FromNow)
	if err == nil {
		err = s.store.keep(ctx, s.cfg.Name, s.holder, first)
	}
	return first, true, err
}

// load is one delivery: what is sent, and where the sink is after it.
type load struct {
	events []json.RawMessage
	ids    []string
	bytes  int
	bare   int64
	since  time.Time // when the first was made
	at     position
}

// sinkRows is how many records are read at a time.
const sinkRows = 128

// read makes the next delivery, of one record at least.
func (s *sink) read(ctx context.Context, at position) (load, error) {
	b := load{at: at.clone()}
	for {
		rows, err := s.store.tail(ctx, search{after: b.at.N, forward: true, inputs: true, limit: sinkRows})
		if err != nil {
			return b, err
		}
		for _, r := range rows {
			if more, err := s.load(ctx, r, &b); err != nil || !more {
				return b, err
			}
		}
		if len(rows) < sinkRows {
			return b, nil
		}
	}
}

// load adds a record to a delivery and reports whether there is room for another.
func (s *sink) load(ctx context.Context, r row, b *load) (bool, error) {
	e, err := entryOf(r)
	if err != nil {
		// Whoever changed the record has taken it away: it is lost, and the
		// report of Verify names it.
		b.at.pass(r)
		if r.writer != "" { // else its block is gone: the gap in the chain counts it
			b.at.Lost++
		}
		return true, nil
	}
	event, bare, err := s.event(ctx, e, r)
	if err != nil {
		return false, err
	}
	if len(b.events) > 0 && b.bytes+len(event) > s.bytes {
		return false, nil
	}
	if len(b.events) == 0 {
		b.since = e.At
	}
	if bare {
		b.bare++
	}
	b.at.pass(r)
	b.bytes += len(event) + 1
	b.events, b.ids = append(b.events, event), append(b.ids, e.ID)
	return len(b.events) < s.cfg.Records && b.bytes < s.bytes, nil
}

// event is the record as it is sent: without its input when it is too large with it.
func (s *sink) event(ctx context.Context, e Entry, r row) (event []byte, bare bool, err error) {
	in, err := inputOf(ctx, s.store, r, s.tries >= faultyAfter)
	if err != nil {
		return nil, false, err
	}
	event, err = eventOf(e, in, s.cfg.Labels)
	if err != nil || in.doc == nil || len(event) <= s.cfg.Bytes && e.ID != s.bare {
		return event, false, err
	}
	event, err = eventOf(e, in.leftOut(), s.cfg.Labels)
	return event, true, err
}

// send delivers, or makes the next delivery smaller (again) when this one was
// too large for the receiver.
func (s *sink) send(ctx context.Context, b load) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err = s.cfg.To.Send(ctx, b.events)
	var no *Refusal
	if !errors.As(err, &no) || !no.TooLarge() {
		if err == nil {
			s.grow()
		}
		return false, err
	}
	s.calm = 0
	switch {
	case len(b.events) > 1:
		s.bytes = max(b.bytes/2, 1)
		return true, nil
	case b.bare == 0 && s.bare != b.ids[0]:
		s.bare = b.ids[0]
		return true, nil
	}
	return false, err // nothing is left to leave out
}

// calmAfter is how many deliveries it takes until more is tried at a time again.
const calmAfter = 100

// grow takes back that deliveries were made smaller: the receiver, or what stands
// before it, may take more by now.
func (s *sink) grow() {
	if s.bytes == s.cfg.Bytes {
		return
	}
	if s.calm++; s.calm >= calmAfter {
		s.calm, s.bytes = 0, min(2*s.bytes, s.cfg.Bytes)
	}
}

// seen keeps what a look at the log has shown.
func (s *sink) seen(at position, ends map[string]heads, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.LagRecords, s.state.Lost, s.state.Elsewhere = at.lag(ends), at.Lost, !held
	switch {
	case s.state.LagRecords == 0:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = s.now()
	}
}

func (s *sink) delivered(records, bare int64) {
	s.mu.Lock()
	was := s.state.Err
	s.state.Shipped += records
	s.state.Bare += bare
	s.state.Err = ""
	s.since = time.Time{} // the next batch, or the next look, says
	s.mu.Unlock()
	s.tries = 0
	if was != "" && records > 0 {
		s.log.Info("decisions can be delivered again")
	}
}

// mourn tells that records are lost to the sink; they were never sent.
func (s *sink) mourn(lost, total int64, why string) {
	s.log.Error("decisions are lost to a sink", "records", lost, "total", total, "why", why)
}

// failed keeps why, and answers when to try again: twice as long after each
// failure, and not before the receiver wants it.
func (s *sink) failed(err error) time.Duration {
	s.mu.Lock()
	first := s.state.Err == ""
	s.state.Err = err.Error()
	s.state.Failures++
	s.mu.Unlock()
	if first {
		s.log.Warn("decisions cannot be delivered; they wait in the log", "error", err)
	}
	if errors.Is(err, policy.ErrConflict) {
		return s.pace.poll // another replica ships by now
	}
	wait := min(s.pace.least<<min(s.tries, 20), s.pace.most)
	s.tries++
	// Replicas and sinks that failed together do not come back together.
	wait = wait/2 + rand.N(wait/2+1)
	var no *Refusal
	if errors.As(err, &no) {
		wait = max(wait, min(no.RetryAfter, s.pace.patience))
	}
	return wait
}

func (s *sink) status() SinkStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.state
	out.Name = s.cfg.Name
	if out.LagRecords > 0 && !s.since.IsZero() {
		out.LagSeconds = max(0, s.now().Sub(s.since).Seconds())
	}
	return out
}
