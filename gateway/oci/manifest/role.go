package manifest

import (
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// accessories is the closed list of layer media types that are evidence about
// something else and nothing that can run. A type that is not on it gives no
// role, whatever it is called.
var accessories = map[string]policy.Role{
	"application/vnd.dev.cosign.simplesigning.v1+json":     policy.RoleSignature,
	"application/vnd.dev.sigstore.bundle.v0.1+json":        policy.RoleSignature,
	"application/vnd.dev.sigstore.bundle.v0.2+json":        policy.RoleSignature,
	"application/vnd.dev.sigstore.bundle.v0.3+json":        policy.RoleSignature,
	"application/vnd.dev.sigstore.bundle+json;version=0.1": policy.RoleSignature,
	"application/vnd.dev.sigstore.bundle+json;version=0.2": policy.RoleSignature,
	"application/vnd.dev.sigstore.bundle+json;version=0.3": policy.RoleSignature,
	"application/jose+json":                                policy.RoleSignature, // notary, JWS
	"application/cose":                                     policy.RoleSignature, // notary, COSE
	"application/vnd.dsse.envelope.v1+json":                policy.RoleAttestation,
	"application/vnd.in-toto+json":                         policy.RoleAttestation,
	"application/spdx+json":                                policy.RoleSBOM,
	"application/vnd.cyclonedx+json":                       policy.RoleSBOM,
	"application/vnd.cyclonedx+xml":                        policy.RoleSBOM,
	"application/vnd.cyclonedx":                            policy.RoleSBOM, // cosign
	"application/vnd.syft+json":                            policy.RoleSBOM, // cosign
	"text/spdx":                                            policy.RoleSBOM, // cosign
	"text/spdx+json":                                       policy.RoleSBOM, // cosign
	"text/spdx+xml":                                        policy.RoleSBOM, // cosign
	"application/vnd.openvex+json":                         policy.RoleVEX,
	"application/vex+json":                                 policy.RoleVEX,
	"application/csaf+json":                                policy.RoleVEX,
}

// classify says what a manifest is from its media types. An accessory has
// nothing but layers of the closed list. Everything with a filesystem in it, or
// configured as an image, is an image; the rest is nothing that we know.
func classify(config string, layers []policy.Descriptor) (policy.ArtifactKind, policy.Role) {
	if role, ok := accessory(layers); ok {
		if IsImageConfig(config) {
			return policy.KindImage, role
		}
		return policy.KindArtifact, role
	}
	if IsImageConfig(config) || loose[config] {
		return policy.KindImage, policy.RoleImage
	}
	for _, l := range layers {
		if filesystem(l.MediaType) {
			return policy.KindImage, policy.RoleImage
		}
	}
	return policy.KindArtifact, policy.RoleUnsupported
}

// loose are the types of a config that tell nothing and that docker runs as an
// image, whatever the types of its layers are: old registries sent them.
var loose = map[string]bool{"application/octet-stream": true, "application/json": true, "text/html": true}

// accessory is the role of a manifest whose every layer is on the list. Where
// layers differ the most telling one gives it: a signature before an attestation
// before the documents.
func accessory(layers []policy.Descriptor) (policy.Role, bool) {
	if len(layers) == 0 {
		return "", false
	}
	seen := map[policy.Role]bool{}
	for _, l := range layers {
		role, ok := accessories[l.MediaType]
		if !ok {
			return "", false
		}
		seen[role] = true
	}
	for _, role := range []policy.Role{policy.RoleSignature, policy.RoleAttestation, policy.RoleVEX} {
		if seen[role] {
			return role, true
		}
	}
	return policy.RoleSBOM, true
}

// filesystem reports whether a layer is one that a runtime unpacks. It is wide on
// purpose: what is taken for an image is judged as one, and some ignore case.
func filesystem(mediaType string) bool {
	mediaType = strings.ToLower(mediaType)
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.")
}

// foreign reports whether a layer's type says that it lives elsewhere.
func foreign(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.nondistributable.") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.foreign.")
}

// IsImageConfig reports whether a config of this type is an image's configuration.
func IsImageConfig(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.config.v1+json" || mediaType == "application/vnd.docker.container.image.v1+json"
}
