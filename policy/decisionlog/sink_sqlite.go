package decisionlog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"
)

// hold answers where the sink is: one process has the folder, and with it the sinks.
func (d *days) hold(ctx context.Context, sink, _ string, _ time.Duration) (*position, bool, error) {
	var text []byte
	err := d.heads.db.QueryRowContext(ctx, "SELECT position FROM sinks WHERE name = ?", sink).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	at, err := readPosition(sink, text)
	return at, err == nil, err
}

// keep writes the ends of the chains down before the position: after a loss of
// power both are there or neither, and no order number that a sink has passed is
// given to another record.
func (d *days) keep(ctx context.Context, sink, _ string, p position) error {
	if err := d.settle(ctx); err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = d.heads.db.ExecContext(ctx, "INSERT INTO sinks (name, position) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET position = ?2", sink, text)
	return err
}

func (d *days) release(context.Context, string, string) error { return nil }
