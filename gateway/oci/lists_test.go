package oci

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
)

type tagList struct {
	Name string
	Tags []string
}

type catalog struct{ Repositories []string }

// next is the path of the next page.
func next(a answer) string {
	path, _, ok := strings.Cut(strings.TrimPrefix(a.Header().Get("Link"), "<"), ">")
	if !ok {
		return ""
	}
	return path
}

func TestTags(t *testing.T) {
	b := newBench(t, Limits{Page: 4, MaxPage: 5})
	d, _ := b.image("p/a", "t0", "")
	for i := 1; i < 9; i++ {
		b.tags[fmt.Sprintf("p/a|t%d", i)] = d
	}
	get := func(query string) answer {
		return b.want(b.do(alice, "GET", "/v2/p/a/tags/list"+query, nothing()), 200)
	}
	cases := []struct{ sentence, query, tags, link string }{
		{"the default page", "", "t0 t1 t2 t3", "/v2/p/a/tags/list?n=4&last=t3"},
		{"after a tag", "?last=t6", "t7 t8", ""},
		{"a small page", "?n=2&last=t1", "t2 t3", "/v2/p/a/tags/list?n=2&last=t3"},
		{"none", "?n=0", "", ""},
		{"more than is allowed", "?n=1000000000", "t0 t1 t2 t3 t4", "/v2/p/a/tags/list?n=5&last=t4"},
		{"more than an integer has", "?n=99999999999999999999999", "t0 t1 t2 t3 t4", "/v2/p/a/tags/list?n=5&last=t4"},
		{"the last page, just full", "?n=4&last=t4", "t5 t6 t7 t8", ""},
		{"after the end", "?last=z", "", ""},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got := get(c.query)
			list := decoded[tagList](t, got)
			if strings.Join(list.Tags, " ") != c.tags || list.Tags == nil || list.Name != "p/a" || next(got) != c.link {
				t.Fatalf("%s %v", got.Body, got.Header())
			}
		})
	}
	for _, query := range []string{"?n=-1", "?n=x", "?n=1e3", "?last=" + strings.Repeat("a", 300)} {
		b.want(b.do(alice, "GET", "/v2/p/a/tags/list"+query, nothing()), 400)
	}
	if got := b.want(b.do(alice, "GET", "/v2/p/none/tags/list", nothing()), 404); got.code() != "NAME_UNKNOWN" {
		t.Fatal(got.Body)
	}
}

func TestCatalogShowsWhatTheCallerMaySee(t *testing.T) {
	b := newBench(t, Limits{Page: 3})
	for _, name := range []string{"a", "a-b/x", "a/1", "a/2", "secret", "secret/1", "secret/2", "secret-not/1", "z/1", "z/2"} {
		b.repos[name] = true
	}
	b.judge = func(r policy.Request) policy.Decision {
		if r.Repository.Project() == "secret" {
			return hidden
		}
		return yes
	}
	var all []string
	pages := 0
	for path := "/v2/_catalog"; path != ""; pages++ {
		got := b.want(b.do(alice, "GET", path, nothing()), 200)
		all = append(all, decoded[catalog](t, got).Repositories...)
		path = next(got)
	}
	if strings.Join(all, " ") != "a a-b/x a/1 a/2 secret-not/1 z/1 z/2" || pages != 3 {
		t.Fatal(all, pages)
	}
	b.asked = nil
	b.want(b.do(alice, "GET", "/v2/_catalog?n=100", nothing()), 200)
	if len(b.asked) != 1+5+4 {
		t.Fatalf("every project is asked about once, and once more if it may be seen: %d", len(b.asked))
	}
	if got := decoded[catalog](t, b.want(b.do(alice, "GET", "/v2/_catalog?n=0", nothing()), 200)); got.Repositories == nil || len(got.Repositories) > 0 {
		t.Fatal(got)
	}
}

