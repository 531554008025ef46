package oci

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
)

func TestPushAndPull(t *testing.T) {
	b := newBench(t, Limits{})
	d, body := b.image("p/a", "v1", "", b.blob("p/a", "layer"))
	last := b.asked[len(b.asked)-1]
	if last.Action != policy.ManifestPush || last.Artifact.Config == nil || last.Artifact.Config.User != "1000" ||
		last.Reference.Value != "v1" || last.Reference.Current != "" || len(last.Artifact.Tags) != 1 || last.Artifact.PushedBy != "alice" {
		t.Fatalf("judged as %+v", last.Artifact)
	}
	for _, ref := range []string{"v1", string(d)} {
		got := b.want(b.do(bob, "GET", "/v2/p/a/manifests/"+ref, nothing()), 200)
		if got.Body.String() != body || got.Header().Get("Content-Type") != manifest.OCIManifest ||
			got.Header().Get("Docker-Content-Digest") != string(d) || got.Header().Get("Content-Length") != fmt.Sprint(len(body)) {
			t.Fatalf("%s %v", got.Body, got.Header())
		}
		if got := b.want(b.do(bob, "HEAD", "/v2/p/a/manifests/"+ref, nothing()), 200); got.Body.Len() > 0 || got.Header().Get("Content-Length") != fmt.Sprint(len(body)) {
			t.Fatal(got.Header())
		}
		b.want(b.do(bob, "GET", "/v2/p/a/manifests/"+ref, nothing(), `If-None-Match: W/"x", "`+string(d)+`"`), 304)
	}
	if b.tagLinks["p/a|v1"] != d {
		t.Fatal("the engine has no link of the tag")
	}
	b.judge = func(policy.Request) policy.Decision { return no }
	b.want(b.do(bob, "GET", "/v2/p/a/manifests/v1", nothing(), "If-None-Match: *"), 403)
	b.bodies = newBodies(1 << 20) // also with nothing in memory
	b.judge = func(policy.Request) policy.Decision { return yes }
	b.want(b.do(bob, "GET", "/v2/p/a/manifests/v1", nothing()), 200)
}

func TestPushByDigestWithTags(t *testing.T) {
	b := newBench(t, Limits{Tags: 3})
	_, body := b.image("p/a", "x", "")
	d512 := digest.SHA512.FromString(body)
	got := b.want(b.do(alice, "PUT", "/v2/p/a/manifests/"+string(d512)+"?tag=1.2&tag=latest&tag=1.2", strings.NewReader(body)), 201)
	if fmt.Sprint(got.Header()["Oci-Tag"]) != "[1.2 latest]" || got.Header().Get("Docker-Content-Digest") != string(d512) ||
		got.Header().Get("Location") != "/v2/p/a/manifests/"+string(d512) {
		t.Fatal(got.Header())
	}
	if last := b.asked[len(b.asked)-1]; len(last.Artifact.Tags) != 3 || last.Reference.Value != "latest" {
		t.Fatalf("every tag on it is judged: %+v", last)
	}
	got = b.want(b.do(alice, "GET", "/v2/p/a/manifests/"+string(d512), nothing()), 200)
	if got.Header().Get("Docker-Content-Digest") != string(d512) || got.Header().Get("Etag") != `"`+string(d512)+`"` {
		t.Fatal(got.Header())
	}
	b.want(b.do(alice, "GET", "/v2/p/a/manifests/1.2", nothing()), 200)
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/"+string(d512)+"?tag=a&tag=b&tag=c&tag=d", strings.NewReader(body)), 414)
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/"+string(d512)+"?tag=..", strings.NewReader(body)), 400)

	// A tag's digest is told by the name that the manifest first had.
	if got := b.want(b.do(alice, "HEAD", "/v2/p/a/manifests/1.2", nothing()), 200); got.Header().Get("Docker-Content-Digest") != string(digest.FromString(body)) {
		t.Fatal(got.Header())
	}
	other := body[:len(body)-1] + " }"
	o512 := digest.SHA512.FromString(other)
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/"+string(o512)+"?tag=other", strings.NewReader(other)), 201)
	if got := b.want(b.do(alice, "HEAD", "/v2/p/a/manifests/other", nothing()), 200); got.Header().Get("Docker-Content-Digest") != string(o512) {
		t.Fatal(got.Header())
	}

	// One tag that is refused refuses them all.
	b.judge = func(r policy.Request) policy.Decision {
		if r.Reference.Value == "prod" {
			return no
		}
		return yes
	}
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/"+string(d512)+"?tag=dev&tag=prod", strings.NewReader(body)), 403)
	if _, there := b.tags["p/a|dev"]; there {
		t.Fatal("half of a push is there")
	}
}

