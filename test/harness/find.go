package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Require is the value of BONDGATE_E2E under which a missing part fails a test
// instead of skipping it. CI sets it, after `make e2e-deps`.
const Require = "require"

// Find answers where a program is. A program that is not installed skips the
// test and says how to get it; under BONDGATE_E2E=require it fails the test.
//
// Pinned tools in .cache/bin come first, then Debian's own folders, then PATH: a
// docker without its builder in /usr/local was seen to shadow Debian's.
func Find(t testing.TB, program string) string {
	t.Helper()
	dirs := []string{filepath.Join(Root(), ".cache", "bin"), "/usr/bin", "/usr/sbin", "/bin", "/sbin"}
	// Debian keeps the server's programs out of PATH.
	postgres, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	dirs = append(dirs, postgres...)
	for _, dir := range dirs {
		name := filepath.Join(dir, program)
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return name
		}
	}
	if name, err := exec.LookPath(program); err == nil {
		return name
	}
	Missing(t, program+" is not installed")
	return ""
}

// NeedRoot skips (or fails, under BONDGATE_E2E=require) a test that mounts file
// systems or starts containers when it does not run as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "this test starts containers and must run as root")
	}
}

// Missing ends the test for want of a part: a skip with the way out, or a
// failure under BONDGATE_E2E=require.
func Missing(t testing.TB, what string) {
	t.Helper()
	const hint = "; to install what these tests need: make e2e-deps"
	if os.Getenv("BONDGATE_E2E") == Require {
		t.Fatal(what + hint)
	}
	t.Skip(what + hint)
}

// Root is the root folder of the module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// DebianTar is the root file system of a minimal Debian 12, as `make e2e-deps`
// makes it.
func DebianTar(t testing.TB) string {
	t.Helper()
	name := filepath.Join(Root(), ".cache", "bookworm.tar")
	if _, err := os.Stat(name); err != nil {
		Missing(t, "the Debian image is not there")
	}
	return name
}
