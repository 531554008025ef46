package harness

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// StartDistribution starts distribution's own registry with no authentication
// over the filesystem driver, to compare with, and answers its host:port.
func StartDistribution(t testing.TB) string {
	t.Helper()
	binary := Find(t, "registry")
	dir := t.TempDir()
	host := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	config := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q, maxthreads: 1000}
  delete: {enabled: true}
http: {addr: %q, secret: compare}
`, filepath.Join(dir, "data"), host)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", file)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	p := start(t, "registry", cmd)
	p.ready(t, func() error {
		resp, err := http.Get("http://" + host + "/v2/")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	return host
}

// StartPostgres starts a PostgreSQL of the test's own and answers the DSN of its
// one empty database.
func StartPostgres(t testing.TB) string {
	t.Helper()
	initdb, postgres := Find(t, "initdb"), Find(t, "postgres")
	dir := ShortDir(t)
	data := filepath.Join(dir, "data")
	port := FreePort(t)
	setup := exec.Command(initdb, "-A", "trust", "-U", "postgres", "-D", data, "--no-sync", "-E", "UTF8", "--locale=C")
	server := exec.Command(postgres, "-D", data,
		"-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+dir,
		"-c", "fsync=off")
	asPostgres(t, dir, setup, server)
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	p := start(t, "postgres", server)
	p.quit = syscall.SIGINT // its fast stop; SIGTERM waits for the clients to leave
	p.ready(t, func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
}

// asPostgres lets commands run as the user postgres when the test runs as root:
// PostgreSQL refuses to run as root.
func asPostgres(t testing.TB, dir string, commands ...*exec.Cmd) {
	t.Helper()
	for _, c := range commands {
		c.Dir = dir
	}
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		Missing(t, "there is no user postgres")
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
}
