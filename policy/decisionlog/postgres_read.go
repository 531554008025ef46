package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

func (p *partitions) tail(ctx context.Context, s search) ([]row, error) {
	var query strings.Builder
	var args []any
	query.WriteString("SELECT day::text, n, writer, seq, hash, body, CASE WHEN " + strconv.FormatBool(s.inputs) + " THEN input ELSE '' END FROM decision_records WHERE true")
	for _, c := range s.conditions() {
		query.WriteString(" AND " + c.text)
		if c.arg != nil {
			args = append(args, c.arg)
			query.WriteString("$" + strconv.Itoa(len(args)))
		}
	}
	if s.sinceDay != "" && !s.forward {
		args = append(args, s.sinceDay)
		query.WriteString(" AND day >= $" + strconv.Itoa(len(args)) + "::text::date")
	}
	query.WriteString(" ORDER BY n")
	if !s.forward {
		query.WriteString(" DESC")
	}
	query.WriteString(" LIMIT " + strconv.Itoa(s.limit))
	rows, err := p.pool.Query(ctx, query.String(), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(at pgx.CollectableRow) (row, error) {
		var r row
		var sum []byte
		err := at.Scan(&r.day, &r.n, &r.writer, &r.seq, &sum, &r.body, &r.input)
		copy(r.hash[:], sum)
		return r, err
	})
}

func (p *partitions) show(ctx context.Context, id string) (row, factReader, func(), error) {
	var r row
	var sum []byte
	var day time.Time
	err := p.pool.QueryRow(ctx, "SELECT day, n, writer, seq, hash, body, input FROM decision_records WHERE id = $1 ORDER BY n DESC LIMIT 1", clean(id)).
		Scan(&day, &r.n, &r.writer, &r.seq, &sum, &r.body, &r.input)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoRecord
	}
	if err != nil {
		return row{}, nil, nil, err
	}
	copy(r.hash[:], sum)
	facts := func(ctx context.Context, digest hash) (body []byte, err error) {
		err = p.pool.QueryRow(ctx, "SELECT body FROM decision_facts WHERE day = $1 AND digest = $2", day, digest[:]).Scan(&body)
		return body, err
	}
	return r, facts, func() {}, nil
}

func (p *partitions) fact(ctx context.Context, day string, digest hash) (body []byte, err error) {
	err = p.pool.QueryRow(ctx, "SELECT body FROM decision_facts WHERE day = $1::text::date AND digest = $2", day, digest[:]).Scan(&body)
	return body, err
}

func (p *partitions) newest(ctx context.Context) (int64, error) {
	var n int64
	err := p.pool.QueryRow(ctx, "SELECT n FROM decision_records ORDER BY n DESC LIMIT 1").Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// walk reads all in one snapshot, heads and rows.
func (p *partitions) walk(ctx context.Context, w *walker) error {
	return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		all, err := allHeads(ctx, tx)
		if err != nil {
			return err
		}
		w.start(all)
		days, err := daysOf(ctx, tx)
		if err != nil {
			return err
		}
		for _, day := range days {
			if err := walkDay(ctx, tx, day, w); err != nil {
				return fmt.Errorf("%s: %w", day.Format(time.DateOnly), err)
			}
		}
		w.end(all)
		return nil
	})
}

func allHeads(ctx context.Context, tx querier) (map[string]heads, error) {
	rows, err := tx.Query(ctx, "SELECT writer, seq, hash, dropped_seq, dropped_hash FROM decision_heads")
	if err != nil {
		return nil, err
	}
	all := map[string]heads{}
	var writer string
	var e heads
	var last, dropped []byte
	_, err = pgx.ForEachRow(rows, []any{&writer, &e.last.seq, &last, &e.dropped.seq, &dropped}, func() error {
		copy(e.last.hash[:], last)
		copy(e.dropped.hash[:], dropped)
		all[writer] = e
		return nil
	})
	return all, err
}

func walkDay(ctx context.Context, tx pgx.Tx, day time.Time, w *walker) error {
	w.segment(day.Format(time.DateOnly))
	rows, err := tx.Query(ctx, "SELECT digest, body FROM decision_facts WHERE day = $1", day)
	if err != nil {
		return err
	}
	var digest, body []byte
	if _, err = pgx.ForEachRow(rows, []any{&digest, &body}, func() error {
		w.fact(digest, body)
		return nil
	}); err != nil {
		return err
	}
	rows, err = tx.Query(ctx, "SELECT "+rowColumns+" FROM decision_records WHERE day = $1 ORDER BY n", day)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var sum []byte
		err := rows.Scan(&r.n, &r.writer, &r.seq, &sum, &r.id, &r.at, &r.workspace, &r.project, &r.subject, &r.action, &r.verdict, &r.body, &r.input)
		if err != nil {
			return err
		}
		w.row(r, sum)
	}
	return rows.Err()
}
