package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// inDay reads in the file of a day: with the connections of the current one, or
// with one of its own.
func (d *days) inDay(ctx context.Context, day string, read func(*sql.DB) error) error {
	d.mu.RLock()
	if f := d.current; f != nil && f.day == day {
		f.readers.Add(1)
		d.mu.RUnlock()
		defer f.readers.Done()
		return read(f.read)
	}
	d.mu.RUnlock()
	db, err := openFile(d.path(day), 1, "query_only(1)")
	if err != nil {
		return err
	}
	defer db.Close()
	var made bool
	if err := db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_master WHERE name = 'records'").Scan(&made); err != nil || !made {
		return err
	}
	return read(db)
}

// dayBounds answers the first and the last order number in a file; 0, 0 without rows.
func dayBounds(ctx context.Context, db *sql.DB) (first, last int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT coalesce((SELECT min(n) FROM records), 0), coalesce((SELECT max(n) FROM records), 0)").Scan(&first, &last)
	return first, last, err
}

func (d *days) tail(ctx context.Context, s search) ([]row, error) {
	d.dropping.RLock()
	defer d.dropping.RUnlock()
	all, err := d.list()
	if err != nil {
		return nil, err
	}
	if s.forward {
		// The file where the answer starts is the newest that begins at or before the place.
		if all, err = d.from(ctx, all, s.after); err != nil {
			return nil, err
		}
	} else {
		slices.Reverse(all)
	}
	var found []row
	for _, day := range all {
		if day < s.sinceDay && !s.forward {
			break
		}
		err := d.inDay(ctx, day, func(db *sql.DB) error {
			part := s
			part.limit -= len(found)
			rows, err := findIn(ctx, db, part)
			for i := range rows {
				rows[i].day = day
			}
			found = append(found, rows...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", day, err)
		}
		if len(found) >= s.limit {
			break
		}
	}
	return found, nil
}

func (d *days) from(ctx context.Context, all []string, n int64) ([]string, error) {
	for i, day := range slices.Backward(all) {
		var first int64
		err := d.inDay(ctx, day, func(db *sql.DB) (err error) {
			first, _, err = dayBounds(ctx, db)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", day, err)
		}
		if first > 0 && first <= n {
			return all[i:], nil
		}
	}
	return all, nil
}

func findIn(ctx context.Context, db *sql.DB, s search) ([]row, error) {
	var text strings.Builder
	var args []any
	text.WriteString("SELECT n, writer, seq, hash, body, iif(" + strconv.FormatBool(s.inputs) + ", input, '') FROM records WHERE 1")
	for _, c := range s.conditions() {
		text.WriteString(" AND " + c.text)
		if c.arg != nil {
			text.WriteString("?")
			args = append(args, c.arg)
		}
	}
	text.WriteString(" ORDER BY n")
	if !s.forward {
		text.WriteString(" DESC")
	}
	text.WriteString(" LIMIT " + strconv.Itoa(s.limit))
	rows, err := db.QueryContext(ctx, text.String(), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []row
	for rows.Next() {
		var r row
		var sum []byte
		if err := rows.Scan(&r.n, &r.writer, &r.seq, &sum, &r.body, &r.input); err != nil {
			return nil, err
		}
		copy(r.hash[:], sum)
		found = append(found, r)
	}
	return found, rows.Err()
}

func (d *days) show(ctx context.Context, id string) (row, factReader, func(), error) {
	d.dropping.RLock()
	release := d.dropping.RUnlock
	fail := func(err error) (row, factReader, func(), error) {
		release()
		return row{}, nil, nil, err
	}
	all, err := d.list()
	if err != nil {
		return fail(err)
	}
	for _, day := range slices.Backward(all) {
		var r row
		err := d.inDay(ctx, day, func(db *sql.DB) error {
			var sum []byte
			err := db.QueryRowContext(ctx, "SELECT n, writer, seq, hash, body, input FROM records WHERE id = ? ORDER BY n DESC LIMIT 1", id).
				Scan(&r.n, &r.writer, &r.seq, &sum, &r.body, &r.input)
			copy(r.hash[:], sum)
			return err
		})
		if errors.Is(err, sql.ErrNoRows) || err == nil && r.n == 0 {
			continue
		}
		if err != nil {
			return fail(fmt.Errorf("%s: %w", day, err))
		}
		facts := func(ctx context.Context, digest hash) (body []byte, err error) {
			err = d.inDay(ctx, day, func(db *sql.DB) error {
				return db.QueryRowContext(ctx, "SELECT body FROM facts WHERE digest = ?", digest[:]).Scan(&body)
			})
			return body, err
		}
		return r, facts, release, nil
	}
	return fail(errNoRecord)
}

func (d *days) fact(ctx context.Context, day string, digest hash) (body []byte, err error) {
	d.dropping.RLock()
	defer d.dropping.RUnlock()
	err = d.inDay(ctx, day, func(db *sql.DB) error {
		return db.QueryRowContext(ctx, "SELECT body FROM facts WHERE digest = ?", digest[:]).Scan(&body)
	})
	return body, err
}

func (d *days) newest(ctx context.Context) (int64, error) {
	all, err := d.list()
	if err != nil {
		return 0, err
	}
	for _, day := range slices.Backward(all) {
		var last int64
		err := d.inDay(ctx, day, func(db *sql.DB) (err error) {
			_, last, err = dayBounds(ctx, db)
			return err
		})
		if err != nil || last > 0 {
			return last, err
		}
	}
	return 0, nil
}

func (d *days) walk(ctx context.Context, w *walker) error {
	d.dropping.RLock()
	defer d.dropping.RUnlock()
	before, err := d.ends(ctx)
	if err != nil {
		return err
	}
	w.start(before)
	all, err := d.list()
	if err != nil {
		return err
	}
	for _, day := range all {
		err := d.inDay(ctx, day, func(db *sql.DB) error {
			// One transaction, so that no record is newer than the facts.
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			w.segment(day)
			facts, err := tx.QueryContext(ctx, "SELECT digest, body FROM facts")
			if err != nil {
				return err
			}
			if err := w.readFacts(facts); err != nil {
				return err
			}
			rows, err := tx.QueryContext(ctx, "SELECT "+rowColumns+" FROM records ORDER BY n")
			if err != nil {
				return err
			}
			return w.readRows(rows)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", day, err)
		}
	}
	after, err := d.ends(ctx)
	if err != nil {
		return err
	}
	w.end(after)
	return nil
}

// ends answers the ends of all chains, between two batches: a batch whose rows
// can be read is in them.
func (d *days) ends(ctx context.Context) (map[string]heads, error) {
	d.appending.Lock()
	defer d.appending.Unlock()
	all, err := d.heads.all(ctx)
	if err != nil {
		return nil, err
	}
	own := all[d.writer]
	own.last = d.last
	all[d.writer] = own
	return all, nil
}
