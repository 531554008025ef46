package decisionlog

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func openIn(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

func TestAFullDiskMakesTheLogUnreadyUntilThereIsRoom(t *testing.T) {
	l := openIn(t, t.TempDir())
	mustWrite(t, l, record("d0"))
	file := l.store.(*days).open()
	if _, err := file.write.Exec("PRAGMA max_page_count = 1"); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 1<<20) // it cannot be packed
	rand.Read(noise)
	big := hex.EncodeToString(noise)
	err := l.Write(t.Context(), record("d1", func(r *policy.Record) {
		r.Input = func() map[string]any { return map[string]any{"big": big} }
	}))
	if !errors.Is(err, policy.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
		t.Errorf("write to a full file: %v", err)
	}
	// The limit was the connection's: a new one has room.
	eventually(t, "it is ready again", func() bool { return l.Ready() == nil })
	if got := ids(tail(t, l, Query{})); got != "d1 d0" {
		t.Errorf("kept %q", got)
	}
}

func TestADayFileThatIsTakenAwayIsNoticedAndReported(t *testing.T) {
	dir := t.TempDir()
	l := openIn(t, dir)
	mustWrite(t, l, record("d0"))
	files, _ := filepath.Glob(filepath.Join(dir, "decisions-*"))
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, l, record("d1"))
	if got := ids(tail(t, l, Query{})); got != "d1" {
		t.Errorf("kept %q", got)
	}
	r := verified(t, l)
	if len(r.Findings) != 1 || r.Findings[0].Kind != Removed || r.Findings[0].First != 1 || r.Findings[0].Last != 1 {
		t.Errorf("found %+v", r.Findings)
	}
}

func TestOnlyOneProcessHasTheFolder(t *testing.T) {
	dir := t.TempDir()
	l := openIn(t, dir)
	if _, err := Open(t.Context(), Config{Dir: dir}); !errors.Is(err, policy.ErrConflict) {
		t.Errorf("the folder is open twice: %v", err)
	}
	mustWrite(t, l, record("d0"))
}

func TestATornDayFileIsReadAsEmpty(t *testing.T) {
	dir := t.TempDir()
	for _, day := range []string{"2026-11-01", "2999-01-01"} {
		if err := os.WriteFile(filepath.Join(dir, dayPrefix+day+daySuffix), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(t.Context(), Config{Dir: dir, RetentionDays: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	mustWrite(t, l, record("d0"))
	if got := ids(tail(t, l, Query{})); got != "d0" || !verified(t, l).Intact() {
		t.Errorf("kept %q", got)
	}
	if _, err := l.Show(t.Context(), "none"); !errors.Is(err, policy.ErrNotFound) {
		t.Errorf("show of nothing: %v", err)
	}
}

// childFolder makes the test binary the process that is to be killed.
const childFolder = "BONDGATE_TEST_DECISIONLOG_FOLDER"

func TestWrittenRecordsSurviveAKill(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	wrote := map[string]bool{}
	// It dies while batches are written, while small blocks are packed together
	// (every 256 of them), and while segments are made (every 8192 records).
	for round, after := range []int{200, 530, 257, 1024, 3, 700} {
		child := exec.Command(os.Args[0], "-test.run=^TestWrittenRecordsSurviveAKill$")
		child.Env = append(os.Environ(), childFolder+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines, n := bufio.NewScanner(out), 0
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), "wrote "); ok {
				wrote[id] = true
				if n++; n == after {
					child.Process.Kill()
				}
			}
		}
		child.Wait()
		if n < after {
			t.Fatalf("the child wrote %d records", n)
		}
		l := openIn(t, dir)
		if r := verified(t, l); !r.Intact() || r.Records < int64(len(wrote)) {
			t.Errorf("round %d: %d were written, report %+v", round, len(wrote), r)
		}
		found := map[string]bool{}
		for e, err := range l.All(t.Context(), Query{Verdict: verdictDeny}) {
			if err != nil {
				t.Fatal(err)
			}
			found[e.ID] = true
		}
		for id := range wrote {
			if !found[id] {
				t.Errorf("round %d: the denial %s was answered and is gone", round, id)
			}
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// writeUntilKilled answers denials, which are written first, and allows, which are
// written soon.
func writeUntilKilled(t *testing.T, dir string) {
	l := openIn(t, dir)
	for who := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), who, i)
				for k := range 20 {
					_ = l.Open(record(fmt.Sprint("open-", id, "-", k))) // what does not fit is not taken
				}
				if err := l.Write(context.Background(), record(id, denied)); err != nil {
					fmt.Println(err)
					return
				}
				fmt.Println("wrote " + id)
			}
		}()
	}
	time.Sleep(time.Minute) // far longer than it is left alone
}

