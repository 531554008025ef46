package decisionlog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// view reads one day, in a transaction in which nothing changes.
type view struct {
	tx    reader
	t     tables
	codec *codec
	day   string
}

// end is how far a writer came in a day, and up to where its records are in segments.
type end struct {
	writer string
	n      int64
	head   head
	sealed int64
}

// ends answers how far all writers came. Whoever reads more of a day than one table
// begins with it: PostgreSQL locks tables one by one as they are met, a drop locks
// this one first, and in another order the two would wait for each other.
func (v *view) ends(ctx context.Context) ([]end, error) {
	rows, err := v.tx.QueryContext(ctx, "SELECT writer, n, seq, hash, sealed FROM "+v.t.ends+" ORDER BY writer")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []end
	for rows.Next() {
		var e end
		var sum []byte
		if err := rows.Scan(&e.writer, &e.n, &e.head.seq, &sum, &e.sealed); err != nil {
			return nil, err
		}
		e.head.hash = hashOf(sum)
		all = append(all, e)
	}
	return all, rows.Err()
}

// search answers the matching rows of the day in the order that is asked for.
func (v *view) search(ctx context.Context, s search) ([]row, error) {
	ends, err := v.ends(ctx)
	if err != nil {
		return nil, err
	}
	var found []int64
	for _, e := range ends {
		ns, err := v.find(ctx, s, e)
		if err != nil {
			return nil, err
		}
		found = append(found, ns...)
	}
	slices.SortFunc(found, func(a, b int64) int {
		if s.forward {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(b, a)
	})
	rows, err := v.rows(ctx, found[:min(len(found), s.limit)], s.inputs)
	if !s.forward {
		slices.Reverse(rows)
	}
	return rows, err
}

// span is the part of a day that a search is about.
type span struct{ after, before, since, until int64 }

func spanOf(s search) span {
	p := span{after: 0, before: math.MaxInt64, since: math.MinInt64, until: math.MaxInt64}
	if s.forward {
		p.after = s.after
	}
	if s.before != 0 {
		p.before = s.before
	}
	if s.since != 0 {
		p.since = s.since
	}
	if s.until != 0 {
		p.until = s.until
	}
	return p
}

// finding collects order numbers of one writer.
type finding struct {
	span
	match   *matcher
	forward bool
	limit   int
	found   []int64
}

func (f *finding) full() bool { return len(f.found) >= f.limit }

// timed reports whether the search is about a time.
func (f *finding) timed() bool { return f.since != math.MinInt64 || f.until != math.MaxInt64 }

// take collects from columns as they are stored, in the order of the search. What
// it is not asked for it does not unpack: most records are passed over.
func (f *finding) take(facets, places, times []byte) error {
	distinct, err := decodeFacets(facets)
	if err != nil {
		return err
	}
	met := make([]bool, max(1<<8, len(distinct)))
	for i, facet := range distinct {
		met[i] = f.match.has(facet)
	}
	p, err := decodePlaces(len(distinct), places)
	if err != nil {
		return err
	}
	var at []int64
	if f.timed() {
		if at, err = decodeTimes(p.count, times); err != nil {
			return err
		}
	}
	i := p.count
	if f.forward {
		i = 0
	} else {
		slices.Reverse(p.runs)
	}
	for _, r := range p.runs {
		if !f.forward {
			i -= int(r.count)
		}
		for k := range int(r.count) {
			if !f.forward {
				k = int(r.count) - 1 - k
			}
			n, place := r.n+int64(k), p.at(i+k)
			if place >= len(met) || !met[place] || n <= f.after || n >= f.before || at != nil && (at[i+k] < f.since || at[i+k] >= f.until) {
				continue
			}
			if f.found = append(f.found, n); f.full() {
				return nil
			}
		}
		if f.forward {
			i += int(r.count)
		}
	}
	return nil
}

func (v *view) find(ctx context.Context, s search, e end) ([]int64, error) {
	f := &finding{span: spanOf(s), match: newMatcher(s), forward: s.forward, limit: s.limit}
	if e.n <= f.after {
		return nil, nil
	}
	if err := eachPiece(ctx, v.tx, v.t, e.writer, func(_ int64, piece []byte) error { return f.match.read(piece) }); err != nil {
		return nil, fmt.Errorf("read the names: %w", err)
	}
	if f.match.count == 0 {
		return nil, nil
	}
	steps := []func(context.Context, *finding, end) error{v.findLoose, v.findSealed}
	if s.forward {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(ctx, f, e); err != nil || f.full() {
			return f.found, err
		}
	}
	return f.found, nil
}

func (f *finding) order() string {
	if f.forward {
		return " ORDER BY n"
	}
	return " ORDER BY n DESC"
}

// findLoose looks through the blocks that are in no segment yet.
func (v *view) findLoose(ctx context.Context, f *finding, e end) error {
	rows, err := v.tx.QueryContext(ctx, "SELECT facets, places, times FROM "+v.t.blocks+
		" WHERE writer = $1 AND n > $2 AND n < $3 AND n + count - 1 > $4 AND at_max >= $5 AND at_min < $6"+f.order(),
		e.writer, e.sealed, f.before, f.after, f.since, f.until)
	if err != nil {
		return err
	}
	defer rows.Close()
	for !f.full() && rows.Next() {
		var facets, places, times []byte
		if err := rows.Scan(&facets, &places, &times); err != nil {
			return err
		}
		if err := f.take(facets, places, times); err != nil {
			return err
		}
	}
	return rows.Err()
}

// someSegments is how many segments are looked at with one question.
const someSegments = 128

func (v *view) findSealed(ctx context.Context, f *finding, e end) error {
	if e.sealed <= f.after {
		return nil
	}
	from, to := int64(0), f.before
	for {
		met, seen, last, err := v.segments(ctx, f, e.writer, from, to)
		if err != nil {
			return err
		}
		for _, n := range met {
			if err := v.takeSegment(ctx, f, n); err != nil {
				return fmt.Errorf("segment %d: %w", n, err)
			}
			if f.full() {
				return nil
			}
		}
		if seen < someSegments {
			return nil
		}
		if f.forward {
			from = last
		} else {
			to = last
		}
	}
}

func (v *view) takeSegment(ctx context.Context, f *finding, n int64) error {
	var facets, places, times []byte
	what, into := "facets, places", []any{&facets, &places}
	if f.timed() {
		what, into = what+", times", append(into, &times)
	}
	if err := v.tx.QueryRowContext(ctx, "SELECT "+what+" FROM "+v.t.segments+" WHERE n = $1", n).Scan(into...); err != nil {
		return err
	}
	return f.take(facets, places, times)
}

// segments answers which of the next segments have a facet that is sought.
func (v *view) segments(ctx context.Context, f *finding, writer string, from, to int64) (met []int64, seen int, last int64, err error) {
	rows, err := v.tx.QueryContext(ctx, fmt.Sprintf("SELECT n, facets FROM %s"+
		" WHERE writer = $1 AND n > $2 AND n < $3 AND last > $4 AND at_max >= $5 AND at_min < $6 %s LIMIT %d", v.t.segments, f.order(), someSegments),
		writer, from, to, f.after, f.since, f.until)
	if err != nil {
		return nil, 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var facets sql.RawBytes
		if err := rows.Scan(&last, &facets); err != nil {
			return nil, 0, 0, err
		}
		seen++
		all, err := decodeFacets(facets)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("segment %d: %w", last, err)
		}
		if slices.ContainsFunc(all, f.match.has) {
			met = append(met, last)
		}
	}
	return met, seen, last, rows.Err()
}

