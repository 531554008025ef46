package ociroute

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

const (
	hex64  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	sha256 = "sha256:" + hex64
	sha512 = "sha512:" + hex64 + hex64
)

func TestParse(t *testing.T) {
	cases := []struct {
		sentence, method, path, query string
		want                          Route
	}{
		{"the root with a slash is a ping", "GET", "/v2/", "", Route{Action: "registry.ping", Kind: Ping}},
		{"the root without a slash is a ping", "GET", "/v2", "", Route{Action: "registry.ping", Kind: Ping}},
		{"the catalog", "GET", "/v2/_catalog", "n=3", Route{Action: "catalog.list", Kind: Catalog, Query: "n=3"}},
		{"a manifest by tag", "GET", "/v2/a/b/manifests/v1.0", "", Route{Action: "manifest.pull", Kind: ManifestByTag, Name: "a/b", Tag: "v1.0"}},
		{"HEAD is GET", "HEAD", "/v2/a/b/manifests/v1.0", "", Route{Action: "manifest.pull", Kind: ManifestByTag, Name: "a/b", Tag: "v1.0"}},
		{"a manifest by digest", "PUT", "/v2/a/manifests/" + sha256, "", Route{Action: "manifest.push", Kind: ManifestByDigest, Name: "a", Digest: sha256}},
		{"a sha512 digest", "GET", "/v2/a/blobs/" + sha512, "", Route{Action: "blob.pull", Kind: Blob, Name: "a", Digest: sha512}},
		{"an escaped colon is a colon", "GET", "/v2/a/blobs/sha256%3A" + hex64, "", Route{Action: "blob.pull", Kind: Blob, Name: "a", Digest: sha256}},
		{"deleting a tag is not deleting a manifest", "DELETE", "/v2/a/manifests/x", "", Route{Action: "tag.delete", Kind: ManifestByTag, Name: "a", Tag: "x"}},
		{"deleting a manifest", "DELETE", "/v2/a/manifests/" + sha256, "", Route{Action: "manifest.delete", Kind: ManifestByDigest, Name: "a", Digest: sha256}},
		{"an upload starts", "POST", "/v2/a/blobs/uploads/", "", Route{Action: "blob.push", Kind: Uploads, Name: "a"}},
		{"an upload starts without the slash", "POST", "/v2/a/blobs/uploads", "", Route{Action: "blob.push", Kind: Uploads, Name: "a"}},
		{"a mount has an action of its own", "POST", "/v2/a/blobs/uploads/", "mount=x&from=b", Route{Action: "blob.mount", Kind: Mounts, Name: "a", Query: "mount=x&from=b"}},
		{"an upload goes on", "PATCH", "/v2/a/blobs/uploads/u-1", "_state=s", Route{Action: "blob.push", Kind: Upload, Name: "a", Upload: "u-1", Query: "_state=s"}},
		{"an upload is asked for", "GET", "/v2/a/blobs/uploads/u-1", "", Route{Action: "upload.status", Kind: Upload, Name: "a", Upload: "u-1"}},
		{"an upload is cancelled", "DELETE", "/v2/a/blobs/uploads/u-1", "", Route{Action: "upload.cancel", Kind: Upload, Name: "a", Upload: "u-1"}},
		{"tags", "GET", "/v2/a/tags/list", "", Route{Action: "tags.list", Kind: Tags, Name: "a"}},
		{"referrers", "GET", "/v2/a/referrers/" + sha256, "", Route{Action: "referrers.list", Kind: Referrers, Name: "a", Digest: sha256}},
		{"a name may contain blobs and uploads", "GET", "/v2/a/blobs/uploads/manifests/x", "", Route{Action: "manifest.pull", Kind: ManifestByTag, Name: "a/blobs/uploads", Tag: "x"}},
		{"a name may contain manifests", "POST", "/v2/a/manifests/blobs/uploads/", "", Route{Action: "blob.push", Kind: Uploads, Name: "a/manifests"}},
		{"a name may end in tags", "GET", "/v2/a/tags/tags/list", "", Route{Action: "tags.list", Kind: Tags, Name: "a/tags"}},
		{"a name may be manifests", "GET", "/v2/manifests/manifests/manifests", "", Route{Action: "manifest.pull", Kind: ManifestByTag, Name: "manifests", Tag: "manifests"}},
		{"a name may end in referrers", "GET", "/v2/referrers/referrers/" + sha256, "", Route{Action: "referrers.list", Kind: Referrers, Name: "referrers", Digest: sha256}},
		{"a tag may be called list", "GET", "/v2/tags/manifests/list", "", Route{Action: "manifest.pull", Kind: ManifestByTag, Name: "tags", Tag: "list"}},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got, err := Parse(c.method, c.path, c.query)
			if err != nil || got != c.want {
				t.Fatalf("got %+v %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("a", 256)
	cases := []struct {
		sentence, method, path, query string
		want                          Reason
	}{
		{"an escaped slash joins no components", "GET", "/v2/a%2Fb/manifests/x", "", NameInvalid},
		{"a lower case escaped slash neither", "GET", "/v2/a%2fb/manifests/x", "", NameInvalid},
		{"an escaped letter is not that letter", "GET", "/v2/%61/manifests/x", "", NameInvalid},
		{"a doubly escaped slash", "GET", "/v2/a%252Fb/manifests/x", "", NameInvalid},
		{"dots are no component", "GET", "/v2/a/../b/manifests/x", "", NameInvalid},
		{"escaped dots are no component", "GET", "/v2/a/%2e%2e/b/manifests/x", "", NameInvalid},
		{"an empty component is not skipped", "GET", "/v2/a//b/manifests/x", "", NameInvalid},
		{"a leading slash is not skipped", "GET", "/v2//a/manifests/x", "", NameInvalid},
		{"upper case is no name", "GET", "/v2/A/manifests/x", "", NameInvalid},
		{"256 characters are too many", "GET", "/v2/" + long + "/manifests/x", "", NameInvalid},
		{"a backslash", "GET", `/v2/a\b/manifests/x`, "", NameInvalid},
		{"a letter beyond ASCII", "GET", "/v2/ä/manifests/x", "", NameInvalid},
		{"a name may not begin with an underscore", "GET", "/v2/_catalog/manifests/x", "", NameInvalid},
		{"three underscores are no separator", "GET", "/v2/a___b/manifests/x", "", NameInvalid},
		{"a name that ends in a separator", "GET", "/v2/a-/manifests/x", "", NameInvalid},
		{"a space", "GET", "/v2/a%20b/tags/list", "", NameInvalid},
		{"no name", "GET", "/v2/manifests/x", "", NotFound},
		{"no name before tags", "GET", "/v2/tags/list", "", NotFound},
		{"another root", "GET", "/v1/a/manifests/x", "", NotFound},
		{"a path that only begins like the root", "GET", "/v2x", "", NotFound},
		{"a slash at the end", "GET", "/v2/a/manifests/x/", "", NotFound},
		{"a slash after the catalog", "GET", "/v2/_catalog/", "", NotFound},
		{"a tag with an escape", "GET", "/v2/a/manifests/a%2Fb", "", TagInvalid},
		{"an empty tag", "GET", "/v2/a/manifests/", "", TagInvalid},
		{"a tag that begins with a dot", "GET", "/v2/a/manifests/.x", "", TagInvalid},
		{"two dots for a tag", "GET", "/v2/a/manifests/..", "", TagInvalid},
		{"a tag of 129 characters", "GET", "/v2/a/manifests/" + long[:129], "", TagInvalid},
		{"a digest in upper case", "GET", "/v2/a/blobs/sha256:" + strings.ToUpper(hex64), "", DigestInvalid},
		{"a short digest", "GET", "/v2/a/blobs/sha256:abc", "", DigestInvalid},
		{"an algorithm that nobody knows", "GET", "/v2/a/blobs/md5:" + hex64[:32], "", DigestInvalid},
		{"a digest with dots in it", "GET", "/v2/a/manifests/sha256:../../x", "", NotFound},
		{"a digest with escaped dots", "GET", "/v2/a/referrers/sha256:%2e%2e", "", DigestInvalid},
		{"a tag where a digest must be", "GET", "/v2/a/referrers/latest", "", DigestInvalid},
		{"an upload id that climbs", "PATCH", "/v2/a/blobs/uploads/..", "", UploadInvalid},
		{"an upload id with an escape", "PATCH", "/v2/a/blobs/uploads/%2e%2e%2f", "", UploadInvalid},
		{"OPTIONS", "OPTIONS", "/v2/a/manifests/x", "", MethodInvalid},
		{"a method in lower case", "get", "/v2/a/manifests/x", "", MethodInvalid},
		{"a method of nobody's", "PURGE", "/v2/", "", MethodInvalid},
		{"the catalog cannot be deleted", "DELETE", "/v2/_catalog", "", MethodInvalid},
		{"a digest given twice", "PUT", "/v2/a/blobs/uploads/u", "digest=x&digest=y", QueryInvalid},
		{"a query with a broken escape", "GET", "/v2/a/tags/list", "n=%zz", QueryInvalid},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got, err := Parse(c.method, c.path, c.query)
			var e *Error
			if !errors.As(err, &e) || e.Reason != c.want {
				t.Fatalf("got %+v %v, want reason %d", got, err, c.want)
			}
		})
	}
	_, err := Parse("PATCH", "/v2/a/tags/list", "")
	var e *Error
	if !errors.As(err, &e) || e.Allow != "GET" {
		t.Fatalf("a refused method names those that are allowed: %+v", err)
	}
}

func TestTableIsWhole(t *testing.T) {
	seen := map[[2]any]bool{}
	for _, op := range Table() {
		if op.Action == "" || op.Pattern == "" || op.Kind <= None || op.Kind >= kinds {
			t.Errorf("%+v is not whole", op)
		}
		key := [2]any{op.Kind, op.Method}
		if seen[key] {
			t.Errorf("%s %s is there twice", op.Method, op.Pattern)
		}
		seen[key] = true
	}
	for k := None + 1; k < kinds; k++ {
		if methods(k) == "" {
			t.Errorf("kind %d has no operation", k)
		}
	}
}

var (
	refName   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	refTag    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	refDigest = regexp.MustCompile(`^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)
)

// FuzzParse holds the hand-written reader against the specification's own
// regular expressions, and against itself: what a route says, written as a path
// again, must be the same route.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"/v2/", "/v2/_catalog", "/v2/a/b/manifests/x", "/v2/a/blobs/" + sha256, "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/u",
		"/v2/a/tags/list", "/v2/a/referrers/" + sha512, "/v2/a%2Fb/manifests/x", "/v2/a/../b/tags/list", "/v2/a/blobs/sha256%3A" + hex64,
		"/v2/a__b/c-d.e/manifests/x", "/v2/blobs/uploads/blobs/uploads/x", "/v2/tags/list/tags/list",
	} {
		f.Add("GET", seed, "")
		f.Add("POST", seed, "mount=x&from=y")
	}
	f.Fuzz(func(t *testing.T, method, path, query string) {
		r, err := Parse(method, path, query)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == 0 {
				t.Fatalf("%q: a refusal without a reason: %v", path, err)
			}
			return
		}
		if r.Action == "" || r.Kind == None {
			t.Fatalf("%q: a route without an action: %+v", path, r)
		}
		if hasName := r.Kind != Ping && r.Kind != Catalog; hasName != (r.Name != "") ||
			(hasName && (!refName.MatchString(r.Name) || len(r.Name) > 255)) {
			t.Fatalf("%q: the name %q", path, r.Name)
		}
		if r.Tag != "" && !refTag.MatchString(r.Tag) || r.Digest != "" && !refDigest.MatchString(r.Digest) {
			t.Fatalf("%q: the reference %q %q", path, r.Tag, r.Digest)
		}
		again, err := Parse(method, written(r), query)
		if err != nil || again != r {
			t.Fatalf("%q is %+v; written again it is %+v %v", path, r, again, err)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, seed := range []string{"a", "a/b", "a__b", "a___b", "a--b", "a.-b", "a/", "/a", "A", "a..b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := ValidName(s), refName.MatchString(s) && len(s) <= 255; got != want {
			t.Fatalf("%q: %v, the specification says %v", s, got, want)
		}
		if got, want := ValidTag(s), refTag.MatchString(s); got != want {
			t.Fatalf("%q as a tag: %v, the specification says %v", s, got, want)
		}
	})
}

func written(r Route) string {
	switch r.Kind {
	case Ping:
		return "/v2/"
	case Catalog:
		return "/v2/_catalog"
	case Tags:
		return "/v2/" + r.Name + "/tags/list"
	case Referrers:
		return "/v2/" + r.Name + "/referrers/" + r.Digest
	case ManifestByTag:
		return ManifestPath(r.Name, r.Tag)
	case ManifestByDigest:
		return ManifestPath(r.Name, r.Digest)
	case Blob:
		return BlobPath(r.Name, r.Digest)
	case Upload:
		return "/v2/" + r.Name + "/blobs/uploads/" + r.Upload
	default:
		return "/v2/" + r.Name + "/blobs/uploads/"
	}
}
