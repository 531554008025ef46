package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// undefinedTable is what PostgreSQL says of a table that is not there.
const undefinedTable = "42P01"

func tableIsGone(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Code == undefinedTable
}

// snapshot runs a transaction in which nothing changes but that a day may be
// dropped: then it is run again, from its beginning.
func (p *partitions) snapshot(ctx context.Context, read func(*sql.Tx) error) error {
	for {
		err := p.snapshotOnce(ctx, read)
		if !tableIsGone(err) || ctx.Err() != nil {
			return err
		}
	}
}

func (p *partitions) snapshotOnce(ctx context.Context, read func(*sql.Tx) error) error {
	tx, err := p.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return read(tx)
}

func (p *partitions) view(tx *sql.Tx, day string) *view {
	return &view{tx: tx, t: tablesOfDay(day), codec: p.codec, day: day}
}

// inDay reads in a day; it fails with errNoDay when the day was dropped.
func (p *partitions) inDay(ctx context.Context, day string, read func(*view) error) error {
	err := p.snapshotOnce(ctx, func(tx *sql.Tx) error { return read(p.view(tx, day)) })
	if tableIsGone(err) {
		return errNoDay
	}
	return err
}

func (p *partitions) tail(ctx context.Context, s search) ([]row, error) {
	var found []row
	err := p.snapshot(ctx, func(tx *sql.Tx) error {
		days, err := daysOf(ctx, tx)
		if err != nil {
			return err
		}
		found = nil
		if !s.forward {
			slices.Reverse(days)
		}
		var all []row
		for i, day := range days {
			if day < s.sinceDay && !s.forward {
				break
			}
			part := s
			rows, err := p.view(tx, day).search(ctx, part)
			if err != nil {
				return fmt.Errorf("%s: %w", day, err)
			}
			all = append(all, rows...)
			// The clocks of two replicas may differ: what one writes in a day may come
			// after what another writes in the next.
			if len(all) >= s.limit && i+1 < len(days) && !p.overlap(ctx, tx, all[:s.limit], days[i+1], s.forward, &err) {
				if err != nil {
					return err
				}
				break
			}
		}
		found = ordered(all, s.forward)
		found = found[:min(len(found), s.limit)]
		return nil
	})
	return found, err
}

// overlap reports whether a day holds order numbers that belong among these rows.
func (p *partitions) overlap(ctx context.Context, tx *sql.Tx, rows []row, day string, forward bool, failed *error) bool {
	first, last, err := p.view(tx, day).bounds(ctx)
	if err != nil {
		*failed = err
		return false
	}
	if last == 0 {
		return true // an empty day says nothing of the one after
	}
	if forward {
		return first < rows[len(rows)-1].n
	}
	return last > rows[len(rows)-1].n
}

func ordered(rows []row, forward bool) []row {
	slices.SortFunc(rows, func(a, b row) int {
		if forward {
			return int(min(1, max(-1, a.n-b.n)))
		}
		return int(min(1, max(-1, b.n-a.n)))
	})
	return rows
}

func (p *partitions) show(ctx context.Context, id string) (row, factReader, func(), error) {
	var r row
	err := p.snapshot(ctx, func(tx *sql.Tx) error {
		days, err := daysOf(ctx, tx)
		if err != nil {
			return err
		}
		for _, day := range slices.Backward(days) {
			if r, err = p.view(tx, day).show(ctx, clean(id)); !errors.Is(err, errNoRecord) {
				return err
			}
		}
		return errNoRecord
	})
	facts := func(ctx context.Context, digest hash) ([]byte, error) { return p.fact(ctx, r.day, digest) }
	return r, facts, func() {}, err
}

func (p *partitions) fact(ctx context.Context, day string, digest hash) (body []byte, err error) {
	err = p.inDay(ctx, day, func(v *view) error {
		body, err = v.fact(ctx, digest)
		return err
	})
	return body, err
}

func (p *partitions) newest(ctx context.Context) (n int64, err error) {
	err = p.db.QueryRowContext(ctx, "SELECT n FROM decision_order").Scan(&n)
	return n, err
}

// walk reads all in one snapshot, heads and records.
func (p *partitions) walk(ctx context.Context, w *walker) error {
	return p.snapshot(ctx, func(tx *sql.Tx) error {
		all, err := allHeads(ctx, tx, "decision_heads")
		if err != nil {
			return err
		}
		w.start(all)
		days, err := daysOf(ctx, tx)
		if err != nil {
			return err
		}
		for _, day := range days {
			if err := p.view(tx, day).walk(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", day, err)
			}
		}
		w.end(all)
		return nil
	})
}
