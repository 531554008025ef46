package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

func TestEngine(t *testing.T) {
	for kind, make := range stores() {
		t.Run(kind, func(t *testing.T) {
			for name, test := range exercise {
				t.Run(name, func(t *testing.T) { test(t, make(t)) })
			}
		})
	}
}

// exercise is what every store must do.
var exercise = map[string]func(*testing.T, store){
	"a blob pushed in one piece is read back": func(t *testing.T, s store) {
		body, d := content(t, 1<<20+7)
		if got := push(t, s.engine, app, body, d); got != d {
			t.Fatalf("kept as %s, want %s", got, d)
		}
		if !bytes.Equal(pull(t, s.engine, app, d), body) {
			t.Fatal("other bytes came back")
		}
		if size, err := s.engine.StatBlob(t.Context(), app, d); err != nil || size != int64(len(body)) {
			t.Fatalf("stat: %d, %v", size, err)
		}
	},
	"a blob is read from the middle": func(t *testing.T, s store) {
		body, d := content(t, 10_000)
		push(t, s.engine, app, body, d)
		r, _, err := s.engine.OpenBlob(t.Context(), app, d)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.Seek(9_000, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if tail, err := io.ReadAll(r); err != nil || !bytes.Equal(tail, body[9_000:]) {
			t.Fatalf("read %d bytes, %v", len(tail), err)
		}
	},
	"an empty blob is a blob": func(t *testing.T, s store) {
		empty := digest.FromBytes(nil)
		push(t, s.engine, app, nil, empty)
		if b := pull(t, s.engine, app, empty); len(b) != 0 {
			t.Fatalf("read %d bytes", len(b))
		}
	},
	"a blob pushed under its sha512 digest is kept under sha256": func(t *testing.T, s store) {
		body, d := content(t, 5_000)
		if got := push(t, s.engine, app, body, digest.SHA512.FromBytes(body)); got != d {
			t.Fatalf("kept as %s, want %s", got, d)
		}
	},
	"a blob arrives in pieces, and its size is known between them": func(t *testing.T, s store) {
		body, d := content(t, 900_000)
		id := start(t, s.engine, app)
		for from := 0; from < len(body); from += 300_000 {
			size, err := s.engine.UploadSize(t.Context(), app, id)
			if err != nil || size != int64(from) {
				t.Fatalf("size %d before piece at %d, %v", size, from, err)
			}
			if _, err := s.engine.AppendUpload(t.Context(), app, id, int64(from), bytes.NewReader(body[from:from+300_000])); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := s.engine.CommitUpload(t.Context(), app, id, d); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(pull(t, s.engine, app, d), body) {
			t.Fatal("other bytes came back")
		}
	},
	"a piece at a wrong offset is refused and nothing is stored": func(t *testing.T, s store) {
		id := start(t, s.engine, app)
		if _, err := s.engine.AppendUpload(t.Context(), app, id, -1, strings.NewReader("12345")); err != nil {
			t.Fatal(err)
		}
		for _, offset := range []int64{0, 4, 6, 1 << 40} {
			size, err := s.engine.AppendUpload(t.Context(), app, id, offset, strings.NewReader("x"))
			wantErr(t, err, policy.ErrRange)
			if size != 5 {
				t.Fatalf("told the size %d, want 5", size)
			}
		}
		if size, err := s.engine.UploadSize(t.Context(), app, id); err != nil || size != 5 {
			t.Fatalf("size %d, %v", size, err)
		}
	},
	"bytes that the digest does not name are refused and removed": func(t *testing.T, s store) {
		for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			body, d := content(t, 100)
			id := start(t, s.engine, app)
			if _, err := s.engine.AppendUpload(t.Context(), app, id, 0, bytes.NewReader(body)); err != nil {
				t.Fatal(err)
			}
			_, _, err := s.engine.CommitUpload(t.Context(), app, id, a.FromString("something else"))
			wantErr(t, err, policy.ErrDigestMismatch)
			_, err = s.engine.UploadSize(t.Context(), app, id)
			wantErr(t, err, policy.ErrNotFound)
			_, err = s.engine.StatBlob(t.Context(), app, d)
			wantErr(t, err, policy.ErrNotFound)
		}
	},
	"a body that breaks off is resumed": func(t *testing.T, s store) {
		body, d := content(t, 600_000)
		id := start(t, s.engine, app)
		broken := io.MultiReader(bytes.NewReader(body[:400_000]), failing{io.ErrUnexpectedEOF})
		size, err := s.engine.AppendUpload(t.Context(), app, id, 0, broken)
		wantErr(t, err, policy.ErrInvalid)
		if size != 400_000 {
			t.Fatalf("size %d", size)
		}
		if _, err := s.engine.AppendUpload(t.Context(), app, id, size, bytes.NewReader(body[size:])); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.engine.CommitUpload(t.Context(), app, id, d); err != nil {
			t.Fatal(err)
		}
	},
	"the class of a reader's failure is kept": func(t *testing.T, s store) {
		id := start(t, s.engine, app)
		_, err := s.engine.AppendUpload(t.Context(), app, id, 0, failing{policy.ErrTooLarge})
		wantErr(t, err, policy.ErrTooLarge)
	},
	"an upload survives a restart": func(t *testing.T, s store) {
		if s.reopen == nil {
			t.Skip("nothing of this store survives the process")
		}
		body, d := content(t, 500_000)
		id := start(t, s.engine, app)
		if _, err := s.engine.AppendUpload(t.Context(), app, id, 0, bytes.NewReader(body[:200_000])); err != nil {
			t.Fatal(err)
		}
		again := s.reopen(t)
		if size, err := again.UploadSize(t.Context(), app, id); err != nil || size != 200_000 {
			t.Fatalf("size %d, %v", size, err)
		}
		if _, err := again.AppendUpload(t.Context(), app, id, 200_000, bytes.NewReader(body[200_000:])); err != nil {
			t.Fatal(err)
		}
		if _, _, err := again.CommitUpload(t.Context(), app, id, d); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(pull(t, s.engine, app, d), body) {
			t.Fatal("other bytes came back")
		}
	},
	"of two appends at once the second is a conflict, and nothing mixes": func(t *testing.T, s store) {
		body, d := content(t, 300_000)
		id := start(t, s.engine, app)
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := s.engine.AppendUpload(context.Background(), app, id, 0, r)
			done <- err
		}()
		// The first write returns once the append is reading.
		if _, err := w.Write(body[:100_000]); err != nil {
			t.Fatal(err)
		}
		_, err := s.engine.AppendUpload(t.Context(), app, id, -1, strings.NewReader("intruder"))
		wantErr(t, err, policy.ErrConflict)
		_, _, err = s.engine.CommitUpload(t.Context(), app, id, d)
		wantErr(t, err, policy.ErrConflict)
		if n, err := s.engine.PurgeUploads(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 0 {
			t.Fatalf("purged %d uploads that are being fed, %v", n, err)
		}
		if _, err := w.Write(body[100_000:]); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.engine.CommitUpload(t.Context(), app, id, d); err != nil {
			t.Fatal(err)
		}
	},
	"a committed or cancelled upload is gone": func(t *testing.T, s store) {
		body, d := content(t, 10)
		committed, cancelled := start(t, s.engine, app), start(t, s.engine, app)
		if _, err := s.engine.AppendUpload(t.Context(), app, committed, 0, bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.engine.CommitUpload(t.Context(), app, committed, d); err != nil {
			t.Fatal(err)
		}
		if err := s.engine.CancelUpload(t.Context(), app, cancelled); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{committed, cancelled} {
			_, err := s.engine.UploadSize(t.Context(), app, id)
			wantErr(t, err, policy.ErrNotFound)
			_, err = s.engine.AppendUpload(t.Context(), app, id, 0, bytes.NewReader(body))
			wantErr(t, err, policy.ErrNotFound)
			_, _, err = s.engine.CommitUpload(t.Context(), app, id, d)
			wantErr(t, err, policy.ErrNotFound)
			wantErr(t, s.engine.CancelUpload(t.Context(), app, id), policy.ErrNotFound)
		}
	},
	"an upload's id is worth nothing in another repository": func(t *testing.T, s store) {
		id := start(t, s.engine, app)
		for _, repo := range []policy.Repository{other, {Workspace: "second", Name: app.Name}} {
			_, err := s.engine.UploadSize(t.Context(), repo, id)
			wantErr(t, err, policy.ErrNotFound)
			wantErr(t, s.engine.CancelUpload(t.Context(), repo, id), policy.ErrNotFound)
		}
	},
	"a blob of one repository is not in another until it is mounted": func(t *testing.T, s store) {
		body, d := content(t, 1000)
		push(t, s.engine, app, body, d)
		_, err := s.engine.StatBlob(t.Context(), other, d)
		wantErr(t, err, policy.ErrNotFound)
		_, _, err = s.engine.OpenBlob(t.Context(), other, d)
		wantErr(t, err, policy.ErrNotFound)
		_, err = s.engine.MountBlob(t.Context(), other, app, d)
		wantErr(t, err, policy.ErrNotFound)
		if size, err := s.engine.MountBlob(t.Context(), app, other, d); err != nil || size != 1000 {
			t.Fatalf("mount: %d, %v", size, err)
		}
		if err := s.engine.DeleteBlob(t.Context(), app, d); err != nil {
			t.Fatal(err)
		}
		_, err = s.engine.StatBlob(t.Context(), app, d)
		wantErr(t, err, policy.ErrNotFound)
		wantErr(t, s.engine.DeleteBlob(t.Context(), app, d), policy.ErrNotFound)
		if !bytes.Equal(pull(t, s.engine, other, d), body) {
			t.Fatal("the mounted blob went with the first")
		}
		push(t, s.engine, app, body, d)
	},
	"one blob committed by many at once is one blob": func(t *testing.T, s store) {
		body, d := content(t, 50_000)
		var all sync.WaitGroup
		for i := range 8 {
			repo := policy.Repository{Name: "team/app" + string(rune('a'+i))}
			all.Go(func() {
				id, err := s.engine.StartUpload(context.Background(), repo)
				if err == nil {
					_, err = s.engine.AppendUpload(context.Background(), repo, id, 0, bytes.NewReader(body))
				}
				if err == nil {
					_, _, err = s.engine.CommitUpload(context.Background(), repo, id, d)
				}
				if err == nil {
					_, err = s.engine.StatBlob(context.Background(), repo, d)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	},
	"a manifest is kept by digest, tagged, untagged and deleted": func(t *testing.T, s store) {
		body := []byte(`{"schemaVersion":2}`)
		d := digest.FromBytes(body)
		_, err := s.engine.Manifest(t.Context(), app, d)
		wantErr(t, err, policy.ErrNotFound)
		wantErr(t, s.engine.Tag(t.Context(), app, "v1", d), policy.ErrNotFound)
		for range 2 { // a retry changes nothing
			if err := s.engine.PutManifest(t.Context(), app, d, "", body); err != nil {
				t.Fatal(err)
			}
			if err := s.engine.Tag(t.Context(), app, "v1", d); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.engine.Manifest(t.Context(), app, d); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%q, %v", got, err)
		}
		_, err = s.engine.Manifest(t.Context(), other, d)
		wantErr(t, err, policy.ErrNotFound)
		if err := s.engine.Untag(t.Context(), app, "v1"); err != nil {
			t.Fatal(err)
		}
		wantErr(t, s.engine.Untag(t.Context(), app, "v1"), policy.ErrNotFound)
		if err := s.engine.DeleteManifest(t.Context(), app, d); err != nil {
			t.Fatal(err)
		}
		wantErr(t, s.engine.DeleteManifest(t.Context(), app, d), policy.ErrNotFound)
		_, err = s.engine.Manifest(t.Context(), app, d)
		wantErr(t, err, policy.ErrNotFound)
	},
	"a manifest under a digest that is not its own is refused": func(t *testing.T, s store) {
		err := s.engine.PutManifest(t.Context(), app, digest.FromString("another"), "", []byte("{}"))
		wantErr(t, err, policy.ErrDigestMismatch)
	},
	"workspaces share no content, though names and digests are equal": func(t *testing.T, s store) {
		body, d := content(t, 100)
		second := policy.Repository{Workspace: "second", Name: app.Name}
		push(t, s.engine, app, body, d)
		_, err := s.engine.StatBlob(t.Context(), second, d)
		wantErr(t, err, policy.ErrNotFound)
		_, err = s.engine.MountBlob(t.Context(), app, second, d)
		wantErr(t, err, policy.ErrNotFound)
		push(t, s.engine, second, body, d)
		if err := s.engine.DeleteBlob(t.Context(), app, d); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(pull(t, s.engine, second, d), body) {
			t.Fatal("other bytes came back")
		}
	},
	"the walk tells every repository of every workspace": func(t *testing.T, s store) {
		layer, layerDigest := content(t, 100)
		manifest := []byte(`{"schemaVersion":2,"x":1}`)
		d := digest.FromBytes(manifest)
		nested := policy.Repository{Workspace: policy.DefaultWorkspace, Name: "team/app/9-nested"}
		second := policy.Repository{Workspace: "second", Name: "team/app"}
		for _, repo := range []policy.Repository{app, nested, second} {
			push(t, s.engine, repo, layer, layerDigest)
			if err := s.engine.PutManifest(t.Context(), repo, d, "", manifest); err != nil {
				t.Fatal(err)
			}
			for _, tag := range []string{"v1", "Latest_2"} {
				if err := s.engine.Tag(t.Context(), repo, tag, d); err != nil {
					t.Fatal(err)
				}
			}
		}
		push(t, s.engine, other, layer, layerDigest) // no manifest yet
		start(t, s.engine, policy.Repository{Name: "only/uploading"})
		seen := map[policy.Repository]registry.Repo{}
		err := s.engine.Walk(t.Context(), func(_ context.Context, r registry.Repo) error {
			seen[r.Repository] = r
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) != 4 || len(seen[other].Blobs) != 1 {
			t.Fatalf("saw %v", seen)
		}
		for _, repo := range []policy.Repository{app, nested, second} {
			r := seen[repo]
			if len(r.Blobs) != 1 || r.Blobs[0] != layerDigest || len(r.Manifests) != 1 || r.Manifests[0] != d ||
				len(r.Tags) != 2 || r.Tags["v1"] != d || r.Tags["Latest_2"] != d || len(r.Damaged) != 0 {
				t.Fatalf("%s: %+v", repo, r)
			}
		}
		one, err := s.engine.Describe(t.Context(), nested)
		if err != nil || len(one.Blobs) != 1 || len(one.Manifests) != 1 || len(one.Tags) != 2 {
			t.Fatalf("described %+v, %v", one, err)
		}
		none, err := s.engine.Describe(t.Context(), policy.Repository{Name: "no/such"})
		if err != nil || len(none.Blobs)+len(none.Manifests)+len(none.Tags) != 0 {
			t.Fatalf("described %+v, %v", none, err)
		}
		stop := errors.New("enough")
		wantErr(t, s.engine.Walk(t.Context(), func(context.Context, registry.Repo) error { return stop }), stop)
	},
	"an empty store is walked and is ready": func(t *testing.T, s store) {
		err := s.engine.Walk(t.Context(), func(context.Context, registry.Repo) error { return errors.New("saw something") })
		if err != nil {
			t.Fatal(err)
		}
		if err := s.engine.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	},
	"an abandoned upload is purged, a recent one is not": func(t *testing.T, s store) {
		id := start(t, s.engine, app)
		if n, err := s.engine.PurgeUploads(t.Context(), time.Now().Add(-time.Hour)); err != nil || n != 0 {
			t.Fatalf("purged %d, %v", n, err)
		}
		if n, err := s.engine.PurgeUploads(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 1 {
			t.Fatalf("purged %d, %v", n, err)
		}
		_, err := s.engine.UploadSize(t.Context(), app, id)
		wantErr(t, err, policy.ErrNotFound)
	},
}

func TestABlobOnFilesIsTheFileItself(t *testing.T) {
	s := stores()["on files"](t)
	body, d := content(t, 10)
	push(t, s.engine, app, body, d)
	r, _, err := s.engine.OpenBlob(t.Context(), app, d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Fatalf("got a %T: a socket cannot be fed from it without copying", r)
	}
}
