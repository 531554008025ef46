package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

var linkPattern = regexp.MustCompile(`^<([^>]+)>; rel="next"$`)

// next is the page that an answer links to; empty for none.
func next(t testing.TB, r harness.Response) string {
	t.Helper()
	link := r.Header.Get("Link")
	if link == "" {
		return ""
	}
	m := linkPattern.FindStringSubmatch(link)
	if m == nil {
		t.Fatalf("the link is %q", link)
	}
	u, err := url.Parse(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return u.RequestURI()
}

func tagsOf(t testing.TB, r harness.Response) []string {
	t.Helper()
	var out struct {
		Name string
		Tags *[]string
	}
	if err := json.Unmarshal(r.Body, &out); r.Status != http.StatusOK || err != nil || out.Name != repo || out.Tags == nil {
		t.Fatalf("tags: %d %s", r.Status, r.Body)
	}
	return *out.Tags
}

// "Listing Tags", end-8a and end-8b.
func TestListTags(t *testing.T) {
	w := newWorld(t, "limits:\n  page: 5\n")
	c := w.as(mara)
	const list = "/v2/" + repo + "/tags/list"
	want(t, "end-8a, nobody pushed here", c.get(list), http.StatusNotFound, "NAME_UNKNOWN")
	manifest := encode(c.image("tags"))
	// In byte order, which is Go's: upper case before lower, digits before both.
	tags := []string{"1.0", "1.0.1", "A", "Z", "_", "a", "a-b", "b", "latest", "v1", "v10", "v2"}
	path := manifestPath(sha256Of(manifest)) + "?tag=" + strings.Join(tags, "&tag=")
	want(t, "push", c.put(path, ociManifest, manifest), http.StatusCreated, "")

	for _, l := range []struct {
		sentence, query string
		want            []string
		more            bool
	}{
		{"end-8b, the first two", "?n=2", tags[:2], true},
		{"end-8b, two after one", "?n=2&last=A", []string{"Z", "_"}, true},
		{"end-8b, after one that is not there", "?n=2&last=c", []string{"latest", "v1"}, true},
		{"end-8b, the last", "?n=2&last=v1", []string{"v10", "v2"}, false},
		{"end-8b, behind the last", "?n=2&last=v2", []string{}, false},
		{"end-8b, none", "?n=0", []string{}, false},
		{"end-8b, more than a page has", "?n=100", tags[:5], true},
		{"end-8b, last without n", "?last=latest", []string{"v1", "v10", "v2"}, false},
	} {
		t.Run(l.sentence, func(t *testing.T) {
			r := w.as(gus).get(list + l.query)
			if got := tagsOf(t, r); !slices.Equal(got, l.want) || (next(t, r) != "") != l.more {
				t.Errorf("%q and then %q", got, r.Header.Get("Link"))
			}
			header(t, l.sentence, r, map[string]string{"Content-Type": "application/json"})
		})
	}
	for _, start := range []string{"", "?n=1", "?n=3", "?n=5"} {
		var all []string
		for at := list + start; at != ""; {
			r := c.get(at)
			all = append(all, tagsOf(t, r)...)
			at = next(t, r)
		}
		if !slices.Equal(all, tags) {
			t.Errorf("by way of the links from %q: %q", start, all)
		}
	}
	want(t, "end-8b, n is no number", c.get(list+"?n=few"), http.StatusBadRequest, "PAGINATION_NUMBER_INVALID")
	want(t, "end-9", c.do(http.MethodDelete, manifestPath(sha256Of(manifest)), nil, nil), http.StatusAccepted, "")
	if got := tagsOf(t, c.get(list)); len(got) != 0 {
		t.Errorf("end-8a, a repository without tags: %q", got)
	}
}

type referrer struct {
	MediaType, ArtifactType, Digest string
	Size                            int
	Annotations                     map[string]string
}

func (c client) referrers(t testing.TB, subject, query string) ([]referrer, harness.Response) {
	t.Helper()
	r := c.get("/v2/" + repo + "/referrers/" + subject + query)
	var out struct {
		SchemaVersion int
		MediaType     string
		Manifests     *[]referrer
	}
	if err := json.Unmarshal(r.Body, &out); r.Status != http.StatusOK || err != nil || out.SchemaVersion != 2 || out.MediaType != ociIndex || out.Manifests == nil {
		t.Fatalf("referrers: %d %s", r.Status, r.Body)
	}
	header(t, "end-12a", r, map[string]string{"Content-Type": ociIndex})
	return *out.Manifests, r
}

// "Pushing Manifests with Subject" and "Listing Referrers", end-12a and end-12b.
func TestReferrers(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	subject := encode(c.image("subject")) // pushed last: a referrer may come first
	about := descriptor(ociManifest, subject)
	empty := []byte("{}")
	c.blob(repo, empty)
	artifact := object{
		"schemaVersion": 2, "mediaType": ociManifest, "subject": about,
		"config": descriptor(ociEmpty, empty), "layers": []any{descriptor(ociEmpty, empty)},
	}
	typed := with(artifact, object{"artifactType": "application/vnd.example.sbom", "annotations": object{"a": "b"}})
	configured := with(artifact, object{"config": with(descriptor(ociConfig, empty), object{"mediaType": "application/vnd.example.signature"})})
	index := object{"schemaVersion": 2, "mediaType": ociIndex, "subject": about, "manifests": []any{}}
	typedIndex := with(index, object{"artifactType": "application/vnd.example.sbom", "annotations": object{"c": "d"}})
	d := sha256Of(subject)

	none, _ := c.referrers(t, d, "")
	if len(none) != 0 {
		t.Errorf("end-12a of what is not there: %v", none)
	}
	var expected []referrer
	for _, m := range []struct {
		sentence, artifactType string
		manifest               object
		annotations            map[string]string
	}{
		{"an artifact with a type", "application/vnd.example.sbom", typed, map[string]string{"a": "b"}},
		{"an artifact with its configuration's type", "application/vnd.example.signature", configured, nil},
		{"an index without a type", "", index, nil},
		{"an index with a type", "application/vnd.example.sbom", typedIndex, map[string]string{"c": "d"}},
		{"an image", ociConfig, with(c.image("referrer"), object{"subject": about}), nil},
	} {
		raw := encode(m.manifest)
		mediaType := m.manifest["mediaType"].(string)
		r := c.put(manifestPath(sha256Of(raw)), mediaType, raw)
		want(t, m.sentence, r, http.StatusCreated, "")
		header(t, m.sentence, r, map[string]string{"OCI-Subject": d})
		expected = append(expected, referrer{mediaType, m.artifactType, sha256Of(raw), len(raw), m.annotations})
	}
	plain := c.put(manifestPath("v1"), ociManifest, subject)
	want(t, "the subject itself", plain, http.StatusCreated, "")
	if got := plain.Header.Get("OCI-Subject"); got != "" {
		t.Errorf("what has no subject says %q", got)
	}

	check := func(sentence, query string, filtered string, choose func(referrer) bool) {
		t.Helper()
		got, r := w.as(gus).referrers(t, d, query)
		var chosen []referrer
		for _, e := range expected {
			if choose(e) {
				chosen = append(chosen, e)
			}
		}
		key := func(all []referrer) string {
			var lines []string
			for _, one := range all {
				lines = append(lines, fmt.Sprint(one))
			}
			slices.Sort(lines)
			return strings.Join(lines, "\n")
		}
		if key(got) != key(chosen) {
			t.Errorf("%s:\n%s\nwant\n%s", sentence, key(got), key(chosen))
		}
		if h := r.Header.Get("OCI-Filters-Applied"); h != filtered {
			t.Errorf("%s: OCI-Filters-Applied is %q", sentence, h)
		}
	}
	check("end-12a", "", "", func(referrer) bool { return true })
	check("end-12b, a type", "?artifactType="+url.QueryEscape("application/vnd.example.sbom"), "artifactType", func(r referrer) bool { return r.ArtifactType == "application/vnd.example.sbom" })
	check("end-12b, a configuration's type", "?artifactType=application/vnd.example.signature", "artifactType", func(r referrer) bool { return r.ArtifactType == "application/vnd.example.signature" })
	check("end-12b, a type that none has", "?artifactType=application/vnd.example.none", "artifactType", func(referrer) bool { return false })

	gone := expected[0]
	want(t, "end-9 of a referrer", c.do(http.MethodDelete, manifestPath(gone.Digest), nil, nil), http.StatusAccepted, "")
	check("end-12a without what was deleted", "", "", func(r referrer) bool { return r.Digest != gone.Digest })
	want(t, "end-9 of the subject", c.do(http.MethodDelete, manifestPath(d), nil, nil), http.StatusAccepted, "")
	check("end-12a of a subject that was deleted", "", "", func(r referrer) bool { return r.Digest != gone.Digest })
	want(t, "end-12a of no digest", c.get("/v2/"+repo+"/referrers/sha256:abc"), http.StatusBadRequest, "DIGEST_INVALID")
	want(t, "end-12a of a tag", c.get("/v2/"+repo+"/referrers/v1"), http.StatusBadRequest, "DIGEST_INVALID")
	if got, _ := c.referrers(t, sha512Of([]byte("nothing")), ""); len(got) != 0 {
		t.Errorf("end-12a by sha512: %v", got)
	}
}
