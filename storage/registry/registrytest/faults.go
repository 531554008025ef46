// Package registrytest makes storage fail on purpose, for tests of those who use
// it. No server that is shipped has a part of it: only tests may import it.
package registrytest

import (
	"context"
	"io"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// faults is a storage driver that goes wrong: a call fails and has done nothing,
// or has done everything, or half; or it takes its time.
type faults struct {
	storagedriver.StorageDriver
	share func() int
}

// Faults wraps the storage driver so that a share of its calls, in thousandths, go
// wrong; share is asked at every call. It is a middleware of the engine's Config.
func Faults(share func() int) func(storagedriver.StorageDriver) storagedriver.StorageDriver {
	return func(inner storagedriver.StorageDriver) storagedriver.StorageDriver {
		return &faults{inner, share}
	}
}

// strike says how a call goes wrong; mostly it does not.
func (f *faults) strike(path string) (before, after error) {
	if rand.IntN(1000) >= f.share() {
		return nil, nil
	}
	err := &fs.PathError{Op: "test", Path: path, Err: syscall.EIO}
	switch rand.IntN(4) {
	case 0:
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		return nil, nil
	case 1:
		return nil, err
	default:
		return err, nil
	}
}

func (f *faults) GetContent(ctx context.Context, path string) ([]byte, error) {
	before, after := f.strike(path)
	if before != nil || after != nil {
		return nil, first(before, after)
	}
	return f.StorageDriver.GetContent(ctx, path)
}

func (f *faults) PutContent(ctx context.Context, path string, content []byte) error {
	before, after := f.strike(path)
	if before != nil {
		return before
	}
	return first(f.StorageDriver.PutContent(ctx, path, content), after)
}

func (f *faults) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	before, after := f.strike(path)
	if before != nil || after != nil {
		return nil, first(before, after)
	}
	return f.StorageDriver.Stat(ctx, path)
}

func (f *faults) List(ctx context.Context, path string) ([]string, error) {
	before, after := f.strike(path)
	if before != nil || after != nil {
		return nil, first(before, after)
	}
	return f.StorageDriver.List(ctx, path)
}

func (f *faults) Walk(ctx context.Context, path string, fn storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	before, after := f.strike(path)
	if before != nil {
		return before
	}
	return first(f.StorageDriver.Walk(ctx, path, fn, options...), after)
}

func (f *faults) Move(ctx context.Context, from, to string) error {
	before, after := f.strike(from)
	if before != nil {
		return before
	}
	return first(f.StorageDriver.Move(ctx, from, to), after)
}

func (f *faults) Delete(ctx context.Context, path string) error {
	before, after := f.strike(path)
	if before != nil {
		return before
	}
	return first(f.StorageDriver.Delete(ctx, path), after)
}

func (f *faults) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	before, after := f.strike(path)
	if before != nil {
		return nil, before
	}
	r, err := f.StorageDriver.Reader(ctx, path, offset)
	if err != nil || after == nil {
		return r, err
	}
	return &brokenReader{r, after}, nil
}

// brokenReader gives a little and fails.
type brokenReader struct {
	io.ReadCloser
	err error
}

func (r *brokenReader) Read(p []byte) (int, error) {
	if len(p) > 100 {
		p = p[:100]
	}
	n, err := r.ReadCloser.Read(p)
	return n, first(err, r.err)
}

func (f *faults) Writer(ctx context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	before, after := f.strike(path)
	if before != nil {
		return nil, before
	}
	w, err := f.StorageDriver.Writer(ctx, path, appending)
	if err != nil {
		return nil, err
	}
	if after != nil {
		_ = w.Close()
		return nil, after
	}
	return &faultyWriter{w, f, path}, nil
}

type faultyWriter struct {
	storagedriver.FileWriter
	f    *faults
	path string
}

// Write stores half, or all, before it fails.
func (w *faultyWriter) Write(p []byte) (int, error) {
	before, after := w.f.strike(w.path)
	if before != nil {
		n, err := w.FileWriter.Write(p[:len(p)/2])
		return n, first(err, before)
	}
	n, err := w.FileWriter.Write(p)
	return n, first(err, after)
}

func (w *faultyWriter) Close() error {
	before, after := w.f.strike(w.path)
	return first(w.FileWriter.Close(), before, after)
}

// first is the first error that is one.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
