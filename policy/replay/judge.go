package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// outcome is what became of a case.
type outcome struct {
	// skip is why it was not judged.
	skip string
	// failed is why no decision was possible now.
	failed string
	// same says that the answer is the one of then, byte for byte.
	same bool
	// now is the answer, where it is another one, and field where they differ first.
	now   policy.Decision
	field string
}

// worker judges cases one after the other.
type worker struct {
	bundle   Judge
	deadline time.Duration
	// reads are the paths that the bundle can read, by action; nil for all.
	reads    map[policy.Action][]string
	was, now []byte
}

func newWorker(judge Judge, deadline time.Duration) *worker {
	return &worker{bundle: judge, deadline: deadline, reads: map[policy.Action][]string{}}
}

// judge fills in what became of each case of a batch.
func (w *worker) judge(ctx context.Context, b *batch) {
	b.outcomes = make([]outcome, len(b.cases))
	for i := range b.cases {
		b.outcomes[i] = w.one(ctx, &b.cases[i])
		// What was judged is not needed any more; a batch waits for those before it.
		b.cases[i].Input, b.cases[i].Raw = nil, nil
	}
}

func (w *worker) one(ctx context.Context, c *Case) outcome {
	if c.Skip != "" {
		return outcome{skip: c.Skip}
	}
	if len(c.Masked) > 0 && w.hidden(c) {
		return outcome{skip: SkipMasked}
	}
	doc := c.Input
	if doc == nil {
		if len(c.Raw) == 0 {
			return outcome{skip: SkipNoInput}
		}
		var err error
		if doc, err = decode(c.Raw); err != nil {
			return outcome{failed: "the input cannot be read: " + err.Error()}
		}
	}
	now, err := w.decide(ctx, policy.Transpose(doc, c.Packs, w.bundle))
	if err != nil {
		return outcome{failed: err.Error()}
	}
	w.was = appendDecision(w.was[:0], &c.Was)
	w.now = appendDecision(w.now[:0], &now)
	if bytes.Equal(w.was, w.now) {
		return outcome{same: true}
	}
	return outcome{now: now, field: firstDifference(w.was, w.now)}
}

func (w *worker) decide(ctx context.Context, doc map[string]any) (policy.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, w.deadline)
	defer cancel()
	return w.bundle.DecideInput(ctx, doc)
}

// placed are the paths that are read to put an input before another bundle, whose
// own waivers and packs depend on them.
var placed = []string{"artifact.digest", "project", "repository.name", "time.rfc3339", "waivers", "workspace"}

// hidden reports whether the record hides what the bundle, or the transposition,
// looks at.
func (w *worker) hidden(c *Case) bool {
	reads, known := w.reads[c.Action]
	if !known {
		reads = w.bundle.Reads(c.Action)
		w.reads[c.Action] = reads
	}
	if reads == nil {
		return true
	}
	return slices.ContainsFunc(c.Masked, func(masked string) bool {
		over := func(read string) bool { return policy.PathsOverlap(masked, read) }
		return slices.ContainsFunc(reads, over) || slices.ContainsFunc(placed, over)
	})
}

// decode reads a document with its numbers as they were written: a time in
// nanoseconds is beyond what a float64 can hold.
func decode(raw []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than one document: %w", policy.ErrInvalid)
	}
	if doc == nil {
		return nil, fmt.Errorf("no object: %w", policy.ErrInvalid)
	}
	return doc, nil
}
