package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// inDay reads in the file of a day, in one transaction: with the connections of
// the current one, or with one of its own. It fails with errNoDay when there is no
// file, or nothing in it.
func (d *days) inDay(ctx context.Context, day string, read func(*view) error) error {
	d.mu.RLock()
	if f := d.current; f != nil && f.day == day {
		f.readers.Add(1)
		d.mu.RUnlock()
		defer f.readers.Done()
		return d.reading(ctx, f.read, day, read)
	}
	d.mu.RUnlock()
	if _, err := os.Stat(d.path(day)); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return errNoDay // SQLite would make the file
		}
		return err
	}
	db, err := openFile(d.path(day), 1, "query_only(1)")
	if err != nil {
		return err
	}
	defer db.Close()
	var made bool
	if err := db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_master WHERE name = 'blocks'").Scan(&made); err != nil {
		return err
	}
	if !made {
		return errNoDay
	}
	return d.reading(ctx, db, day, read)
}

func (d *days) reading(ctx context.Context, db *sql.DB, day string, read func(*view) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return read(&view{tx: tx, t: dayTables, codec: d.codec, day: day})
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
		err := d.inDay(ctx, day, func(v *view) error {
			part := s
			part.limit -= len(found)
			rows, err := v.search(ctx, part)
			found = append(found, rows...)
			return err
		})
		if err != nil && !errors.Is(err, errNoDay) {
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
		first, err := d.first(ctx, day)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", day, err)
		}
		if first > 0 && first <= n {
			return all[i:], nil
		}
	}
	return all, nil
}

// first answers the first order number of a day. Once there is one it stays, so it
// is remembered: whoever reads all days asks for it at every page.
func (d *days) first(ctx context.Context, day string) (n int64, err error) {
	d.mu.RLock()
	n = d.firsts[day]
	d.mu.RUnlock()
	if n > 0 {
		return n, nil
	}
	err = d.inDay(ctx, day, func(v *view) (err error) {
		n, _, err = v.bounds(ctx)
		return err
	})
	if errors.Is(err, errNoDay) {
		return 0, nil
	}
	if err == nil && n > 0 {
		d.mu.Lock()
		d.firsts[day] = n
		d.mu.Unlock()
	}
	return n, err
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
		r := row{}
		err := d.inDay(ctx, day, func(v *view) (err error) {
			r, err = v.show(ctx, clean(id))
			return err
		})
		if errors.Is(err, errNoRecord) || errors.Is(err, errNoDay) {
			continue
		}
		if err != nil {
			return fail(fmt.Errorf("%s: %w", day, err))
		}
		facts := func(ctx context.Context, digest hash) (body []byte, err error) {
			err = d.inDay(ctx, day, func(v *view) error {
				body, err = v.fact(ctx, digest)
				return err
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
	err = d.inDay(ctx, day, func(v *view) error {
		body, err = v.fact(ctx, digest)
		return err
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
		err := d.inDay(ctx, day, func(v *view) (err error) {
			_, last, err = v.bounds(ctx)
			return err
		})
		if err != nil && !errors.Is(err, errNoDay) || last > 0 {
			return last, err
		}
	}
	return 0, nil
}

// spoiltFile reports whether SQLite finds that a file is none of its own, or not whole.
func spoiltFile(err error) bool {
	var said *sqlite.Error
	return errors.As(err, &said) && (said.Code()&0xff == sqlite3.SQLITE_CORRUPT || said.Code()&0xff == sqlite3.SQLITE_NOTADB)
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
		err := d.inDay(ctx, day, func(v *view) error { return v.walk(ctx, w) })
		switch {
		case err == nil || errors.Is(err, errNoDay):
		case spoiltFile(err):
			w.found(Finding{Kind: Changed, Day: day, What: "the file cannot be read: " + err.Error()})
		default:
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
