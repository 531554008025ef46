package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"
)

// querier runs statements: on a pool, or in a transaction. Parameters are
// written $1, $2, … for both databases.
type querier interface {
	exec(ctx context.Context, query string, args ...any) (affected int64, err error)
	rows(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	row(ctx context.Context, query string, args ...any) *sql.Row
	// bulk reports whether one statement with many rows is better than many
	// statements: true where each costs a journey over the network.
	bulk() bool
}

// plain runs statements as they come: pgx keeps prepared statements by itself.
type plain struct {
	db interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}
}

func (p plain) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := p.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (p plain) rows(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.db.QueryContext(ctx, query, args...)
}

func (p plain) row(ctx context.Context, query string, args ...any) *sql.Row {
	return p.db.QueryRowContext(ctx, query, args...)
}

func (p plain) bulk() bool { return true }

// prepared keeps a statement per text: SQLite has no other cache of plans. The
// texts are this package's constants, so the map is bounded.
type prepared struct {
	prepare func(context.Context, string) (*sql.Stmt, error)
	mu      sync.RWMutex
	stmts   map[string]*sql.Stmt
	// fallback makes the *sql.Row that reports a failure to prepare.
	fallback func(ctx context.Context, query string, args ...any) *sql.Row
}

func (p *prepared) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.RLock()
	st := p.stmts[query]
	p.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if st = p.stmts[query]; st != nil {
		return st, nil
	}
	st, err := p.prepare(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil, err
	}
	if p.stmts == nil {
		p.stmts = map[string]*sql.Stmt{}
	}
	p.stmts[query] = st
	return st, nil
}

func (p *prepared) exec(ctx context.Context, query string, args ...any) (int64, error) {
	st, err := p.stmt(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (p *prepared) rows(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (p *prepared) row(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := p.stmt(ctx, query)
	if err != nil {
		return p.fallback(ctx, query, args...)
	}
	return st.QueryRowContext(ctx, args...)
}

func (p *prepared) bulk() bool { return false }

// bulkRows bounds the rows of one statement well below PostgreSQL's 65,535 parameters.
const bulkRows = 100

// insert adds rows: "INSERT INTO " + into + " VALUES (…)" + tail.
func insert(ctx context.Context, q querier, into, tail string, width int, rows [][]any) error {
	at := 1
	if q.bulk() {
		at = bulkRows
	}
	for len(rows) > 0 {
		chunk := rows[:min(at, len(rows))]
		rows = rows[len(chunk):]
		args := make([]any, 0, len(chunk)*width)
		for _, r := range chunk {
			args = append(args, r...)
		}
		if _, err := q.exec(ctx, "INSERT INTO "+into+" VALUES "+tuples(len(chunk), width)+tail, args...); err != nil {
			return err
		}
	}
	return nil
}

// tuples writes "($1,$2),($3,$4)".
func tuples(rows, width int) string {
	var b strings.Builder
	n := 0
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for c := range width {
			if c > 0 {
				b.WriteByte(',')
			}
			n++
			fmt.Fprintf(&b, "$%d", n)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// collect reads all rows by scan and closes them.
func collect[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// each makes a scanner of rows out of one that reads a row of either sort.
func each[T any](scan func(scan func(...any) error) (T, error)) func(*sql.Rows) (T, error) {
	return func(rows *sql.Rows) (T, error) { return scan(rows.Scan) }
}

func scanString[S ~string](rows *sql.Rows) (S, error) {
	var v string
	err := rows.Scan(&v)
	return S(v), err
}

// Times are stored as microseconds, and the zero time as 0.

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
