package failure_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/bondgate/bondgate/test/harness"
)

func TestALockedDatabaseRefusesPushesAndServesPulls(t *testing.T) {
	g := harness.StartGateway(t, harness.Options{})
	im := mustPush(t, g, newImage("v1", "1000", 100))
	wants(t, "a pull before", pull(g, im), http.StatusOK)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(g.DataDir, "bondgate.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	harness.Eventually(t, "take the database's write lock", func() error {
		_, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		return err
	})
	wants(t, "a push into a locked database", push(g, newImage("v2", "1000", 100)), http.StatusServiceUnavailable)
	wants(t, "a pull", pull(g, im), http.StatusOK)
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a push when the lock is gone", http.StatusCreated, func() harness.Response { return push(g, newImage("v2", "1000", 100)) })
	wants(t, "its pull", pull(g, newImage("v2", "1000", 100)), http.StatusOK)
}

// A frozen database is worse than one that is gone: nothing refuses, everything waits.
func TestADatabaseThatDoesNotAnswerIsNoDecision(t *testing.T) {
	dsn := harness.StartPostgres(t)
	g := harness.StartGateway(t, harness.Options{Config: "database:\n  dsn: " + dsn + "\n"})
	im := mustPush(t, g, newImage("v1", "1000", 100))
	wants(t, "a pull before", pull(g, im), http.StatusOK)
	processes := postgresProcesses(t, dsn)
	signal(t, syscall.SIGSTOP, processes)
	defer signal(t, syscall.SIGCONT, processes)
	eventually(t, "rights that cannot be known any more", http.StatusServiceUnavailable, func() harness.Response { return pull(g, im) })
	wants(t, "a push", push(g, newImage("v2", "1000", 100)), http.StatusServiceUnavailable)
	if r := g.Do(http.MethodGet, "/readyz", "", "", nil, nil); r.Status != http.StatusServiceUnavailable {
		t.Errorf("ready: %d %s", r.Status, r.Body)
	}
	if r := g.Do(http.MethodGet, "/livez", "", "", nil, nil); r.Status != http.StatusOK {
		t.Errorf("alive: %d %s", r.Status, r.Body)
	}
	signal(t, syscall.SIGCONT, processes)
	eventually(t, "a pull when it answers again", http.StatusOK, func() harness.Response { return pull(g, im) })
	eventually(t, "a push when it answers again", http.StatusCreated, func() harness.Response { return push(g, newImage("v2", "1000", 100)) })
}

// postgresProcesses are the server and all its children, found from a backend.
func postgresProcesses(t *testing.T, dsn string) []int {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var backend int
	if err := db.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		t.Fatal(err)
	}
	server := parentOf(backend)
	out := []int{server}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && parentOf(pid) == server {
			out = append(out, pid)
		}
	}
	return out
}

func parentOf(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return -1
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return -1
	}
	return parent
}

func signal(t *testing.T, s syscall.Signal, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil && s == syscall.SIGSTOP {
			t.Logf("signal %d: %v", pid, err)
		}
	}
}

func TestStorageThatFailsServesNothingHalf(t *testing.T) {
	g := harness.StartGateway(t, harness.Options{})
	im := mustPush(t, g, newImage("v1", "1000", 100<<10))
	blobs := filepath.Join(g.DataDir, "storage", "docker", "registry", "v2", "blobs")
	if err := os.Rename(blobs, blobs+".away"); err != nil {
		t.Fatal(err)
	}
	write(t, blobs, "not a folder")
	layer := "/v2/" + repo + "/blobs/" + digestOf(im.layer)
	wants(t, "a layer", do(g, http.MethodGet, layer, "", nil), http.StatusServiceUnavailable)
	wants(t, "a push", push(g, newImage("v2", "1000", 100)), http.StatusServiceUnavailable)
	if err := os.Remove(blobs); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(blobs+".away", blobs); err != nil {
		t.Fatal(err)
	}
	wants(t, "a pull when it is back", pull(g, im), http.StatusOK)
	mustPush(t, g, newImage("v2", "1000", 100))
}

func TestAFullDiskSaysSoAndRecovers(t *testing.T) {
	dir := filepath.Join(harness.ShortDir(t), "data")
	disk := harness.SmallDisk(t, dir, 96)
	g := harness.StartGateway(t, harness.Options{DataDir: dir})
	t.Cleanup(g.Stop)
	im := mustPush(t, g, newImage("v1", "1000", 100<<10))
	for round := range 3 {
		disk.Fill(0)
		next := newImage(fmt.Sprint("full", round), "1000", 1<<20)
		wants(t, "a push onto a full disk", push(g, next), http.StatusInsufficientStorage, http.StatusServiceUnavailable)
		if r := pull(g, im); r.Status != http.StatusOK && r.Status != http.StatusServiceUnavailable {
			t.Errorf("a pull from a full disk: %d %s", r.Status, r.Body)
		}
		disk.Free()
		eventually(t, "a push when there is room", http.StatusCreated, func() harness.Response { return push(g, next) })
		eventually(t, "its pull", http.StatusOK, func() harness.Response { return pull(g, next) })
		eventually(t, "the pull of what was there before", http.StatusOK, func() harness.Response { return pull(g, im) })
	}
}

func TestADecisionThatCannotBeRecordedIsNone(t *testing.T) {
	dir := filepath.Join(harness.ShortDir(t), "data")
	disk := harness.SmallDisk(t, filepath.Join(dir, "decisions"), 8)
	g := harness.StartGateway(t, harness.Options{DataDir: dir})
	t.Cleanup(g.Stop)
	im := mustPush(t, g, newImage("v1", "1000", 100<<10))
	wants(t, "a pull before", pull(g, im), http.StatusOK)
	disk.Fill(0)
	eventually(t, "a pull that cannot be recorded", http.StatusServiceUnavailable, func() harness.Response { return pull(g, im) })
	wants(t, "a push that cannot be recorded", push(g, newImage("v2", "1000", 100)), http.StatusServiceUnavailable)
	eventually(t, "readiness says so", http.StatusServiceUnavailable, func() harness.Response {
		pull(g, im) // one more record that does not fit
		return g.Do(http.MethodGet, "/readyz", "", "", nil, nil)
	})
	disk.Free()
	eventually(t, "a pull when there is room", http.StatusOK, func() harness.Response { return pull(g, im) })
}
