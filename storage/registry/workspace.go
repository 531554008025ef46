package registry

import (
	"context"
	"io"
	"net/http"
	"strings"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// prefixed is a driver that sees one folder of another as the whole store.
// That is how workspaces are kept apart: no name of one can spell a path of
// another.
type prefixed struct {
	inner  storagedriver.StorageDriver
	prefix string
}

var _ storagedriver.StorageDriver = prefixed{}

func (p prefixed) Name() string { return p.inner.Name() }

func (p prefixed) full(path string) string {
	if path == "/" {
		return p.prefix
	}
	return p.prefix + path
}

func (p prefixed) GetContent(ctx context.Context, path string) ([]byte, error) {
	return p.inner.GetContent(ctx, p.full(path))
}

func (p prefixed) PutContent(ctx context.Context, path string, content []byte) error {
	return p.inner.PutContent(ctx, p.full(path), content)
}

func (p prefixed) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	return p.inner.Reader(ctx, p.full(path), offset)
}

func (p prefixed) Writer(ctx context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	return p.inner.Writer(ctx, p.full(path), appending)
}

func (p prefixed) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	info, err := p.inner.Stat(ctx, p.full(path))
	if err != nil {
		return nil, err
	}
	return stripped{info, path}, nil
}

func (p prefixed) List(ctx context.Context, path string) ([]string, error) {
	children, err := p.inner.List(ctx, p.full(path))
	for i := range children {
		children[i] = strings.TrimPrefix(children[i], p.prefix)
	}
	return children, err
}

func (p prefixed) Move(ctx context.Context, from, to string) error {
	return p.inner.Move(ctx, p.full(from), p.full(to))
}

func (p prefixed) Delete(ctx context.Context, path string) error {
	return p.inner.Delete(ctx, p.full(path))
}

func (p prefixed) RedirectURL(r *http.Request, path string) (string, error) {
	return p.inner.RedirectURL(r, p.full(path))
}

func (p prefixed) Walk(ctx context.Context, path string, f storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	prefixedHint := func(o *storagedriver.WalkOptions) {
		if o.StartAfterHint != "" {
			o.StartAfterHint = p.full(o.StartAfterHint)
		}
	}
	return p.inner.Walk(ctx, p.full(path), func(info storagedriver.FileInfo) error {
		return f(stripped{info, strings.TrimPrefix(info.Path(), p.prefix)})
	}, append(options, prefixedHint)...)
}

// stripped is a file's description under its path within the prefix.
type stripped struct {
	storagedriver.FileInfo
	path string
}

func (s stripped) Path() string { return s.path }
