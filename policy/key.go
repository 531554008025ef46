package policy

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"sync"
)

// The key of the decision cache is the exact input, not a hash of it that could
// collide: every part of a request that [Document] can show, in a form that is
// unambiguous (lengths before values), projected on what the bundle can read.
//
// What is not in the key is a function of what is: roles, project, packs, waivers
// and a grant for an emergency follow from principal and repository under one
// revision of the directory and in one second; an artifact's facts from its stamp; the time from the second. A
// cache generation holds one directory revision, one bundle and one second.

// field is a part of the input that is in the key only when the bundle can read
// it: without that, two clients at two addresses would share no answer.
type field uint32

const (
	fieldMethod field = 1 << iota
	fieldPath
	fieldClientIP
	fieldUserAgent
	fieldHost
	fieldBlobDigest
	fieldBlobSize
	fieldBlobManifest
	fieldUploadSession
	fieldUploadSize
	fieldUploadDigest
	fieldPeerSPIFFE
)

const allFields = field(1<<12 - 1)

// fieldPaths says where in the input each optional field stands.
var fieldPaths = map[field]string{
	fieldMethod:        "request.method",
	fieldPath:          "request.path",
	fieldClientIP:      "request.client_ip",
	fieldUserAgent:     "request.user_agent",
	fieldHost:          "request.host",
	fieldBlobDigest:    "blob.digest",
	fieldBlobSize:      "blob.size",
	fieldBlobManifest:  "blob.manifest",
	fieldUploadSession: "upload.session",
	fieldUploadSize:    "upload.declared_size",
	fieldUploadDigest:  "upload.digest",
	fieldPeerSPIFFE:    "request.tls",
}

// readable finds which optional fields a bundle that reads the given paths can
// see. Nil paths mean that it may read everything.
func readable(paths []string) field {
	if paths == nil {
		return allFields
	}
	var out field
	for f, at := range fieldPaths {
		for _, p := range paths {
			if overlap(p, at) {
				out |= f
				break
			}
		}
	}
	return out
}

// PathsOverlap reports whether one dotted path of the input is the other or a part
// of it; an empty one is all of the input.
func PathsOverlap(a, b string) bool { return b == "" || b == "input" || overlap(a, b) }

// overlap reports whether one dotted path is the other or a part of it.
func overlap(a, b string) bool {
	a, b = strings.TrimPrefix(a, "input."), strings.TrimPrefix(b, "input.")
	if a == "" || a == "input" {
		return true
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	return strings.HasPrefix(b, a) && (len(a) == len(b) || b[len(a)] == '.')
}

// keyable reports whether equal requests may share an answer. Management calls
// are decided and written one by one. An artifact that was never sealed has no
// identity to be told apart by.
func keyable(r *Request) bool {
	return r.Admin == nil && (r.Artifact == nil || r.Artifact.stamp != 0)
}

var keyBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// appendKey appends the key of r. Each part has its length before it, and each
// optional part a marker, so no two different requests have one key.
func appendKey(b []byte, r *Request, read field) []byte {
	b = appendString(b, string(r.Action))
	b = appendString(b, string(purposeOf(r)))
	b = appendPrincipal(b, &r.Principal)
	b = appendString(b, r.Repository.Workspace)
	b = appendString(b, r.Repository.Name)
	b = appendString(b, r.Reference.Kind)
	b = appendString(b, r.Reference.Value)
	b = appendString(b, string(r.Reference.Current))
	if r.Artifact != nil {
		b = binary.AppendUvarint(b, r.Artifact.stamp)
	} else {
		b = append(b, 0)
	}
	b = appendHTTP(b, &r.HTTP, read)
	b = appendBlob(b, r.Blob, read)
	b = appendUpload(b, r.Upload, read)
	return appendRare(b, r)
}

func appendPrincipal(b []byte, p *Principal) []byte {
	b = appendString(b, p.Workspace)
	b = appendString(b, p.Issuer)
	b = appendString(b, p.ID)
	b = appendString(b, p.Name)
	b = appendString(b, string(p.Kind))
	b = appendString(b, p.Auth)
	b = appendString(b, p.Credential)
	b = appendStrings(b, p.Groups)
	if len(p.Claims) == 0 {
		return append(b, 0)
	}
	// Marshal sorts the names, so equal claims are equal bytes.
	raw, err := json.Marshal(p.Claims)
	if err != nil {
		raw = nil
	}
	return appendString(append(b, 1), string(raw))
}

func appendHTTP(b []byte, h *HTTP, read field) []byte {
	for _, part := range [...]struct {
		f field
		v string
	}{
		{fieldMethod, h.Method}, {fieldPath, h.Path}, {fieldClientIP, h.ClientIP},
		{fieldUserAgent, h.UserAgent}, {fieldHost, h.Host}, {fieldPeerSPIFFE, h.PeerSPIFFE},
	} {
		if read&part.f != 0 {
			b = appendString(b, part.v)
		}
	}
	return b
}

func appendBlob(b []byte, blob *Blob, read field) []byte {
	if blob == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	if read&fieldBlobDigest != 0 {
		b = appendString(b, string(blob.Digest))
	}
	if read&fieldBlobSize != 0 {
		b = binary.AppendVarint(b, blob.Size)
	}
	if read&fieldBlobManifest != 0 {
		b = appendString(b, string(blob.Manifest))
	}
	return b
}

func appendUpload(b []byte, u *Upload, read field) []byte {
	if u == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	if read&fieldUploadSession != 0 {
		b = appendString(b, u.Session)
	}
	if read&fieldUploadSize != 0 {
		b = binary.AppendVarint(b, u.DeclaredSize)
	}
	if read&fieldUploadDigest != 0 {
		b = appendString(b, string(u.Digest))
	}
	return b
}

// appendRare appends the parts that few requests have.
func appendRare(b []byte, r *Request) []byte {
	if m := r.Mount; m != nil {
		b = append(b, 1)
		b = appendString(b, m.From.Workspace)
		b = appendString(b, m.From.Name)
		b = appendBool(b, m.SubjectCanPullFrom)
		b = binary.AppendUvarint(b, uint64(len(m.Manifests)))
		for _, d := range m.Manifests {
			b = appendString(b, string(d))
		}
	} else {
		b = append(b, 0)
	}
	if q := r.Referrers; q != nil {
		b = binary.AppendVarint(appendString(append(b, 1), q.ArtifactType), int64(q.Count))
	} else {
		b = append(b, 0)
	}
	if t := r.Token; t != nil {
		b = appendString(append(b, 1), t.Service)
		b = binary.AppendUvarint(b, uint64(len(t.Requested)))
		for _, s := range t.Requested {
			b = appendString(b, s.Type)
			b = appendString(b, s.Name)
			b = appendStrings(b, s.Actions)
		}
		b = binary.AppendVarint(b, int64(t.TTL))
		b = appendString(appendBool(b, t.Offline), t.Auto)
	} else {
		b = append(b, 0)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendStrings(b []byte, in []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(in)))
	for _, s := range in {
		b = appendString(b, s)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