func TestPushRefuses(t *testing.T) {
	b := newBench(t, Limits{})
	layer := b.blob("p/a", "layer")
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	absent := policy.Descriptor{Digest: digest.FromString("absent"), Size: 6, MediaType: tarType}
	wrong := layer
	wrong.Size++
	bad := b.blob("p/a", `{"config":{"User":"1000","user":"root"}}`)
	bad.MediaType = configType
	index := func(d digest.Digest) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":7}]}`, manifest.OCIIndex, manifest.OCIManifest, d)
	}
	cases := []struct {
		sentence, ref, body string
		status              int
		code                string
	}{
		{"a layer that is not there", "v", manifestOf(config, "", absent), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"a config that is not there", "v", manifestOf(absent, ""), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"a child that is not there", "v", index(absent.Digest), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"a blob for a child", "v", index(layer.Digest), 400, "MANIFEST_BLOB_UNKNOWN"},
		{"a layer of another size", "v", manifestOf(config, "", wrong), 400, "MANIFEST_INVALID"},
		{"a config that two read differently", "v", manifestOf(bad, ""), 400, "MANIFEST_INVALID"},
		{"no manifest", "v", "hello", 400, "MANIFEST_INVALID"},
		{"another digest", string(absent.Digest), manifestOf(config, ""), 400, "DIGEST_INVALID"},
		{"a tag that is none", ".v", manifestOf(config, ""), 400, "TAG_INVALID"},
		{"a byte too many", "v", strings.Repeat(" ", manifest.MaxSize+1), 413, "TOO_LARGE"},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got := b.want(b.do(alice, "PUT", "/v2/p/a/manifests/"+c.ref, strings.NewReader(c.body)), c.status)
			if got.code() != c.code || len(b.artifacts) > 0 || len(b.manifests) > 0 {
				t.Fatalf("%s; %d artifacts", got.Body, len(b.artifacts))
			}
		})
	}
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/v", io.MultiReader(strings.NewReader(strings.Repeat(" ", manifest.MaxSize+1)))), 413)
	// The decision knows what is missing before the client does.
	b.judge = func(r policy.Request) policy.Decision {
		if r.Artifact != nil && len(r.Artifact.Missing) == 1 {
			return no
		}
		return yes
	}
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/v", strings.NewReader(manifestOf(config, "", absent))), 403)
}

