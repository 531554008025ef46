package replay

import (
	"bytes"
	"context"
	"slices"
	"strings"
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
	at       map[policy.Action]look
	reader   *reader
	was, now []byte
}

// look is where the bundle looks for an action: paths are nil for everywhere.
type look struct {
	paths []string
	tree  *wanted
}

func newWorker(judge Judge, deadline time.Duration) *worker {
	return &worker{bundle: judge, deadline: deadline, at: map[policy.Action]look{}, reader: newReader()}
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
		if doc, err = w.reader.document(c.Raw, w.looks(c.Action).tree); err != nil {
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

// compared are the record's own fields that are compared with the answer, or put
// into the input: a secret that was taken out of them would look like a change.
var compared = []string{"deny", "dryrun", "granted", "message", "obligations", "packs", "waived", "warn"}

// looks answers where the bundle, or the transposition, looks for an action.
func (w *worker) looks(a policy.Action) look {
	l, known := w.at[a]
	if known {
		return l
	}
	if l.paths = w.bundle.Reads(a); l.paths != nil {
		l.paths = slices.Concat(l.paths, placed)
	}
	l.tree = wantedOf(l.paths)
	// A record can name any action; there are few that exist.
	if len(w.at) < maxActions {
		w.at[a] = l
	}
	return l
}

const maxActions = 100

// hidden reports whether the record hides something there.
func (w *worker) hidden(c *Case) bool {
	paths := w.looks(c.Action).paths
	if paths == nil {
		return true
	}
	return slices.ContainsFunc(c.Masked, func(masked string) bool {
		if field, own := strings.CutPrefix(masked, "record."); own {
			return slices.Contains(compared, field)
		}
		return slices.ContainsFunc(paths, func(p string) bool { return policy.PathsOverlap(masked, p) })
	})
}
