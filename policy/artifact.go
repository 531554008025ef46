package policy

import (
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// ArtifactKind is the shape of a manifest.
type ArtifactKind string

// The kinds of artifact.
const (
	KindImage    ArtifactKind = "image"
	KindIndex    ArtifactKind = "index"
	KindArtifact ArtifactKind = "artifact"
)

// Role is what an artifact is for. It comes from the media types of its layers
// and from nothing else: a tag named like a signature, a subject, an
// artifactType or an annotation give no role.
type Role string

// The roles. The zero Role is no role: it is judged as an image is.
const (
	RoleImage       Role = "image"
	RoleSignature   Role = "signature"
	RoleAttestation Role = "attestation"
	RoleSBOM        Role = "sbom"
	RoleVEX         Role = "vex"
	RoleUnsupported Role = "unsupported"
)

// Accessory reports whether artifacts of this role are evidence about another
// artifact: they are read with the subject's access rules only.
func (r Role) Accessory() bool {
	switch r {
	case RoleSignature, RoleAttestation, RoleSBOM, RoleVEX:
		return true
	default:
		return false
	}
}

// Descriptor names content as the image-spec does.
type Descriptor struct {
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// Platform is what an index says that a child runs on.
type Platform struct {
	OS           string `json:"os,omitempty"`
	Architecture string `json:"architecture,omitempty"`
	Variant      string `json:"variant,omitempty"`
}

// Child is one manifest of an index.
type Child struct {
	Descriptor
	Platform Platform `json:"platform"`
}

// ImageConfig is what the image's configuration says of it.
type ImageConfig struct {
	OS           string            `json:"os,omitempty"`
	Architecture string            `json:"architecture,omitempty"`
	User         string            `json:"user,omitempty"`
	Created      time.Time         `json:"created,omitzero"`
	Labels       map[string]string `json:"labels,omitempty"`
	EnvNames     []string          `json:"env_names,omitempty"`
	ExposedPorts []string          `json:"exposed_ports,omitempty"`
}

// Artifact is what is known of one manifest in one repository. The first part
// follows from the bytes alone; the second is the index's. It is immutable once
// it is handed out: many requests share one.
type Artifact struct {
	Repository Repository `json:"-"`

	// Digest is the canonical (sha256) digest; Aliases are other digests that
	// clients named the same bytes by.
	Digest  digest.Digest   `json:"digest"`
	Aliases []digest.Digest `json:"aliases,omitempty"`
	// Named is the alias that the first push used, and by which a tag's digest is
	// told; empty when that was Digest.
	Named        digest.Digest     `json:"named,omitempty"`
	MediaType    string            `json:"media_type"`
	ArtifactType string            `json:"artifact_type,omitempty"`
	Kind         ArtifactKind      `json:"kind"`
	Role         Role              `json:"role"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	// ConfigBlob is the config's descriptor; nil for an index.
	ConfigBlob *Descriptor `json:"config_blob,omitempty"`
	// Config is the parsed configuration of an image; nil when the artifact has none.
	Config *ImageConfig `json:"config,omitempty"`
	Layers []Descriptor `json:"layers,omitempty"`
	// Manifests are the children of an index.
	Manifests []Child `json:"manifests,omitempty"`
	// Subject is the manifest that this one refers to; nil for none.
	Subject *Descriptor `json:"subject,omitempty"`

	// Tags are all the tags on the digest in the repository, sorted: a pull by
	// digest evades no rule about tags.
	Tags []string `json:"-"`
	// Parents are the indexes of the repository that list the digest.
	Parents []digest.Digest `json:"-"`
	// Referrers counts the manifests of the repository whose subject this is.
	Referrers int       `json:"-"`
	PushedAt  time.Time `json:"-"`
	PushedBy  string    `json:"-"`
	// Missing are blobs or children that the repository does not have; known
	// at a push only.
	Missing []digest.Digest `json:"-"`

	stamp uint64
}

var stamps atomic.Uint64

// Seal marks the artifact as complete and returns it. Every reading of an
// artifact from the index is sealed once, so that two readings that may differ
// never share an entry of the decision cache.
func (a *Artifact) Seal() *Artifact {
	a.stamp = stamps.Add(1)
	return a
}

// TagMove is a tag and the digest that it had when the decision was made, empty
// for none. A store moves the tag only if that still holds.
type TagMove struct {
	Tag  string
	From digest.Digest
}
