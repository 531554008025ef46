package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
			return nil
		}
	}
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
		body, err := v.codec.unpack(&cursor{rest: packed})
		w.fact(digest, body, err)
	}
	return rows.Err()
}

// blocksAtOnce bounds the memory of a walk.
const blocksAtOnce = 16

func (v *view) someBlocks(ctx context.Context, after int64) ([]*block, error) {
	rows, err := v.tx.QueryContext(ctx, fmt.Sprintf("SELECT %s, inputs FROM %s WHERE n > $1 ORDER BY n LIMIT %d", blockColumns, v.t.blocks, blocksAtOnce), after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*block
	for rows.Next() {
		b := &block{}
		var sum []byte
		if err := rows.Scan(&b.n, &b.count, &b.writer, &b.seq, &sum, &b.bodies, &b.inputs); err != nil {
			return nil, err
		}
		copy(b.last[:], sum)
		all = append(all, b)
	}
	return all, rows.Err()
}

func (v *view) unpack(b *block) *shown {
	s := &shown{block: *b}
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
}

func (v *view) side(ctx context.Context, e end) *side {
	s := &side{v: v, end: e}
	s.err = eachPiece(ctx, v.tx, v.t, e.writer, func(piece []byte) error {
		return s.names.read(piece, s.names.keep, func(_ uint32, parts *[facetParts]uint32) { s.facets = append(s.facets, *parts) })
	})
	return s
}

// places answers what the records of the writer's next block are found by: what a
// segment says, or the block itself when it is in none.
func (s *side) places(ctx context.Context, b *block) ([]place, error) {
	if s.err != nil {
		return nil, s.err
	}
	if b.n > s.end.sealed {
		var facets, places, times []byte
		err := s.v.tx.QueryRowContext(ctx, "SELECT facets, places, times FROM "+s.v.t.blocks+" WHERE n = $1", b.n).Scan(&facets, &places, &times)
		if err != nil {
			return nil, err
		}
		c, err := decodeColumns(facets, places, times)
		if err != nil {
			return nil, err
		}
		return s.named(c)
	}
	if s.segment == nil || b.n > s.segment.last() {
		var facets, places, times []byte
		err := s.v.tx.QueryRowContext(ctx, "SELECT facets, places, times FROM "+s.v.t.segments+
			" WHERE writer = $1 AND n <= $2 ORDER BY n DESC LIMIT 1", b.writer, b.n).Scan(&facets, &places, &times)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, errDamaged
		}
		if err != nil {
			return nil, err
		}
		if s.segment, err = decodeColumns(facets, places, times); err != nil {
			s.segment = nil
			return nil, err
		}

	}
	return s.named(s.segment.from(b.n, b.count))
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
