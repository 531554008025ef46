// Package manifest reads image manifests, indexes and image configurations, the
// way the strictest of their readers would.
//
// What is judged here is later read by docker, containerd, podman and others,
// each with a JSON reader of its own. So whatever two readers could read
// differently is refused: a key that is there twice, or twice but for its case,
// a field's name in the wrong case, text that is not UTF-8, a byte order mark,
// data after the end, an image that is also an index, a media type that is not
// the one that the client says. What is accepted has one meaning.
//
// It refuses to know whether what a manifest names exists, who pushes it and
// what it is called: an artifact's role comes from its layers' media types and
// from nothing else. Only gateway/oci and cmd/bondgate (for a reindex) import it.
package manifest

import (
	_ "crypto/sha512" // descriptors may name content by sha512
	"encoding/json"
	"fmt"
	"mime"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// The limits of one manifest.
const (
	// MaxSize is the largest manifest in bytes.
	MaxSize = 4 << 20
	// MaxDescriptors is how many layers, or children, a manifest may have.
	MaxDescriptors = 1000
	// MaxAnnotations is how many annotations one object may have.
	MaxAnnotations = 1000
	// maxDepth is how deep objects and lists may nest.
	maxDepth = 32
	// maxMediaType is the longest media type.
	maxMediaType = 255
)

// The four types of manifest that there are.
const (
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// Manifest is what the bytes of a manifest say.
type Manifest struct {
	// Artifact has everything that follows from the bytes alone: its digest is
	// the sha256 of the body. The configuration is not in it yet.
	Artifact *policy.Artifact
	// External are layers that live elsewhere: they carry URLs, or may not be
	// distributed, and a registry need not have them.
	External map[digest.Digest]bool
}

type document struct {
	SchemaVersion *int              `json:"schemaVersion"`
	MediaType     *string           `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Manifests     []descriptor      `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         *int64            `json:"size"`
	URLs         []string          `json:"urls"`
	Annotations  map[string]string `json:"annotations"`
	Data         *[]byte           `json:"data"`
	ArtifactType string            `json:"artifactType"`
	Platform     *platform         `json:"platform"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// Parse reads a manifest. contentType is what the client says that it is, with
// or without parameters; empty when nobody said, as in a reindex. It fails with
// [policy.ErrTooLarge] beyond [MaxSize] and with [policy.ErrInvalid], and the
// reason in words, for everything else.
func Parse(contentType string, body []byte) (*Manifest, error) {
	if len(body) > MaxSize {
		return nil, fmt.Errorf("a manifest of %d bytes, %d are allowed: %w", len(body), MaxSize, policy.ErrTooLarge)
	}
	top, err := scan(body, manifestFields)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"fsLayers", "signatures", "history", "blobs"} {
		if top[key] {
			return nil, invalid("%q belongs to a type of manifest that is not served", key)
		}
	}
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, invalid("a field has the wrong type: %v", err)
	}
	if doc.SchemaVersion == nil || *doc.SchemaVersion != 2 {
		return nil, invalid("schemaVersion must be 2")
	}
	mediaType, err := typeOf(contentType, doc, top)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Artifact: &policy.Artifact{
		Digest: digest.FromBytes(body), MediaType: mediaType, Size: int64(len(body)),
		ArtifactType: doc.ArtifactType, Annotations: doc.Annotations,
	}}
	if err := m.fill(doc); err != nil {
		return nil, err
	}
	return m, nil
}

// typeOf finds the media type: what the body says, what the client says and what
// the body's shape shows must be one thing.
func typeOf(contentType string, doc document, top map[string]bool) (string, error) {
	index := top["manifests"]
	if index && (top["layers"] || top["config"]) {
		return "", invalid("it is an image and an index at once")
	}
	if !index && !top["config"] {
		return "", invalid("it has neither a config nor manifests")
	}
	said := ""
	if contentType != "" {
		parsed, _, err := mime.ParseMediaType(contentType)
		if err != nil {
			return "", invalid("the Content-Type is not a media type")
		}
		said = parsed
	}
	var mediaType string
	switch {
	case doc.MediaType != nil:
		mediaType = *doc.MediaType
	case top["mediaType"]:
		return "", invalid("mediaType is null")
	case said == DockerManifest || said == DockerList:
		// Docker's types name themselves; without that, one body could be served
		// as two types.
		return "", invalid("mediaType is missing")
	case index:
		mediaType = OCIIndex
	default:
		mediaType = OCIManifest
	}
	if said != "" && said != mediaType {
		return "", invalid("the Content-Type is %q, the manifest's mediaType is %q", said, mediaType)
	}
	switch mediaType {
	case OCIIndex, DockerList:
		if !index {
			return "", invalid("an index without manifests")
		}
	case OCIManifest, DockerManifest:
		if index {
			return "", invalid("an image with the fields of an index")
		}
	default:
		return "", invalid("the type %q is not served", mediaType)
	}
	return mediaType, nil
}

func (m *Manifest) fill(doc document) error {
	a := m.Artifact
	if len(doc.Annotations) > MaxAnnotations {
		return invalid("more than %d annotations", MaxAnnotations)
	}
	if a.ArtifactType != "" && !validMediaType(a.ArtifactType) {
		return invalid("artifactType is not a media type")
	}
	if doc.Subject != nil {
		subject, err := doc.Subject.check("the subject")
		if err != nil {
			return err
		}
		a.Subject = &subject
	}
	if a.MediaType == OCIIndex || a.MediaType == DockerList {
		return m.fillIndex(doc)
	}
	return m.fillImage(doc)
}

func (m *Manifest) fillIndex(doc document) error {
	a := m.Artifact
	a.Kind, a.Role = policy.KindIndex, policy.RoleImage
	if len(doc.Manifests) > MaxDescriptors {
		return invalid("%d manifests, %d are allowed", len(doc.Manifests), MaxDescriptors)
	}
	for i := range doc.Manifests {
		d := &doc.Manifests[i]
		checked, err := d.check(fmt.Sprintf("manifest %d", i))
		if err != nil {
			return err
		}
		child := policy.Child{Descriptor: checked}
		if d.Platform != nil {
			child.Platform = policy.Platform(*d.Platform)
		}
		a.Manifests = append(a.Manifests, child)
	}
	return nil
}

func (m *Manifest) fillImage(doc document) error {
	a := m.Artifact
	if doc.Config == nil {
		return invalid("config is null")
	}
	config, err := doc.Config.check("the config")
	if err != nil {
		return err
	}
	a.ConfigBlob = &config
	if len(doc.Layers) > MaxDescriptors {
		return invalid("%d layers, %d are allowed", len(doc.Layers), MaxDescriptors)
	}
	for i := range doc.Layers {
		d := &doc.Layers[i]
		layer, err := d.check(fmt.Sprintf("layer %d", i))
		if err != nil {
			return err
		}
		if len(d.URLs) > 0 || foreign(layer.MediaType) {
			if m.External == nil {
				m.External = map[digest.Digest]bool{}
			}
			m.External[layer.Digest] = true
		}
		a.Layers = append(a.Layers, layer)
	}
	a.Kind, a.Role = classify(config.MediaType, a.Layers)
	return nil
}

// check turns a descriptor as it was read into one that can be relied on.
func (d *descriptor) check(what string) (policy.Descriptor, error) {
	out := policy.Descriptor{
		Digest: digest.Digest(d.Digest), MediaType: d.MediaType, ArtifactType: d.ArtifactType, Annotations: d.Annotations,
	}
	if !served(out.Digest) {
		return out, invalid("%s has no valid sha256 or sha512 digest", what)
	}
	if d.Size == nil || *d.Size < 0 {
		return out, invalid("%s has no size", what)
	}
	out.Size = *d.Size
	if !validMediaType(d.MediaType) {
		return out, invalid("%s has no valid mediaType", what)
	}
	if d.ArtifactType != "" && !validMediaType(d.ArtifactType) {
		return out, invalid("%s has no valid artifactType", what)
	}
	if len(d.Annotations) > MaxAnnotations {
		return out, invalid("%s has more than %d annotations", what, MaxAnnotations)
	}
	// Clients may take the embedded data for the content: it has to be that.
	if d.Data != nil && (int64(len(*d.Data)) != out.Size || out.Digest.Algorithm().FromBytes(*d.Data) != out.Digest) {
		return out, invalid("%s embeds data that is not its content", what)
	}
	return out, nil
}

// served reports whether d is a digest of an algorithm that we verify.
func served(d digest.Digest) bool {
	if d.Validate() != nil {
		return false
	}
	return d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512
}

// validMediaType is type "/" subtype of printable characters: it goes into
// headers and documents as it is.
func validMediaType(s string) bool {
	if len(s) < 3 || len(s) > maxMediaType {
		return false
	}
	slash := -1
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>':
			return false
		case c == '/' && slash < 0:
			slash = i
		}
	}
	return slash > 0 && slash < len(s)-1
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), policy.ErrInvalid)
}
