package harness

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// storageDriver answers which driver works for container storage in dir: overlay
// where the kernel lets it, plain copies where dir is on an overlay itself, as it
// is in a container.
func storageDriver(dir string) string {
	if overlayWorks(dir) {
		return "overlay2"
	}
	return "vfs"
}

// overlayWorks mounts an overlay to see.
func overlayWorks(dir string) bool {
	probe, err := os.MkdirTemp(dir, "probe")
	if err != nil {
		return false
	}
	defer os.RemoveAll(probe)
	at := func(name string) string { return filepath.Join(probe, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if os.Mkdir(at(name), 0o755) != nil {
			return false
		}
	}
	options := "lowerdir=" + at("lower") + ",upperdir=" + at("upper") + ",workdir=" + at("work")
	if unix.Mount("overlay", at("merged"), "overlay", 0, options) != nil {
		return false
	}
	return unix.Unmount(at("merged"), 0) == nil
}
