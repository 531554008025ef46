package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

// faulty fails one kind of call on paths of one ending, while it is armed.
type faulty struct {
	storagedriver.StorageDriver
	call, ending string
	err          error
	armed        atomic.Bool
}

func (f *faulty) fails(call, path string) error {
	if f.armed.Load() && call == f.call && strings.HasSuffix(path, f.ending) {
		return f.err
	}
	return nil
}

func (f *faulty) PutContent(ctx context.Context, path string, content []byte) error {
	if err := f.fails("put", path); err != nil {
		return err
	}
	return f.StorageDriver.PutContent(ctx, path, content)
}

func (f *faulty) Move(ctx context.Context, from, to string) error {
	if err := f.fails("move", to); err != nil {
		return err
	}
	return f.StorageDriver.Move(ctx, from, to)
}

func (f *faulty) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if err := f.fails("stat", path); err != nil {
		return nil, err
	}
	return f.StorageDriver.Stat(ctx, path)
}

func (f *faulty) Writer(ctx context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	if err := f.fails("create", path); err != nil && !appending {
		return nil, err
	}
	w, err := f.StorageDriver.Writer(ctx, path, appending)
	if err != nil {
		return nil, err
	}
	return &faultyWriter{w, f, path}, nil
}

type faultyWriter struct {
	storagedriver.FileWriter
	f    *faulty
	path string
}

// Write stores half and fails: what a full disk does.
func (w *faultyWriter) Write(p []byte) (int, error) {
	if err := w.f.fails("write", w.path); err != nil {
		n, _ := w.FileWriter.Write(p[:len(p)/2])
		return n, err
	}
	return w.FileWriter.Write(p)
}

// wrapped is an error as distribution's base driver hands it on: without Unwrap.
func wrapped(err error) error {
	return storagedriver.Error{DriverName: "filesystem", Detail: &fs.PathError{Op: "write", Path: "x", Err: err}}
}

