package decisionlog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
)

// tables are the names of a day's tables; both backends have the same.
type tables struct{ blocks, segments, names, ends, facts string }

func tablesOf(prefix, suffix string) tables {
	return tables{
		prefix + "blocks" + suffix, prefix + "segments" + suffix, prefix + "names" + suffix,
		prefix + "ends" + suffix, prefix + "facts" + suffix,
	}
}

// schema is the text that makes a day's tables. The words that differ are the
// types: of whole numbers, of bytes, and of text that is compared byte by byte.
// What is small comes first in a row, so that a search does not read over texts.
func (t tables) schema(number, bytes, text string) string {
	return strings.NewReplacer("NUMBER", number, "BYTES", bytes, "TEXT", text,
		"{blocks}", t.blocks, "{segments}", t.segments, "{names}", t.names, "{ends}", t.ends, "{facts}", t.facts).Replace(`
CREATE TABLE IF NOT EXISTS {blocks} (
	n NUMBER PRIMARY KEY, count NUMBER NOT NULL, writer TEXT NOT NULL, seq NUMBER NOT NULL,
	at_min NUMBER NOT NULL, at_max NUMBER NOT NULL, id_min TEXT NOT NULL, id_max TEXT NOT NULL, hash BYTES NOT NULL,
	facets BYTES NOT NULL, places BYTES NOT NULL, times BYTES NOT NULL, bodies BYTES NOT NULL, inputs BYTES NOT NULL);
CREATE TABLE IF NOT EXISTS {segments} (
	n NUMBER PRIMARY KEY, last NUMBER NOT NULL, writer TEXT NOT NULL,
	at_min NUMBER NOT NULL, at_max NUMBER NOT NULL, id_min TEXT NOT NULL, id_max TEXT NOT NULL,
	facets BYTES NOT NULL, places BYTES NOT NULL, times BYTES NOT NULL);
CREATE TABLE IF NOT EXISTS {names} (writer TEXT NOT NULL, n NUMBER NOT NULL, piece BYTES NOT NULL, PRIMARY KEY (writer, n));
CREATE TABLE IF NOT EXISTS {ends} (
	writer TEXT PRIMARY KEY, n NUMBER NOT NULL, seq NUMBER NOT NULL, hash BYTES NOT NULL, sealed NUMBER NOT NULL);
CREATE TABLE IF NOT EXISTS {facts} (digest BYTES PRIMARY KEY, body BYTES NOT NULL);
`)
}

func (t tables) insertBlock() string {
	return "INSERT INTO " + t.blocks + " (n, count, writer, seq, at_min, at_max, id_min, id_max, hash, facets, places, times, bodies, inputs)" +
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
}

func (t tables) setEnd() string {
	return "INSERT INTO " + t.ends + " (writer, n, seq, hash, sealed) VALUES ($1, $2, $3, $4, 0)" +
		" ON CONFLICT (writer) DO UPDATE SET n = $2, seq = $3, hash = $4"
}

func (t tables) insertFact() string {
	return "INSERT INTO " + t.facts + " (digest, body) VALUES ($1, $2) ON CONFLICT DO NOTHING"
}

func (t tables) insertName() string {
	return "INSERT INTO " + t.names + " (writer, n, piece) VALUES ($1, $2, $3)"
}

// reader is a connection, a transaction or a database.
type reader interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// shelf is where a writer puts its batches of one day. After a failure it is of
// no use: what it knows may not be what is stored.
type shelf struct {
	t      tables
	codec  *codec
	writer string
	naming *naming
	facts  map[hash]bool
	// loose is how many of the writer's records are in no segment yet, and small how
	// many small blocks were put since blocks were packed together.
	loose, small int64
	// prepared are the statements of the one connection that writes, if there is one.
	prepared map[string]*sql.Stmt
}

// knownFacts bounds the digests remembered as stored on a shelf.
const knownFacts = 50_000

