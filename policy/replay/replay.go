package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Judge is the bundle that cases are put before.
type Judge interface {
	policy.Evaluator
	// DecideInput decides on a document as it was recorded. It fails with
	// [policy.ErrUnavailable] when no decision is possible.
	DecideInput(ctx context.Context, doc map[string]any) (policy.Decision, error)
}

// Case is something that was decided.
type Case struct {
	ID string
	At time.Time
	// Count is how many requests got the answer; 0 is 1.
	Count  int64
	Action policy.Action
	// Who asked for what, as reports show it. Owner is the project's, where it is known.
	Subject, Project, Owner, Repository, Reference, Digest string
	// Input is the document that was judged, or Raw is, as JSON: then it is read by
	// the worker that judges the case, as far as the bundle looks.
	Input map[string]any
	Raw   json.RawMessage
	// Packs are the project's own, without what the bundle of then added.
	Packs []policy.Pack
	// Masked are the paths of the input (dotted) that the record hides.
	Masked []string
	// Was is the answer of then.
	Was policy.Decision
	// Skip says why the case cannot be judged; empty for one that can.
	Skip string
}

// Why a case is not judged, as reports count it. A caller may have reasons of its own.
const (
	// SkipOutage: there was no decision that could come out again.
	SkipOutage = "outage"
	// SkipMasked: the record hides something that the bundle can read.
	SkipMasked = "masked"
	// SkipNoInput: the record has no input.
	SkipNoInput = "no input"
)

// Options are how a replay is done; the zero value is a good one.
type Options struct {
	// Workers judge at the same time; 0 is as many as there are cores.
	Workers int
	// Deadline bounds one evaluation; 0 is 5 s, far beyond that of the gate: a rule
	// that is slow on a busy machine has not changed.
	Deadline time.Duration
	// Expect says which changes are none to complain about; nil expects none.
	Expect *Expectation
	// Each is told of every case that changed, how and by which rules, in the order of
	// the cases; it keeps neither. A case without an answer is [Undecided]. Optional.
	Each func(c *Case, kind string, rules []string)
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Deadline <= 0 {
		o.Deadline = 5 * time.Second
	}
	if o.Expect == nil {
		o.Expect = &Expectation{}
	}
	if o.Each == nil {
		o.Each = func(*Case, string, []string) {}
	}
	return o
}

// A batch is what a worker takes at a time. Its size in bytes is bounded because a
// document with all vulnerabilities of an image has megabytes.
const (
	batchCases = 64
	batchBytes = 1 << 20
)

// batch is some cases in the order in which they came, and what became of them.
type batch struct {
	cases    []Case
	outcomes []outcome
	done     chan struct{}
}

// Run judges all cases and reports. It fails when the cases break off, with their
// error, and when ctx ends; there is no report of a part. The iterator has ended
// when Run returns.
func Run(ctx context.Context, cases iter.Seq2[Case, error], judge Judge, opts Options) (Report, error) {
	opts = opts.withDefaults()
	ctx, cancel := context.WithCancel(ctx)
	// Batches wait in the order of the cases, so that nothing in the report depends
	// on who was first; both channels together bound what is held.
	ordered := make(chan *batch, 2*opts.Workers)
	work := make(chan *batch, 2*opts.Workers)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()

	var broken error // read after ordered is closed
	all.Go(func() {
		defer close(ordered)
		defer close(work)
		broken = feed(ctx, cases, func(b *batch) bool {
			for _, to := range []chan *batch{ordered, work} {
				select {
				case to <- b:
				case <-ctx.Done():
					return false
				}
			}
			return true
		})
	})
	for range opts.Workers {
		all.Go(func() {
			w := newWorker(judge, opts.Deadline)
			for b := range work {
				w.judge(ctx, b)
				close(b.done)
			}
		})
	}

	sum := newTally(judge.Revision(), opts.Expect)
	sum.each = opts.Each
	for b := range ordered {
		select {
		case <-b.done:
		case <-ctx.Done():
			return Report{}, fmt.Errorf("replay: %w", context.Cause(ctx))
		}
		for i := range b.cases {
			sum.add(&b.cases[i], &b.outcomes[i])
		}
	}
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("replay: %w", err)
	}
	if broken != nil {
		return Report{}, fmt.Errorf("replay: read what was decided: %w", broken)
	}
	return sum.report(), nil
}

// feed makes batches of cases until send refuses one.
func feed(ctx context.Context, cases iter.Seq2[Case, error], send func(*batch) bool) error {
	b, size := newBatch(), 0
	for c, err := range cases {
		if err != nil {
			return err
		}
		b.cases = append(b.cases, c)
		size += len(c.Raw)
		if len(b.cases) < batchCases && size < batchBytes {
			continue
		}
		if !send(b) {
			return ctx.Err()
		}
		b, size = newBatch(), 0
	}
	if len(b.cases) > 0 {
		send(b)
	}
	return nil
}

func newBatch() *batch {
	return &batch{cases: make([]Case, 0, batchCases), done: make(chan struct{})}
}
