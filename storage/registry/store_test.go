package registry_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

var (
	app   = policy.Repository{Workspace: policy.DefaultWorkspace, Name: "team/app"}
	other = policy.Repository{Workspace: policy.DefaultWorkspace, Name: "team/other"}
)

// store is one kind of engine under test. reopen is nil when nothing of it
// survives the process.
type store struct {
	engine *registry.Engine
	reopen func(t *testing.T) *registry.Engine
}

func stores() map[string]func(t *testing.T) store {
	files := func(fsync bool) func(t *testing.T) store {
		return func(t *testing.T) store {
			root := t.TempDir()
			reopen := func(t *testing.T) *registry.Engine {
				return open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root, "fsync": fsync}})
			}
			return store{engine: reopen(t), reopen: reopen}
		}
	}
	return map[string]func(t *testing.T) store{
		"on files":                 files(false),
		"on files written durably": files(true),
		"in memory": func(t *testing.T) store {
			return store{engine: open(t, registry.Config{Driver: "inmemory"})}
		},
	}
}

func open(t testing.TB, cfg registry.Config) *registry.Engine {
	t.Helper()
	e, err := registry.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// content is random: no two tests meet in one blob.
func content(t testing.TB, size int) ([]byte, digest.Digest) {
	t.Helper()
	b := make([]byte, size)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b, digest.FromBytes(b)
}

func push(t testing.TB, e *registry.Engine, repo policy.Repository, body []byte, want digest.Digest) digest.Digest {
	t.Helper()
	id := start(t, e, repo)
	if _, err := e.AppendUpload(t.Context(), repo, id, 0, bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	got, size, err := e.CommitUpload(t.Context(), repo, id, want)
	if err != nil {
		t.Fatal(err)
	}
	if size != int64(len(body)) {
		t.Fatalf("committed %d bytes, want %d", size, len(body))
	}
	return got
}

func start(t testing.TB, e *registry.Engine, repo policy.Repository) string {
	t.Helper()
	id, err := e.StartUpload(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func pull(t testing.TB, e *registry.Engine, repo policy.Repository, d digest.Digest) []byte {
	t.Helper()
	r, size, err := e.OpenBlob(t.Context(), repo, d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != size {
		t.Fatalf("read %d bytes of a blob of %d", len(b), size)
	}
	return b
}

func wantErr(t testing.TB, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Fatalf("got %v, want the class %q", err, class)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
