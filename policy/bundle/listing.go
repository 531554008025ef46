package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// fingerprint tells whether sizes, dates or names in a folder changed, without
// reading a file.
func fingerprint(dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("%w: %w", err, policy.ErrInvalid)
	}
	defer root.Close()
	var b strings.Builder
	err = walk(root, ".", 0, func(name string) error {
		if !isPolicy(name) {
			return nil
		}
		info, err := root.Stat(filepath.FromSlash(name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("%w: %w", err, policy.ErrInvalid)
	}
	return b.String(), nil
}

// folders lists the folder and those below it, as paths that can be watched.
func folders(dir string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	out := []string{dir}
	seen := map[string]bool{".": true}
	err = walk(root, ".", 0, func(name string) error {
		for at := filepath.Dir(name); !seen[at]; at = filepath.Dir(at) {
			seen[at] = true
			out = append(out, filepath.Join(dir, at))
		}
		return nil
	})
	return out, err
}