func TestALayerThatLivesElsewhereNeedNotBeThere(t *testing.T) {
	b := newBench(t, Limits{})
	foreign := policy.Descriptor{Digest: digest.FromString("far"), Size: 3, MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar"}
	b.image("p/a", "v1", "", foreign)
}

func TestASubjectNeedNotBeThere(t *testing.T) {
	b := newBench(t, Limits{Referrers: 2})
	subject := digest.FromString("nothing")
	extra := func(n int) string {
		return fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":7},"annotations":{"n":"%d"}`, manifest.OCIManifest, subject, n)
	}
	config := b.blob("p/a", `{}`)
	config.MediaType = "application/vnd.example"
	push := func(n, status int) answer {
		return b.want(b.do(alice, "PUT", fmt.Sprintf("/v2/p/a/manifests/r%d", n), strings.NewReader(manifestOf(config, extra(n)))), status)
	}
	if got := push(1, 201); got.Header().Get("Oci-Subject") != string(subject) {
		t.Fatal(got.Header())
	}
	push(2, 201)
	push(2, 201) // again is not more
	push(3, 403)
}

func TestATagThatMovesIsJudgedAnew(t *testing.T) {
	b := newBench(t, Limits{})
	old, _ := b.image("p/a", "v1", `,"annotations":{"n":"old"}`)
	other, _ := b.image("p/a", "other", `,"annotations":{"n":"other"}`)
	moved := false
	b.beforePush = func() {
		if !moved {
			moved = true
			b.tags["p/a|v1"] = other
		}
	}
	b.asked = nil
	d, _ := b.image("p/a", "v1", `,"annotations":{"n":"new"}`)
	var current []digest.Digest
	for _, r := range b.asked {
		if r.Action == policy.ManifestPush && r.Artifact != nil {
			current = append(current, r.Reference.Current)
		}
	}
	if fmt.Sprint(current) != fmt.Sprint([]digest.Digest{old, other}) || b.tags["p/a|v1"] != d {
		t.Fatalf("judged against %v", current)
	}
	// A rule that forbids moving a tag sees the move of somebody else, too.
	moved = false
	b.tags["p/a|v2"] = ""
	delete(b.tags, "p/a|v2")
	b.beforePush = func() { b.tags["p/a|v2"] = other }
	b.judge = func(r policy.Request) policy.Decision {
		if r.Reference.Current != "" {
			return no
		}
		return yes
	}
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/v2", strings.NewReader(manifestOf(config, ""))), 403)
	// Without an end it ends.
	b.judge = func(policy.Request) policy.Decision { return yes }
	n := 0
	b.beforePush = func() { n++; b.tags["p/a|v3"] = digest.FromString(fmt.Sprint(n)) }
	got := b.want(b.do(alice, "PUT", "/v2/p/a/manifests/v3", strings.NewReader(manifestOf(config, ""))), 409)
	if n != attempts || got.Header().Get("Retry-After") == "" {
		t.Fatal(n, got.Header())
	}
}

func TestTheDigestThatWasJudgedIsServed(t *testing.T) {
	b := newBench(t, Limits{})
	first, body := b.image("p/a", "v1", `,"annotations":{"n":"1"}`)
	second, _ := b.image("p/a", "v2", `,"annotations":{"n":"2"}`)
	b.judge = func(r policy.Request) policy.Decision {
		if r.Artifact.Digest != first {
			return no
		}
		b.tags["p/a|v1"] = second // moved after it was judged
		return yes
	}
	got := b.want(b.do(alice, "GET", "/v2/p/a/manifests/v1", nothing()), 200)
	if got.Body.String() != body {
		t.Fatal("what is served was not judged")
	}
	b.want(b.do(alice, "GET", "/v2/p/a/manifests/v1", nothing()), 403)
}

func TestADigestThatTheIndexDoesNotKnowIsNotServed(t *testing.T) {
	b := newBench(t, Limits{})
	body := `{"schemaVersion":2,"manifests":[]}`
	d := digest.FromString(body)
	if err := b.PutManifest(t.Context(), policy.Repository{Name: "p/a"}, d, manifest.OCIIndex, []byte(body)); err != nil {
		t.Fatal(err)
	}
	b.want(b.do(alice, "GET", "/v2/p/a/manifests/"+string(d), nothing()), 404)
	b.content[d] = []byte(body)
	b.links["p/a|"+string(d)] = true
	b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(d), nothing()), 404)
}

