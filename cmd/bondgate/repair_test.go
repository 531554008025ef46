package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry/registrytest"
)

var app = policy.Repository{Workspace: policy.DefaultWorkspace, Name: "team/app"}

// pushed pushes an image under a tag and answers its digest.
func pushed(s *server, tag string) digest.Digest {
	s.t.Helper()
	img := image(s.t)
	if err := remote.Write(s.ref("team/app:"+tag), img, asAdmin); err != nil {
		s.t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return digest.Digest(d.String())
}

// cutShort does to the index what a deletion does, and no more: the server is
// killed before it tells storage.
func cutShort(s *server, tag string, manifest, blob digest.Digest) {
	s.t.Helper()
	for _, err := range []error{
		s.app.store.DeleteTag(s.t.Context(), app, tag, ""),
		func() error {
			_, err := s.app.store.DeleteManifest(s.t.Context(), app, manifest, []string{"2"})
			return err
		}(),
		s.app.store.DeleteBlob(s.t.Context(), app, blob),
	} {
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestADeletionThatWasCutShortIsFinished(t *testing.T) {
	for name, finish := range map[string]func(s *server, dir string) *server{
		"at the next start": func(s *server, dir string) *server {
			if err := s.stop(); err != nil {
				s.t.Fatal(err)
			}
			return start(s.t, dir)
		},
		"before a reindex believes storage": func(s *server, _ string) *server { s.must("reindex"); return s },
		"before a database is lost": func(s *server, dir string) *server {
			if err := s.stop(); err != nil {
				s.t.Fatal(err)
			}
			s = start(s.t, dir)
			eventually(s.t, "what is left is done", func() bool {
				left, err := s.app.store.Removals(s.t.Context(), policy.Repository{})
				return err == nil && len(left) == 0
			})
			if err := s.stop(); err != nil {
				s.t.Fatal(err)
			}
			loseDatabase(s.t, dir)
			s = start(s.t, dir)
			s.must("reindex")
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, dir)
			first, second, third := pushed(s, "1"), pushed(s, "2"), pushed(s, "3")
			blob := digest.FromString("a blob of its own")
			s.upload("team/app", blob, []byte("a blob of its own"))
			cutShort(s, "1", second, blob)
			// Pushed again before anybody came to finish it: that one stays.
			if err := s.app.store.DeleteTag(t.Context(), app, "3", ""); err != nil {
				t.Fatal(err)
			}
			body, err := s.app.engine.Manifest(t.Context(), app, third)
			if err != nil {
				t.Fatal(err)
			}
			if resp := s.send(http.MethodPut, "/v2/team/app/manifests/3", "application/vnd.docker.distribution.manifest.v2+json", body); resp.StatusCode != http.StatusCreated {
				t.Fatalf("the push is answered %s", resp.Status)
			}
			s = finish(s, dir)
			eventually(t, "storage links what the index has", func() bool {
				found, err := s.app.engine.Describe(t.Context(), app)
				return err == nil && len(found.Tags) == 1 && found.Tags["3"] == third &&
					slices.Contains(found.Manifests, first) && !slices.Contains(found.Manifests, second) && !slices.Contains(found.Blobs, blob)
			})
			s.must("reindex")
			for path, status := range map[string]int{
				"/v2/team/app/manifests/1": 404, "/v2/team/app/manifests/2": 404, "/v2/team/app/manifests/3": 200,
				"/v2/team/app/manifests/" + string(first): 200, "/v2/team/app/manifests/" + string(second): 404,
				"/v2/team/app/blobs/" + string(blob): 404,
			} {
				if resp := s.send(http.MethodGet, path, "", nil); resp.StatusCode != status {
					t.Errorf("%s is answered %s, want %d", path, resp.Status, status)
				}
			}
		})
	}
}

func TestReindexLeavesTagsWhereTheDatabaseHasThem(t *testing.T) {
	s := start(t, t.TempDir())
	first, second := pushed(s, "1"), pushed(s, "2")
	// The move of a tag that was cut short: the row says second, the link first.
	if err := s.app.engine.Tag(t.Context(), app, "2", first); err != nil {
		t.Fatal(err)
	}
	s.must("reindex")
	if d, err := s.app.store.ResolveTag(t.Context(), app, "2"); err != nil || d != second {
		t.Errorf("the tag is at %s %v, was at %s", d, err, second)
	}
}

func TestReindexTakesNothingAwayThatCannotBeReadNow(t *testing.T) {
	var share atomic.Int64
	s := start(t, t.TempDir(), func(o *Options) {
		o.Storage = registrytest.Faults(func() int { return int(share.Load()) })
	})
	var all []digest.Digest
	for n := range 12 {
		all = append(all, pushed(s, fmt.Sprint(n)))
	}
	for range 15 {
		share.Store(100)
		_, _ = s.cli("", "reindex") // may fail, and say so
		share.Store(0)
		for n, d := range all {
			got, err := s.app.store.ResolveTag(t.Context(), app, fmt.Sprint(n))
			if err != nil || got != d {
				t.Fatalf("tag %d is at %s, was at %s: %v", n, got, d, err)
			}
			if img, err := remote.Image(s.ref(fmt.Sprint("team/app:", n)), asAdmin); err != nil {
				t.Fatal(err)
			} else if _, err := img.ConfigFile(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out := s.must("reindex"); strings.Contains(out, "skipped") {
		t.Errorf("reindex says %s", out)
	}
}

func TestReindexLosesNoBlob(t *testing.T) {
	s := start(t, t.TempDir())
	pushed(s, "1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 12 {
			if _, err := s.cli("", "reindex"); err != nil {
				t.Errorf("reindex: %v", err)
			}
		}
	}()
	var blobs []digest.Digest
	for n, running := 0, true; running; n++ {
		select {
		case <-done:
			running = false
		default:
		}
		content := fmt.Appendf(nil, "blob %d", n)
		// Every other one by a name that no manifest has said yet.
		d := []digest.Algorithm{digest.SHA256, digest.SHA512}[n%2].FromBytes(content)
		s.upload("team/app", d, content)
		blobs = append(blobs, d)
	}
	for _, d := range blobs {
		if resp := s.send(http.MethodHead, "/v2/team/app/blobs/"+string(d), "", nil); resp.StatusCode != http.StatusOK {
			t.Errorf("%s is answered %s", d, resp.Status)
		}
	}
}
