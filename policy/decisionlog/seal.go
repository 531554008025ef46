package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

const (
	// segmentSize is how many records a segment has. More of them are read for
	// each search while they lie loose, and fewer make more segments.
	segmentSize = 8192
	// packedWell is from how many records on a block is left as it is: batches are
	// small when little happens, and what is packed alone takes several times the room.
	packedWell = chunk / 2
	// smallBlocks is how many small blocks wait to be packed together.
	smallBlocks = 256
	// maxPiece is the size of a piece of names that small ones are put together to.
	maxPiece = 64 << 10
)

// sealer puts blocks together in the background, one day at a time.
type sealer struct {
	log     *slog.Logger
	one     sync.Mutex
	running sync.WaitGroup
	stop    context.CancelFunc
	stopped context.Context //nolint:containedctx // the life of the backend, for what runs beside its calls
}

func newSealer(ctx context.Context, log *slog.Logger) *sealer {
	s := &sealer{log: log}
	s.stopped, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// seal calls some, which puts a part of what is loose together, until nothing is
// left to do.
func (s *sealer) seal(day string, all bool, some func(ctx context.Context, day string, all bool) (bool, error)) {
	s.running.Go(func() {
		s.one.Lock()
		defer s.one.Unlock()
		for {
			did, err := some(s.stopped, day, all)
			if err != nil && s.stopped.Err() == nil {
				s.log.Warn("decisions cannot be put together; they stay as they are", "day", day, "error", err)
			}
			if err != nil || !did {
				return
			}
		}
	})
}

func (s *sealer) close() {
	s.stop()
	s.running.Wait()
}

// sealing puts loose blocks of a writer into a segment, and packs small blocks
// together. Nothing that a record says changes by it, and the chain is the same.
type sealing struct {
	t       tables
	codec   *codec
	writer  string
	segment columns
	bounds  bounds
	count   int64
	// segments is whether what was read becomes one.
	segments bool
	// packed are the blocks that take the place of others.
	packed []repacked
	// run is the small blocks that follow each other.
	run      []loose
	runCount int64
	pieces   []piece
}

type repacked struct {
	first, last int64 // of the blocks that go
	columns     columns
	prev        hash
	rows        []row
	bounds      bounds
}

// loose is a block without its records.
type loose struct {
	n, count int64
	columns  *columns
	bounds   bounds
}

type piece struct {
	n    int64
	text []byte
}

// prepare reads what is to be put together: all that is loose when it is the last
// of its day, and otherwise what makes whole blocks and whole segments. It answers
// nothing when there is nothing to do.
func prepare(ctx context.Context, v *view, writer string, all bool) (*sealing, error) {
	s := &sealing{t: v.t, codec: v.codec, writer: writer}
	ends, err := v.ends(ctx)
	if err != nil {
		return nil, err
	}
	sealed := int64(0)
	if i := slices.IndexFunc(ends, func(e end) bool { return e.writer == writer }); i >= 0 {
		sealed = ends[i].sealed
	}
	blocks, err := s.loose(ctx, v, sealed)
	if err != nil || s.count == 0 {
		return nil, err
	}
	s.segments = all || s.count >= segmentSize
	for _, b := range blocks {
		if err := s.pack(ctx, v, b); err != nil {
			return nil, err
		}
	}
	// A run that may still grow is left until it has grown.
	if s.segments {
		err = s.endRun(ctx, v)
	}
	if err != nil || !s.segments && len(s.packed) == 0 {
		return nil, err
	}
	return s, s.readPieces(ctx, v)
}

func (s *sealing) loose(ctx context.Context, v *view, sealed int64) ([]loose, error) {
	rows, err := v.tx.QueryContext(ctx, "SELECT n, count, at_min, at_max, id_min, id_max, facets, places, times FROM "+s.t.blocks+
		" WHERE writer = $1 AND n > $2 ORDER BY n", s.writer, sealed)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []loose
	for s.count < segmentSize && rows.Next() {
		var b loose
		var facets, places, times []byte
		if err := rows.Scan(&b.n, &b.count, &b.bounds.atMin, &b.bounds.atMax, &b.bounds.idMin, &b.bounds.idMax, &facets, &places, &times); err != nil {
			return nil, err
		}
		if b.columns, err = decodeColumns(facets, places, times); err != nil {
			return nil, fmt.Errorf("block %d: %w", b.n, err)
		}
		if s.count == 0 {
			s.bounds = b.bounds
		}
		s.bounds.add(b.bounds)
		s.segment.add(b.columns)
		s.count += b.count
		all = append(all, b)
	}
	return all, rows.Err()
}

// pack adds a block to the run of small ones that are put together, or ends the run.
func (s *sealing) pack(ctx context.Context, v *view, b loose) error {
	k := len(s.run)
	if k > 0 && (b.count >= packedWell || s.runCount+b.count > chunk || s.run[k-1].n+s.run[k-1].count != b.n) {
		if err := s.endRun(ctx, v); err != nil {
			return err
		}
	}
	if b.count < packedWell {
		s.run = append(s.run, b)
		s.runCount += b.count
	}
	return nil
}

func (s *sealing) endRun(ctx context.Context, v *view) error {
	run := s.run
	s.run, s.runCount = nil, 0
	if len(run) < 2 {
		return nil
	}
	p, err := s.repack(ctx, v, run)
	if errors.Is(err, errDamaged) {
		return nil // it stays as it was found, for whoever verifies
	}
	if err == nil {
		s.packed = append(s.packed, p)
	}
	return err
}

func (s *sealing) repack(ctx context.Context, v *view, run []loose) (repacked, error) {
	p := repacked{first: run[0].n, last: run[len(run)-1].n, bounds: run[0].bounds}
	for _, one := range run {
		b, err := v.block(ctx, one.n, true)
		if err != nil {
			return p, fmt.Errorf("block %d: %w", one.n, err)
		}
		prev, rows, err := s.codec.whole(b)
		if err != nil {
			return p, err
		}
		if len(p.rows) == 0 {
			p.prev = prev
		} else if at := p.rows[len(p.rows)-1]; at.hash != prev || at.seq+1 != b.seq {
			return p, fmt.Errorf("block %d does not follow the one before: %w", one.n, errDamaged)
		}
		if at := rows[len(rows)-1]; at.hash != b.last {
			return p, fmt.Errorf("block %d: the chain: %w", one.n, errDamaged)
		}
		p.rows = append(p.rows, rows...)
		p.columns.add(one.columns)
		p.bounds.add(one.bounds)
	}
	return p, nil
}

// whole unpacks all of a block, and the hash before it.
func (c *codec) whole(b *block) (hash, []row, error) {
	bodies, err := c.frames(b.bodies, true, b.count, every)
	if err != nil {
		return hash{}, nil, fmt.Errorf("the records of block %d: %w", b.n, err)
	}
	inputs, err := c.frames(b.inputs, false, b.count, every)
	if err != nil {
		return hash{}, nil, fmt.Errorf("the inputs of block %d: %w", b.n, err)
	}
	rows := make([]row, 0, b.count)
	var at hash
	for _, f := range bodies {
		at = f.prev
		for _, body := range f.texts {
			at = chain(at, body)
			k := int64(len(rows))
			rows = append(rows, row{n: b.n + k, seq: b.seq + k, writer: b.writer, hash: at, body: body})
		}
	}
	for _, f := range inputs {
		for i, input := range f.texts {
			rows[f.first+int64(i)].input = input
		}
	}
	return bodies[0].prev, rows, nil
}

// readPieces reads the small pieces of names at the end of the stream.
func (s *sealing) readPieces(ctx context.Context, v *view) error {
	rows, err := v.tx.QueryContext(ctx, "SELECT n, piece FROM "+s.t.names+" WHERE writer = $1 ORDER BY n DESC", s.writer)
	if err != nil {
		return err
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		var p piece
		if err := rows.Scan(&p.n, &p.text); err != nil {
			return err
		}
		if size += len(p.text); size > maxPiece {
			break
		}
		s.pieces = append(s.pieces, p)
	}
	return rows.Err()
}

// write puts it in the place of what it was made of.
func (s *sealing) write(ctx context.Context, tx *sql.Tx) error {
	do := &shelf{t: s.t, codec: s.codec, writer: s.writer}
	sealed := int64(0)
	if s.segments {
		sealed = s.segment.last()
	}
	// The ends first, as whoever reads or drops does.
	if err := do.exec(ctx, tx, "UPDATE "+s.t.ends+" SET sealed = CASE WHEN sealed < $2 THEN $2 ELSE sealed END WHERE writer = $1", s.writer, sealed); err != nil {
		return err
	}
	for i := range s.packed {
		p := &s.packed[i]
		if err := do.exec(ctx, tx, "DELETE FROM "+s.t.blocks+" WHERE writer = $1 AND n BETWEEN $2 AND $3", s.writer, p.first, p.last); err != nil {
			return err
		}
		if err := do.block(ctx, tx, &p.columns, p.prev, p.rows, p.bounds); err != nil {
			return err
		}
	}
	if s.segments {
		if err := s.writeSegment(ctx, tx, do); err != nil {
			return err
		}
	}
	if len(s.pieces) < 2 {
		return nil
	}
	first := s.pieces[len(s.pieces)-1].n
	var text []byte
	for i := len(s.pieces) - 1; i >= 0; i-- {
		text = append(text, s.pieces[i].text...)
	}
	if err := do.exec(ctx, tx, "DELETE FROM "+s.t.names+" WHERE writer = $1 AND n BETWEEN $2 AND $3", s.writer, first, s.pieces[0].n); err != nil {
		return err
	}
	return do.exec(ctx, tx, s.t.insertName(), s.writer, first, text)
}

func (s *sealing) writeSegment(ctx context.Context, tx *sql.Tx, do *shelf) error {
	facets, places, times := s.segment.encode()
	return do.exec(ctx, tx, "INSERT INTO "+s.t.segments+" (n, last, writer, at_min, at_max, id_min, id_max, facets, places, times) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		s.segment.first(), s.segment.last(), s.writer, s.bounds.atMin, s.bounds.atMax, s.bounds.idMin, s.bounds.idMax, facets, places, times)
}
