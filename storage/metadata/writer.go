package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/bondgate/bondgate/policy"
)

// batchSize bounds how many transactions share one commit.
const batchSize = 64

// job is one transaction of a caller.
type job struct {
	ctx context.Context
	run func(ctx context.Context, tx querier) error
	// taken is set by the writer when it starts the job, or by a caller that
	// left before.
	taken atomic.Bool
	done  chan struct{}
	err   error
}

// writer is the one goroutine that changes a SQLite file. Jobs that wait are
// run in one transaction, each in a savepoint of its own: a job that fails undoes
// only itself, and a commit is paid once for all of them.
type writer struct {
	db   *sql.DB
	jobs chan *job
	stop chan struct{}
	once sync.Once
	gone chan struct{}

	conn *sql.Conn
	tx   *prepared
}

func newWriter(db *sql.DB) *writer {
	w := &writer{db: db, jobs: make(chan *job, 4*batchSize), stop: make(chan struct{}), gone: make(chan struct{})}
	go w.loop()
	return w
}

// do runs fn in a transaction that is committed when do returns nil. A caller
// may leave while its job waits; once it runs, its outcome is waited for,
// because nobody could tell it otherwise.
func (w *writer) do(ctx context.Context, fn func(ctx context.Context, tx querier) error) error {
	j := &job{ctx: ctx, run: fn, done: make(chan struct{})}
	select {
	case <-w.stop:
		return errClosed
	case w.jobs <- j:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
	case <-w.gone:
		if j.taken.CompareAndSwap(false, true) {
			return errClosed
		}
	}
	<-j.done
	return j.err
}

var errClosed = fmt.Errorf("database is closed: %w", policy.ErrUnavailable)

func (w *writer) close() {
	w.once.Do(func() { close(w.stop) })
	<-w.gone
}

func (w *writer) loop() {
	defer close(w.gone)
	defer w.drop()
	for {
		select {
		case <-w.stop:
			return
		case first := <-w.jobs:
			w.batch(first)
		}
	}
}

// next takes a job that waits; nil when none does or when the batch is full.
func (w *writer) next(n int) *job {
	if n >= batchSize {
		return nil
	}
	select {
	case j := <-w.jobs:
		return j
	default:
		return nil
	}
}

func (w *writer) batch(first *job) {
	var ran []*job
	err := w.begin()
	for j := first; j != nil; j = w.next(len(ran)) {
		if !j.taken.CompareAndSwap(false, true) {
			continue
		}
		ran = append(ran, j)
		switch {
		case err != nil:
			j.err = err
		case j.ctx.Err() != nil:
			j.err = context.Cause(j.ctx)
		default:
			err = w.one(j)
		}
	}
	if err == nil {
		err = w.control("COMMIT")
	}
	if err != nil {
		w.drop()
	}
	for _, j := range ran {
		if j.err == nil {
			j.err = err
		}
		close(j.done)
	}
}

// one runs a job in its savepoint. The error it answers is the batch's: the
// transaction as a whole is no more.
func (w *writer) one(j *job) error {
	if err := w.control("SAVEPOINT job"); err != nil {
		return err
	}
	// Not the caller's context: its end would interrupt a statement, and with
	// it the transactions of others.
	j.err = protect(context.WithoutCancel(j.ctx), j.run, w.tx)
	if j.err == nil {
		return w.control("RELEASE job")
	}
	if broken(j.err) {
		return j.err
	}
	if err := w.control("ROLLBACK TO job"); err != nil {
		return err
	}
	return w.control("RELEASE job")
}

// protect turns a panic of one job into its failure: others share the goroutine.
func protect(ctx context.Context, run func(context.Context, querier) error, tx querier) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v: %w", p, policy.ErrUnavailable)
		}
	}()
	return run(ctx, tx)
}

func (w *writer) begin() error {
	if w.conn == nil {
		conn, err := w.db.Conn(context.Background())
		if err != nil {
			return err
		}
		w.conn = conn
		w.tx = &prepared{prepare: conn.PrepareContext, fallback: conn.QueryRowContext}
	}
	return w.control("BEGIN IMMEDIATE")
}

func (w *writer) control(statement string) error {
	_, err := w.tx.exec(context.Background(), statement)
	return err
}

// drop undoes what is open and lets go of the connection, so that the next batch
// starts from nothing.
func (w *writer) drop() {
	if w.conn == nil {
		return
	}
	for _, st := range w.tx.stmts {
		_ = st.Close()
	}
	// Fails when the failure has ended the transaction already.
	_, _ = w.conn.ExecContext(context.Background(), "ROLLBACK")
	_ = w.conn.Close()
	w.conn, w.tx = nil, nil
}
