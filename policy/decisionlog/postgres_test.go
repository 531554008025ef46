package decisionlog

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startPostgres runs a PostgreSQL of the test's own and answers a URL with a
// place for the name of a database.
func startPostgres(t *testing.T) string {
	t.Helper()
	bin := postgresFolder(t)
	dir := t.TempDir()
	as := unprivileged(t, dir)
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir, c.SysProcAttr = dir, as
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	server := run("postgres", "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", "", "-c", "fsync=off")
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT) // a fast shutdown
		server.Wait()
		if t.Failed() {
			t.Logf("PostgreSQL said: %s", said.Bytes()[max(0, said.Len()-4000):])
		}
	})
	dsn := fmt.Sprintf("postgres://test@127.0.0.1:%d/%%s?sslmode=disable", port)
	eventually(t, "PostgreSQL answers", func() bool {
		db, err := pgx.Connect(context.Background(), fmt.Sprintf(dsn, "postgres"))
		if err == nil {
			db.Close(context.Background())
		}
		return err == nil
	})
	return dsn
}

func postgresFolder(t *testing.T) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if path, err := exec.LookPath("postgres"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		if os.Getenv("BONDGATE_E2E") == "require" {
			t.Fatal("PostgreSQL is not installed")
		}
		t.Skip("PostgreSQL is not installed")
	}
	return filepath.Dir(slices.Max(found))
}

// unprivileged is how PostgreSQL runs when the test is root, which it refuses.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	if os.Getuid() != 0 {
		return nil
	}
	someone, err := user.Lookup("nobody")
	if err != nil {
		if os.Getenv("BONDGATE_E2E") == "require" {
			t.Fatal("PostgreSQL does not run as root, and there is nobody else")
		}
		t.Skip("PostgreSQL does not run as root, and there is nobody else")
	}
	uid, _ := strconv.Atoi(someone.Uid)
	gid, _ := strconv.Atoi(someone.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

var databases atomic.Int64

func newDatabase(t *testing.T, server string) string {
	t.Helper()
	db, err := pgx.Connect(t.Context(), fmt.Sprintf(server, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	name := fmt.Sprint("decisions", databases.Add(1))
	if _, err := db.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(server, name)
}

func postgresSite(server string) func(t *testing.T) site {
	return func(t *testing.T) site {
		dsn, dir := newDatabase(t, server), t.TempDir()
		var last *Log
		s := site{tables: func() tables { return tablesOfDay(last.store.(*partitions).day) }}
		s.open = func(t *testing.T, change func(*Config)) *Log {
			t.Helper()
			cfg := Config{Dir: dir, DSN: dsn}
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
		db := func(t *testing.T) *pgx.Conn {
			t.Helper()
			db, err := pgx.Connect(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		s.config = func(*testing.T) Config { return Config{Dir: dir, DSN: dsn} }
		s.makeFormer = func(t *testing.T) { s.exec(t, "CREATE TABLE decision_records (n bigint)") }
		s.exec = func(t *testing.T, text string) {
			t.Helper()
			one := db(t)
			defer one.Close(context.Background())
			if _, err := one.Exec(t.Context(), text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		s.count = func(t *testing.T, text string) (n int) {
			t.Helper()
			one := db(t)
			defer one.Close(context.Background())
			if err := one.QueryRow(t.Context(), text).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		return s
	}
}

func TestPostgreSQLKeepsDecisions(t *testing.T) {
	server := startPostgres(t)
	exercise(t, postgresSite(server))
	t.Run("replicas write at once and whoever follows misses nothing", func(t *testing.T) {
		replicasAtOnce(t, postgresSite(server)(t))
	})
	t.Run("no reader and no drop wait for each other", func(t *testing.T) {
		s := postgresSite(server)(t)
		s.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''10ms''', current_database()); END $$`)
		readsWhileDropped(t, s)
	})
	t.Run("two processes of one name do not both write", func(t *testing.T) {
		oneName(t, postgresSite(server)(t))
	})
}

func replicasAtOnce(t *testing.T, s site) {
	const replicas, each = 3, 40
	var logs []*Log
	for i := range replicas {
		logs = append(logs, s.open(t, func(c *Config) { c.Writer = fmt.Sprint("replica-", i) }))
	}
	mustWrite(t, logs[0], record("first"))
	from := tail(t, logs[0], Query{})[0].Cursor
	for i, l := range logs {
		go func() {
			for k := range each {
				if err := l.Write(context.Background(), record(fmt.Sprintf("d-%d-%d", i, k))); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	seen := map[string]bool{}
	for e, err := range logs[1].Follow(ctx, Query{After: from}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[e.ID] = true; len(seen) == replicas*each {
			break
		}
	}
	if len(seen) != replicas*each {
		t.Errorf("followed %d", len(seen))
	}
	if r := verified(t, logs[2]); !r.Intact() || len(r.Heads) != replicas {
		t.Errorf("report %+v", r)
	}
}

func oneName(t *testing.T, s site) {
	a := s.open(t, func(c *Config) { c.Writer = "same" })
	b := s.open(t, func(c *Config) { c.Writer = "same" })
	mustWrite(t, a, record("d0"))
	if err := b.Write(t.Context(), record("d1")); err == nil {
		t.Error("the other process writes too")
	}
	mustWrite(t, a, record("d2"))
	if r := verified(t, a); !r.Intact() || r.Records != 2 {
		t.Errorf("report %+v", r)
	}
	// What the refused one holds can never be written.
	b.mu.Lock()
	b.pending = 0
	b.mu.Unlock()
}
