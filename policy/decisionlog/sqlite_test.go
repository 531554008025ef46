package decisionlog

import (
	"context"
	"path/filepath"
	"testing"
)

func sqliteSite(t *testing.T) site {
	dir := t.TempDir()
	var last *Log
	s := site{tables: func() tables { return dayTables }}
	s.open = func(t *testing.T, change func(*Config)) *Log {
		t.Helper()
		cfg := Config{Dir: dir}
		if change != nil {
			change(&cfg)
		}
		l, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		last = l
		return l
	}
	s.config = func(*testing.T) Config { return Config{Dir: dir} }
	s.makeFormer = func(t *testing.T) {
		t.Helper()
		db, err := openFile(filepath.Join(dir, "heads.db"), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("PRAGMA user_version = 0"); err != nil {
			t.Fatal(err)
		}
	}
	files := func() *days {
		if f, ok := last.store.(*flaky); ok {
			return f.backend.(*days)
		}
		return last.store.(*days)
	}
	s.exec = func(t *testing.T, text string) {
		t.Helper()
		if _, err := files().open().write.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	s.count = func(t *testing.T, text string) (n int) {
		t.Helper()
		if err := files().open().read.QueryRow(text).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	return s
}

func TestSQLiteKeepsDecisions(t *testing.T) { exercise(t, sqliteSite) }
