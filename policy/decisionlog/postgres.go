package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// partitions is the backend of PostgreSQL: tables of their own for each day, which
// any number of replicas share. Batches are written one after another, under an
// advisory lock, so that the order of the records is that of the commits and
// whoever follows misses none.
type partitions struct {
	db     *sql.DB
	codec  *codec
	writer string
	// Of the flusher alone: the tables of the day that is written, and its name.
	shelf *shelf
	day   string

	sealer *sealer
}

// The keys of the advisory locks: of writing, and of changing tables.
const (
	lockAppend = 0x626f6e6464656331
	lockTables = 0x626f6e6464656332
)

const partitionSchema = `
CREATE TABLE IF NOT EXISTS decision_order (only_one boolean PRIMARY KEY CHECK (only_one), n bigint NOT NULL, format bigint NOT NULL);
CREATE TABLE IF NOT EXISTS decision_heads (
	writer text PRIMARY KEY, day text NOT NULL, seq bigint NOT NULL, hash bytea NOT NULL,
	dropped_seq bigint NOT NULL, dropped_hash bytea NOT NULL);`

const dayTablePrefix = "decision_blocks_"

// tablesOfDay are the tables of a day.
func tablesOfDay(day string) tables {
	return tablesOf("decision_", "_"+strings.ReplaceAll(day, "-", ""))
}

func openPostgres(ctx context.Context, dsn string, log *slog.Logger) (*partitions, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("decision log: %w", err)
	}
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	p := &partitions{db: stdlib.OpenDB(*cfg), codec: c, sealer: newSealer(ctx, log)}
	p.db.SetMaxOpenConns(8)
	p.db.SetMaxIdleConns(4)
	if err := p.locked(ctx, lockTables, func(tx *sql.Tx) error { return p.schema(ctx, tx) }); err != nil {
		return nil, errors.Join(fmt.Errorf("decision log: make the tables: %w", err), p.close())
	}
	return p, nil
}

func (p *partitions) schema(ctx context.Context, tx *sql.Tx) error {
	var old bool
	if err := tx.QueryRowContext(ctx, "SELECT to_regclass('decision_records') IS NOT NULL").Scan(&old); err != nil {
		return err
	}
	if old {
		return errFormat
	}
	if _, err := tx.ExecContext(ctx, partitionSchema+sinkTable); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO decision_order VALUES (true, 0, $1) ON CONFLICT DO NOTHING", format); err != nil {
		return err
	}
	var found int
	if err := tx.QueryRowContext(ctx, "SELECT format FROM decision_order").Scan(&found); err != nil {
		return err
	}
	if found != format {
		return errFormat
	}
	return nil
}

