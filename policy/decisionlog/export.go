package decisionlog

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

const (
	// batchOfAll is how many records are read at once for a walk of many.
	batchOfAll = 512
	// factWindow is how many bytes of facts whoever writes an export and whoever
	// reads it remember: a fact is sent again when it fell out.
	factWindow = 64 << 20
	// maxLine bounds a line of an export, and maxPending the facts before one record.
	maxLine    = 64 << 20
	maxPending = 256 << 20
)

// The kinds of [ExportLine].
const (
	factLine   = "fact"
	recordLine = "record"
	endLine    = "end"
	errorLine  = "error"
)

// ExportLine is one line of an export: a fact, or a record whose facts were all
// sent before it.
type ExportLine struct {
	Kind string `json:"kind"`
	// Digest and Body are a fact's.
	Digest string          `json:"digest,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Record *Entry          `json:"record,omitempty"`
}

// All yields every matching record, the oldest first, with its input as it is
// stored: large parts are named by digest. It holds no more than a few records
// at a time. It ends at what was the newest record when it was called.
func (l *Log) All(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := l.each(ctx, q, func(_ row, e Entry) (bool, error) { return yield(e, nil), nil })
		if err != nil {
			yield(Entry{}, err)
		}
	}
}

func (l *Log) each(ctx context.Context, q Query, do func(row, Entry) (bool, error)) error {
	s := l.search(q)
	left := q.Limit
	newest, err := l.store.newest(ctx)
	if err != nil {
		return fmt.Errorf("decision log: read all: %w", err)
	}
	s.forward, s.inputs = true, true
	if s.before == 0 || s.before > newest+1 {
		s.before = newest + 1
	}
	for {
		if s.limit = batchOfAll; q.Limit > 0 {
			s.limit = min(s.limit, left)
		}
		rows, err := l.store.tail(ctx, s)
		if err != nil {
			return fmt.Errorf("decision log: read all: %w", err)
		}
		for i := range rows {
			s.after = rows[i].n
			e, err := entryOf(rows[i])
			if err != nil {
				return err
			}
			if rows[i].hasInput() {
				e.Input = rows[i].input
			}
			if more, err := do(rows[i], e); err != nil || !more {
				return err
			}
			left--
		}
		if len(rows) < s.limit || q.Limit > 0 && left <= 0 {
			return nil
		}
	}
}

// Export yields the lines of an export: each matching record, the oldest first,
// after the facts that it names. What yield fails with ends it.
func (l *Log) Export(ctx context.Context, q Query, yield func(any) error) error {
	var sent window
	return l.each(ctx, q, func(r row, e Entry) (bool, error) {
		for _, name := range e.Facts {
			if sent.has(name) {
				continue
			}
			digest, err := parseDigest(name)
			if err != nil {
				return false, fmt.Errorf("decision log: export %s: %w", e.ID, err)
			}
			body, err := l.store.fact(ctx, r.day, digest)
			if errors.Is(err, errNoDay) {
				return true, nil // dropped since, and the record with it
			}
			if err != nil {
				return false, fmt.Errorf("decision log: export %s: fact %s: %w", e.ID, name, err)
			}
			if err := yield(ExportLine{Kind: factLine, Digest: name, Body: body}); err != nil {
				return false, err
			}
			sent.add(name, body)
		}
		sent.trim()
		return true, yield(ExportLine{Kind: recordLine, Record: &e})
	})
}

// window is the facts that both ends of an export remember, the oldest leaving first.
type window struct {
	bodies map[string][]byte
	order  []string
	size   int
}

func (w *window) has(name string) bool { _, ok := w.bodies[name]; return ok }

func (w *window) add(name string, body []byte) {
	if w.bodies == nil {
		w.bodies = map[string][]byte{}
	}
	w.bodies[name] = body
	w.order = append(w.order, name)
	w.size += len(body)
}

// trim forgets what is too much. It is called at each record, by both ends, so
// that both know the same and a record's own facts are never gone before it.
func (w *window) trim() {
	for w.size > factWindow {
		w.size -= len(w.bodies[w.order[0]])
		delete(w.bodies, w.order[0])
		w.order = w.order[1:]
	}
}

// ReadExport reads what [Log.Export] wrote, with facts put back into the inputs.
// It fails with [policy.ErrInvalid] when a line is none, is too long, is not what
// its digest says, or when the end is missing.
func ReadExport(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), maxLine)
		x := reading{}
		for n := 1; lines.Scan(); n++ {
			e, err := x.line(lines.Bytes())
			if err != nil {
				yield(Entry{}, fmt.Errorf("decision log: line %d of the export: %w", n, err))
				return
			}
			if x.ended {
				return
			}
			if e != nil && !yield(*e, nil) {
				return
			}
		}
		err := lines.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("a line is longer than %d bytes: %w", maxLine, policy.ErrInvalid)
		}
		if err == nil {
			err = fmt.Errorf("it has no end, so it is not whole: %w", policy.ErrInvalid)
		}
		yield(Entry{}, fmt.Errorf("decision log: read an export: %w", err))
	}
}

type reading struct {
	facts   window
	pending int // bytes of facts since the last record
	ended   bool
}

// line takes a line and answers the record that it is, if it is one.
func (x *reading) line(text []byte) (*Entry, error) {
	var l struct {
		ExportLine
		Error string `json:"error"`
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("%w: %w", policy.ErrInvalid, err)
	}
	switch l.Kind {
	case endLine:
		x.ended = true
		return nil, nil
	case errorLine:
		return nil, fmt.Errorf("the server could not write all of it: %s: %w", l.Error, policy.ErrUnavailable)
	case factLine:
		return nil, x.fact(l.Digest, l.Body)
	case recordLine:
		if l.Record == nil {
			return nil, fmt.Errorf("a record without one: %w", policy.ErrInvalid)
		}
		return l.Record, x.record(l.Record)
	}
	return nil, fmt.Errorf("kind %q: %w", l.Kind, policy.ErrInvalid)
}

func (x *reading) fact(name string, body []byte) error {
	if x.pending += len(body); x.pending > maxPending {
		return fmt.Errorf("more than %d bytes of facts for one record: %w", maxPending, policy.ErrInvalid)
	}
	body, ok := asStored(name, body)
	if !ok {
		return fmt.Errorf("fact %s holds something else: %w", name, policy.ErrInvalid)
	}
	if !x.facts.has(name) {
		x.facts.add(name, body)
	}
	return nil
}

func (x *reading) record(e *Entry) error {
	defer x.facts.trim()
	x.pending = 0
	if len(e.Input) == 0 {
		return nil
	}
	stored, ok := asStored(e.InputDigest, e.Input)
	if !ok {
		return fmt.Errorf("the input of %s is not the one that was judged: %w", e.ID, policy.ErrInvalid)
	}
	whole, err := splice(nil, stored, func(name string) ([]byte, error) {
		body, ok := x.facts.bodies[name]
		if !ok {
			return nil, fmt.Errorf("fact %s was not sent: %w", name, policy.ErrInvalid)
		}
		return body, nil
	}, 0)
	if err != nil {
		return fmt.Errorf("the input of %s: %w", e.ID, err)
	}
	e.Input = whole
	return nil
}

// asStored is a text as it was when its digest was taken. What passed on the way
// may have written the same JSON in another form.
func asStored(digest string, text []byte) ([]byte, bool) {
	if digest == string(appendDigest(nil, sha256.Sum256(text))) {
		return text, true
	}
	v, err := decode(text)
	if err != nil {
		return nil, false
	}
	c := canonical{plain: true}
	if err := c.value(v, nil, 0); err != nil {
		return nil, false
	}
	return c.buf, digest == string(appendDigest(nil, sha256.Sum256(c.buf)))
}

// maxSpliced bounds an input with its facts: facts that name facts could
// otherwise make a small file a very large document.
const maxSpliced = 256 << 20

// splice appends a stored document with its facts put back in their places and
// the escapes taken off its keys. It reads canonical JSON, in which nothing
// stands between the parts, and copies what it does not have to change.
func splice(out, text []byte, facts func(name string) ([]byte, error), depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("facts in facts deeper than %d: %w", maxDepth, policy.ErrInvalid)
	}
	from := 0
	for i := 0; i < len(text); {
		if text[i] != '"' {
			i++
			continue
		}
		end := endOfString(text, i)
		if end < 0 {
			return nil, fmt.Errorf("a string does not end: %w", policy.ErrInvalid)
		}
		if text[i+1] != '$' || end+1 >= len(text) || text[end+1] != ':' {
			i = end + 1
			continue
		}
		if string(text[i:end+1]) != `"`+factKey+`"` {
			out = append(append(out, text[from:i]...), '"')
			from = i + 2 // one "$" less
			i = end + 1
			continue
		}
		name, after, ok := factAt(text, i, end+2)
		if !ok {
			return nil, fmt.Errorf("a fact is named in another way: %w", policy.ErrInvalid)
		}
		body, err := facts(name)
		if err != nil {
			return nil, err
		}
		out = append(out, text[from:i-1]...)
		if len(out)+len(body) > maxSpliced {
			return nil, fmt.Errorf("larger than %d bytes with its facts: %w", maxSpliced, policy.ErrInvalid)
		}
		if out, err = splice(out, body, facts, depth+1); err != nil {
			return nil, err
		}
		from, i = after, after
	}
	return append(out, text[from:]...), nil
}

// factAt reads the value of a fact's key: the object has this member alone.
func factAt(text []byte, key, value int) (name string, after int, ok bool) {
	if key == 0 || text[key-1] != '{' || value >= len(text) || text[value] != '"' {
		return "", 0, false
	}
	end := endOfString(text, value)
	if end < 0 || end+1 >= len(text) || text[end+1] != '}' {
		return "", 0, false
	}
	name = string(text[value+1 : end])
	return name, end + 2, strings.HasPrefix(name, "sha256:")
}

// endOfString is the place of the quote that ends the string at i; -1 for none.
func endOfString(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
