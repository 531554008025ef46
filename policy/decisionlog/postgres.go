package decisionlog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// partitions is the backend of a PostgreSQL table with a partition a day, which
// any number of replicas share. Batches are written one after another, under an
// advisory lock, so that the order of the rows is that of the commits and
// whoever follows misses none.
type partitions struct {
	pool   *pgxpool.Pool
	db     *sql.DB // the pool, as database/sql knows it
	writer string
	// known are the days whose partitions are there. Only the flusher uses it.
	known map[string]bool
}

// The keys of the advisory locks: of writing, and of changing tables.
const (
	lockAppend = 0x626f6e6464656331
	lockTables = 0x626f6e6464656332
)

const partitionSchema = `
CREATE SEQUENCE IF NOT EXISTS decision_n;
CREATE TABLE IF NOT EXISTS decision_records (
	day date NOT NULL, n bigint NOT NULL DEFAULT nextval('decision_n'), writer text NOT NULL, seq bigint NOT NULL, hash bytea NOT NULL,
	id text NOT NULL, at bigint NOT NULL, workspace text NOT NULL, project text NOT NULL,
	subject text NOT NULL, action text NOT NULL, verdict text NOT NULL, body bytea NOT NULL, input bytea NOT NULL,
	PRIMARY KEY (day, n), UNIQUE (day, writer, seq)) PARTITION BY RANGE (day);
CREATE INDEX IF NOT EXISTS decision_records_n ON decision_records (n);
CREATE INDEX IF NOT EXISTS decision_records_id ON decision_records (id);
CREATE INDEX IF NOT EXISTS decision_records_project ON decision_records (workspace, project, n);
CREATE INDEX IF NOT EXISTS decision_records_subject ON decision_records (workspace, subject, n);
CREATE INDEX IF NOT EXISTS decision_records_deny ON decision_records (workspace, n) WHERE verdict = 'deny';
CREATE TABLE IF NOT EXISTS decision_facts (
	day date NOT NULL, digest bytea NOT NULL, body bytea NOT NULL, PRIMARY KEY (day, digest)) PARTITION BY RANGE (day);
CREATE TABLE IF NOT EXISTS decision_heads (
	writer text PRIMARY KEY, day date NOT NULL, seq bigint NOT NULL, hash bytea NOT NULL,
	dropped_seq bigint NOT NULL, dropped_hash bytea NOT NULL);`

var partitionedTables = []string{"decision_records", "decision_facts"}

func openPostgres(ctx context.Context, dsn string) (*partitions, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("decision log: %w", err)
	}
	cfg.MaxConns = max(4, min(cfg.MaxConns, 8))
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("decision log: %w", err)
	}
	p := &partitions{pool: pool, db: stdlib.OpenDBFromPool(pool), known: map[string]bool{}}
	if err := p.locked(ctx, lockTables, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, partitionSchema+sinkTable)
		return err
	}); err != nil {
		pool.Close()
		return nil, fmt.Errorf("decision log: make the tables: %w", err)
	}
	return p, nil
}

// locked runs a transaction under an advisory lock that ends with it.
func (p *partitions) locked(ctx context.Context, lock int64, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
			return err
		}
		return do(tx)
	})
}

func (p *partitions) begin(ctx context.Context, writer string) (head, string, error) {
	p.writer = writer
	var zero, last head
	var sum []byte
	var day time.Time
	_, err := p.pool.Exec(ctx, "INSERT INTO decision_heads VALUES ($1, '0001-01-01', 0, $2, 0, $2) ON CONFLICT DO NOTHING", writer, zero.hash[:])
	if err != nil {
		return zero, "", err
	}
	err = p.pool.QueryRow(ctx, "SELECT seq, hash, day FROM decision_heads WHERE writer = $1", writer).Scan(&last.seq, &sum, &day)
	copy(last.hash[:], sum)
	return last, day.Format(time.DateOnly), err
}

func (p *partitions) append(ctx context.Context, b *batch) error {
	if err := p.ensure(ctx, b.day); err != nil {
		return fmt.Errorf("make the tables of %s: %w", b.day, err)
	}
	day, err := time.Parse(time.DateOnly, b.day)
	if err != nil {
		return err
	}
	err = p.locked(ctx, lockAppend, func(tx pgx.Tx) error {
		var at head
		var sum []byte
		if err := tx.QueryRow(ctx, "SELECT seq, hash FROM decision_heads WHERE writer = $1", b.writer).Scan(&at.seq, &sum); err != nil {
			return fmt.Errorf("the end of the chain: %w", err)
		}
		copy(at.hash[:], sum)
		switch at {
		case b.next: // an answer that was lost: the rows are there
			return nil
		case b.prev:
		default:
			return fmt.Errorf("the chain of %s ends at %d, not at %d: another process writes under its name", b.writer, at.seq, b.prev.seq)
		}
		return p.insert(ctx, tx, day, b)
	})
	if err != nil {
		// Perhaps a partition is gone; look again before the next try.
		clear(p.known)
	}
	return err
}

