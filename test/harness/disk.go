package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a small file system of its own that can be filled.
type Disk struct {
	t      testing.TB
	dir    string
	filler string
}

// SmallDisk mounts one on a folder until the test ends; it needs root.
func SmallDisk(t testing.TB, dir string, megabytes int) *Disk {
	t.Helper()
	NeedRoot(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", megabytes)); err != nil {
		Missing(t, fmt.Sprintf("this test mounts a tmpfs: %v", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return &Disk{t: t, dir: dir, filler: filepath.Join(dir, "filler")}
}

// Fill takes all the room that there is but for so many bytes.
func (d *Disk) Fill(leave int64) {
	d.t.Helper()
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // no room for so much as a name
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		d.t.Fatal(err)
	}
	var now unix.Statfs_t
	if err := unix.Statfs(d.dir, &now); err != nil {
		d.t.Fatal(err)
	}
	// Others write meanwhile: what does not fit any more is asked for in smaller
	// pieces.
	at, want := info.Size(), int64(now.Bavail)*now.Bsize-leave
	for want >= now.Bsize {
		if err := unix.Fallocate(int(f.Fd()), 0, at, want); err != nil {
			want /= 2
			continue
		}
		at += want
		want = 0
		if err := unix.Statfs(d.dir, &now); err == nil {
			want = int64(now.Bavail)*now.Bsize - leave
		}
	}
}

// Free gives the room back.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.filler); err != nil && !os.IsNotExist(err) {
		d.t.Error(err)
	}
}
