package bundle

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAFileThatReplacesItsLikeIsAnotherFile(t *testing.T) {
	dir := t.TempDir()
	at, next := filepath.Join(dir, "mine.rego"), filepath.Join(dir, ".next")
	tick := time.Unix(1790000000, 0)
	for name, text := range map[string]string{at: "one", next: "two"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, tick, tick); err != nil {
			t.Fatal(err)
		}
	}
	before, err := fingerprint(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, at); err != nil {
		t.Fatal(err)
	}
	after, err := fingerprint(dir)
	if err != nil {
		t.Fatal(err)
	}
	if before == after {
		t.Errorf("they look alike: %s", before)
	}
}