const blockColumns = "n, count, writer, seq, hash, bodies"

// block answers the block that holds an order number.
func (v *view) block(ctx context.Context, n int64, inputs bool) (*block, error) {
	what := blockColumns
	if inputs {
		what += ", inputs"
	}
	b := &block{}
	var sum []byte
	into := []any{&b.n, &b.count, &b.writer, &b.seq, &sum, &b.bodies}
	if inputs {
		into = append(into, &b.inputs)
	}
	err := v.tx.QueryRowContext(ctx, "SELECT "+what+" FROM "+v.t.blocks+" WHERE n <= $1 ORDER BY n DESC LIMIT 1", n).Scan(into...)
	copy(b.last[:], sum)
	return b, err
}

// rows reads the records with these order numbers and answers them in rising
// order. One that somebody took away or spoilt is answered without a body: what
// can be read of the others is read.
func (v *view) rows(ctx context.Context, ns []int64, inputs bool) ([]row, error) {
	ns = slices.Sorted(slices.Values(ns))
	var out []row
	for len(ns) > 0 {
		b, err := v.block(ctx, ns[0], inputs)
		if errors.Is(err, sql.ErrNoRows) {
			b, err = &block{}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the block of record %d: %w", ns[0], err)
		}
		k := 0
		for k < len(ns) && ns[k]-b.n < b.count {
			k++
		}
		if k == 0 {
			out, ns = append(out, row{n: ns[0], day: v.day}), ns[1:]
			continue
		}
		out, ns = append(out, v.codec.rows(b, v.day, ns[:k], inputs)...), ns[k:]
	}
	return out, nil
}

// rulesOf are the codes that a record is found by.
func rulesOf(deny, warn, dryrun []policy.Reason, waived []policy.Waived) []string {
	var all []string
	for _, some := range [][]policy.Reason{deny, warn, dryrun} {
		for i := range some {
			all = append(all, clean(some[i].Code))
		}
	}
	for i := range waived {
		all = append(all, clean(waived[i].Code))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