// locked runs a transaction under an advisory lock that ends with it.
func (p *partitions) locked(ctx context.Context, lock int64, do func(*sql.Tx) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (p *partitions) begin(ctx context.Context, writer string) (head, string, error) {
	p.writer = writer
	var zero, last head
	var sum []byte
	var day string
	_, err := p.db.ExecContext(ctx, "INSERT INTO decision_heads VALUES ($1, '', 0, $2, 0, $2) ON CONFLICT DO NOTHING", writer, zero.hash[:])
	if err != nil {
		return zero, "", err
	}
	err = p.db.QueryRowContext(ctx, "SELECT seq, hash, day FROM decision_heads WHERE writer = $1", writer).Scan(&last.seq, &sum, &day)
	copy(last.hash[:], sum)
	p.day = day
	return last, day, err
}

func (p *partitions) append(ctx context.Context, b *batch) error {
	if err := p.today(ctx, b.day); err != nil {
		return fmt.Errorf("the tables of %s: %w", b.day, err)
	}
	err := p.locked(ctx, lockAppend, func(tx *sql.Tx) error {
		var at head
		var sum []byte
		if err := tx.QueryRowContext(ctx, "SELECT seq, hash FROM decision_heads WHERE writer = $1", b.writer).Scan(&at.seq, &sum); err != nil {
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
		return p.insert(ctx, tx, b)
	})
	if err != nil {
		// What the shelf remembers may not be stored, or its tables may be gone.
		p.shelf = nil
		return err
	}
	if p.shelf.due() {
		p.sealer.seal(p.day, false, p.sealSome)
	}
	return nil
}

func (p *partitions) insert(ctx context.Context, tx *sql.Tx, b *batch) error {
	var last int64
	if err := tx.QueryRowContext(ctx, "UPDATE decision_order SET n = n + $1 RETURNING n", len(b.rows)).Scan(&last); err != nil {
		return fmt.Errorf("take order numbers: %w", err)
	}
	if err := p.shelf.put(ctx, tx, last-int64(len(b.rows))+1, b); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE decision_heads SET day = $2, seq = $3, hash = $4 WHERE writer = $1", b.writer, b.day, b.next.seq, b.next.hash[:])
	return err
}

// today makes the tables of a day and opens their shelf, once.
func (p *partitions) today(ctx context.Context, day string) error {
	if p.shelf != nil && p.day == day {
		return nil
	}
	if p.day != "" && p.day != day {
		p.sealer.seal(p.day, true, p.sealSome) // also when it was written before a restart
	}
	p.shelf, p.day = nil, ""
	t := tablesOfDay(day)
	err := p.locked(ctx, lockTables, func(tx *sql.Tx) error {
		var there bool
		if err := tx.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", t.blocks).Scan(&there); err != nil || there {
			return err
		}
		if _, err := tx.ExecContext(ctx, t.schema("bigint", "bytea", `text COLLATE "C"`)); err != nil {
			return err
		}
		// What is packed already is not to be packed again.
		for _, column := range []string{t.blocks + " ALTER bodies", t.blocks + " ALTER inputs", t.facts + " ALTER body"} {
			if _, err := tx.ExecContext(ctx, "ALTER TABLE "+column+" SET STORAGE EXTERNAL"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s, err := openShelf(ctx, p.db, t, p.codec, p.writer)
	if err != nil {
		return err
	}
	p.shelf, p.day = s, day
	return nil
}

// sealSome needs no lock against those who write: only this process puts blocks of
// its writer together, and those that are written meanwhile are none of these.
func (p *partitions) sealSome(ctx context.Context, day string, all bool) (bool, error) {
	var s *sealing
	err := p.inDay(ctx, day, func(v *view) (err error) {
		s, err = prepare(ctx, v, p.writer, all)
		return err
	})
	if errors.Is(err, errNoDay) {
		return false, nil
	}
	if err != nil || s == nil {
		return false, err
	}
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	if err := s.write(ctx, tx); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// expire drops the tables of days before the given one. It gives up when readers
// keep it waiting, and is tried again later.
func (p *partitions) expire(ctx context.Context, before string) error {
	days, err := daysOf(ctx, p.db)
	if err != nil {
		return err
	}
	for _, day := range days {
		if day >= before {
			break
		}
		if err := p.locked(ctx, lockTables, func(tx *sql.Tx) error { return dropDay(ctx, tx, day) }); err != nil {
			return fmt.Errorf("drop %s: %w", day, err)
		}
		if p.day == day {
			p.shelf, p.day = nil, ""
		}
	}
	return nil
}

func dropDay(ctx context.Context, tx *sql.Tx, day string) error {
	// Writing waits meanwhile: a drop and a batch could otherwise wait for each
	// other. And readers are not waited for long, because writing waits.
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockAppend)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '500ms'"); err != nil {
		return err
	}
	t := tablesOfDay(day)
	_, err := tx.ExecContext(ctx, `UPDATE decision_heads h SET dropped_seq = e.seq, dropped_hash = e.hash
		FROM `+t.ends+` e WHERE h.writer = e.writer AND h.dropped_seq < e.seq`)
	if err != nil {
		return fmt.Errorf("keep the ends of the chains: %w", err)
	}
	// The ends first, as whoever reads or puts together does.
	order := []string{t.ends, t.names, t.segments, t.blocks, t.facts}
	_, err = tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+strings.Join(order, ", "))
	return err
}

// daysOf answers the days that have tables, oldest first; in a snapshot, those that
// had some when it was taken. (pg_table_is_visible knows of no snapshot: with it a
// day that is dropped meanwhile is missing, and its records seem to be taken away.)
func daysOf(ctx context.Context, db reader) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT relname FROM pg_class
		WHERE relkind = 'r' AND starts_with(relname::text, $1)
		AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) ORDER BY 1`, dayTablePrefix)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if day, err := time.Parse("20060102", strings.TrimPrefix(name, dayTablePrefix)); err == nil {
			all = append(all, day.Format(time.DateOnly))
		}
	}
	return all, rows.Err()
}

// settle has nothing to do: a batch is written with the end of its chain.
func (p *partitions) settle(context.Context) error { return nil }

func (p *partitions) close() error {
	p.sealer.close()
	p.codec.close()
	return p.db.Close()
}
