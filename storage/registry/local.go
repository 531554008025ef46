package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"github.com/bondgate/bondgate/policy"
)

// local is distribution's filesystem driver with its hot calls made directly on
// the files: distribution's own pay for a span, a lock and three fsyncs for
// each small write. The files are the same.
//
// A file appears under its final name by one rename, whole or not at all, so a
// kill leaves at most an orphan in the folder of temporary files.
type local struct {
	storagedriver.StorageDriver
	root      string
	temporary string
	fsync     bool
}

// temporaryFolder is in the same file system as the content and outside the
// layout, so that no listing meets a half-written file.
const temporaryFolder = ".tmp"

// moveTries bounds how often a rename makes its folder again, when a delete
// next to it removed the folder in between.
const moveTries = 8

func newLocal(parameters map[string]any) (*local, error) {
	l := &local{}
	for key, value := range parameters {
		switch key {
		case "rootdirectory":
			l.root, _ = value.(string)
		case "fsync":
			on, err := strconv.ParseBool(fmt.Sprint(value))
			if err != nil {
				return nil, fmt.Errorf("registry: %w: filesystem parameter fsync is true or false, not %q", policy.ErrInvalid, fmt.Sprint(value))
			}
			l.fsync = on
		default:
			return nil, fmt.Errorf("registry: %w: filesystem parameter %q is none of rootdirectory, fsync", policy.ErrInvalid, key)
		}
	}
	if l.root == "" {
		return nil, fmt.Errorf("registry: %w: the filesystem driver needs the parameter rootdirectory", policy.ErrInvalid)
	}
	root, err := filepath.Abs(l.root)
	if err != nil {
		return nil, fmt.Errorf("registry: %w: rootdirectory: %w", policy.ErrInvalid, err)
	}
	l.root = root
	l.temporary = filepath.Join(root, temporaryFolder)
	for _, folder := range []string{l.temporary, l.full(repositoriesRoot), l.full(blobsRoot)} {
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return nil, failure("make the storage folders", err)
		}
	}
	l.StorageDriver = filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 100})
	return l, nil
}

func (l *local) full(path string) string { return l.root + path }

// missing turns the file system's "no such file" into the driver's. A path below
// a file (ENOTDIR) is not that: our layout has no such path, so storage is broken.
func missing(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return storagedriver.PathNotFoundError{Path: path, DriverName: "filesystem"}
	}
	return err
}

func (l *local) GetContent(_ context.Context, path string) ([]byte, error) {
	content, err := os.ReadFile(l.full(path))
	return content, missing(path, err)
}

// Reader returns the *os.File itself, so that a socket can be fed from it
// without a copy in this process.
func (l *local) Reader(_ context.Context, path string, offset int64) (io.ReadCloser, error) {
	file, err := os.Open(l.full(path))
	if err != nil {
		return nil, missing(path, err)
	}
	if offset > 0 {
		if _, err := file.Seek(offset, io.SeekStart); err != nil {
			_ = file.Close()
			return nil, err
		}
	}
	return file, nil
}

func (l *local) Stat(_ context.Context, path string) (storagedriver.FileInfo, error) {
	info, err := os.Stat(l.full(path))
	if err != nil {
		return nil, missing(path, err)
	}
	return localInfo{info, path}, nil
}

type localInfo struct {
	fs.FileInfo
	path string
}

func (i localInfo) Path() string { return i.path }

// PutContent writes beside and renames: a reader sees the old content or the new.
func (l *local) PutContent(_ context.Context, path string, content []byte) error {
	temporary := filepath.Join(l.temporary, rand.Text())
	err := l.writeFile(temporary, content)
	if err == nil {
		err = l.rename(temporary, l.full(path))
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

func (l *local) writeFile(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil && l.fsync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (l *local) Move(_ context.Context, from, to string) error {
	if err := l.rename(l.full(from), l.full(to)); err != nil {
		if _, gone := os.Lstat(l.full(from)); gone != nil {
			return missing(from, gone)
		}
		return err
	}
	return nil
}

// rename makes the target's folder only when it is not there yet: mostly it is.
func (l *local) rename(from, to string) error {
	var err error
	made := false
	for range moveTries {
		if err = os.Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if _, gone := os.Lstat(from); gone != nil {
			return gone
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return err
		}
		made = true
	}
	if err != nil || !l.fsync {
		return err
	}
	return l.syncFolders(filepath.Dir(to), made)
}

// syncFolders makes a new name durable, and with it the new folders above it.
func (l *local) syncFolders(folder string, above bool) error {
	for {
		if err := syncFolder(folder); err != nil {
			return err
		}
		if !above || folder == l.root {
			return nil
		}
		folder = filepath.Dir(folder)
	}
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (l *local) Delete(_ context.Context, path string) error {
	err := os.Remove(l.full(path))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return missing(path, err)
	}
	return os.RemoveAll(l.full(path))
}

// Writer opens the file for writing at its end, or anew. Unlike distribution's
// it does not make a file that it is asked to append to: an upload that is gone
// stays gone.
func (l *local) Writer(_ context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	flags := os.O_WRONLY
	if !appending {
		flags |= os.O_CREATE | os.O_TRUNC
		if err := os.MkdirAll(filepath.Dir(l.full(path)), 0o777); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(l.full(path), flags, 0o666)
	if err != nil {
		return nil, missing(path, err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &localWriter{File: file, size: size, fsync: l.fsync}, nil
}

// localWriter writes straight to the file: what Write returned is the kernel's,
// and survives this process.
type localWriter struct {
	*os.File
	size  int64
	fsync bool
}

func (w *localWriter) Write(p []byte) (int, error) {
	n, err := w.File.Write(p)
	w.size += int64(n)
	return n, err
}

func (w *localWriter) Size() int64 { return w.size }

func (w *localWriter) Cancel(context.Context) error {
	return errors.Join(os.Remove(w.Name()), w.File.Close())
}

func (w *localWriter) Commit(context.Context) error {
	if w.fsync {
		return w.Sync()
	}
	return nil
}

// sweep removes temporary files last written before the given time: what a
// killed process left. A failure is not worth a word: the next sweep tries again.
func (l *local) sweep(before time.Time) {
	entries, err := os.ReadDir(l.temporary)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.ModTime().Before(before) {
			_ = os.Remove(filepath.Join(l.temporary, entry.Name()))
		}
	}
}
