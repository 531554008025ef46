package policy

import "time"

// evidenceGroups are the fact groups about an artifact that come from evidence.
// Nothing produces them yet in this build, and a group that is not there is
// never undefined: a rule that needs one is answered by bondgate.fact_missing.
var evidenceGroups = []string{"signatures", "attestations", "sbom", "vulnerabilities", "vex", "vsa"}

func artifactDoc(a *Artifact, r *Request) map[string]any {
	doc := map[string]any{
		"digest": string(a.Digest), "tags": stringsDoc(a.Tags), "media_type": a.MediaType,
		"artifact_type": a.ArtifactType, "kind": string(a.Kind), "role": string(a.Role), "size": a.Size,
		"subject_digest": nil, "index": indexDoc(a), "config": configDoc(a.Config),
		"config_media_type": nil,
		"annotations":       labelsDoc(a.Annotations), "layers": layersDoc(a.Layers),
		"pushed": pushedDoc(a, r.At), "base": baseDoc(a), "referrers_count": a.Referrers,
		"missing_blobs": digestsDoc(a.Missing),
	}
	if a.Subject != nil {
		doc["subject_digest"] = string(a.Subject.Digest)
	}
	if a.ConfigBlob != nil {
		doc["config_media_type"] = orNull(a.ConfigBlob.MediaType)
	}
	for _, group := range evidenceGroups {
		doc[group] = map[string]any{"status": "unsupported"}
	}
	if r.Action == TagDelete {
		doc["other_tags"] = otherTags(a.Tags, r.Reference.Value)
	}
	return doc
}

func otherTags(tags []string, without string) []any {
	out := []any{}
	for _, t := range tags {
		if t != without {
			out = append(out, t)
		}
	}
	return out
}

func indexDoc(a *Artifact) map[string]any {
	platforms := make([]any, 0, len(a.Manifests))
	for _, m := range a.Manifests {
		platforms = append(platforms, map[string]any{
			"os": m.Platform.OS, "architecture": m.Platform.Architecture,
			"variant": orNull(m.Platform.Variant), "digest": string(m.Digest), "media_type": m.MediaType,
		})
	}
	return map[string]any{"parents": digestsDoc(a.Parents), "platforms": platforms}
}

func configDoc(c *ImageConfig) any {
	if c == nil {
		return nil
	}
	doc := map[string]any{
		"os": orNull(c.OS), "architecture": orNull(c.Architecture), "user": c.User, "created": nil,
		"labels": labelsDoc(c.Labels), "env_names": stringsDoc(c.EnvNames), "exposed_ports": stringsDoc(c.ExposedPorts),
	}
	if !c.Created.IsZero() {
		doc["created"] = c.Created.UTC().Format(time.RFC3339)
	}
	return doc
}

func layersDoc(layers []Descriptor) []any {
	out := make([]any, 0, len(layers))
	for _, l := range layers {
		out = append(out, map[string]any{"digest": string(l.Digest), "size": l.Size, "media_type": l.MediaType})
	}
	return out
}

// pushedDoc is null while the artifact is being pushed: it has no age yet.
func pushedDoc(a *Artifact, at time.Time) any {
	if a.PushedAt.IsZero() {
		return nil
	}
	return map[string]any{
		"at": a.PushedAt.UTC().Format(time.RFC3339), "by": a.PushedBy, "age_s": ageSeconds(a.PushedAt, at),
	}
}

// ageSeconds counts whole seconds, and never less than none: a clock that went
// back makes nothing younger than just made.
func ageSeconds(from, at time.Time) int64 {
	return max(int64(at.Sub(from.Truncate(time.Second))/time.Second), 0)
}

// The annotations by which an image names its base (image-spec, "Pre-Defined
// Annotation Keys").
const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
)

// baseDoc is what the image says of its base. It is the pusher's word: no
// layer was compared.
func baseDoc(a *Artifact) map[string]any {
	name, dgst := a.Annotations[baseName], a.Annotations[baseDigest]
	if name == "" && dgst == "" && a.Config != nil {
		name, dgst = a.Config.Labels[baseName], a.Config.Labels[baseDigest]
	}
	if name == "" && dgst == "" {
		return map[string]any{"status": "absent"}
	}
	return map[string]any{
		"status": "ok", "source": "annotation", "name": orNull(name), "digest": orNull(dgst), "age_s": nil, "latest": nil,
	}
}
