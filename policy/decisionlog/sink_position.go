package decisionlog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// position is how far a sink is. It is written with what a delivery changed in
// it, so a record is counted as lost once, whatever happens in between.
type position struct {
	// N is the order number of the last record that was delivered.
	N int64 `json:"n"`
	// Writers are the sequence numbers up to which each writer's records were
	// delivered or are lost. Numbers in a chain have no gaps, so what is missing
	// can be counted; order numbers do have some.
	Writers map[string]int64 `json:"writers"`
	// Lost is how many records were gone before they were delivered.
	Lost int64 `json:"lost"`
}

// source is what sinks need of a backend.
type source interface {
	// ends answers the ends of all chains.
	ends(ctx context.Context) (map[string]heads, error)
	// hold makes the holder the one that ships to a sink, for as long as it says,
	// and answers where the sink is; nil when it is new. It answers false, and
	// changes nothing, while another one holds it.
	hold(ctx context.Context, sink, holder string, lease time.Duration) (*position, bool, error)
	// keep remembers where the sink is. It fails with [policy.ErrConflict] when
	// another one holds the sink by now.
	keep(ctx context.Context, sink, holder string, p position) error
	// release lets another one hold the sink at once.
	release(ctx context.Context, sink, holder string) error
}

// began is the position of a new sink.
func began(ctx context.Context, from source, newest func(context.Context) (int64, error), now bool) (position, error) {
	p := position{Writers: map[string]int64{}}
	var err error
	// First the order number: what is written in between is delivered, and not
	// taken for something that was there before.
	if now {
		if p.N, err = newest(ctx); err != nil {
			return p, err
		}
	}
	all, err := from.ends(ctx)
	for writer, e := range all {
		if p.Writers[writer] = e.dropped.seq; now {
			p.Writers[writer] = e.last.seq
		}
	}
	return p, err
}

func (p position) clone() position {
	p.Writers = maps.Clone(p.Writers)
	if p.Writers == nil {
		p.Writers = map[string]int64{}
	}
	return p
}

// dropped counts what retention has taken away since, and answers how much that was.
func (p *position) dropped(all map[string]heads) (lost int64) {
	for writer, e := range all {
		if gone := e.dropped.seq - p.Writers[writer]; gone > 0 {
			p.Writers[writer] = e.dropped.seq
			lost += gone
		}
	}
	p.Lost += lost
	return lost
}

// pass goes on to a record that is delivered. What is missing before it is lost.
func (p *position) pass(r row) (lost int64) {
	p.N = r.n
	if next := p.Writers[r.writer] + 1; r.seq >= next {
		lost = r.seq - next
		p.Writers[r.writer] = r.seq
	}
	p.Lost += lost
	return lost
}

// lag is how many records are still to come.
func (p *position) lag(all map[string]heads) (records int64) {
	for writer, e := range all {
		records += max(0, e.last.seq-max(p.Writers[writer], e.dropped.seq))
	}
	return records
}

// readPosition reads where a sink is, as it was kept.
func readPosition(sink string, text []byte) (*position, error) {
	var at position
	if err := json.Unmarshal(text, &at); err != nil {
		return nil, fmt.Errorf("the position of sink %s: %w", sink, err)
	}
	return &at, nil
}
