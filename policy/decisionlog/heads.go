package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// headFile is heads.db: the ends of the chains of all writers that wrote in the
// folder. Its one connection holds the file's lock for as long as the log is open.
type headFile struct{ db *sql.DB }

func openHeads(ctx context.Context, path string) (*headFile, error) {
	db, err := openFile(path, 1, "locking_mode(EXCLUSIVE)", "journal_mode(WAL)", "synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	if err := checkFormat(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d;", format)+`CREATE TABLE IF NOT EXISTS heads (
		writer TEXT PRIMARY KEY, n INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
		dropped_seq INTEGER NOT NULL, dropped_hash BLOB NOT NULL)`)
	if err == nil {
		_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS sinks (name TEXT PRIMARY KEY, position BLOB NOT NULL)")
	}
	if err == nil {
		// The lock is taken by the first write.
		_, err = db.ExecContext(ctx, "BEGIN IMMEDIATE; COMMIT")
	}
	if err != nil {
		return nil, errors.Join(lockError(err), db.Close())
	}
	return &headFile{db}, nil
}

// format is the number of the way in which records are stored. It is written in
// the file of the heads: a folder is of one format.
const format = 2

var errFormat = fmt.Errorf("it was written by a version whose format of decisions this one does not read: "+
	"keep it elsewhere for the records that are in it, and start with none: %w", policy.ErrUnsupported)

func checkFormat(ctx context.Context, db *sql.DB) error {
	var version int
	var made bool
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return lockError(err)
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_master").Scan(&made); err != nil {
		return lockError(err)
	}
	if version != format && (made || version != 0) {
		return errFormat
	}
	return nil
}

func lockError(err error) error {
	if strings.Contains(err.Error(), "SQLITE_BUSY") {
		return fmt.Errorf("another process has it: %w: %w", policy.ErrConflict, err)
	}
	return err
}

// of answers the ends of a writer's chain, and the last order number of all.
func (h *headFile) of(ctx context.Context, writer string) (heads, int64, error) {
	all, err := h.all(ctx)
	if err != nil {
		return heads{}, 0, err
	}
	var n int64
	if err := h.db.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) FROM heads").Scan(&n); err != nil {
		return heads{}, 0, err
	}
	return all[writer], n, nil
}

func (h *headFile) set(ctx context.Context, writer string, last head, n int64) error {
	var zero hash
	_, err := h.db.ExecContext(ctx, `INSERT INTO heads VALUES (?1, ?2, ?3, ?4, 0, ?5)
		ON CONFLICT (writer) DO UPDATE SET n = ?2, seq = ?3, hash = ?4`, writer, n, last.seq, last.hash[:], zero[:])
	return err
}

// advance moves the ends of chains that are behind the given ones.
func (h *headFile) advance(ctx context.Context, ends map[string]head) error {
	var zero hash
	for writer, end := range ends {
		_, err := h.db.ExecContext(ctx, `INSERT INTO heads VALUES (?1, 0, ?2, ?3, 0, ?4)
			ON CONFLICT (writer) DO UPDATE SET seq = ?2, hash = ?3 WHERE seq < ?2`, writer, end.seq, end.hash[:], zero[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// dropped keeps the ends of what is about to be dropped, on the disk before it returns.
func (h *headFile) dropped(ctx context.Context, ends map[string]head) error {
	for writer, end := range ends {
		_, err := h.db.ExecContext(ctx, `INSERT INTO heads VALUES (?1, 0, ?2, ?3, ?2, ?3)
			ON CONFLICT (writer) DO UPDATE SET dropped_seq = ?2, dropped_hash = ?3 WHERE dropped_seq < ?2`, writer, end.seq, end.hash[:])
		if err != nil {
			return err
		}
	}
	var busy, logged, moved int
	return h.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(FULL)").Scan(&busy, &logged, &moved)
}

func (h *headFile) all(ctx context.Context) (map[string]heads, error) {
	return allHeads(ctx, h.db, "heads")
}

// allHeads reads the ends of all chains from the table that a backend has them in.
func allHeads(ctx context.Context, db reader, table string) (map[string]heads, error) {
	rows, err := db.QueryContext(ctx, "SELECT writer, seq, hash, dropped_seq, dropped_hash FROM "+table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]heads{}
	for rows.Next() {
		var writer string
		var e heads
		var last, dropped []byte
		if err := rows.Scan(&writer, &e.last.seq, &last, &e.dropped.seq, &dropped); err != nil {
			return nil, err
		}
		e.last.hash, e.dropped.hash = hashOf(last), hashOf(dropped)
		all[writer] = e
	}
	return all, rows.Err()
}

func (h *headFile) close() error { return h.db.Close() }
