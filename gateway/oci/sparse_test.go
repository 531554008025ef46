package oci

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
)

func indexJSON(children ...digest.Digest) string {
	list := make([]string, 0, len(children))
	for _, d := range children {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7}`, manifest.OCIManifest, d))
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, manifest.OCIIndex, strings.Join(list, ","))
}

func TestSparseManifests(t *testing.T) {
	layer := policy.Descriptor{Digest: digest.FromString("later"), Size: 5, MediaType: tarType}
	far := policy.Descriptor{Digest: digest.SHA512.FromString("far"), Size: 3, MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar"}
	other := policy.Descriptor{Digest: digest.SHA512.FromString("later"), Size: 5, MediaType: tarType}
	b := newBench(t, Limits{})
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	cases := []struct {
		sentence, body string
		taken          bool
	}{
		{"a layer that is not there", manifestOf(config, "", layer), true},
		{"a child that is not there", indexJSON(layer.Digest), true},
		{"a configuration that is not there", manifestOf(policy.Descriptor{Digest: layer.Digest, Size: 5, MediaType: configType}, ""), false},
		{"a configuration that is a layer too and not there", manifestOf(policy.Descriptor{Digest: layer.Digest, Size: 5, MediaType: configType}, "", layer), false},
		{"a layer that is not there by another digest than its own", manifestOf(config, "", other), false},
		{"a child that is not there by another digest than its own", indexJSON(other.Digest), false},
		{"one of two by another digest", manifestOf(config, "", layer, other), false},
		{"a layer of elsewhere by another digest", manifestOf(config, "", far), false},
	}
	for _, sparse := range []bool{false, true} {
		b.sparse = sparse
		b.restart(Limits{})
		for n, c := range cases {
			t.Run(fmt.Sprintf("%s, sparse %v", c.sentence, sparse), func(t *testing.T) {
				b.asked = nil
				got := b.do(alice, "PUT", fmt.Sprintf("/v2/p/a/manifests/v%d", n), strings.NewReader(c.body))
				if sparse && c.taken {
					b.want(got, 201)
				} else if got.Code != 400 || got.code() != "MANIFEST_BLOB_UNKNOWN" {
					t.Errorf("%d %s", got.Code, got.Body)
				}
				if a := b.asked[len(b.asked)-1].Artifact; a == nil || len(a.Missing) == 0 {
					t.Errorf("the rules are not told what is missing: %+v", a)
				}
			})
		}
	}
	// What is not there is not served, and is judged as a part once it came.
	b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(layer.Digest), nothing()), 404)
	b.blob("p/a", "later")
	b.asked = nil
	b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(layer.Digest), nothing()), 200)
	if b.asked[0].Blob == nil || b.asked[0].Blob.Manifest != digest.FromString(manifestOf(config, "", layer)) {
		t.Errorf("judged alone: %+v", b.asked[0])
	}
}

func TestAManifestThatComesAfterItsIndexIsItsChild(t *testing.T) {
	b := newBench(t, Limits{})
	b.sparse = true
	b.restart(Limits{Parents: 1})
	_, body := b.image("p/b", "v1", "")
	child := digest.FromString(body)
	put := func(repo, tag, body string, status int) {
		t.Helper()
		b.want(b.do(alice, "PUT", "/v2/"+repo+"/manifests/"+tag, strings.NewReader(body)), status)
	}
	put("p/a", "i1", indexJSON(child), 201)
	put("p/a", "i1", indexJSON(child), 201)
	put("p/a", "i2", indexJSON(child, child), 403)           // in one index more than may be
	b.blob("p/a", `{"os":"linux","config":{"User":"1000"}}`) // its configuration
	b.asked = nil
	put("p/a", "v1", body, 201)
	if last := b.asked[len(b.asked)-1].Artifact; len(last.Parents) != 1 || last.Parents[0] != digest.FromString(indexJSON(child)) {
		t.Errorf("judged without its parents: %+v", last.Parents)
	}
}