// Names tell: who has a part of a project sees that part, whichever name comes first.
func TestCatalogShowsAPartOfAProject(t *testing.T) {
	b := newBench(t, Limits{Page: 2})
	for _, name := range []string{"p", "p/a", "p/a/b", "p/b", "p/c", "p/c/a", "q/a"} {
		b.repos[name] = true
	}
	for sentence, c := range map[string]struct {
		may  func(name string) bool
		want string
	}{
		"the first one":         {func(n string) bool { return n == "p/a" }, "p/a"},
		"not the first":         {func(n string) bool { return n == "p/c" }, "p/c"},
		"all at one depth":      {func(n string) bool { return strings.HasPrefix(n, "p/") && strings.Count(n, "/") == 1 }, "p/a p/b p/c"},
		"all and what is below": {func(n string) bool { return strings.HasPrefix(n, "p/") }, "p/a p/a/b p/b p/c p/c/a"},
	} {
		t.Run(sentence, func(t *testing.T) {
			b.judge = func(r policy.Request) policy.Decision {
				switch n := r.Repository.Name; {
				case n == "" || c.may(n):
					return yes
				case n == "p": // a part of a project shows that there is the project
					return no
				default:
					return hidden
				}
			}
			var all []string
			for path := "/v2/_catalog"; path != ""; {
				got := b.want(b.do(alice, "GET", path, nothing()), 200)
				all = append(all, decoded[catalog](t, got).Repositories...)
				path = next(got)
			}
			if got := strings.Join(all, " "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

type referrersList struct {
	SchemaVersion int
	MediaType     string
	Manifests     []policy.Descriptor
}

func TestReferrers(t *testing.T) {
	b := newBench(t, Limits{})
	image, _ := b.image("p/a", "v1", "", b.blob("p/a", "layer"))
	subject := fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":7}`, manifest.OCIManifest, image)
	sbom, _ := b.image("p/a", "r1", subject+`,"artifactType":"application/spdx+json","annotations":{"a":"b"}`)
	plain, _ := b.image("p/a", "r2", subject)
	list := func(query string) (referrersList, answer) {
		got := b.want(b.do(alice, "GET", "/v2/p/a/referrers/"+string(image)+query, nothing()), 200)
		if ct := got.Header()["Content-Type"]; len(ct) != 1 || ct[0] != "application/vnd.oci.image.index.v1+json" {
			t.Fatal(ct)
		}
		return decoded[referrersList](t, got), got
	}
	found, got := list("")
	if len(found.Manifests) != 2 || found.SchemaVersion != 2 || found.MediaType != manifest.OCIIndex || got.Header().Get("Oci-Filters-Applied") != "" {
		t.Fatal(got.Body)
	}
	if m := found.Manifests[0]; m.Digest != sbom || m.ArtifactType != "application/spdx+json" || m.Annotations["a"] != "b" || m.Size == 0 {
		t.Fatalf("%+v", m)
	}
	if m := found.Manifests[1]; m.Digest != plain || m.ArtifactType != configType {
		t.Fatalf("%+v", m)
	}
	found, got = list("?artifactType=application%2Fspdx%2Bjson")
	if len(found.Manifests) != 1 || got.Header().Get("Oci-Filters-Applied") != "artifactType" {
		t.Fatal(got.Body, got.Header())
	}
	if q := b.asked[len(b.asked)-1].Referrers; q.Count != 1 || q.ArtifactType != "application/spdx+json" {
		t.Fatalf("%+v", q)
	}
	if found, got := list("?artifactType=x"); found.Manifests == nil || len(found.Manifests) > 0 {
		t.Fatal(got.Body)
	}
	for _, path := range []string{"/v2/p/a/referrers/" + string(digest.FromString("x")), "/v2/p/none/referrers/" + string(image)} {
		got := b.want(b.do(alice, "GET", path, nothing()), 200)
		if !strings.Contains(got.Body.String(), `"manifests":[]`) {
			t.Fatal(got.Body)
		}
	}
	b.limits.Referrers = 1
	if found, _ := list(""); len(found.Manifests) != 1 {
		t.Fatal("more than are allowed")
	}
}

func TestAnImportedFallbackTagIsMerged(t *testing.T) {
	b := newBench(t, Limits{})
	image, _ := b.image("p/a", "v1", "", b.blob("p/a", "layer"))
	subject := func(d digest.Digest) string {
		return fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":7}`, manifest.OCIManifest, d)
	}
	listed, body := b.image("p/a", "x1", `,"artifactType":"application/real"`)
	known, _ := b.image("p/a", "x2", subject(image))
	stranger, _ := b.image("p/a", "x3", subject(digest.FromString("else")))
	entry := func(d digest.Digest) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"artifactType":"application/claimed"}`, manifest.OCIManifest, d, len(body))
	}
	list := `{"schemaVersion":2,"manifests":[` + strings.Join([]string{entry(listed), entry(known), entry(stranger)}, ",") + `]}`
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/"+fallbackTag(image), strings.NewReader(list)), 201)
	b.want(b.do(alice, "DELETE", "/v2/p/a/manifests/x1", nothing()), 202)
	got := decoded[referrersList](t, b.want(b.do(alice, "GET", "/v2/p/a/referrers/"+string(image), nothing()), 200))
	var digests []digest.Digest
	for _, m := range got.Manifests {
		digests = append(digests, m.Digest)
		if m.ArtifactType == "application/claimed" {
			t.Error("the list's own word was taken")
		}
	}
	if !slices.Equal(digests, []digest.Digest{known, listed}) {
		t.Fatal(digests)
	}
	// What is listed and gone is not listed.
	b.want(b.do(alice, "DELETE", "/v2/p/a/manifests/"+string(listed), nothing()), 202)
	got = decoded[referrersList](t, b.want(b.do(alice, "GET", "/v2/p/a/referrers/"+string(image), nothing()), 200))
	if len(got.Manifests) != 1 {
		t.Fatal(got)
	}
}
