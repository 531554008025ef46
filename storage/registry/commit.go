package registry

import (
	"context"
	"crypto/sha256"
	_ "crypto/sha512" // go-digest knows an algorithm only when it is linked
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// CommitUpload makes the upload a blob of the repository when its bytes are
// those that want (sha256 or sha512) names, and returns the sha256 digest under
// which it is kept and its size in bytes. Bytes that are not are
// policy.ErrDigestMismatch, and the upload is removed. After another failure
// the upload is still there to be committed again, unless storage was full.
func (e *Engine) CommitUpload(ctx context.Context, repo policy.Repository, id string, want digest.Digest) (digest.Digest, int64, error) {
	if err := want.Validate(); err != nil {
		return "", 0, fmt.Errorf("registry: %w: digest %q: %w", policy.ErrInvalid, clip(string(want)), err)
	}
	if a := want.Algorithm(); a != digest.SHA256 && a != digest.SHA512 {
		return "", 0, fmt.Errorf("registry: %w: digest algorithm %s: only sha256 and sha512", policy.ErrUnsupported, a)
	}
	h, err := e.claim(ctx, repo, id)
	if err != nil {
		return "", 0, err
	}
	defer h.release()

	canonical, size, err := h.commit(ctx, want)
	switch {
	case err == nil:
		// The blob is there; what is left of the upload is litter, and a purge
		// finds what this does not remove.
		_ = h.discard(ctx)
		return canonical, size, nil
	case errors.Is(err, policy.ErrDigestMismatch), errors.Is(err, policy.ErrNoSpace):
		return "", 0, errors.Join(err, h.discard(ctx))
	default:
		return "", 0, err
	}
}

func (h *handle) commit(ctx context.Context, want digest.Digest) (digest.Digest, int64, error) {
	size, err := h.finish(ctx)
	if err != nil {
		return "", 0, err
	}
	canonical, err := h.verify(ctx, size, want)
	if err != nil {
		return "", 0, err
	}
	if err := h.place(ctx, size, string(canonical)); err != nil {
		return "", 0, failure("store blob "+string(canonical), err)
	}
	// Content before link: what is linked is whole.
	if err := h.link(ctx, layerLink(h.repo.Name, string(canonical)), string(canonical)); err != nil {
		return "", 0, failure("link blob "+string(canonical), err)
	}
	return canonical, size, nil
}

// finish makes the bytes received so far one readable file, and tells its size.
func (h *handle) finish(ctx context.Context) (int64, error) {
	data := uploadData(h.repo.Name, h.id)
	if l := h.engine.local; l != nil && !l.fsync {
		info, err := h.Stat(ctx, data)
		if err != nil {
			return 0, failure("finish upload "+h.id, err)
		}
		return info.Size(), nil
	}
	writer, err := h.Writer(ctx, data, true)
	if err != nil {
		// A store that uploads in parts has none open after an earlier commit
		// got so far and no further: then the file is there.
		if info, missing := h.Stat(ctx, data); missing == nil {
			return info.Size(), nil
		}
		return 0, failure("finish upload "+h.id, err)
	}
	if err := writer.Commit(ctx); err != nil {
		_ = writer.Close()
		return 0, failure("finish upload "+h.id, err)
	}
	if err := writer.Close(); err != nil {
		return 0, failure("finish upload "+h.id, err)
	}
	info, err := h.Stat(ctx, data)
	if err != nil {
		return 0, failure("finish upload "+h.id, err)
	}
	return info.Size(), nil
}

// verify compares with the hash made while the bytes came in; the file is read
// again only when this process did not see all of it, or for another algorithm.
func (h *handle) verify(ctx context.Context, size int64, want digest.Digest) (digest.Digest, error) {
	var canonical digest.Digest
	matches := false
	if want.Algorithm() == digest.SHA256 && h.hashed == size {
		canonical = digest.NewDigest(digest.SHA256, h.hash)
		matches = canonical == want
	} else {
		sum, verifier := sha256.New(), want.Verifier()
		if err := h.rehash(ctx, sum, verifier); err != nil {
			return "", failure("verify upload "+h.id, err)
		}
		canonical = digest.NewDigest(digest.SHA256, sum)
		matches = verifier.Verified()
	}
	if !matches {
		return "", fmt.Errorf("registry: upload %s is not %s: %w", h.id, want, policy.ErrDigestMismatch)
	}
	return canonical, nil
}

func (h *handle) rehash(ctx context.Context, sum hash.Hash, verifier io.Writer) error {
	reader, err := h.Reader(ctx, uploadData(h.repo.Name, h.id), 0)
	if err != nil {
		return err
	}
	buffer := h.engine.buffers.Get().(*[]byte)
	defer h.engine.buffers.Put(buffer)
	_, err = io.CopyBuffer(onlyWriter{io.MultiWriter(sum, verifier)}, onlyReader{reader}, *buffer)
	return errors.Join(err, reader.Close())
}

// onlyReader and onlyWriter hide the shortcuts of files, so that the buffer is
// the one that is used.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// place moves the file to where its digest says. Content that is there already
// stays, unless its size says that it is damaged; two commits of one blob at
// once put the same bytes in the same place.
func (h *handle) place(ctx context.Context, size int64, canonical string) error {
	target := blobPath(canonical)
	info, err := h.Stat(ctx, target)
	if err == nil && info.Size() == size {
		return nil
	}
	if err != nil && !isNotFound(err) {
		return err
	}
	return h.Move(ctx, uploadData(h.repo.Name, h.id), target)
}
