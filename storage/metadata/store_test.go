package metadata

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/bondgate/bondgate/storage/metadata/metadatatest"
)

func TestSQLite(t *testing.T) {
	exercise(t, func(t *testing.T) func() *Store {
		dsn := "sqlite:" + filepath.Join(t.TempDir(), "with space?and#.db")
		return func() *Store { return open(t, Config{DSN: dsn}) }
	})
}

func TestPostgreSQL(t *testing.T) {
	metadatatest.PostgreSQL(t)
	exercise(t, func(t *testing.T) func() *Store {
		dsn := metadatatest.PostgreSQL(t)
		return func() *Store { return open(t, Config{DSN: dsn}) }
	})
}

// both runs a test on each database that is installed.
func both(t *testing.T, test func(t *testing.T, open func() *Store)) {
	t.Run("SQLite", func(t *testing.T) {
		dsn := "sqlite:" + filepath.Join(t.TempDir(), "bondgate.db")
		test(t, func() *Store { return open(t, Config{DSN: dsn}) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := metadatatest.PostgreSQL(t)
		test(t, func() *Store { return open(t, Config{DSN: dsn}) })
	})
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