func TestDisguisesAreJudgedAsImages(t *testing.T) {
	for sentence, c := range map[string]struct{ tag, extra string }{
		"under a signature's tag": {"sha256-" + strings.Repeat("a", 64) + ".sig", ""},
		"with a subject":          {"v1", `,"subject":{"mediaType":"` + manifest.OCIManifest + `","digest":"` + string(digest.FromString("x")) + `","size":1}`},
		"annotated":               {"v1", `,"artifactType":"application/vnd.in-toto+json","annotations":{"vnd.docker.reference.type":"attestation-manifest"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			b := newBench(t, Limits{})
			b.image("p/a", c.tag, c.extra, b.blob("p/a", "layer"))
			if last := b.asked[len(b.asked)-1]; last.Artifact.Role != policy.RoleImage || last.Purpose != policy.Use {
				t.Fatalf("%+v", last.Artifact)
			}
			b.asked = nil
			b.want(b.do(alice, "GET", "/v2/p/a/manifests/"+c.tag, nothing()), 200)
			if b.asked[0].Purpose != policy.Use || b.asked[0].Artifact.Role != policy.RoleImage {
				t.Fatalf("%+v", b.asked[0])
			}
		})
	}
}

func TestDelete(t *testing.T) {
	b := newBench(t, Limits{})
	layer := b.blob("p/a", "layer")
	d, _ := b.image("p/a", "v1", "", layer)
	b.image("p/a", "v2", "", layer)
	b.asked = nil
	b.want(b.do(alice, "DELETE", "/v2/p/a/manifests/v1", nothing()), 202)
	if r := b.asked[0]; r.Action != policy.TagDelete || len(r.Artifact.Tags) != 2 || r.Reference.Current != d {
		t.Fatalf("%+v", r)
	}
	b.want(b.do(alice, "GET", "/v2/p/a/manifests/v1", nothing()), 404)
	b.want(b.do(alice, "DELETE", "/v2/p/a/manifests/v1", nothing()), 404)
	b.want(b.do(alice, "GET", "/v2/p/a/manifests/"+string(d), nothing()), 200)
	b.want(b.do(alice, "DELETE", "/v2/p/a/manifests/"+string(d), nothing()), 202)
	for _, ref := range []string{"v2", string(d)} {
		b.want(b.do(alice, "GET", "/v2/p/a/manifests/"+ref, nothing()), 404)
	}
	if len(b.tagLinks) > 0 || len(b.manifests) > 0 {
		t.Fatal("the engine has something left", b.tagLinks, b.manifests)
	}
	b.want(b.do(alice, "DELETE", "/v2/p/a/blobs/"+string(layer.Digest), nothing()), 202)
	b.want(b.do(alice, "DELETE", "/v2/p/a/blobs/"+string(layer.Digest), nothing()), 404)
}

func TestWarnings(t *testing.T) {
	b := newBench(t, Limits{})
	b.image("p/a", "v1", "")
	d := yes
	for range 50 {
		d.Warn = append(d.Warn, policy.Reason{Code: "w", Message: "say \"hi\"\r\nX-Evil: 1 " + strings.Repeat("ä", 200)})
	}
	b.judge = func(policy.Request) policy.Decision { return d }
	got := b.want(b.do(alice, "GET", "/v2/p/a/manifests/v1", nothing()), 200)
	size := 0
	for _, v := range got.Header()["Warning"] {
		size += len(v)
		if !strings.HasPrefix(v, `299 - "[w] say \"hi\"  X-Evil`) || strings.ContainsAny(v, "\r\n") {
			t.Fatal(v)
		}
	}
	if size == 0 || size > maxWarnings {
		t.Fatal(size)
	}
}

func TestAHeadThatIsDenied(t *testing.T) {
	b := newBench(t, Limits{})
	b.image("p/a", "v1", "")
	b.judge = func(policy.Request) policy.Decision { return no }
	b.want(b.do(alice, "HEAD", "/v2/p/a/manifests/v1", nothing()), 403)
	b.headDeny = 405
	b.want(b.do(alice, "HEAD", "/v2/p/a/manifests/v1", nothing()), 405)
	b.want(b.do(alice, "GET", "/v2/p/a/manifests/v1", nothing()), 403)
	b.judge = func(policy.Request) policy.Decision { return hidden }
	b.want(b.do(alice, "HEAD", "/v2/p/a/manifests/v1", nothing()), 404)
}

func TestPushesToOneTagAtOnce(t *testing.T) {
	b := newBench(t, Limits{})
	b.gate = gateFunc(func(policy.Request) (policy.Decision, error) { return yes, nil })
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	var wg sync.WaitGroup
	codes := make([]int, 16)
	for i := range codes {
		wg.Go(func() {
			body := manifestOf(config, fmt.Sprintf(`,"annotations":{"n":"%d"}`, i))
			codes[i] = b.do(alice, "PUT", "/v2/p/a/manifests/v1", strings.NewReader(body)).Code
		})
	}
	wg.Wait()
	for _, code := range codes {
		if code != 201 && code != 409 {
			t.Errorf("%v", codes)
		}
	}
	if b.tags["p/a|v1"] != b.tagLinks["p/a|v1"] {
		t.Fatal("the index and the engine differ")
	}
}

func decoded[T any](t *testing.T, a answer) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(a.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s: %v", a.Body, err)
	}
	return out
}
