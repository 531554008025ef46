package registry

import (
	"strings"
)

// The layout is distribution's: content once under blobs, and one small link
// file in each repository that holds it.
const (
	layoutRoot       = "/docker/registry/v2"
	repositoriesRoot = layoutRoot + "/repositories"
	blobsRoot        = layoutRoot + "/blobs"
	// workspacesRoot holds one whole layout for each workspace but the default.
	workspacesRoot = "/workspaces"

	sha256Prefix = "sha256:"
	sha256Hex    = 64
	maxName      = 255
)

func hexOf(d string) string { return d[len(sha256Prefix):] }

func blobPath(d string) string {
	h := hexOf(d)
	return blobsRoot + "/sha256/" + h[:2] + "/" + h + "/data"
}

func layersPath(name string) string { return repositoriesRoot + "/" + name + "/_layers" }
func revisionsPath(name string) string {
	return repositoriesRoot + "/" + name + "/_manifests/revisions"
}
func tagsPath(name string) string    { return repositoriesRoot + "/" + name + "/_manifests/tags" }
func uploadsPath(name string) string { return repositoriesRoot + "/" + name + "/_uploads" }

func layerLink(name, d string) string { return layersPath(name) + "/sha256/" + hexOf(d) + "/link" }
func revisionLink(name, d string) string {
	return revisionsPath(name) + "/sha256/" + hexOf(d) + "/link"
}
func tagPath(name, tag string) string { return tagsPath(name) + "/" + tag }
func tagLink(name, tag string) string { return tagPath(name, tag) + "/current/link" }
func tagIndexLink(name, tag, d string) string {
	return tagPath(name, tag) + "/index/sha256/" + hexOf(d) + "/link"
}

func uploadPath(name, id string) string    { return uploadsPath(name) + "/" + id }
func uploadData(name, id string) string    { return uploadPath(name, id) + "/data" }
func uploadStarted(name, id string) string { return uploadPath(name, id) + "/startedat" }

// validName is distribution's grammar of a repository path: components of
// lower-case letters and digits, parted by one '.', one or two '_' or any
// number of '-'. Nothing that passes can leave its folder: a component neither
// begins nor ends with a separator, so ".", "..", "" and "_layers" are none.
func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for component := range strings.SplitSeq(name, "/") {
		if !validComponent(component) {
			return false
		}
	}
	return true
}

func validComponent(c string) bool {
	if c == "" || !alphanumeric(c[0]) || !alphanumeric(c[len(c)-1]) {
		return false
	}
	for i := 0; i < len(c); {
		if alphanumeric(c[i]) {
			i++
			continue
		}
		sep, start := c[i], i
		for i < len(c) && c[i] == sep {
			i++
		}
		// c ends alphanumerically, so c[i] exists; a second kind of separator
		// right after the first is not in the grammar.
		if !alphanumeric(c[i]) {
			return false
		}
		run := i - start
		switch {
		case sep == '-', sep == '_' && run <= 2, sep == '.' && run == 1:
		default:
			return false
		}
	}
	return true
}

func alphanumeric(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }

func validWorkspace(name string) bool {
	if name == "" || len(name) > 63 || !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		return false
	}
	for i := range len(name) {
		if !alphanumeric(name[i]) && name[i] != '-' {
			return false
		}
	}
	return true
}

// validTag is [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func validTag(tag string) bool {
	if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for i := range len(tag) {
		b := tag[i]
		if !alphanumeric(b) && !(b >= 'A' && b <= 'Z') && b != '_' && b != '.' && b != '-' {
			return false
		}
	}
	return true
}

func validDigest(d string) bool {
	return len(d) == len(sha256Prefix)+sha256Hex && strings.HasPrefix(d, sha256Prefix) && validHex(hexOf(d))
}

func validHex(s string) bool {
	for i := range len(s) {
		if !(s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f') {
			return false
		}
	}
	return len(s) == sha256Hex
}

// validUpload is the form in which ids are made: a lower-case UUID.
func validUpload(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		switch i {
		case 8, 13, 18, 23:
			if id[i] != '-' {
				return false
			}
		default:
			if !(id[i] >= '0' && id[i] <= '9' || id[i] >= 'a' && id[i] <= 'f') {
				return false
			}
		}
	}
	return true
}

// clip keeps a hostile name from filling a log line.
func clip(s string) string {
	if len(s) > maxName {
		return s[:maxName] + "…"
	}
	return s
}
