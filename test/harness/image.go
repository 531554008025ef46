package harness

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// ImageSpec says what a small image is like. It is never the same twice: its one
// layer holds random bytes.
type ImageSpec struct {
	// Name is the image's name in the archive, which `docker load` gives it.
	Name string
	// User is the configuration's User; empty is root, as for docker.
	User         string
	Architecture string // amd64 when empty
	Labels       map[string]string
	Size         int // of the file in the layer, in bytes; 1 KiB when 0
}

// Image writes a small image as `docker save` writes one, which every client
// reads, and answers the archive's path.
func Image(t testing.TB, spec ImageSpec) string {
	t.Helper()
	ref, err := name.NewTag(spec.Name, name.WithDefaultRegistry(""))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(path, ref, image(t, spec)); err != nil {
		t.Fatal(err)
	}
	return path
}

func image(t testing.TB, spec ImageSpec) v1.Image {
	t.Helper()
	size := spec.Size
	if size == 0 {
		size = 1 << 10
	}
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "content", Mode: 0o644, Size: int64(size), ModTime: time.Unix(1700000000, 0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", spec.Architecture
	if spec.Architecture == "" {
		config.Architecture = "amd64"
	}
	config.Created = v1.Time{Time: time.Now().UTC().Truncate(time.Second)}
	config.Config.User = spec.User
	config.Config.Labels = spec.Labels
	config.Config.Cmd = []string{"/content"}
	img, err = mutate.ConfigFile(img, config)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
