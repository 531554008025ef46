package harness

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

var built struct {
	once sync.Once
	path string
	err  error
}

// Binary builds the gateway, once per test process, and answers where it is.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.path, built.err = build("bondgate", "build") })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// FaultyBinary builds the gateway whose storage can be made to fail, and answers
// where it is. It is the test binary of cmd/bondgate: what makes storage fail is
// in no binary that is shipped.
func FaultyBinary(t testing.TB) string {
	t.Helper()
	path, err := build("bondgate.faulty", "test", "-c")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// build builds into .cache, under a lock: several test processes run at a time,
// and the go command leaves a binary alone that is up to date.
func build(name string, how ...string) (string, error) {
	if err := touchSources(); err != nil {
		return "", fmt.Errorf("read the sources: %w", err)
	}
	dir := filepath.Join(Root(), ".cache", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "build.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", append(how, "-o", path, "./cmd/bondgate")...)
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "GOEXPERIMENT=jsonv2", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return path, nil
}

// touchSources looks at every file that the binary is made of. go test keeps the
// outcome of a run and gives it again while the files that the test looked at
// have not changed; it cannot see what a `go build` inside the test reads. Without
// this an edit of the gateway would leave the tests of it cached and green.
func touchSources() error {
	root := Root()
	for _, name := range []string{"go.mod", "go.sum"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	for _, room := range []string{"cmd", "gateway", "policy", "rego", "storage"} {
		err := filepath.WalkDir(filepath.Join(root, room), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") {
				return err
			}
			_, err = os.Stat(name)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
