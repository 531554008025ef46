package metadata

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/bondgate/bondgate/policy"
)

// wrap adds what was being done and the class of the failure, once.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := fmt.Sprintf(format, args...)
	class := classify(err)
	if class == nil {
		return fmt.Errorf("metadata: %s: %w", doing, err)
	}
	return fmt.Errorf("metadata: %s: %w: %w", doing, class, err)
}

// classify gives the policy error that a driver's failure is; nil when err says
// its class itself. What nobody recognises is an outage: never an empty answer.
func classify(err error) error {
	for _, class := range []error{
		policy.ErrNotFound, policy.ErrConflict, policy.ErrInvalid,
		policy.ErrNoSpace, policy.ErrUnavailable, policy.ErrUnauthenticated,
	} {
		if errors.Is(err, class) {
			return nil
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return policy.ErrNotFound
	}
	if errors.Is(err, syscall.ENOSPC) {
		return policy.ErrNoSpace
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return classifySQLite(lite.Code())
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyPostgreSQL(pg.Code)
	}
	return policy.ErrUnavailable
}

// isNotFound reports whether a query had no row.
func isNotFound(err error) bool {
	return errors.Is(err, policy.ErrNotFound) || errors.Is(err, sql.ErrNoRows)
}

func classifySQLite(code int) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return policy.ErrConflict
	}
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return policy.ErrNoSpace
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG:
		return policy.ErrInvalid
	default:
		return policy.ErrUnavailable
	}
}

func classifyPostgreSQL(code string) error {
	switch code {
	case "23505": // unique_violation
		return policy.ErrConflict
	case "53100": // disk_full
		return policy.ErrNoSpace
	}
	switch code[:min(2, len(code))] {
	case "22", "23": // data exceptions (a NUL in a text), other constraints
		return policy.ErrInvalid
	default:
		return policy.ErrUnavailable
	}
}

// retryable reports whether PostgreSQL undid the transaction through no fault of
// its own, so that running it again is right.
func retryable(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}

// broken reports whether a failed statement may have ended the SQLite
// transaction around it, and other transactions of the same batch with it.
func broken(err error) bool {
	lite, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
			errors.Is(err, context.Canceled)
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM,
		sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CORRUPT:
		return true
	default:
		return false
	}
}
