package kill_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// folder reads the storage folder as distribution lays it out, with nothing of
// the server's: content once under blobs, and a small file in each repository that
// says what it has.
type folder string

func storageOf(g *harness.Gateway) folder {
	return folder(filepath.Join(g.DataDir, "storage", "docker", "registry", "v2"))
}

func (f folder) blob(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return filepath.Join(string(f), "blobs", "sha256", hex[:2], hex, "data")
}

// links are the digests that have a link file below a folder of a repository.
func (f folder) links(repo, below string) (map[string]bool, error) {
	out := map[string]bool{}
	root := filepath.Join(string(f), "repositories", filepath.FromSlash(repo), below, "sha256")
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(root, e.Name(), "link"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the folder of a link that was removed
		}
		if err != nil {
			return nil, err
		}
		if string(raw) != "sha256:"+e.Name() {
			return nil, found("half", "the link %s in %s of %s names %q", e.Name(), below, repo, raw)
		}
		out[string(raw)] = true
	}
	return out, nil
}

func (f folder) tags(repo string) (map[string]string, error) {
	out := map[string]string{}
	root := filepath.Join(string(f), "repositories", filepath.FromSlash(repo), "_manifests", "tags")
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(root, e.Name(), "current", "link"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[e.Name()] = string(raw)
	}
	return out, nil
}

// stored holds the folder against what was promised. What a crash left to be
// repaired is repaired while the server serves, so it is looked at until it is.
func (r *repository) stored(f folder, all bool) error {
	var err error
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = r.linked(f); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	for d, item := range r.content {
		if !item.there || !all && !r.touched[d] {
			continue
		}
		raw, err := os.ReadFile(f.blob(d))
		if err != nil {
			return found("lost", "%s of %s: %v", d, r.name, err)
		}
		if digestOf(raw) != d || !bytes.Equal(raw, item.body) {
			return found("lost", "the file of %s holds %d other bytes", d, len(raw))
		}
	}
	return nil
}

// linked: each content that is there has its link, each tag points to where it
// was moved last, and nothing that was deleted has either.
func (r *repository) linked(f folder) error {
	manifests, err := f.links(r.name, filepath.Join("_manifests", "revisions"))
	if err != nil {
		return err
	}
	blobs, err := f.links(r.name, "_layers")
	if err != nil {
		return err
	}
	for d, item := range r.content {
		links := blobs
		if item.manifest() {
			links = manifests
		}
		switch {
		case item.there && !links[d]:
			return found("lost", "%s has no link in %s", d, r.name)
		case links[d] && !item.there && !item.stray:
			return found("resurrected", "%s is linked in %s and was deleted", d, r.name)
		}
		delete(links, d)
	}
	if len(manifests)+len(blobs) > 0 {
		return found("half", "%s has links that nobody made: %v %v", r.name, manifests, blobs)
	}
	tags, err := f.tags(r.name)
	if err != nil {
		return err
	}
	for tag, to := range r.tags {
		if tags[tag] != to {
			return found("lost", "the link of %s:%s points to %q, not to %s", r.name, tag, tags[tag], to)
		}
		delete(tags, tag)
	}
	if len(tags) > 0 {
		return found("resurrected", "%s has links of tags that were deleted: %v", r.name, tags)
	}
	return nil
}

// losesDatabase removes the database as if its disk had gone; what is in storage
// stays.
func losesDatabase(g *harness.Gateway) error {
	files, err := filepath.Glob(filepath.Join(g.DataDir, "bondgate.db*"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no database to lose: %w", err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}
