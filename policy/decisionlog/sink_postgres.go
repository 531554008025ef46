package decisionlog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// sinkTable has a row for each sink. The replica that ships holds the row for a
// while and says so again with each delivery; that needs no connection of its
// own, as a session's lock would, and works behind a pooler of transactions.
const sinkTable = `
CREATE TABLE IF NOT EXISTS decision_sinks (
	name text PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL, position bytea);`

func (p *partitions) ends(ctx context.Context) (map[string]heads, error) {
	return allHeads(ctx, p.db, "decision_heads")
}

func (p *partitions) hold(ctx context.Context, sink, holder string, lease time.Duration) (*position, bool, error) {
	var text []byte
	// The database's clock judges for all.
	err := p.db.QueryRowContext(ctx, `INSERT INTO decision_sinks AS s (name, holder, until) VALUES ($1, $2, now() + $3::text::interval)
		ON CONFLICT (name) DO UPDATE SET holder = $2, until = now() + $3::text::interval WHERE s.holder = $2 OR s.until < now()
		RETURNING position`, sink, holder, fmt.Sprintf("%d milliseconds", lease.Milliseconds())).Scan(&text)
	held := err == nil
	if errors.Is(err, sql.ErrNoRows) {
		err = p.db.QueryRowContext(ctx, "SELECT position FROM decision_sinks WHERE name = $1", sink).Scan(&text)
	}
	if err != nil || len(text) == 0 {
		return nil, held, err
	}
	at, err := readPosition(sink, text)
	return at, held && err == nil, err
}

func (p *partitions) keep(ctx context.Context, sink, holder string, at position) error {
	text, err := json.Marshal(at)
	if err != nil {
		return err
	}
	done, err := p.db.ExecContext(ctx, "UPDATE decision_sinks SET position = $3 WHERE name = $1 AND holder = $2", sink, holder, text)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err == nil && n == 0 {
		err = fmt.Errorf("another replica ships to it by now: %w", policy.ErrConflict)
	}
	return err
}

func (p *partitions) release(ctx context.Context, sink, holder string) error {
	_, err := p.db.ExecContext(ctx, "UPDATE decision_sinks SET until = '-infinity' WHERE name = $1 AND holder = $2", sink, holder)
	return err
}
