package registry_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bondgate/bondgate/storage/registry"
)

// An upload is a folder before it is a file. A purge that came in between took the
// folder away, and the client that had just begun was told that there is nothing.
func TestAnUploadThatIsBeingBegunIsNotPurged(t *testing.T) {
	root := t.TempDir()
	e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	id := start(t, e, app)
	var folder string
	err := filepath.WalkDir(root, func(name string, _ os.DirEntry, err error) error {
		if filepath.Base(name) == id {
			folder = name
		}
		return err
	})
	if err != nil || folder == "" {
		t.Fatalf("no folder of the upload: %v", err)
	}
	if err := os.Remove(filepath.Join(folder, "data")); err != nil {
		t.Fatal(err)
	}
	if n, err := e.PurgeUploads(t.Context(), time.Now().Add(-time.Hour)); err != nil || n != 0 {
		t.Fatalf("purged %d, %v", n, err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	// One that nobody went on with is litter like any other.
	if n, err := e.PurgeUploads(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 1 {
		t.Fatalf("purged %d, %v", n, err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Fatalf("the folder is still there: %v", err)
	}
}
