package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"os"
)

func (d *days) expire(ctx context.Context, before string) error {
	all, err := d.list()
	if err != nil {
		return err
	}
	if !d.dropping.TryLock() {
		return errReading // rather than to keep the flusher waiting
	}
	defer d.dropping.Unlock()
	for _, day := range all {
		if day >= before {
			break
		}
		if f := d.open(); f != nil && f.day == day {
			d.shut()
		}
		if err := d.drop(ctx, day); err != nil {
			return fmt.Errorf("drop %s: %w", day, err)
		}
	}
	return nil
}

func (d *days) drop(ctx context.Context, day string) error {
	var ends map[string]head
	err := d.inDay(ctx, day, func(v *view) (err error) {
		ends, _, err = endsOf(ctx, v.tx)
		return err
	})
	if err != nil && !errors.Is(err, errNoDay) {
		return err
	}
	if err := d.heads.dropped(ctx, ends); err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.firsts, day)
	d.mu.Unlock()
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Remove(d.path(day) + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
