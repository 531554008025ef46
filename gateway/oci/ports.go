package oci

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// Gate decides. An error means that no decision is possible now.
type Gate interface {
	Admit(ctx context.Context, req policy.Request) (policy.Decision, error)
}

// ProjectMaker makes the project of a first push where that is allowed.
type ProjectMaker interface {
	// EnsureProject returns nil when the project exists or was made now. It fails
	// with policy.ErrNotFound when it does not exist and the caller may not make it.
	EnsureProject(ctx context.Context, caller authn.Caller, workspace, project string) error
}

// BlobStore keeps blobs under their sha256 digests, linked per repository.
type BlobStore interface {
	StatBlob(ctx context.Context, repo policy.Repository, d digest.Digest) (int64, error)
	// OpenBlob's reader should be an *os.File where there is one: then the kernel
	// copies it to the client.
	OpenBlob(ctx context.Context, repo policy.Repository, d digest.Digest) (io.ReadSeekCloser, int64, error)
	DeleteBlob(ctx context.Context, repo policy.Repository, d digest.Digest) error
	MountBlob(ctx context.Context, from, to policy.Repository, d digest.Digest) (int64, error)
}

// UploadStore keeps what has been received of blobs that are not whole yet.
type UploadStore interface {
	StartUpload(ctx context.Context, repo policy.Repository) (id string, err error)
	UploadSize(ctx context.Context, repo policy.Repository, id string) (int64, error)
	// AppendUpload fails with policy.ErrRange unless offset is the size; -1 is
	// wherever it is. It answers the size reached beside an error too.
	AppendUpload(ctx context.Context, repo policy.Repository, id string, offset int64, r io.Reader) (size int64, err error)
	// CommitUpload fails with policy.ErrDigestMismatch when want (sha256 or
	// sha512) does not name the bytes.
	CommitUpload(ctx context.Context, repo policy.Repository, id string, want digest.Digest) (canonical digest.Digest, size int64, err error)
	CancelUpload(ctx context.Context, repo policy.Repository, id string) error
}

// ManifestStore keeps the bytes of manifests under their sha256 digests.
type ManifestStore interface {
	PutManifest(ctx context.Context, repo policy.Repository, d digest.Digest, mediaType string, body []byte) error
	Manifest(ctx context.Context, repo policy.Repository, d digest.Digest) ([]byte, error)
	DeleteManifest(ctx context.Context, repo policy.Repository, d digest.Digest) error
}

// TagLinks are the engine's backup of the index's tags.
type TagLinks interface {
	Tag(ctx context.Context, repo policy.Repository, tag string, d digest.Digest) error
	Untag(ctx context.Context, repo policy.Repository, tag string) error
}

// Engine is storage.
type Engine interface {
	BlobStore
	UploadStore
	ManifestStore
	TagLinks
}

// NameIndex knows names. Lists are in byte order, after "after", limit at most.
type NameIndex interface {
	ResolveTag(ctx context.Context, repo policy.Repository, tag string) (digest.Digest, error)
	Tags(ctx context.Context, repo policy.Repository, after string, limit int) ([]string, error)
	Repositories(ctx context.Context, workspace, after string, limit int) ([]string, error)
	RepositoryExists(ctx context.Context, repo policy.Repository) (bool, error)
}

// GraphIndex knows manifests and what they name. Digests may be aliases.
type GraphIndex interface {
	Artifact(ctx context.Context, repo policy.Repository, d digest.Digest) (*policy.Artifact, error)
	Referrers(ctx context.Context, repo policy.Repository, subject digest.Digest) ([]policy.Descriptor, error)
	// BlobManifests are the manifests that name the blob, latest pushed first.
	BlobManifests(ctx context.Context, repo policy.Repository, blob digest.Digest, limit int) ([]digest.Digest, error)
	// Parents are the indexes that list the manifest, which need not be there.
	Parents(ctx context.Context, repo policy.Repository, child digest.Digest) ([]digest.Digest, error)
}

// BlobIndex knows blobs. Digests may be aliases; alias is empty for none.
type BlobIndex interface {
	Blob(ctx context.Context, repo policy.Repository, d digest.Digest) (canonical digest.Digest, size int64, err error)
	AddBlob(ctx context.Context, repo policy.Repository, canonical, alias digest.Digest, size int64) error
	DeleteBlob(ctx context.Context, repo policy.Repository, d digest.Digest) error
}

// Changes are the index's transactions about manifests.
type Changes interface {
	// Push makes the artifact known and moves the tags, all or nothing. It fails
	// with policy.ErrConflict when a tag is no longer where its move begins.
	Push(ctx context.Context, a *policy.Artifact, moves []policy.TagMove) error
	// DeleteTag fails with policy.ErrConflict when the tag is no longer on from.
	DeleteTag(ctx context.Context, repo policy.Repository, tag string, from digest.Digest) error
	// DeleteManifest answers the tags that were on it. It fails with
	// policy.ErrConflict when there is a tag on it that is not among judged.
	DeleteManifest(ctx context.Context, repo policy.Repository, d digest.Digest, judged []string) (tags []string, err error)
}

// Removals are the deletions that the index has made and storage may not know of.
// Each of the index's deletions is one, from its transaction on until Removed.
type Removals interface {
	Removals(ctx context.Context, repo policy.Repository) ([]policy.Removal, error)
	Removed(ctx context.Context, removals ...policy.Removal) error
}

// Index is what is known of the content, and the truth about tags.
type Index interface {
	NameIndex
	GraphIndex
	BlobIndex
	Changes
	Removals
}
