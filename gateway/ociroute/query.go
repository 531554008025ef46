package ociroute

import (
	"net/url"
	"strings"
)

// maxQuery bounds the query: a hundred tags of full length and a signed state.
const maxQuery = 32 << 10

// once are the parameters that may appear at most once: where two readers could
// take different ones, none is taken.
var once = []string{"digest", "digest-algorithm", "mount", "from", "_state", "n", "last"}

// parseQuery checks a query and tells whether it asks for a mount.
func parseQuery(raw string) (mount bool, err error) {
	if raw == "" {
		return false, nil
	}
	if len(raw) > maxQuery {
		return false, errQuery
	}
	values, perr := url.ParseQuery(raw)
	if perr != nil {
		return false, errQuery
	}
	for _, key := range once {
		if len(values[key]) > 1 {
			return false, errQuery
		}
	}
	_, mount = values["mount"]
	return mount, nil
}

// Value is one parameter of a route's query, empty when it is not there.
func (r Route) Value(key string) string {
	if !strings.Contains(r.Query, key) {
		return ""
	}
	values, err := url.ParseQuery(r.Query)
	if err != nil { // Parse refused it already
		return ""
	}
	return values.Get(key)
}

// Values is a parameter that may be repeated.
func (r Route) Values(key string) []string {
	if !strings.Contains(r.Query, key) {
		return nil
	}
	values, err := url.ParseQuery(r.Query)
	if err != nil {
		return nil
	}
	return values[key]
}

// ManifestPath is where a manifest is read, by tag or digest.
func ManifestPath(name, reference string) string { return "/v2/" + name + "/manifests/" + reference }

// BlobPath is where a blob is read.
func BlobPath(name, digest string) string { return "/v2/" + name + "/blobs/" + digest }

// UploadPath is where an upload goes on.
func UploadPath(name, id, state string) string {
	return "/v2/" + name + "/blobs/uploads/" + id + "?_state=" + url.QueryEscape(state)
}

// TagsPath is the page of tags after last.
func TagsPath(name string, n string, last string) string {
	return "/v2/" + name + "/tags/list?n=" + n + "&last=" + url.QueryEscape(last)
}

// CatalogPath is the page of the catalog after last.
func CatalogPath(n, last string) string {
	return "/v2/_catalog?n=" + n + "&last=" + url.QueryEscape(last)
}
