package policy

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Request is one thing that somebody wants to do, before any judgement. The
// pointers are set for the actions that have them.
type Request struct {
	// ID is the request id that the client reads in the answer; no rule sees it.
	ID        string
	At        time.Time
	Principal Principal
	Action    Action
	Purpose   Purpose
	HTTP      HTTP
	// Repository is empty for actions without one.
	Repository Repository
	Reference  Reference
	// Artifact is what the index knows of the manifest in question, or what was
	// parsed from the manifest that is being pushed.
	Artifact  *Artifact
	Blob      *Blob
	Upload    *Upload
	Mount     *Mount
	Referrers *ReferrersQuery
	Token     *TokenRequest
	Admin     *AdminCall
}

// HTTP is what the transport said. A rule that reads these fields decides on
// what a client may choose freely (all but ClientIP and PeerSPIFFE), and docs say so.
type HTTP struct {
	Method, Path, ClientIP, UserAgent, Host string
	// PeerSPIFFE is the SPIFFE id of the connection's verified certificate; empty for
	// a client without one.
	PeerSPIFFE string
}

// Reference is how the client named a manifest.
type Reference struct {
	// Kind is "tag" or "digest"; empty for none.
	Kind  string
	Value string
	// Current is the digest that the tag has now; empty when it does not exist.
	Current digest.Digest
}

// The kinds of reference.
const (
	ByTag    = "tag"
	ByDigest = "digest"
)

// Blob is the blob in question.
type Blob struct {
	Digest digest.Digest
	Size   int64
	// Manifest is the manifest that the blob is pulled as a part of; empty when
	// no manifest of the repository names the blob.
	Manifest digest.Digest
}

// Upload is the upload session in question.
type Upload struct {
	Session string
	// DeclaredSize is in bytes; -1 when the client did not say.
	DeclaredSize int64
	Digest       digest.Digest
}

// Mount is the source of a cross-repository mount.
type Mount struct {
	From Repository
	// SubjectCanPullFrom is the outcome of the decision about the source.
	SubjectCanPullFrom bool
	// Manifests are those of the source that name the blob.
	Manifests []digest.Digest
}

// ReferrersQuery is a question about what refers to a digest.
type ReferrersQuery struct {
	ArtifactType string
	Count        int
}

// Scope is one piece of what a token is asked for.
type Scope struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// TokenRequest is what a client asks the token service for.
type TokenRequest struct {
	Service   string
	Requested []Scope
	TTL       time.Duration
	Offline   bool
	// Auto is the operator's setting of whose push makes a project that does not
	// exist ("admins", "writers", "off"): a token has to reach that far.
	Auto string
}

// AdminCall is a management call: what would be changed, from what to what.
// Before and After hold JSON values, and never a secret.
type AdminCall struct {
	Resource string
	Verb     string
	ID       string
	Before   any
	After    any
	// Auto is set when nobody called the API but a push into a project that
	// does not exist asks for it to be made: "admins" or "writers", the setting.
	Auto string
}
