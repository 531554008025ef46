package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bondgate/bondgate/policy"
)

// fingerprint tells whether sizes, dates or names in a folder changed, or a file
// was replaced by another one, without reading any. Dates are as coarse as the
// kernel's tick: two editions made in one differ by their files alone.
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
		fmt.Fprintf(&b, "%q %d %d", name, info.Size(), info.ModTime().UnixNano())
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			fmt.Fprintf(&b, " %d %d", st.Dev, st.Ino)
		}
		b.WriteByte('\n')
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
