package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// walk shows a day to a walker: its facts, then its blocks in their order.
func (v *view) walk(ctx context.Context, w *walker) error {
	w.segment(v.day)
	ends, err := v.ends(ctx)
	if err != nil {
		return err
	}
	if err := v.walkFacts(ctx, w); err != nil {
		return err
	}
	sides := map[string]*side{}
	for _, e := range ends {
		sides[e.writer] = v.side(ctx, e)
	}
	for after := int64(-1 << 62); ; {
		blocks, err := v.someBlocks(ctx, after)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			after = b.n
			s := v.unpack(b)
			if at := sides[b.writer]; at == nil {
				s.foundErr = errDamaged
			} else if s.found, s.foundErr = at.places(ctx, b); s.foundErr != nil && !errors.Is(s.foundErr, errDamaged) {
				return s.foundErr
			}
			w.block(s)
		}
		if len(blocks) < blocksAtOnce {
			break
		}
	}
	for _, e := range ends {
		w.ended(e)
	}
	return v.walkSegments(ctx, w, sides)
}

// walkSegments shows which segments there are beside those that blocks are in: a
// search would find records in them that are not there, or twice.
func (v *view) walkSegments(ctx context.Context, w *walker, sides map[string]*side) error {
	rows, err := v.tx.QueryContext(ctx, "SELECT writer, count(*), max(last) FROM "+v.t.segments+" GROUP BY writer")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var writer string
		var count, last int64
		if err := rows.Scan(&writer, &count, &last); err != nil {
			return err
		}
		s := sides[writer]
		if s == nil || s.segments != count || s.end.sealed != last {
			w.found(Finding{Kind: Changed, Writer: writer, Day: w.day, What: "a search looks where there are no records, or twice"})
		}
		delete(sides, writer)
	}
	for writer, s := range sides {
		if s.end.sealed != 0 {
			w.found(Finding{Kind: Changed, Writer: writer, Day: w.day, What: "a search does not look at all records"})
		}
	}
	return rows.Err()
}

func (v *view) walkFacts(ctx context.Context, w *walker) error {
	rows, err := v.tx.QueryContext(ctx, "SELECT digest, body FROM "+v.t.facts)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var digest, packed []byte
		if err := rows.Scan(&digest, &packed); err != nil {
			return err
		}
		in := &cursor{rest: packed}
		body, err := v.codec.unpack(in)
		if len(in.rest) > 0 {
			err = errDamaged
		}
		w.fact(digest, body, err)
	}
	return rows.Err()
}

// blocksAtOnce bounds the memory of a walk.
const blocksAtOnce = 16

// kept is all of a row of a block.
type kept struct {
	block
	bounds                bounds
	facets, places, times []byte
}

