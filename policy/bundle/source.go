// Package bundle is where policy comes from: the bundle that ships with the
// gateway and, joined to it, the folder of an author. [Folder] watches that
// folder, compiles what changed away from the path of requests, puts it in force
// in one step and keeps the last good revision when an edit is broken.
//
// It refuses to judge what a rule says and to follow a folder out of itself:
// symbolic links that lead out, devices and pipes are errors. Who owns which
// package is checked by package opa, whatever the policy came from.
//
// The composition root may import it; it imports policy, policy/opa and rego.
package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

// Load reads the shipped bundle and, when dir is not empty, an author's folder
// into one source. The revision is a digest over all names and contents.
func Load(dir string, limits opa.Limits) (opa.Source, error) {
	files, caps, err := shipped()
	if err != nil {
		return opa.Source{}, err
	}
	if dir != "" {
		own, err := readFolder(dir, limits.WithDefaults())
		if err != nil {
			return opa.Source{}, fmt.Errorf("read the policy folder %s: %w", dir, err)
		}
		files = append(files, own...)
	}
	schemas, err := shippedSchemas()
	if err != nil {
		return opa.Source{}, err
	}
	return opa.Source{
		Revision: revisionOf(files, caps), Files: files, Capabilities: caps, Schemas: schemas, Limits: limits,
	}, nil
}

// Compile loads and compiles in one step.
func Compile(ctx context.Context, dir string, limits opa.Limits) (*opa.Evaluator, error) {
	src, err := Load(dir, limits)
	if err != nil {
		return nil, err
	}
	return opa.Compile(ctx, src)
}

// revisionOf is a digest over capabilities and files, in an order and form in
// which different sources never look alike.
func revisionOf(files []opa.File, caps []byte) string {
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b opa.File) int {
		if a.Shipped != b.Shipped {
			if a.Shipped {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	h := sha256.New()
	part := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	part(caps)
	for _, f := range sorted {
		if f.Shipped {
			part([]byte("shipped"))
		} else {
			part([]byte("own"))
		}
		part([]byte(f.Path))
		part(f.Data)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// isPolicy tells the files that are a part of a bundle from those that lie
// beside it: tests, schemas, notes.
func isPolicy(name string) bool {
	base := path.Base(name)
	if strings.HasSuffix(base, "_test.rego") {
		return false
	}
	return strings.HasSuffix(base, ".rego") || base == "data.json" || name == ".manifest" || opa.IsWaivers(name)
}

// hidden are files that editors and version control leave: never policy.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") && name != ".manifest"
}

// readFolder reads what is policy in dir. The folder is opened as a root, so no
// name and no link in it leads out.
func readFolder(dir string, limits opa.Limits) ([]opa.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, policy.ErrInvalid)
	}
	defer root.Close()
	var out []opa.File
	var size int64
	err = walk(root, ".", 0, func(name string) error {
		if !isPolicy(name) {
			return nil
		}
		if len(out) >= limits.Files {
			return fmt.Errorf("more than %d files", limits.Files)
		}
		data, err := readFile(root, name, limits.Bytes-size)
		if err != nil {
			return err
		}
		size += int64(len(data))
		out = append(out, opa.File{Path: name, Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, policy.ErrInvalid)
	}
	return out, nil
}

// maxDepth bounds folders in folders, and with it loops of links.
const maxDepth = 16

// maxEntries bounds what is looked at, policy or not.
const maxEntries = 20000

func walk(root *os.Root, dir string, depth int, visit func(name string) error) error {
	entries := 0
	return walkFrom(root, dir, depth, &entries, visit)
}

func walkFrom(root *os.Root, dir string, depth int, seen *int, visit func(name string) error) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: folders are nested more than %d deep", dir, maxDepth)
	}
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if *seen++; *seen > maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		name := path.Join(dir, e.Name())
		// Kubernetes mounts a ConfigMap as links to a hidden folder: links are
		// followed by name, within the root only; hidden folders are not walked.
		if hidden(e.Name()) {
			continue
		}
		info, err := root.Stat(filepath.FromSlash(name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		switch {
		case info.IsDir():
			err = walkFrom(root, name, depth+1, seen, visit)
		case info.Mode().IsRegular():
			err = visit(name)
		default:
			err = fmt.Errorf("%s is neither a file nor a folder (%s)", name, info.Mode().Type())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readFile(root *os.Root, name string, left int64) ([]byte, error) {
	// A pipe that took the place of the file would block an ordinary open.
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	// The entry may have been replaced since it was looked at.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: %w", name, errors.Join(err, fs.ErrInvalid))
	}
	data, err := io.ReadAll(io.LimitReader(f, left+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > left {
		return nil, fmt.Errorf("%s: the files are too large together", name)
	}
	return data, nil
}