func (p *partitions) insert(ctx context.Context, tx pgx.Tx, day time.Time, b *batch) error {
	if len(b.facts) > 0 {
		digests, bodies := make([][]byte, len(b.facts)), make([][]byte, len(b.facts))
		for i := range b.facts {
			digests[i], bodies[i] = b.facts[i].digest[:], b.facts[i].body
		}
		_, err := tx.Exec(ctx, `INSERT INTO decision_facts (day, digest, body)
			SELECT $1, * FROM unnest($2::bytea[], $3::bytea[]) ON CONFLICT DO NOTHING`, day, digests, bodies)
		if err != nil {
			return fmt.Errorf("store facts: %w", err)
		}
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"decision_records"},
		[]string{"day", "writer", "seq", "hash", "id", "at", "workspace", "project", "subject", "action", "verdict", "body", "input"},
		pgx.CopyFromSlice(len(b.rows), func(i int) ([]any, error) {
			r := &b.rows[i]
			return []any{
				day, r.writer, r.seq, r.hash[:], r.id, r.at, r.workspace, r.project,
				r.subject, r.action, r.verdict, r.body, notNil(r.input),
			}, nil
		}))
	if err != nil {
		return fmt.Errorf("store records: %w", err)
	}
	_, err = tx.Exec(ctx, "UPDATE decision_heads SET day = $2, seq = $3, hash = $4 WHERE writer = $1", b.writer, day, b.next.seq, b.next.hash[:])
	return err
}

// ensure makes the partitions of a day and of the next. They are made aside and
// attached, which waits for no reader.
func (p *partitions) ensure(ctx context.Context, day string) error {
	if p.known[day] {
		return nil
	}
	from, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return err
	}
	err = p.locked(ctx, lockTables, func(tx pgx.Tx) error {
		for _, at := range []time.Time{from, from.AddDate(0, 0, 1)} {
			for _, table := range partitionedTables {
				if err := attach(ctx, tx, table, at); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		clear(p.known)
		p.known[day] = true
	}
	return err
}

func partitionName(table string, day time.Time) string { return table + day.Format("_20060102") }

func attach(ctx context.Context, tx pgx.Tx, table string, day time.Time) error {
	name := partitionName(table, day)
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there); err != nil || there {
		return err
	}
	_, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %[2]s (LIKE %[1]s INCLUDING DEFAULTS);
		ALTER TABLE %[1]s ATTACH PARTITION %[2]s FOR VALUES FROM ('%[3]s') TO ('%[4]s')`,
		table, name, day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)))
	return err
}

// expire drops the partitions of days before the given one. It gives up when
// readers keep it waiting, and is tried again later.
func (p *partitions) expire(ctx context.Context, before string) error {
	days, err := daysOf(ctx, p.pool)
	if err != nil {
		return err
	}
	for _, day := range days {
		if day.Format(time.DateOnly) >= before {
			break
		}
		if err := p.locked(ctx, lockTables, func(tx pgx.Tx) error { return dropDay(ctx, tx, day) }); err != nil {
			return fmt.Errorf("drop %s: %w", day.Format(time.DateOnly), err)
		}
	}
	return nil
}

func dropDay(ctx context.Context, tx pgx.Tx, day time.Time) error {
	// Writing waits meanwhile: a drop and a batch could otherwise wait for each
	// other. And readers are not waited for long, because writing waits.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockAppend)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '500ms'"); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE decision_heads h SET dropped_seq = e.seq, dropped_hash = e.hash
		FROM decision_heads w CROSS JOIN LATERAL (
			SELECT seq, hash FROM decision_records WHERE day = $1 AND writer = w.writer ORDER BY seq DESC LIMIT 1) e
		WHERE h.writer = w.writer AND h.dropped_seq < e.seq`, day)
	if err != nil {
		return fmt.Errorf("keep the ends of the chains: %w", err)
	}
	for _, table := range partitionedTables {
		if _, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+partitionName(table, day)); err != nil {
			return err
		}
	}
	return nil
}

type querier interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
}

// daysOf answers the days that have a partition, oldest first.
func daysOf(ctx context.Context, db querier) ([]time.Time, error) {
	rows, err := db.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'decision_records'::regclass ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var all []time.Time
	for _, name := range names {
		if day, err := time.Parse("20060102", strings.TrimPrefix(name, "decision_records_")); err == nil {
			all = append(all, day)
		}
	}
	return all, nil
}

// settle has nothing to do: a batch is written with the end of its chain.
func (p *partitions) settle(context.Context) error { return nil }

func (p *partitions) close() error {
	err := p.db.Close()
	p.pool.Close()
	return err
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