func (v *view) someBlocks(ctx context.Context, after int64) ([]*kept, error) {
	rows, err := v.tx.QueryContext(ctx, fmt.Sprintf("SELECT %s, inputs, at_min, at_max, id_min, id_max, facets, places, times FROM %s WHERE n > $1 ORDER BY n LIMIT %d", blockColumns, v.t.blocks, blocksAtOnce), after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*kept
	for rows.Next() {
		b := &kept{}
		var sum []byte
		if err := rows.Scan(&b.n, &b.count, &b.writer, &b.seq, &sum, &b.bodies, &b.inputs,
			&b.bounds.atMin, &b.bounds.atMax, &b.bounds.idMin, &b.bounds.idMax, &b.facets, &b.places, &b.times); err != nil {
			return nil, err
		}
		b.last = hashOf(sum)
		all = append(all, b)
	}
	return all, rows.Err()
}

func (v *view) unpack(b *kept) *shown {
	s := &shown{block: b.block, bounds: b.bounds}
	if b.count < 1 || b.count > maxSegment {
		s.count, s.err = 1, errDamaged
		return s
	}
	s.bodies, s.err = v.codec.frames(b.bodies, true, b.count, every)
	var err error
	s.inputs, err = v.codec.frames(b.inputs, false, b.count, every)
	s.err = errors.Join(s.err, err)
	return s
}

// side is what a writer's records of a day are searched by, read beside them.
type side struct {
	v       *view
	end     end
	names   names
	facets  [][facetParts]uint32
	err     error
	segment *columns
	// segments is how many were read.
	segments int64
}

func (v *view) side(ctx context.Context, e end) *side {
	s := &side{v: v, end: e}
	s.err = eachPiece(ctx, v.tx, v.t, e.writer, func(n int64, piece []byte) error {
		if n != int64(s.names.count) {
			return errDamaged
		}
		return s.names.read(piece, s.names.keep, func(_ uint32, parts *[facetParts]uint32) { s.facets = append(s.facets, *parts) })
	})
	return s
}

// places answers what the records of the writer's next block are found by: what
// the block says, and its segment too when it is in one.
func (s *side) places(ctx context.Context, b *kept) ([]place, error) {
	if s.err != nil {
		return nil, s.err
	}
	c, err := decodeColumns(b.facets, b.places, b.times)
	if err != nil {
		return nil, err
	}
	if b.n <= s.end.sealed {
		if err := s.next(ctx, b.n); err != nil {
			return nil, err
		}
		if !c.equal(s.segment.from(b.n, b.count)) {
			return nil, errDamaged
		}
	}
	return s.named(c)
}

// next reads the segment that a record is in, unless it is the one that was read.
func (s *side) next(ctx context.Context, n int64) error {
	if s.segment != nil && n <= s.segment.last() {
		return nil
	}
	s.segment = nil
	var facets, places, times []byte
	var first, last int64
	var said, met bounds
	err := s.v.tx.QueryRowContext(ctx, "SELECT n, last, at_min, at_max, id_min, id_max, facets, places, times FROM "+s.v.t.segments+
		" WHERE writer = $1 AND n <= $2 ORDER BY n DESC LIMIT 1", s.end.writer, n).
		Scan(&first, &last, &said.atMin, &said.atMax, &said.idMin, &said.idMax, &facets, &places, &times)
	if errors.Is(err, sql.ErrNoRows) {
		return errDamaged
	}
	if err != nil {
		return err
	}
	c, err := decodeColumns(facets, places, times)
	if err != nil {
		return err
	}
	err = s.v.tx.QueryRowContext(ctx, "SELECT coalesce(min(at_min), 0), coalesce(max(at_max), 0), coalesce(min(id_min), ''), coalesce(max(id_max), '') FROM "+s.v.t.blocks+
		" WHERE writer = $1 AND n BETWEEN $2 AND $3", s.end.writer, first, last).Scan(&met.atMin, &met.atMax, &met.idMin, &met.idMax)
	if err != nil {
		return err
	}
	if c.first() != first || c.last() != last || said != met {
		return errDamaged
	}
	s.segment = c
	s.segments++
	return nil
}

func (c *columns) equal(other *columns) bool {
	return slices.Equal(c.runs, other.runs) && slices.Equal(c.facets, other.facets) && slices.Equal(c.times, other.times)
}

// from is the part of columns with count records from n on, or what there is of it.
func (c *columns) from(n, count int64) *columns {
	part := &columns{}
	i := int64(0)
	for _, r := range c.runs {
		if n >= r.n && n < r.n+r.count {
			first := i + n - r.n
			count = min(count, r.n+r.count-n)
			part.runs = []run{{n, count}}
			part.facets, part.times = c.facets[first:first+count], c.times[first:first+count]
			break
		}
		i += r.count
	}
	return part
}

func (s *side) named(c *columns) ([]place, error) {
	all := make([]place, 0, c.count())
	for _, r := range c.runs {
		for k := range r.count {
			i := len(all)
			if int(c.facets[i]) >= len(s.facets) {
				return nil, errDamaged
			}
			all = append(all, place{r.n + k, c.times[i], s.names.facet(&s.facets[c.facets[i]])})
		}
	}
	return all, nil
}