func openShelf(ctx context.Context, db reader, t tables, c *codec, writer string) (*shelf, error) {
	s := &shelf{t: t, codec: c, writer: writer, naming: newNaming(), facts: map[hash]bool{}}
	var known names
	err := eachPiece(ctx, db, t, writer, func(_ int64, piece []byte) error {
		return known.read(piece, known.keep, func(n uint32, parts *[facetParts]uint32) {
			if len(s.naming.facets) < maxNamed {
				s.naming.facets[known.facet(parts)] = n
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the names: %w", err)
	}
	s.naming.facetCount, s.naming.wordCount = known.count, uint32(len(known.words))
	for i, word := range known.words[:min(len(known.words), maxNamed)] {
		s.naming.words[word] = uint32(i)
	}
	return s, db.QueryRowContext(ctx, "SELECT coalesce(sum(count), 0) FROM "+t.blocks+
		" WHERE writer = $1 AND n > coalesce((SELECT sealed FROM "+t.ends+" WHERE writer = $1), 0)", writer).Scan(&s.loose)
}

// eachPiece reads a writer's stream of names: with each piece, how many facets are
// said to come before it.
func eachPiece(ctx context.Context, db reader, t tables, writer string, do func(n int64, piece []byte) error) error {
	rows, err := db.QueryContext(ctx, "SELECT n, piece FROM "+t.names+" WHERE writer = $1 ORDER BY n", writer)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		var piece []byte
		if err := rows.Scan(&n, &piece); err != nil {
			return err
		}
		if err := do(n, piece); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *shelf) exec(ctx context.Context, tx *sql.Tx, text string, args ...any) error {
	var err error
	if stmt := s.prepared[text]; stmt != nil {
		_, err = tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	} else {
		_, err = tx.ExecContext(ctx, text, args...)
	}
	return err
}

// put stores a batch, whose first record gets the order number n.
func (s *shelf) put(ctx context.Context, tx *sql.Tx, n int64, b *batch) error {
	for _, fact := range b.facts {
		if s.facts[fact.digest] {
			continue
		}
		if err := s.exec(ctx, tx, s.t.insertFact(), fact.digest[:], s.codec.pack(nil, fact.body)); err != nil {
			return fmt.Errorf("store a fact: %w", err)
		}
		if len(s.facts) >= knownFacts {
			clear(s.facts)
		}
		s.facts[fact.digest] = true
	}
	at := s.naming.facetCount
	var piece []byte
	c := &columns{runs: []run{{n, int64(len(b.rows))}}}
	for i := range b.rows {
		var facet uint32
		facet, piece = s.naming.number(facetOf(&b.rows[i]), piece)
		c.facets = append(c.facets, facet)
		c.times = append(c.times, b.rows[i].at)
	}
	if len(piece) > 0 {
		if err := s.exec(ctx, tx, s.t.insertName(), s.writer, int64(at), piece); err != nil {
			return fmt.Errorf("store names: %w", err)
		}
	}
	err := s.block(ctx, tx, c, b.prev.hash, b.rows, boundsOf(b.rows))
	if err != nil {
		return fmt.Errorf("store records: %w", err)
	}
	if err := s.exec(ctx, tx, s.t.setEnd(), s.writer, c.last(), b.next.seq, b.next.hash[:]); err != nil {
		return fmt.Errorf("store the end of the chain: %w", err)
	}
	s.loose += int64(len(b.rows))
	if len(b.rows) < packedWell {
		s.small++
	}
	return nil
}

// due reports whether it is time to put blocks together, once.
func (s *shelf) due() bool {
	if s.loose < segmentSize && s.small < smallBlocks {
		return false
	}
	s.loose %= segmentSize
	s.small = 0
	return true
}

func (s *shelf) block(ctx context.Context, tx *sql.Tx, c *columns, prev hash, rows []row, b bounds) error {
	facets, places, times := c.encode()
	last := &rows[len(rows)-1]
	return s.exec(ctx, tx, s.t.insertBlock(), c.first(), int64(len(rows)), s.writer, rows[0].seq,
		b.atMin, b.atMax, b.idMin, b.idMax, last.hash[:], facets, places, times,
		s.codec.packBodies(prev, rows), s.codec.packInputs(rows))
}

// bounds are the least and the greatest of some records.
type bounds struct {
	atMin, atMax int64
	idMin, idMax string
}

func boundsOf(rows []row) bounds {
	b := bounds{atMin: math.MaxInt64, atMax: math.MinInt64, idMin: rows[0].id}
	for i := range rows {
		r := &rows[i]
		b.add(bounds{r.at, r.at, r.id, r.id})
	}
	return b
}

func (b *bounds) add(o bounds) {
	b.atMin, b.atMax = min(b.atMin, o.atMin), max(b.atMax, o.atMax)
	b.idMin, b.idMax = min(b.idMin, o.idMin), max(b.idMax, o.idMax)
}
