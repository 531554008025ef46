package decisionlog

import (
	"context"
	"database/sql"
	"errors"
)

// sealSome reads and packs beside whoever writes; only the writing of the outcome
// makes a batch wait.
func (d *days) sealSome(ctx context.Context, day string, all bool) (bool, error) {
	d.dropping.RLock()
	defer d.dropping.RUnlock()
	var s *sealing
	err := d.inDay(ctx, day, func(v *view) (err error) {
		s, err = prepare(ctx, v, d.writer, all)
		return err
	})
	if errors.Is(err, errNoDay) {
		return false, nil
	}
	if err != nil || s == nil {
		return false, err
	}
	d.appending.Lock()
	defer d.appending.Unlock()
	db := (*sql.DB)(nil)
	if f := d.open(); f != nil && f.day == day {
		db = f.write
	} else {
		if db, err = openFile(d.path(day), 1, "journal_mode(WAL)", "synchronous(NORMAL)"); err != nil {
			return false, err
		}
		defer db.Close()
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	if err := s.write(ctx, tx); err != nil {
		return false, err
	}
	return true, tx.Commit()
}
