package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	workers = 32
	// backlog is how many operations may be due and not begun. One more is left out,
	// and counted.
	backlog = 4096
	// told is how many errors are printed; all are counted.
	told = 20
)

// load does the operations of a mix and keeps the score.
type load struct {
	w          *world
	operations []operation
	total      int
	tallies    []tally // one for each operation
	all        tally   // since the last sample
	errors     atomic.Int64
	leftOut    atomic.Int64
}

func newLoad(w *world) *load {
	l := &load{w: w, operations: mix()}
	for _, o := range l.operations {
		l.total += o.weight
	}
	l.tallies = make([]tally, len(l.operations))
	return l
}

// once does one operation that was due at a moment: how long it took is counted
// from there, so that a server that stalls cannot hide who waited.
func (l *load) once(ctx context.Context, r *rand.Rand, due time.Time) {
	n, at := r.IntN(l.total), 0
	for n >= l.operations[at].weight {
		n -= l.operations[at].weight
		at++
	}
	err := l.operations[at].do(l.w, ctx, r)
	took := time.Since(due)
	l.tallies[at].add(took)
	l.all.add(took)
	if err != nil {
		l.failed(fmt.Errorf("%s: %w", l.operations[at].name, err))
	}
}

// done is how many operations were answered, rightly or not.
func (l *load) done() (n int64) {
	for i := range l.tallies {
		n += l.tallies[i].count()
	}
	return n
}

func (l *load) failed(err error) {
	if n := l.errors.Add(1); n <= told {
		fmt.Printf("error %d: %v\n", n, err)
	}
}

// closed lets every worker do one thing after the other for d, and answers how
// many operations a second that is: the most that is possible.
func (l *load) closed(ctx context.Context, d time.Duration) float64 {
	var wg sync.WaitGroup
	began := time.Now()
	for i := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for ctx.Err() == nil && time.Since(began) < d {
				l.once(ctx, r, time.Now())
			}
		})
	}
	wg.Wait()
	return float64(l.all.count()) / time.Since(began).Seconds()
}

// paced begins rate operations a second for d, whether or not earlier ones are
// done, and waits for those that were begun.
func (l *load) paced(ctx context.Context, rate float64, d time.Duration) {
	due := make(chan time.Time, backlog)
	began, begun := time.Now(), 0
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 2))
			for at := range due {
				if ctx.Err() == nil && time.Since(began) < d {
					l.once(ctx, r, at)
				}
			}
		})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && time.Since(began) < d {
		<-tick.C
		for ; begun < int(rate*time.Since(began).Seconds()); begun++ {
			select {
			case due <- began.Add(time.Duration(float64(begun) / rate * float64(time.Second))):
			default:
				l.leftOut.Add(1)
			}
		}
	}
	close(due)
	wg.Wait()
}

// tally counts durations in classes that are an eighth of an octave of a
// microsecond wide: a quantile is right to 9 %.
type tally struct{ classes [256]atomic.Int64 }

const perOctave = 8

func (t *tally) add(d time.Duration) {
	class := int(perOctave * math.Log2(max(1, float64(d.Microseconds()))))
	t.classes[min(class, len(t.classes)-1)].Add(1)
}

func (t *tally) count() (n int64) {
	for i := range t.classes {
		n += t.classes[i].Load()
	}
	return n
}

// take answers what was counted and begins again.
func (t *tally) take() *tally {
	var out tally
	for i := range t.classes {
		out.classes[i].Store(t.classes[i].Swap(0))
	}
	return &out
}

// quantile is the upper bound of the class that holds it.
func (t *tally) quantile(q float64) time.Duration {
	rank, seen := int64(q*float64(t.count())), int64(0)
	for i := range t.classes {
		if seen += t.classes[i].Load(); seen > rank {
			return time.Duration(math.Exp2(float64(i+1)/perOctave) * float64(time.Microsecond))
		}
	}
	return 0
}
