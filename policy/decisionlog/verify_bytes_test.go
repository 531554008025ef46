package decisionlog

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// sealToday puts what is loose together, as the end of a day does.
func sealToday(t *testing.T, d *days) {
	t.Helper()
	if did, err := d.sealSome(t.Context(), d.open().day, true); err != nil || !did {
		t.Fatalf("put together: %v, %v", did, err)
	}
}

// TestNoColumnOfADayCanBeChangedUnnoticed changes every column of every row, and
// bytes all over what is packed.
func TestNoColumnOfADayCanBeChangedUnnoticed(t *testing.T) {
	l := openIn(t, t.TempDir())
	d := l.store.(*days)
	put := func(from, n int, size int) {
		for i := range n {
			mustOpen(t, l, record(fmt.Sprintf("d%03d", from+i), denied, func(r *policy.Record) {
				r.At, r.Project = r.At.Add(time.Duration(from+i)*time.Second), fmt.Sprint("p", (from+i)%3)
				r.Input = func() map[string]any { return artifact(from + i) }
				r.Decision.Message = strings.Repeat(fmt.Sprint(from+i, " is a long reason. "), size)
			}))
		}
		eventually(t, "all are written", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.pending == 0
		})
	}
	put(0, 6, 1000) // packed
	sealToday(t, d)
	put(6, 3, 1)
	sealToday(t, d)
	put(9, 2, 1)
	if r := verified(t, l); !r.Intact() || r.Records != 11 {
		t.Fatalf("report %+v", r)
	}
	db, day := d.open().write, d.open().day
	tried := 0
	for _, table := range dayTables.all() {
		must(t, db, "CREATE TABLE saved AS SELECT * FROM "+table)
		try := func(what, text string, args ...any) {
			if _, err := db.Exec(text, args...); err != nil {
				return // there is a row of that name already
			}
			tried++
			if r := verified(t, l); r.Intact() || r.Findings[0].Day != day {
				t.Errorf("%s, %s: found %+v", table, what, r.Findings)
			}
			must(t, db, "DELETE FROM "+table)
			must(t, db, "INSERT INTO "+table+" SELECT * FROM saved")
		}
		for _, cell := range cells(t, db, table) {
			for _, change := range cell.changes() {
				try(fmt.Sprintf("%s of row %d: %s", cell.column, cell.row, change.what),
					"UPDATE "+table+" SET "+cell.column+" = ? WHERE rowid = ?", change.to, cell.row)
			}
			try(fmt.Sprintf("row %d is taken away", cell.row), "DELETE FROM "+table+" WHERE rowid = ?", cell.row)
		}
		must(t, db, "DROP TABLE saved")
	}
	if r := verified(t, l); !r.Intact() || tried < 200 {
		t.Errorf("put back after %d changes, yet %+v", tried, r)
	}
}

func must(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.Exec(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// cell is one value of a table.
type cell struct {
	row    int64
	column string
	value  any
}

func cells(t *testing.T, db *sql.DB, table string) (all []cell) {
	t.Helper()
	rows, err := db.Query("SELECT rowid, * FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(values); i++ {
			all = append(all, cell{values[0].(int64), columns[i], values[i]})
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

type change struct {
	what string
	to   any
}

// changes are ways in which somebody might change a value.
func (c cell) changes() (all []change) {
	switch v := c.value.(type) {
	case int64:
		return []change{{"one more", v + 1}, {"one less", v - 1}}
	case string:
		return []change{{"longer", v + "x"}, {"empty", ""}}
	case []byte:
		for i := 0; i < len(v); i += 1 + len(v)/25 {
			to := bytes.Clone(v)
			to[i] ^= 0x41
			all = append(all, change{fmt.Sprintf("byte %d of %d", i, len(v)), to})
		}
		return append(all, change{"cut in half", v[:len(v)/2]}, change{"longer", append(bytes.Clone(v), 0)})
	}
	return nil
}

func TestADayFileThatIsSpoiltIsReportedAndTheOthersAreRead(t *testing.T) {
	// Bytes, or a third of it, or the file of the day before in its place.
	for _, part := range []int64{0, 100, 5000, 3, -1} {
		dir, c := t.TempDir(), newClock()
		l, err := Open(t.Context(), Config{Dir: dir, Now: c.now, RetentionDays: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close(context.Background()) })
		var names []string
		for i := range 3 {
			names = append(names, c.now().Format(time.DateOnly))
			mustWrite(t, l, record(fmt.Sprint("d", i), func(r *policy.Record) {
				r.Input = func() map[string]any { return artifact(i) }
			}))
			c.move(24 * time.Hour)
		}
		// A sealer may have the file of the day before open still.
		l.store.(*days).sealer.running.Wait()
		path := filepath.Join(dir, dayPrefix+names[1]+daySuffix)
		if part == 3 {
			stat, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			part = stat.Size() / 3
		}
		for _, suffix := range []string{"-wal", "-shm"} {
			os.Remove(path + suffix)
		}
		if part < 0 {
			other, err := os.ReadFile(filepath.Join(dir, dayPrefix+names[0]+daySuffix))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, other, 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Truncate(path, part); err != nil {
			t.Fatal(err)
		}
		r := verified(t, l)
		missing := false
		for _, f := range r.Findings {
			missing = missing || f.Kind == Removed && f.First == 2 && f.Last == 2 || f.Day == names[1]
			if f.First == 3 && f.Kind != Removed || f.Day == names[0] {
				t.Errorf("cut to %d bytes: also %+v", part, f)
			}
		}
		if !missing || r.Days < 2 {
			t.Errorf("cut to %d bytes: report %+v", part, r)
		}
	}
}

func TestHeadsThatAreChangedAreFound(t *testing.T) {
	for _, test := range []struct{ name, text, kind string }{
		{"the hash of the last record", "UPDATE heads SET hash = zeroblob(32)", Changed},
		{"the number of the last record", "UPDATE heads SET seq = seq + 1", Removed},
		{"what retention dropped", "UPDATE heads SET dropped_seq = 1", Inserted},
		{"the hash of what retention dropped", "UPDATE heads SET dropped_hash = hash", Changed},
		{"whose they are", "UPDATE heads SET writer = 'mallory'", Removed},
	} {
		dir := t.TempDir()
		l := openIn(t, dir)
		mustWrite(t, l, record("d0"), record("d1"))
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		db, err := openFile(filepath.Join(dir, "heads.db"), 1)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, test.text)
		db.Close()
		r := verified(t, openIn(t, dir))
		if r.Intact() || r.Findings[0].Kind != test.kind {
			t.Errorf("%s: found %+v", test.name, r.Findings)
		}
	}
}
