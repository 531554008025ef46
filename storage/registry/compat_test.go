package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"testing"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/manifest/ocischema"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

// theirs is distribution's own registry over the same folder.
func theirs(t *testing.T, root, name string) distribution.Repository {
	t.Helper()
	driver := filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 100})
	namespace, err := storage.NewRegistry(t.Context(), driver, storage.EnableDelete)
	if err != nil {
		t.Fatal(err)
	}
	named, err := reference.WithName(name)
	if err != nil {
		t.Fatal(err)
	}
	repository, err := namespace.Repository(t.Context(), named)
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

// image is a manifest that distribution accepts, with its config and layer.
func image(t *testing.T) (manifest []byte, d digest.Digest, config, layer []byte) {
	t.Helper()
	config = []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	layer, layerDigest := content(t, 4000)
	m := ocischema.Manifest{
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))},
		Layers: []v1.Descriptor{{MediaType: v1.MediaTypeImageLayerGzip, Digest: layerDigest, Size: int64(len(layer))}},
	}
	m.SchemaVersion, m.MediaType = 2, v1.MediaTypeImageManifest
	manifest, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return manifest, digest.FromBytes(manifest), config, layer
}

func TestDistributionServesWhatWeWrote(t *testing.T) {
	for workspace, below := range map[string]string{"default": "", "second": "workspaces/second"} {
		t.Run("in the workspace "+workspace, func(t *testing.T) {
			root := t.TempDir()
			ours := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
			repo := policy.Repository{Workspace: workspace, Name: "team/app"}
			manifest, d, config, layer := image(t)
			push(t, ours, repo, config, digest.FromBytes(config))
			push(t, ours, repo, layer, digest.SHA512.FromBytes(layer))
			if err := ours.PutManifest(t.Context(), repo, d, v1.MediaTypeImageManifest, manifest); err != nil {
				t.Fatal(err)
			}
			if err := ours.Tag(t.Context(), repo, "v1", d); err != nil {
				t.Fatal(err)
			}

			their := theirs(t, filepath.Join(root, below), repo.Name)
			if got, err := their.Blobs(t.Context()).Get(t.Context(), digest.FromBytes(layer)); err != nil || !bytes.Equal(got, layer) {
				t.Fatalf("blob: %d bytes, %v", len(got), err)
			}
			tag, err := their.Tags(t.Context()).Get(t.Context(), "v1")
			if err != nil || tag.Digest != d {
				t.Fatalf("tag: %s, %v", tag.Digest, err)
			}
			manifests, err := their.Manifests(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := manifests.Get(t.Context(), tag.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if _, payload, err := got.Payload(); err != nil || !bytes.Equal(payload, manifest) {
				t.Fatalf("manifest: %q, %v", payload, err)
			}
			if all, err := their.Tags(t.Context()).All(t.Context()); err != nil || len(all) != 1 {
				t.Fatalf("tags: %v, %v", all, err)
			}
			if err := their.Tags(t.Context()).Untag(t.Context(), "v1"); err != nil {
				t.Fatal(err)
			}
			wantErr(t, ours.Untag(t.Context(), repo, "v1"), policy.ErrNotFound)
		})
	}
}

func TestWeResumeAnUploadOfDistribution(t *testing.T) {
	root := t.TempDir()
	body, d := content(t, 5000)
	upload, err := theirs(t, root, app.Name).Blobs(t.Context()).Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := upload.ReadFrom(bytes.NewReader(body[:2000])); err != nil {
		t.Fatal(err)
	}
	if err := upload.Close(); err != nil {
		t.Fatal(err)
	}
	ours := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	if _, err := ours.AppendUpload(t.Context(), app, upload.ID(), 2000, bytes.NewReader(body[2000:])); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ours.CommitUpload(t.Context(), app, upload.ID(), d); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pull(t, ours, app, d), body) {
		t.Fatal("other bytes came back")
	}
}

func TestWeServeAndWalkWhatDistributionWrote(t *testing.T) {
	root := t.TempDir()
	their := theirs(t, root, app.Name)
	manifest, d, config, layer := image(t)
	for _, b := range [][]byte{config, layer} {
		upload, err := their.Blobs(t.Context()).Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(upload, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		if _, err := upload.Commit(t.Context(), v1.Descriptor{Digest: digest.FromBytes(b)}); err != nil {
			t.Fatal(err)
		}
	}
	parsed, _, err := distribution.UnmarshalManifest(v1.MediaTypeImageManifest, manifest)
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := their.Manifests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manifests.Put(t.Context(), parsed); err != nil {
		t.Fatal(err)
	}
	if err := their.Tags(t.Context()).Tag(t.Context(), "v1", v1.Descriptor{Digest: d}); err != nil {
		t.Fatal(err)
	}

	ours := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	if got, err := ours.Manifest(t.Context(), app, d); err != nil || !bytes.Equal(got, manifest) {
		t.Fatalf("manifest: %q, %v", got, err)
	}
	if !bytes.Equal(pull(t, ours, app, digest.FromBytes(layer)), layer) {
		t.Fatal("other bytes came back")
	}
	var seen []registry.Repo
	if err := ours.Walk(t.Context(), func(_ context.Context, r registry.Repo) error {
		seen = append(seen, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].Repository != app || len(seen[0].Blobs) != 2 || len(seen[0].Manifests) != 1 || seen[0].Tags["v1"] != d {
		t.Fatalf("saw %+v", seen)
	}
	if err := ours.DeleteManifest(t.Context(), app, d); err != nil {
		t.Fatal(err)
	}
	if there, err := manifests.Exists(t.Context(), d); err != nil || there {
		t.Fatalf("deleted by us, for distribution there: %v, %v", there, err)
	}
}
