package metadata

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Config says where the database is. The zero value of every field but DSN is a
// good setting.
type Config struct {
	// DSN is "sqlite:PATH" for a file, made when it is not there, or a
	// "postgres://…" URL.
	DSN string
	// CacheBytes bounds the memory of the index's cache, roughly; 32 MiB when zero.
	CacheBytes int64
	// Poll is how often changes of other replicas are asked for; 250 ms when zero.
	Poll time.Duration
	// Grace is how long the view is still handed out while polling fails; 5 s when zero.
	Grace time.Duration
	// Busy is how long a writer waits for another process that holds the SQLite
	// file before the answer is an outage; 5 s when zero.
	Busy time.Duration
	// Connections bounds the pool of readers (SQLite) or of everything
	// (PostgreSQL); 8 and 16 when zero.
	Connections int
	// Logger takes what has no caller to be told to; nil discards it.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.CacheBytes <= 0 {
		c.CacheBytes = 32 << 20
	}
	if c.Poll <= 0 {
		c.Poll = 250 * time.Millisecond
	}
	if c.Grace <= 0 {
		c.Grace = 5 * time.Second
	}
	if c.Busy <= 0 {
		c.Busy = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// source is a DSN taken apart.
type source struct {
	postgres bool
	// path is the SQLite file, absolute.
	path string
	url  string
}

func parseDSN(dsn string) (source, error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		if path == "" || strings.Contains(path, ":memory:") {
			return source{}, fmt.Errorf("metadata: a SQLite database needs a file: %w", policy.ErrInvalid)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return source{}, fmt.Errorf("metadata: path of the database: %w", err)
		}
		return source{path: abs}, nil
	}
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		return source{postgres: true, url: dsn}, nil
	}
	// The DSN may hold a password: the message does not repeat it.
	return source{}, fmt.Errorf("metadata: the DSN is neither sqlite:PATH nor postgres://…: %w", policy.ErrInvalid)
}

// sqliteURL builds the driver's name for the file. Commits are not synced
// (synchronous NORMAL): they survive the death of the process; a loss of power may
// take the last of them, and a reindex brings the index back from the
// content, which is the truth.
func (s source) sqliteURL(busy time.Duration, readOnly bool) string {
	q := url.Values{}
	q.Set("_txlock", "immediate")
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()))
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(NORMAL)")
	q.Add("_pragma", "foreign_keys(1)")
	q.Add("_pragma", "wal_autocheckpoint(4000)")
	q.Add("_pragma", "journal_size_limit(67108864)")
	if readOnly {
		q.Set("_txlock", "deferred")
		q.Add("_pragma", "query_only(1)")
	}
	return (&url.URL{Scheme: "file", Path: s.path, RawQuery: q.Encode()}).String()
}

// create makes the file readable by its owner alone before SQLite would make it
// with the umask's rights: it holds password hashes and keys.
func (s source) create() error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}