func TestAFailureOfStorageHasItsClassAndHindersNoRetry(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2}`)
	manifestDigest := digest.FromBytes(manifest)
	body := bytes.Repeat([]byte("layer"), 100_000)
	d := digest.FromBytes(body)
	pushAll := func(e *registry.Engine) error {
		ctx := context.Background()
		id, err := e.StartUpload(ctx, app)
		if err == nil {
			_, err = e.AppendUpload(ctx, app, id, 0, bytes.NewReader(body))
		}
		if err == nil {
			_, _, err = e.CommitUpload(ctx, app, id, d)
		}
		if err == nil {
			err = e.PutManifest(ctx, app, manifestDigest, "", manifest)
		}
		if err == nil {
			err = e.Tag(ctx, app, "v1", manifestDigest)
		}
		return err
	}
	full, broken := wrapped(syscall.ENOSPC), wrapped(syscall.EIO)
	tests := map[string]struct {
		call, ending string
		err, class   error
	}{
		"full when an upload starts":             {"create", "/data", full, policy.ErrNoSpace},
		"full while an upload is written":        {"write", "/data", full, policy.ErrNoSpace},
		"over quota while an upload is written":  {"write", "/data", wrapped(syscall.EDQUOT), policy.ErrNoSpace},
		"full, said in a list of errors":         {"write", "/data", storagedriver.Errors{Errs: []error{errors.New("x"), full}}, policy.ErrNoSpace},
		"full when a blob is moved to its place": {"move", "/data", full, policy.ErrNoSpace},
		"full when a blob is linked":             {"put", hexOf(d) + "/link", full, policy.ErrNoSpace},
		"full when a manifest is written":        {"put", "/data", full, policy.ErrNoSpace},
		"full when a manifest is linked":         {"put", hexOf(manifestDigest) + "/link", full, policy.ErrNoSpace},
		"full when a tag is pointed":             {"put", "/current/link", full, policy.ErrNoSpace},
		"broken while an upload is written":      {"write", "/data", broken, policy.ErrUnavailable},
		"broken when a blob is moved":            {"move", "/data", broken, policy.ErrUnavailable},
		"broken when content is looked for":      {"stat", "/data", broken, policy.ErrUnavailable},
		"broken when a tag is pointed":           {"put", "/current/link", broken, policy.ErrUnavailable},
	}
	for name, test := range tests {
		for _, driver := range []string{"filesystem", "inmemory"} {
			t.Run(name+" on "+driver, func(t *testing.T) {
				root := t.TempDir()
				fault := &faulty{call: test.call, ending: test.ending, err: test.err}
				parameters := map[string]any{"rootdirectory": root}
				e := open(t, registry.Config{Driver: driver, Parameters: parameters, Middleware: func(inner storagedriver.StorageDriver) storagedriver.StorageDriver {
					fault.StorageDriver = inner
					return fault
				}})
				fault.armed.Store(true)
				err := pushAll(e)
				wantErr(t, err, test.class)
				fault.armed.Store(false)
				if errors.Is(err, policy.ErrNoSpace) && driver == "filesystem" {
					noUploads(t, root)
				}
				whole(t, e)
				if err := pushAll(e); err != nil {
					t.Fatalf("the retry failed: %v", err)
				}
				if !bytes.Equal(pull(t, e, app, d), body) {
					t.Fatal("other bytes came back")
				}
			})
		}
	}
}

func hexOf(d digest.Digest) string { return d.Encoded() }

// noUploads: a failed write leaves neither an upload nor a temporary file.
func noUploads(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && (strings.Contains(path, "/_uploads/") || strings.Contains(path, "/.tmp/")) {
			t.Errorf("left over: %s", strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// whole: whatever the walk sees can be read and is what its digest says.
func whole(t *testing.T, e *registry.Engine) (blobs int) {
	t.Helper()
	err := e.Walk(t.Context(), func(ctx context.Context, r registry.Repo) error {
		for _, d := range r.Blobs {
			if digest.FromBytes(pull(t, e, r.Repository, d)) != d {
				t.Errorf("blob %s is not whole", d)
			}
			blobs++
		}
		for _, d := range r.Manifests {
			if _, err := e.Manifest(ctx, r.Repository, d); err != nil {
				t.Errorf("manifest %s: %v", d, err)
			}
		}
		for tag, d := range r.Tags {
			if _, err := e.Manifest(ctx, r.Repository, d); err != nil {
				t.Errorf("tag %s: %v", tag, err)
			}
		}
		if len(r.Damaged) > 0 {
			t.Errorf("damaged: %v", r.Damaged)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

func TestAFailedCommitIsCommittedAgain(t *testing.T) {
	fault := &faulty{call: "move", ending: "/data", err: wrapped(syscall.EIO)}
	e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": t.TempDir()}, Middleware: func(inner storagedriver.StorageDriver) storagedriver.StorageDriver {
		fault.StorageDriver = inner
		return fault
	}})
	body, d := content(t, 1000)
	id := start(t, e, app)
	if _, err := e.AppendUpload(t.Context(), app, id, 0, bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	fault.armed.Store(true)
	_, _, err := e.CommitUpload(t.Context(), app, id, d)
	wantErr(t, err, policy.ErrUnavailable)
	fault.armed.Store(false)
	if _, _, err := e.CommitUpload(t.Context(), app, id, d); err != nil {
		t.Fatal(err)
	}
}

func TestDamageIsNoticedAndHealed(t *testing.T) {
	root := t.TempDir()
	e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	blob := func(d digest.Digest) string {
		return filepath.Join(root, "docker/registry/v2/blobs/sha256", d.Encoded()[:2], d.Encoded(), "data")
	}
	body, d := content(t, 1000)
	push(t, e, app, body, d)
	manifest := []byte(`{"schemaVersion":2}`)
	m := digest.FromBytes(manifest)
	put := func() {
		if err := e.PutManifest(t.Context(), app, m, "", manifest); err != nil {
			t.Fatal(err)
		}
	}
	put()
	for _, damaged := range []digest.Digest{d, m} {
		if err := os.Truncate(blob(damaged), 3); err != nil {
			t.Fatal(err)
		}
	}
	_, err := e.Manifest(t.Context(), app, m)
	wantErr(t, err, policy.ErrUnavailable)
	push(t, e, app, body, d)
	put()
	if !bytes.Equal(pull(t, e, app, d), body) {
		t.Fatal("the blob was not healed by pushing it again")
	}
	if _, err := e.Manifest(t.Context(), app, m); err != nil {
		t.Fatal(err)
	}
}

func TestALostVolumeIsNotReady(t *testing.T) {
	root := t.TempDir()
	e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	if err := os.RemoveAll(filepath.Join(root, "docker")); err != nil {
		t.Fatal(err)
	}
	wantErr(t, e.Check(t.Context()), policy.ErrUnavailable)
}
