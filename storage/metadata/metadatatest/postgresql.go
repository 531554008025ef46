// Package metadatatest starts a real PostgreSQL for tests. Only tests may import it.
package metadatatest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	// The driver that the databases are made with.
	_ "github.com/jackc/pgx/v5/stdlib"
)

// server is the one server of the test process. It ends with the process: its
// databases are dropped by the tests that made them, and its folder is removed
// by a shell that outlives the process.
var server struct {
	once sync.Once
	dir  string
	port int
	err  error
	// alive is held open while this process lives.
	alive io.Closer
	mu    sync.Mutex
	next  int
}

// missing says why there is no PostgreSQL here.
type missing struct{ error }

// PostgreSQL answers the DSN of an empty database that is dropped when the test
// ends. The server is started once per test process. Where PostgreSQL is not
// installed the test is skipped, or fails when BONDGATE_E2E=require.
func PostgreSQL(t testing.TB) string {
	t.Helper()
	server.once.Do(func() { server.err = start() })
	if errors.As(server.err, new(missing)) && os.Getenv("BONDGATE_E2E") != "require" {
		t.Skipf("PostgreSQL: %v (apt-get install postgresql)", server.err)
	}
	if server.err != nil {
		t.Fatalf("PostgreSQL: %v", server.err)
	}
	server.mu.Lock()
	server.next++
	name := fmt.Sprintf("test_%d", server.next)
	server.mu.Unlock()
	root, err := sql.Open("pgx", dsn("postgres"))
	if err != nil {
		t.Fatalf("PostgreSQL: %v", err)
	}
	if _, err := root.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("PostgreSQL: create a database: %v", err)
	}
	t.Cleanup(func() {
		defer root.Close()
		if _, err := root.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("PostgreSQL: drop a database: %v", err)
		}
	})
	return dsn(name)
}

func dsn(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", server.port, database)
}

// start makes a cluster in a temporary folder and runs it until this process ends.
func start() error {
	bin, err := binaries()
	if err != nil {
		return missing{err}
	}
	account, err := account()
	if err != nil {
		return missing{err}
	}
	if server.dir, err = os.MkdirTemp("", "bondgate-postgresql-"); err != nil {
		return err
	}
	if account != nil {
		if err := os.Chown(server.dir, int(account.Uid), int(account.Gid)); err != nil {
			return err
		}
	}
	data := filepath.Join(server.dir, "data")
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = server.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
		return cmd
	}
	if out, err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--no-sync", "--locale=C.UTF-8").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if server.port, err = freePort(); err != nil {
		return err
	}
	// The server's standard input is a pipe that only this process holds: when the
	// process ends, however it ends, the shell reads the end of it and stops the server.
	cmd := run("postgres")
	shell := exec.Command("/bin/sh", "-c", `
		"$0" -D "$1" -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
			-c fsync=off -c max_connections=200 >"$3/log" 2>&1 </dev/null & pid=$!
		read _; kill -INT $pid; wait $pid; rm -rf "$3"`,
		cmd.Path, data, strconv.Itoa(server.port), server.dir)
	shell.Dir = "/"
	shell.SysProcAttr = &syscall.SysProcAttr{Credential: account, Setpgid: true}
	if server.alive, err = shell.StdinPipe(); err != nil {
		return err
	}
	if err := shell.Start(); err != nil {
		return err
	}
	return ready()
}

// ready waits until the server answers.
func ready() error {
	db, err := sql.Open("pgx", dsn("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(server.dir, "log"))
			return fmt.Errorf("it does not answer: %w: %s", err, bytes.TrimSpace(log))
		}
	}
}

// binaries finds the folder with initdb and postgres: Debian keeps it off the path.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("it is not installed")
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

func version(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}

// account is who runs the server: PostgreSQL refuses to run as root, so root
// hands it to the account that the package made; nil is whoever runs the test.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("it does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
