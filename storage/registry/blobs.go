package registry

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// StatBlob is the blob's size in bytes. A blob that the repository does not
// link is policy.ErrNotFound, even when another repository holds it.
func (e *Engine) StatBlob(ctx context.Context, repo policy.Repository, d digest.Digest) (int64, error) {
	s, err := e.content(repo, string(d))
	if err != nil {
		return 0, err
	}
	return s.statBlob(ctx, repo, string(d))
}

func (s space) statBlob(ctx context.Context, repo policy.Repository, d string) (int64, error) {
	if err := s.linked(ctx, layerLink(repo.Name, d), "blob "+d, repo); err != nil {
		return 0, err
	}
	info, err := s.Stat(ctx, blobPath(d))
	if err != nil {
		return 0, failure("stat blob "+d, err)
	}
	return info.Size(), nil
}

// linked asks for a link's existence alone: a sha256 link names nothing but the
// digest that is its own path.
func (s space) linked(ctx context.Context, link, what string, repo policy.Repository) error {
	_, err := s.Stat(ctx, link)
	switch {
	case err == nil:
		return nil
	case isNotFound(err):
		return notFound(what, repo)
	default:
		return failure("look for "+what, err)
	}
}

// OpenBlob opens the blob for reading and tells its size in bytes. On the
// filesystem driver it is the *os.File. The reader must be closed, and on the
// other drivers not be used beyond ctx.
func (e *Engine) OpenBlob(ctx context.Context, repo policy.Repository, d digest.Digest) (io.ReadSeekCloser, int64, error) {
	s, err := e.content(repo, string(d))
	if err != nil {
		return nil, 0, err
	}
	if e.local == nil {
		return s.openRemote(ctx, repo, d)
	}
	if err := s.linked(ctx, layerLink(repo.Name, string(d)), "blob "+string(d), repo); err != nil {
		return nil, 0, err
	}
	reader, err := s.Reader(ctx, blobPath(string(d)), 0)
	if err != nil {
		return nil, 0, failure("open blob "+string(d), err)
	}
	file, ok := reader.(*os.File)
	if !ok {
		// A middleware put itself in between.
		_ = reader.Close()
		return s.openRemote(ctx, repo, d)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, 0, failure("open blob "+string(d), err)
	}
	return file, info.Size(), nil
}

// openRemote reads through distribution, whose reader asks the store for the
// range that is being read.
func (s space) openRemote(ctx context.Context, repo policy.Repository, d digest.Digest) (io.ReadSeekCloser, int64, error) {
	named, err := reference.WithName(repo.Name)
	if err != nil {
		return nil, 0, fmt.Errorf("registry: %w: repository name %q: %w", policy.ErrInvalid, repo.Name, err)
	}
	namespace, err := storage.NewRegistry(ctx, s.StorageDriver, distributionOptions...)
	if err != nil {
		return nil, 0, failure("open the store", err)
	}
	repository, err := namespace.Repository(ctx, named)
	if err != nil {
		return nil, 0, failure("open repository "+repo.Name, err)
	}
	reader, err := repository.Blobs(ctx).Open(ctx, d)
	switch {
	case err != nil && isNotFound(err):
		return nil, 0, notFound("blob "+string(d), repo)
	case err != nil:
		return nil, 0, failure("open blob "+string(d), err)
	}
	// The reader knows its size; to seek in it asks nothing of the store.
	size, err := reader.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = reader.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = reader.Close()
		return nil, 0, failure("open blob "+string(d), err)
	}
	return reader, size, nil
}

// DeleteBlob unlinks the blob from the repository. The content stays for the
// other repositories that link it.
func (e *Engine) DeleteBlob(ctx context.Context, repo policy.Repository, d digest.Digest) error {
	s, err := e.content(repo, string(d))
	if err != nil {
		return err
	}
	return s.unlink(ctx, layerLink(repo.Name, string(d)), "blob "+string(d), repo)
}

func (s space) unlink(ctx context.Context, path, what string, repo policy.Repository) error {
	err := s.Delete(ctx, path)
	switch {
	case err == nil:
		return nil
	case isNotFound(err):
		return notFound(what, repo)
	default:
		return failure("delete "+what, err)
	}
}

// MountBlob links a blob of one repository into another and tells its size in
// bytes. Workspaces share nothing: across them the blob is policy.ErrNotFound.
func (e *Engine) MountBlob(ctx context.Context, from, to policy.Repository, d digest.Digest) (int64, error) {
	source, err := e.content(from, string(d))
	if err != nil {
		return 0, err
	}
	target, err := e.repository(to)
	if err != nil {
		return 0, err
	}
	if workspaceOf(from) != workspaceOf(to) {
		return 0, notFound("blob "+string(d), from)
	}
	size, err := source.statBlob(ctx, from, string(d))
	if err != nil {
		return 0, err
	}
	if err := target.link(ctx, layerLink(to.Name, string(d)), string(d)); err != nil {
		return 0, failure("link blob "+string(d), err)
	}
	return size, nil
}

// link writes a link that never changes, unless it is there. One of another
// length is the damage of a lost write, and is written again.
func (s space) link(ctx context.Context, path, d string) error {
	if info, err := s.Stat(ctx, path); err == nil && info.Size() == int64(len(d)) {
		return nil
	}
	return s.PutContent(ctx, path, []byte(d))
}
