package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bondgate/bondgate/policy"
)

const (
	// chunk is how many records one transaction holds at most: those that wait
	// in Write are never behind more than that, nor is more encoded in memory.
	chunk = 500
	// patience is how long one transaction may take before it counts as failed.
	patience = 5 * time.Second
)

// Log keeps records; it is a [policy.Recorder]. All methods may be called at the same time.
type Log struct {
	cfg     Config
	store   backend
	mask    *mask
	encoder *encoder

	failure atomic.Pointer[error]
	dropped atomic.Int64

	mu       sync.Mutex
	opened   []*policy.Record
	writes   []*write
	pending  int // records taken and not yet stored
	closed   bool
	shipping *shipping

	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}

	// Of the flusher alone.
	head    head
	day     string
	expired string
	// expireNot is the time before which it is not tried again.
	expireNot time.Time
	stuck     *taken
}

// write is a record that somebody waits for.
type write struct {
	record *policy.Record
	done   chan error
}

// taken is a batch on its way, with those who wait for it.
type taken struct {
	batch  batch
	waits  []*write
	amount int
}

var _ policy.Recorder = (*Log)(nil)

// Open opens the log, continues the writer's chain and starts the flusher. It
// fails with [policy.ErrInvalid] for a configuration that makes no sense, and
// with [policy.ErrConflict] when another process has the folder.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	m, err := parseMasks(cfg.Masks)
	if err != nil {
		return nil, err
	}
	var store backend
	if cfg.DSN != "" {
		store, err = openPostgres(ctx, cfg.DSN, cfg.Logger)
	} else {
		store, err = openDays(ctx, cfg.Dir, cfg.Logger)
	}
	if err != nil {
		return nil, err
	}
	return start(ctx, cfg, m, store)
}

func start(ctx context.Context, cfg Config, m *mask, store backend) (*Log, error) {
	l := &Log{
		cfg: cfg, store: store, mask: m, encoder: newEncoder(cfg.Writer, m, cfg.MaskKey),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	l.encoder.ruler = ruler{rules: cfg.Rules, writer: cfg.Writer, logger: cfg.Logger}
	var err error
	if l.head, l.day, err = store.begin(ctx, cfg.Writer); err != nil {
		return nil, errors.Join(fmt.Errorf("decision log: continue the chain of %s: %w", cfg.Writer, err), store.close())
	}
	l.expire(ctx)
	go l.run()
	return l, nil
}

// Ready fails with [policy.ErrUnavailable] from a failed flush until one succeeds.
func (l *Log) Ready() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Dropped is how many requests were allowed without a record since the log was
// opened, because the policy wanted none (package system.log).
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Open takes a record that is closed and written by the next flush. It fails
// with [policy.ErrUnavailable] when too many records wait already.
func (l *Log) Open(r *policy.Record) error {
	l.mu.Lock()
	err := l.admit()
	if err == nil {
		l.opened = append(l.opened, r)
	}
	l.mu.Unlock()
	return err
}

// Write writes a record before it returns, together with all that wait at the
// same time. When it fails ([policy.ErrUnavailable]; also when ctx ends first)
// the record may still be written later, once.
func (l *Log) Write(ctx context.Context, r *policy.Record) error {
	if err := l.Ready(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	w := &write{r, make(chan error, 1)}
	l.mu.Lock()
	err := l.admit()
	if err == nil {
		l.writes = append(l.writes, w)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	l.wakeUp()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return gaveUp(ctx.Err())
	}
}

func gaveUp(cause error) error {
	return fmt.Errorf("decision log: wait for a record to be written: %w: %w", policy.ErrUnavailable, cause)
}

var (
	errFull   = fmt.Errorf("decision log: too many records wait to be written: %w", policy.ErrUnavailable)
	errClosed = fmt.Errorf("decision log: closed: %w", policy.ErrUnavailable)
)

func (l *Log) admit() error {
	if l.closed {
		return errClosed
	}
	if l.pending >= l.cfg.Capacity {
		return errFull
	}
	l.pending++
	return nil
}

// Close writes what waits and closes the store. It fails when records could not
// be written, or not before ctx ended.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	select {
	case <-l.stopped:
	case <-ctx.Done():
		return fmt.Errorf("decision log: close: %w", ctx.Err())
	}
	l.mu.Lock()
	left, sinks := l.pending, l.shipping
	l.mu.Unlock()
	sinks.end() // after the flusher, so that the last records can go out
	err := l.store.close()
	if left > 0 {
		err = errors.Join(fmt.Errorf("decision log: %d records could not be written: %w", left, policy.ErrUnavailable), err)
	}
	return err
}