func TestReadingGoesOnAcrossDaysWhileRecordsAreWritten(t *testing.T) {
	c := newClock()
	l, err := Open(t.Context(), Config{Dir: t.TempDir(), Now: c.now, RetentionDays: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			if err := l.Write(context.Background(), record(fmt.Sprint("d", i))); err != nil {
				t.Error(err)
			}
			if i%10 == 9 {
				c.move(24 * time.Hour)
			}
		}
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		if r := verified(t, l); !r.Intact() {
			t.Fatalf("report %+v", r)
		}
		all := tail(t, l, Query{Limit: 30})
		for i := range all {
			if i > 0 && all[i].Seq != all[i-1].Seq-1 {
				t.Fatalf("after record %d comes %d", all[i-1].Seq, all[i].Seq)
			}
		}
	}
}

// unsettled makes a folder as a kill leaves it: the records are in the day's file,
// and the ends of the chains are as they were before them.
func unsettled(t *testing.T, dir, writer string, records ...string) {
	t.Helper()
	l, err := Open(t.Context(), Config{Dir: dir, Writer: writer})
	if err != nil {
		t.Fatal(err)
	}
	close(l.stop) // the flusher settles for the last time
	<-l.stopped
	for _, id := range records {
		l.opened = append(l.opened, record(id))
		l.pending++
		l.flush(t.Context(), true)
	}
	if err := l.store.close(); err != nil {
		t.Fatal(err)
	}
}

func TestAKillBetweenARecordAndItsHeadForksNoChain(t *testing.T) {
	for _, test := range []struct {
		name, next string
		newDay     bool
	}{
		{"it starts again", "one", false},
		{"it starts again and the file of a new day was just made", "one", true},
		{"another writer takes over", "two", false},
		{"another writer takes over and the file of a new day was just made", "two", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			unsettled(t, dir, "one", "d0", "d1")
			if test.newDay {
				f := &dayFile{path: (&days{dir: dir}).path("2999-01-01")}
				c, err := newCodec()
				if err != nil {
					t.Fatal(err)
				}
				if err := f.open(t.Context(), c, "one"); err != nil {
					t.Fatal(err)
				}
				f.write.Close()
				f.read.Close()
				c.close()
			}
			l, err := Open(t.Context(), Config{Dir: dir, Writer: test.next, RetentionDays: -1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close(context.Background()) })
			mustWrite(t, l, record("d2"))
			if r := verified(t, l); !r.Intact() || r.Records != 3 {
				t.Errorf("report %+v", r)
			}
			if got := ids(tail(t, l, Query{})); got != "d2 d1 d0" {
				t.Errorf("kept %q", got)
			}
		})
	}
}

func TestAFactOfADayThatWasDroppedIsNotThere(t *testing.T) {
	l := openIn(t, t.TempDir())
	mustWrite(t, l, record("d0"))
	files := l.store.(*days)
	if body, err := files.fact(t.Context(), "2026-11-01", hash{}); err == nil {
		t.Errorf("answered %q", body)
	}
	if _, err := os.Stat(files.path("2026-11-01")); err == nil {
		t.Error("whoever reads a day that is not there makes its file")
	}
}
