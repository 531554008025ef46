package decisionlog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// show answers the newest record with an id, with its input. Ids begin with the
// time that they were made at, so those of a block lie close together and few
// blocks can have one.
func (v *view) show(ctx context.Context, id string) (row, error) {
	ends, err := v.ends(ctx)
	if err != nil {
		return row{}, err
	}
	var blocks []int64
	for _, e := range ends {
		loose, err := v.numbers(ctx, "SELECT n FROM "+v.t.blocks+" WHERE writer = $1 AND n > $2 AND id_min <= $3 AND id_max >= $3", e.writer, e.sealed, id)
		if err != nil {
			return row{}, err
		}
		sealed, err := v.numbers(ctx, "SELECT b.n FROM "+v.t.segments+" s JOIN "+v.t.blocks+" b ON b.n BETWEEN s.n AND s.last AND b.writer = s.writer"+
			" WHERE s.writer = $1 AND s.id_min <= $2 AND s.id_max >= $2 AND b.id_min <= $2 AND b.id_max >= $2", e.writer, id)
		if err != nil {
			return row{}, err
		}
		blocks = append(append(blocks, loose...), sealed...)
	}
	slices.Sort(blocks)
	for _, n := range slices.Backward(blocks) {
		r, err := v.named(ctx, n, id)
		if err == nil || !errors.Is(err, errNoRecord) {
			return r, err
		}
	}
	return row{}, errNoRecord
}

func (v *view) numbers(ctx context.Context, query string, args ...any) ([]int64, error) {
	rows, err := v.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

// named looks for the record with an id in a block.
func (v *view) named(ctx context.Context, n int64, id string) (row, error) {
	b, err := v.block(ctx, n, true)
	if err != nil {
		return row{}, err
	}
	frames, err := v.codec.frames(b.bodies, true, b.count, every)
	if err != nil {
		return row{}, fmt.Errorf("the records of block %d: %w", b.n, err)
	}
	member := appendString([]byte(`"id":`), id)
	for _, f := range slices.Backward(frames) {
		for i, body := range slices.Backward(f.texts) {
			if !bytes.Contains(body, member) {
				continue
			}
			rows := v.codec.rows(b, v.day, []int64{b.n + f.first + int64(i)}, true)
			if e, err := entryOf(rows[0]); err != nil || e.ID == id {
				return rows[0], err
			}
		}
	}
	return row{}, errNoRecord
}

func (v *view) fact(ctx context.Context, digest hash) ([]byte, error) {
	var packed []byte
	err := v.tx.QueryRowContext(ctx, "SELECT body FROM "+v.t.facts+" WHERE digest = $1", digest[:]).Scan(&packed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoFact
	}
	if err != nil {
		return nil, err
	}
	return v.codec.unpack(&cursor{rest: packed})
}

// bounds answers the first and the last order number of the day; 0, 0 without records.
func (v *view) bounds(ctx context.Context) (first, last int64, err error) {
	ends, err := v.ends(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range ends {
		last = max(last, e.n)
	}
	err = v.tx.QueryRowContext(ctx, "SELECT coalesce(min(n), 0) FROM "+v.t.blocks).Scan(&first)
	return first, last, err
}
