// Package ociroute reads the method and the escaped path of a request as one
// operation of the distribution-spec. It is pure data: the same bytes give the
// same route or the same refusal, always.
//
// The grammar lets a repository's name contain components such as "blobs",
// "manifests" or "tags", so the operation is found from the right and what is
// left of it is the name. Nothing is decoded, cleaned or redirected: a path with
// an escape, an empty component or dots for components is refused, not
// repaired. The only escape that is read is that of the colon in a digest, since
// clients send it.
//
// It refuses to know who asks and whether anything exists. It imports nothing of
// ours, and the gateway's packages may import it.
package ociroute

import (
	"net/http"
	"strings"
)

// Kind is what a path names.
type Kind int

// The kinds of path. The zero Kind is none.
const (
	None Kind = iota
	// Ping is /v2/.
	Ping
	// Catalog is /v2/_catalog.
	Catalog
	// Tags is /v2/NAME/tags/list.
	Tags
	// Referrers is /v2/NAME/referrers/DIGEST.
	Referrers
	// ManifestByTag is /v2/NAME/manifests/TAG.
	ManifestByTag
	// ManifestByDigest is /v2/NAME/manifests/DIGEST.
	ManifestByDigest
	// Blob is /v2/NAME/blobs/DIGEST.
	Blob
	// Uploads is /v2/NAME/blobs/uploads/.
	Uploads
	// Mounts is /v2/NAME/blobs/uploads/ with a "mount" in the query.
	Mounts
	// Upload is /v2/NAME/blobs/uploads/ID.
	Upload

	kinds
)

// Route is one operation on one thing.
type Route struct {
	// Action is the policy contract's name of the operation.
	Action string
	Kind   Kind
	// Name is the repository's whole name; empty for Ping and Catalog.
	Name string
	// Tag, Digest and Upload are set for the kinds that have them. Digest is
	// "sha256:…" or "sha512:…" with the right number of lower case digits.
	Tag, Digest, Upload string
	// Query is the query as it came, checked to be well-formed.
	Query string
}

// Operation is one row of the route table.
type Operation struct {
	Kind    Kind
	Method  string
	Pattern string
	Action  string
}

var table = []Operation{
	{Ping, http.MethodGet, "/v2/", "registry.ping"},
	{Ping, http.MethodHead, "/v2/", "registry.ping"},
	{Catalog, http.MethodGet, "/v2/_catalog", "catalog.list"},
	{Tags, http.MethodGet, "/v2/<name>/tags/list", "tags.list"},
	{Referrers, http.MethodGet, "/v2/<name>/referrers/<digest>", "referrers.list"},
	{ManifestByTag, http.MethodGet, "/v2/<name>/manifests/<tag>", "manifest.pull"},
	{ManifestByTag, http.MethodHead, "/v2/<name>/manifests/<tag>", "manifest.pull"},
	{ManifestByTag, http.MethodPut, "/v2/<name>/manifests/<tag>", "manifest.push"},
	{ManifestByTag, http.MethodDelete, "/v2/<name>/manifests/<tag>", "tag.delete"},
	{ManifestByDigest, http.MethodGet, "/v2/<name>/manifests/<digest>", "manifest.pull"},
	{ManifestByDigest, http.MethodHead, "/v2/<name>/manifests/<digest>", "manifest.pull"},
	{ManifestByDigest, http.MethodPut, "/v2/<name>/manifests/<digest>", "manifest.push"},
	{ManifestByDigest, http.MethodDelete, "/v2/<name>/manifests/<digest>", "manifest.delete"},
	{Blob, http.MethodGet, "/v2/<name>/blobs/<digest>", "blob.pull"},
	{Blob, http.MethodHead, "/v2/<name>/blobs/<digest>", "blob.pull"},
	{Blob, http.MethodDelete, "/v2/<name>/blobs/<digest>", "blob.delete"},
	{Uploads, http.MethodPost, "/v2/<name>/blobs/uploads/", "blob.push"},
	{Mounts, http.MethodPost, "/v2/<name>/blobs/uploads/?mount=<digest>", "blob.mount"},
	{Upload, http.MethodGet, "/v2/<name>/blobs/uploads/<id>", "upload.status"},
	{Upload, http.MethodHead, "/v2/<name>/blobs/uploads/<id>", "upload.status"},
	{Upload, http.MethodPatch, "/v2/<name>/blobs/uploads/<id>", "blob.push"},
	{Upload, http.MethodPut, "/v2/<name>/blobs/uploads/<id>", "blob.push"},
	{Upload, http.MethodDelete, "/v2/<name>/blobs/uploads/<id>", "upload.cancel"},
}

// Table is every operation that there is. What is not in it does not exist.
func Table() []Operation { return append([]Operation(nil), table...) }

// Reason says why a request is no route.
type Reason int

