package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

func TestReindexBringsEveryImageBack(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	images := map[string]string{}
	for _, ref := range []string{"team/app:1", "team/app:2", "team/deep/er:x", "other/app:1"} {
		img := image(t)
		if err := remote.Write(s.ref(ref), img, asAdmin); err != nil {
			t.Fatal(err)
		}
		d, _ := img.Digest()
		images[ref] = d.String()
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	loseDatabase(t, dir)
	s = start(t, dir)
	eventually(t, "readiness says that the index has to be rebuilt", func() bool {
		_, body := s.get("/readyz", "", "")
		return strings.Contains(body, "run bondgate reindex")
	})
	if _, err := remote.Image(s.ref("team/app:1"), asAdmin); err == nil {
		t.Fatal("an image that the index does not know is served")
	}
	if out := s.must("reindex"); !strings.Contains(out, "indexed 3 repositories: 4 manifests, 4 tags, 12 blobs") {
		t.Fatalf("reindex says %s", out)
	}
	for ref, want := range images {
		got, err := remote.Image(s.ref(ref), asAdmin)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := got.Digest(); err != nil || d.String() != want {
			t.Errorf("%s is %v %v, was %s", ref, d, err, want)
		}
		if layers, err := got.Layers(); err != nil || len(layers) != 2 {
			t.Errorf("%s has %d layers: %v", ref, len(layers), err)
		}
	}
	if out := s.must("project", "list"); !strings.Contains(out, "team") || strings.Contains(out, "public") {
		t.Errorf("the projects are %s", out)
	}
	if _, body := s.get("/readyz", "", ""); strings.Contains(body, "run bondgate reindex") {
		eventually(t, "readiness is well again", func() bool {
			_, body := s.get("/readyz", "", "")
			return !strings.Contains(body, "run bondgate reindex")
		})
	}
}

func TestReindexLosesNoPush(t *testing.T) {
	s := start(t, t.TempDir())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 12 {
			if _, err := s.cli("", "reindex"); err != nil {
				t.Errorf("reindex: %v", err)
			}
		}
	}()
	pushed := map[string]string{}
	for n, running := 0, true; running; n++ {
		select {
		case <-done:
			running = false
		default:
		}
		ref := "team/app:" + strings.Repeat("x", n%40+1)
		img := image(t)
		if err := remote.Write(s.ref(ref), img, asAdmin); err != nil {
			t.Fatalf("push %d beside a reindex: %v", n, err)
		}
		d, _ := img.Digest()
		pushed[ref] = d.String()
	}
	for ref, want := range pushed {
		desc, err := remote.Head(s.ref(ref), asAdmin)
		if err != nil || desc.Digest.String() != want {
			t.Errorf("%s is %v %v, was %s", ref, desc, err, want)
		}
	}
}

func TestTagLinksAreRepairedFromTheIndex(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	first, second := image(t), image(t)
	for ref, img := range map[string]remote.Taggable{"team/app:1": first, "team/app:2": second} {
		if err := remote.Put(s.ref(ref), img, asAdmin); err == nil {
			t.Fatal("a manifest without its blobs is taken")
		}
	}
	if err := remote.Write(s.ref("team/app:1"), first, asAdmin); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(s.ref("team/app:2"), second, asAdmin); err != nil {
		t.Fatal(err)
	}
	want, _ := first.Digest()
	other, _ := second.Digest()
	repo := policy.Repository{Workspace: policy.DefaultWorkspace, Name: "team/app"}
	// What a server leaves behind that is killed between the row and the link.
	if err := s.app.engine.Tag(t.Context(), repo, "1", digest.Digest(other.String())); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir)
	eventually(t, "the link is repaired", func() bool {
		found, err := s.app.engine.Describe(t.Context(), repo)
		return err == nil && found.Tags["1"].String() == want.String() && found.Tags["2"].String() == other.String()
	})
}

func loseDatabase(t *testing.T, dir string) {
	t.Helper()
	lost, err := filepath.Glob(filepath.Join(dir, "bondgate.db*"))
	if err != nil || len(lost) == 0 {
		t.Fatalf("no database to lose: %v", err)
	}
	for _, file := range lost {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReindexKnowsOtherNames(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	layer, config := []byte("a layer"), []byte(`{"os":"linux","architecture":"amd64","config":{"User":"1000"}}`)
	layerName, configName := digest.SHA512.FromBytes(layer), digest.SHA512.FromBytes(config)
	s.upload("team/app", layerName, layer)
	s.upload("team/app", configName, config)
	image := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		types.OCIManifestSchema1, types.OCIConfigJSON, configName, len(config), types.OCIUncompressedLayer, layerName, len(layer))
	index := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		types.OCIImageIndex, types.OCIManifestSchema1, digest.SHA512.FromBytes(image), len(image))
	paths := map[string]string{
		"/v2/team/app/manifests/" + digest.SHA512.FromBytes(image).String(): string(types.OCIManifestSchema1),
		"/v2/team/app/manifests/index":                                      string(types.OCIImageIndex),
	}
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(paths))) { // the image before the index that lists it
		body := image
		if strings.HasSuffix(path, "index") {
			body = index
		}
		if resp := s.send(http.MethodPut, path, paths[path], body); resp.StatusCode != http.StatusCreated {
			t.Fatalf("the push to %s is answered %s", path, resp.Status)
		}
	}
	repo := policy.Repository{Workspace: policy.DefaultWorkspace, Name: "team/app"}
	before, err := s.app.store.Artifact(t.Context(), repo, digest.FromBytes(image))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	loseDatabase(t, dir)
	s = start(t, dir)
	s.must("reindex")
	after, err := s.app.store.Artifact(t.Context(), repo, digest.SHA512.FromBytes(image))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before.Aliases, after.Aliases) || !slices.Equal(before.Parents, after.Parents) ||
		before.Role != after.Role || before.ConfigBlob.Digest != after.ConfigBlob.Digest ||
		before.Layers[0].Digest != after.Layers[0].Digest || after.Config == nil || after.Config.User != before.Config.User {
		t.Errorf("the index had\n%+v\nand has\n%+v", before, after)
	}
	for path := range paths {
		if resp := s.send(http.MethodGet, path, "", nil); resp.StatusCode != http.StatusOK {
			t.Errorf("%s is answered %s", path, resp.Status)
		}
	}
	if resp := s.send(http.MethodGet, "/v2/team/app/blobs/"+layerName.String(), "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("the layer by its other name is answered %s", resp.Status)
	}
}
