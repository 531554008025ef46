package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/bondgate/bondgate/policy"
)

// copyBuffer is how much of a body is in memory at a time, per upload.
const copyBuffer = 256 << 10

// StartUpload opens an upload and returns its id, a random UUID.
func (e *Engine) StartUpload(ctx context.Context, repo policy.Repository) (string, error) {
	s, err := e.repository(repo)
	if err != nil {
		return "", err
	}
	id := newUpload()
	if err := e.startUpload(ctx, s, repo.Name, id); err != nil {
		_ = s.Delete(context.WithoutCancel(ctx), uploadPath(repo.Name, id))
		return "", failure("start an upload in "+repo.String(), err)
	}
	return id, nil
}

func (e *Engine) startUpload(ctx context.Context, s space, name, id string) error {
	writer, err := s.Writer(ctx, uploadData(name, id), false)
	if err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	if e.local != nil {
		return nil
	}
	return s.PutContent(ctx, uploadStarted(name, id), []byte(time.Now().UTC().Format(time.RFC3339)))
}

// uploadMark is the file that says that an upload exists. A file system shows
// the data from the first moment; a store that uploads in parts shows it only
// when it is complete, and there it is distribution's note of the start. (On
// files that note would be a tenth of the cost of a small push.)
func (e *Engine) uploadMark(name, id string) string {
	if e.local != nil {
		return uploadData(name, id)
	}
	return uploadStarted(name, id)
}

func newUpload() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// handle is one upload, claimed.
type handle struct {
	space
	*session
	engine *Engine
	repo   policy.Repository
	id     string
	over   bool
}

func (e *Engine) claim(ctx context.Context, repo policy.Repository, id string) (*handle, error) {
	s, err := e.repository(repo)
	if err != nil {
		return nil, err
	}
	if !validUpload(id) {
		return nil, notFound("upload", repo)
	}
	held, err := e.uploads.take(sessionKey(repo, id))
	if err != nil {
		return nil, err
	}
	h := &handle{space: s, session: held, engine: e, repo: repo, id: id}
	if _, err := s.Stat(ctx, e.uploadMark(repo.Name, id)); err != nil {
		h.over = true
		h.release()
		return nil, failure("look for upload "+id, err)
	}
	return h, nil
}

// sessionKey holds the repository too: an id is good only where it was given.
func sessionKey(repo policy.Repository, id string) string {
	return workspaceOf(repo) + ":" + repo.Name + ":" + id
}

func (h *handle) release() { h.engine.uploads.release(sessionKey(h.repo, h.id), h.session, h.over) }

// discard removes all that is stored of the upload. It goes through even when
// the caller has gone away.
func (h *handle) discard(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	h.over = true
	err := h.Delete(ctx, uploadPath(h.repo.Name, h.id))
	if err != nil && !isNotFound(err) {
		return err
	}
	return nil
}

func (h *handle) open(ctx context.Context) (storagedriver.FileWriter, error) {
	writer, err := h.Writer(ctx, uploadData(h.repo.Name, h.id), true)
	if err != nil {
		return nil, failure("open upload "+h.id, err)
	}
	return writer, nil
}

// UploadSize is how many bytes of the upload are stored.
func (e *Engine) UploadSize(ctx context.Context, repo policy.Repository, id string) (int64, error) {
	if e.local != nil {
		return e.localUploadSize(ctx, repo, id)
	}
	h, err := e.claim(ctx, repo, id)
	if err != nil {
		return 0, err
	}
	defer h.release()
	writer, err := h.open(ctx)
	if err != nil {
		return 0, err
	}
	size := writer.Size()
	if err := writer.Close(); err != nil {
		return 0, failure("look at upload "+id, err)
	}
	return size, nil
}

// localUploadSize asks the file, also while an append is under way.
func (e *Engine) localUploadSize(ctx context.Context, repo policy.Repository, id string) (int64, error) {
	s, err := e.repository(repo)
	if err != nil {
		return 0, err
	}
	if !validUpload(id) {
		return 0, notFound("upload", repo)
	}
	info, err := s.Stat(ctx, uploadData(repo.Name, id))
	if err != nil {
		return 0, failure("look at upload "+id, err)
	}
	return info.Size(), nil
}

// AppendUpload stores what r gives behind what is stored, and returns the
// upload's size in bytes, also beside an error. An offset other than the size
// is policy.ErrRange; -1 is wherever it is. While another call has the upload
// it is policy.ErrConflict. What arrived before r failed is kept, to be resumed;
// when storage is full (policy.ErrNoSpace) the whole upload is removed.
func (e *Engine) AppendUpload(ctx context.Context, repo policy.Repository, id string, offset int64, r io.Reader) (int64, error) {
	h, err := e.claim(ctx, repo, id)
	if err != nil {
		return 0, err
	}
	defer h.release()
	writer, err := h.open(ctx)
	if err != nil {
		return 0, err
	}
	size := writer.Size()
	if offset >= 0 && offset != size {
		err := fmt.Errorf("registry: upload %s holds %d bytes, not %d: %w", id, size, offset, policy.ErrRange)
		return size, errors.Join(err, writer.Close())
	}
	size, stored, received := h.copy(writer, size, r)
	stored = errors.Join(stored, writer.Close())
	if stored != nil {
		failed := failure("append to upload "+id, stored)
		if isNoSpace(stored) {
			return 0, errors.Join(failed, h.discard(ctx))
		}
		return size, failed
	}
	if received != nil {
		return size, bodyFailure(id, received)
	}
	return size, nil
}

// copy tells the size reached and apart from each other whether storing or
// receiving failed.
func (h *handle) copy(w io.Writer, size int64, r io.Reader) (reached int64, stored, received error) {
	buffer := h.engine.buffers.Get().(*[]byte)
	defer h.engine.buffers.Put(buffer)
	for {
		n, err := r.Read(*buffer)
		if n > 0 {
			written, werr := w.Write((*buffer)[:n])
			h.wrote(size, (*buffer)[:written])
			size += int64(written)
			if werr != nil {
				return size, werr, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return size, nil, nil
		case err != nil:
			return size, nil, err
		}
	}
}

// bodyFailure keeps the class that the reader gave; one without is the client's.
func bodyFailure(id string, err error) error {
	for _, known := range []error{policy.ErrTooLarge, policy.ErrLimited, policy.ErrUnavailable, policy.ErrInvalid, policy.ErrRange, policy.ErrNoSpace} {
		if errors.Is(err, known) {
			return fmt.Errorf("registry: receive upload %s: %w", id, err)
		}
	}
	return fmt.Errorf("registry: receive upload %s: %w: the body ended early: %w", id, policy.ErrInvalid, err)
}

// CancelUpload removes the upload and all that is stored of it.
func (e *Engine) CancelUpload(ctx context.Context, repo policy.Repository, id string) error {
	h, err := e.claim(ctx, repo, id)
	if err != nil {
		return err
	}
	defer h.release()
	if e.local == nil {
		// A store that uploads in parts keeps them until it is told.
		if writer, err := h.open(ctx); err == nil {
			if err := writer.Cancel(ctx); err != nil {
				_ = writer.Close()
			}
		}
	}
	if err := h.discard(ctx); err != nil {
		return failure("cancel upload "+id, err)
	}
	return nil
}