// The reasons of a refusal.
const (
	// NotFound: the path is not one of the protocol's.
	NotFound Reason = iota + 1
	// NameInvalid: the repository's name breaks the grammar.
	NameInvalid
	// TagInvalid: the tag breaks the grammar.
	TagInvalid
	// DigestInvalid: the digest is malformed or of an algorithm that is not known.
	DigestInvalid
	// UploadInvalid: the upload's id breaks the grammar.
	UploadInvalid
	// MethodInvalid: the path is there and cannot be asked this.
	MethodInvalid
	// QueryInvalid: the query is malformed, or says one thing twice.
	QueryInvalid
)

// Error is a refusal.
type Error struct {
	Reason Reason
	// Kind is what the path names, as far as it could be read.
	Kind Kind
	// Allow lists the methods that the path has, for MethodInvalid.
	Allow string
	text  string
}

// Error is one line for a person; it repeats nothing of the request.
func (e *Error) Error() string { return e.text }

var (
	errNotFound = &Error{Reason: NotFound, text: "there is nothing at this path"}
	errQuery    = &Error{Reason: QueryInvalid, text: "the query is malformed or repeats a parameter"}
	errName     = &Error{Reason: NameInvalid, text: "the repository's name is not valid: lower case letters, digits, separators and slashes, 255 characters at most"}
)

// Parse reads a request. path is the escaped path as it came over the wire
// (URL.EscapedPath), query the raw query. A refusal is an [*Error].
func Parse(method, path, query string) (Route, error) {
	r, err := parsePath(path)
	if err != nil {
		return Route{}, err
	}
	mount, err := parseQuery(query)
	if err != nil {
		return Route{}, err
	}
	if r.Kind == Uploads && mount && method == http.MethodPost {
		r.Kind = Mounts
	}
	for i := range table {
		if table[i].Kind == r.Kind && table[i].Method == method {
			r.Action, r.Query = table[i].Action, query
			return r, nil
		}
	}
	return Route{}, &Error{Reason: MethodInvalid, Kind: r.Kind, Allow: methods(r.Kind), text: "the path cannot be asked this: use " + methods(r.Kind)}
}

func methods(k Kind) string {
	var b strings.Builder
	for _, op := range table {
		if op.Kind == k {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.WriteString(op.Method)
		}
	}
	return b.String()
}

func parsePath(path string) (Route, error) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	switch {
	case path == "/v2", ok && rest == "":
		return Route{Kind: Ping}, nil
	case !ok:
		return Route{}, errNotFound
	case rest == "_catalog":
		return Route{Kind: Catalog}, nil
	}
	if name, ok := strings.CutSuffix(rest, "/blobs/uploads/"); ok {
		return named(Route{Kind: Uploads, Name: name})
	}
	if name, ok := strings.CutSuffix(rest, "/blobs/uploads"); ok {
		return named(Route{Kind: Uploads, Name: name})
	}
	if name, ok := strings.CutSuffix(rest, "/tags/list"); ok {
		return named(Route{Kind: Tags, Name: name})
	}
	cut := strings.LastIndexByte(rest, '/')
	if cut < 0 {
		return Route{}, errNotFound
	}
	before, last := rest[:cut], rest[cut+1:]
	if name, ok := strings.CutSuffix(before, "/blobs/uploads"); ok {
		r, err := named(Route{Kind: Upload, Name: name, Upload: last})
		if err == nil && !ValidUpload(last) {
			err = &Error{Reason: UploadInvalid, Kind: Upload, text: "the upload's id is not valid"}
		}
		return r, err
	}
	if name, ok := strings.CutSuffix(before, "/manifests"); ok {
		return manifest(name, last)
	}
	if name, ok := strings.CutSuffix(before, "/blobs"); ok {
		return digested(Route{Kind: Blob, Name: name}, last)
	}
	if name, ok := strings.CutSuffix(before, "/referrers"); ok {
		return digested(Route{Kind: Referrers, Name: name}, last)
	}
	return Route{}, errNotFound
}

func named(r Route) (Route, error) {
	if !ValidName(r.Name) {
		return Route{}, errName
	}
	return r, nil
}

func manifest(name, reference string) (Route, error) {
	if strings.Contains(unescapeColon(reference), ":") {
		return digested(Route{Kind: ManifestByDigest, Name: name}, reference)
	}
	r, err := named(Route{Kind: ManifestByTag, Name: name, Tag: reference})
	if err == nil && !ValidTag(reference) {
		err = &Error{Reason: TagInvalid, Kind: ManifestByTag, text: "the tag is not valid: letters, digits, '_', '.' and '-', 128 characters at most"}
	}
	return r, err
}

func digested(r Route, reference string) (Route, error) {
	r, err := named(r)
	if err != nil {
		return r, err
	}
	r.Digest = unescapeColon(reference)
	if !ValidDigest(r.Digest) {
		return r, &Error{Reason: DigestInvalid, Kind: r.Kind, text: "the digest is not valid: sha256 or sha512 and its hexadecimal digits"}
	}
	return r, nil
}

// unescapeColon reads the one escape that clients send in a digest.
func unescapeColon(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	if alg, hex, ok := strings.Cut(s, "%3A"); ok {
		return alg + ":" + hex
	}
	if alg, hex, ok := strings.Cut(s, "%3a"); ok {
		return alg + ":" + hex
	}
	return s
}
