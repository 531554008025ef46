package metadata

import (
	"context"
	"crypto/rand"
	"database/sql"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/bondgate/bondgate/policy"
)

// Store is the database of one gateway process. It is safe for concurrent use.
type Store struct {
	cfg    Config
	source source
	// origin tells this process's changes from those of others.
	origin string

	write *sql.DB
	read  *sql.DB
	// reads asks outside of a transaction.
	reads  querier
	writer *writer
	// file is the SQLite file as it was opened, to notice when it is replaced.
	file os.FileInfo

	directory *directory
	cache     *cache
	uses      uses

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// Open opens the database, makes or upgrades its schema and reads people,
// projects and waivers into memory. The store runs until Close; ctx bounds the
// opening only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	src, err := parseDSN(cfg.DSN)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Store{cfg: cfg, source: src, origin: rand.Text(), cache: newCache(cfg.CacheBytes)}
	s.directory = newDirectory(s)
	if err := s.connect(ctx); err != nil {
		s.disconnect()
		return nil, wrap(err, "open the database")
	}
	if err := s.directory.start(ctx); err != nil {
		s.disconnect()
		return nil, wrap(err, "read people and projects")
	}
	polling, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.stopped.Go(func() { s.directory.poll(polling) })
	s.stopped.Go(func() { s.writeUses(polling) })
	return s, nil
}

func (s *Store) connect(ctx context.Context) error {
	if s.source.postgres {
		return s.connectPostgreSQL(ctx)
	}
	return s.connectSQLite(ctx)
}

func (s *Store) connectSQLite(ctx context.Context) error {
	if err := s.source.create(); err != nil {
		return err
	}
	var err error
	if s.write, err = sql.Open("sqlite", s.source.sqliteURL(s.cfg.Busy, false)); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if err := migrate(ctx, s.write, false); err != nil {
		return err
	}
	if s.read, err = sql.Open("sqlite", s.source.sqliteURL(s.cfg.Busy, true)); err != nil {
		return err
	}
	n := s.cfg.Connections
	if n <= 0 {
		n = 8
	}
	s.read.SetMaxOpenConns(n)
	s.read.SetMaxIdleConns(n)
	s.reads = &prepared{prepare: s.read.PrepareContext, fallback: s.read.QueryRowContext}
	if s.file, err = os.Stat(s.source.path); err != nil {
		return err
	}
	s.writer = newWriter(s.write)
	return nil
}

func (s *Store) connectPostgreSQL(ctx context.Context) error {
	cfg, err := pgx.ParseConfig(s.source.url)
	if err != nil {
		return err
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "bondgate"
	}
	cfg.DialFunc = dialAnswering
	cfg.ConnectTimeout = min(max(cfg.ConnectTimeout, time.Second), answerWithin)
	n := s.cfg.Connections
	if n <= 0 {
		n = 16
	}
	s.write = stdlib.OpenDB(*cfg)
	s.write.SetMaxOpenConns(n)
	s.write.SetMaxIdleConns(n)
	s.write.SetConnMaxIdleTime(5 * time.Minute)
	s.read = s.write
	s.reads = plain{s.write}
	return migrate(ctx, s.write, true)
}

func (s *Store) disconnect() {
	if s.writer != nil {
		s.writer.close()
	}
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			_ = db.Close()
		}
	}
}

// Close waits for the transactions that run and lets go of the database. What
// waits to run fails with policy.ErrUnavailable.
func (s *Store) Close() error {
	s.stop()
	s.stopped.Wait()
	s.disconnect()
	return nil
}

// Check fails when the database cannot be asked or when the view is too old:
// for readiness.
func (s *Store) Check(ctx context.Context) error {
	var one int
	if err := s.reads.row(ctx, "SELECT 1").Scan(&one); err != nil {
		return wrap(err, "check the database")
	}
	_, err := s.View()
	return err
}

// update runs fn in a transaction. It may run fn more than once: fn sets what it
// answers and adds to nothing.
func (s *Store) update(ctx context.Context, fn func(ctx context.Context, tx querier) error) error {
	if s.writer != nil {
		return s.writer.do(ctx, fn)
	}
	for try := 1; ; try++ {
		err := s.transact(ctx, fn)
		if err == nil || try == 10 || !retryable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try) * 5 * time.Millisecond):
		}
	}
}

// journeyTimeout bounds the beginning and the commit of a transaction on
// PostgreSQL. What is between them is bounded by the caller's context.
const journeyTimeout = 10 * time.Second

func (s *Store) transact(ctx context.Context, fn func(ctx context.Context, tx querier) error) error {
	// A caller's departure must not end a commit: its outcome would be unknown.
	outer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	leave := context.AfterFunc(ctx, cancel)
	timeout := time.AfterFunc(journeyTimeout, cancel)
	tx, err := s.write.BeginTx(outer, nil)
	timeout.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	if !leave() {
		_ = tx.Rollback()
		return context.Cause(ctx)
	}
	if err := fn(ctx, plain{tx}); err != nil {
		_ = tx.Rollback()
		return err
	}
	timeout = time.AfterFunc(journeyTimeout, cancel)
	defer timeout.Stop()
	if err := tx.Commit(); err != nil {
		// The server may have committed all the same, now or in a moment.
		if !retryable(err) {
			s.directory.doubt()
		}
		return err
	}
	return nil
}

// The kinds of change.
const (
	changedPerson      = "person"
	changedProject     = "project"
	changedRole        = "role"
	changedRobot       = "robot"
	changedAccessToken = "access-token"
	changedWorkspace   = "workspace"
	changedWaivers     = "waiver"
	changedBreakGlass  = "breakglass"
	changedGroups      = "group"
	changedSecret      = "secret"
	changedRepository  = "repository"
)

// record adds a row to changes, in the transaction of the change itself.
func (s *Store) record(ctx context.Context, tx querier, kind, workspace, key string) error {
	_, err := tx.exec(ctx,
		"INSERT INTO changes (workspace, kind, key, origin, at) VALUES ($1, $2, $3, $4, $5)",
		workspace, kind, key, s.origin, time.Now().UnixMicro())
	return err
}

// workspaceOf gives the default workspace its name.
func workspaceOf(name string) string {
	if name == "" {
		return policy.DefaultWorkspace
	}
	return name
}

func canonical(repo policy.Repository) policy.Repository {
	repo.Workspace = workspaceOf(repo.Workspace)
	return repo
}
