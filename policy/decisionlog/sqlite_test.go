package decisionlog

import (
	"context"
	"testing"
)

func sqliteSite(t *testing.T) site {
	dir := t.TempDir()
	var last *Log
	s := site{records: "records", facts: "facts"}
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
