package oci

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

func TestABlobRidesOnAManifest(t *testing.T) {
	b := newBench(t, Limits{})
	shared, own := b.blob("p/a", "shared"), b.blob("p/a", "own")
	bad, _ := b.image("p/a", "bad", "", shared, own)
	b.judge = func(r policy.Request) policy.Decision {
		if r.Action == policy.ManifestPull && r.Artifact.Digest == bad {
			return no
		}
		return yes
	}
	path := func(d policy.Descriptor) string { return "/v2/p/a/blobs/" + string(d.Digest) }
	b.want(b.do(alice, "GET", path(shared), nothing()), 403)
	b.want(b.do(alice, "GET", path(own), nothing()), 403)
	b.want(b.do(alice, "HEAD", path(own), nothing()), 403)
	good, _ := b.image("p/a", "good", "", shared)
	b.asked = nil
	b.want(b.do(alice, "GET", path(shared), nothing()), 200)
	b.want(b.do(alice, "GET", path(own), nothing()), 403)
	if b.asked[0].Blob == nil || b.asked[0].Blob.Manifest != good || b.asked[1].Reference.Kind != policy.ByDigest {
		t.Fatalf("%+v", b.asked[:2])
	}
}

func TestTheManifestPulledLastIsJudgedFirst(t *testing.T) {
	b := newBench(t, Limits{})
	base := b.blob("p/a", "base")
	first, _ := b.image("p/a", "t0", "", base)
	for i := range 12 {
		b.image("p/a", fmt.Sprintf("t%d", i+1), fmt.Sprintf(`,"annotations":{"n":"%d"}`, i), base)
	}
	allowed := func(r policy.Request) policy.Decision {
		if r.Action == policy.ManifestPull && r.Artifact.Digest != first {
			return no
		}
		return yes
	}
	b.judge = allowed
	path := "/v2/p/a/blobs/" + string(base.Digest)
	b.asked = nil
	b.want(b.do(alice, "GET", path, nothing()), 403)
	if len(b.asked) != 2*maxCandidates {
		t.Fatalf("%d decisions", len(b.asked))
	}
	b.want(b.do(alice, "GET", "/v2/p/a/manifests/t0", nothing()), 200)
	b.asked = nil
	b.want(b.do(alice, "GET", path, nothing()), 200)
	if len(b.asked) != 2 {
		t.Fatalf("%d decisions", len(b.asked))
	}
	b.want(b.do(bob, "GET", path, nothing()), 403) // bob pulled nothing
}

func TestABlobThatNoManifestNames(t *testing.T) {
	b := newBench(t, Limits{})
	d := b.blob("p/a", "left behind").Digest
	b.asked = nil
	b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(d), nothing()), 200)
	if len(b.asked) != 1 || b.asked[0].Blob.Manifest != "" {
		t.Fatalf("%+v", b.asked)
	}
	b.judge = func(policy.Request) policy.Decision { return notYou }
	b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(d), nothing()), 403)
	got := b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(digest.FromString("x")), nothing()), 404)
	if got.code() != "BLOB_UNKNOWN" {
		t.Fatal(got.Body)
	}
	// What another repository has is not there in this one.
	b.judge = func(policy.Request) policy.Decision { return yes }
	b.want(b.do(alice, "GET", "/v2/p/b/blobs/"+string(d), nothing()), 404)
}

func TestPurposes(t *testing.T) {
	b := newBench(t, Limits{})
	layer, sign := b.blob("p/a", "layer"), b.blob("p/a", "signature")
	config := digest.FromString(`{"os":"linux","config":{"User":"1000"}}`)
	image, _ := b.image("p/a", "v1", "", layer)
	sign.MediaType = signType
	signature, _ := b.image("p/a", "sha256-"+image.Encoded()+".sig", "", sign)
	disguise, _ := b.image("p/a", "sha256-"+image.Encoded()+".att", `,"annotations":{"vnd.docker.reference.type":"attestation-manifest"},"artifactType":"application/vnd.in-toto+json"`, layer)
	b.want(b.do(alice, "DELETE", "/v2/p/a/manifests/"+string(disguise), nothing()), 202)
	pull, push := with(alice, "p/a", "pull"), with(alice, "p/a", "pull", "push")
	cases := []struct {
		sentence, method, path string
		caller                 authn.Caller
		want                   policy.Purpose
	}{
		{"a puller's image", "GET", "/manifests/v1", pull, policy.Use},
		{"a puller's HEAD", "HEAD", "/manifests/v1", pull, policy.Use},
		{"a pusher's image", "GET", "/manifests/v1", push, policy.Inspect},
		{"a pusher's HEAD", "HEAD", "/manifests/v1", push, policy.Inspect},
		{"a password's image", "GET", "/manifests/v1", alice, policy.Use},
		{"a puller's signature", "GET", "/manifests/" + string(signature), pull, policy.Inspect},
		{"a puller's layer", "GET", "/blobs/" + string(layer.Digest), pull, policy.Use},
		{"a pusher's layer", "GET", "/blobs/" + string(layer.Digest), push, policy.Use},
		{"a pusher's HEAD of a layer", "HEAD", "/blobs/" + string(layer.Digest), push, policy.Inspect},
		{"a puller's HEAD of a layer", "HEAD", "/blobs/" + string(layer.Digest), pull, policy.Use},
		{"a pusher's config", "GET", "/blobs/" + string(config), push, policy.Inspect},
		{"a signature's bytes", "GET", "/blobs/" + string(sign.Digest), pull, policy.Inspect},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			b.asked = nil
			b.want(b.do(c.caller, c.method, "/v2/p/a"+c.path, nothing()), 200)
			for _, r := range b.asked {
				if r.Purpose != c.want {
					t.Errorf("%s is %s", r.Action, r.Purpose)
				}
			}
		})
	}
}

// An image's layer that is named as a signature, or as a configuration, is still
// that image's layer.
func TestEvidenceLetsNoLayerOut(t *testing.T) {
	b := newBench(t, Limits{})
	layer := b.blob("p/a", "layer of a denied image")
	denied, _ := b.image("p/a", "v1", "", layer)
	content := func(r policy.Request) policy.Decision {
		if r.Purpose.Runs(policy.Content) && r.Action == policy.ManifestPull && r.Artifact.Digest == denied {
			return no
		}
		return yes
	}
	disguised := layer
	disguised.MediaType = signType
	b.image("p/a", "sha256-x.sig", "", disguised)
	for i := range 10 { // more than are judged
		b.image("p/a", fmt.Sprintf("sha256-%d.sig", i), fmt.Sprintf(`,"annotations":{"n":"%d"}`, i), disguised)
	}
	b.judge = content
	path := "/v2/p/a/blobs/" + string(layer.Digest)
	for sentence, caller := range map[string]authn.Caller{"a puller": with(bob, "p/a", "pull"), "a pusher": with(bob, "p/a", "pull", "push")} {
		if got := b.do(caller, "GET", path, nothing()); got.Code != 403 {
			t.Errorf("%s: %d", sentence, got.Code)
		}
	}
	// The evidence was even pulled last.
	b.want(b.do(bob, "GET", "/v2/p/a/manifests/sha256-x.sig", nothing()), 200)
	b.want(b.do(bob, "GET", path, nothing()), 403)

	b.judge = func(policy.Request) policy.Decision { return yes }
	config := layer
	config.MediaType = "application/vnd.example.config"
	body := manifestOf(config, "")
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/c", strings.NewReader(body)), 201)
	named := digest.FromString(body)
	b.judge = func(r policy.Request) policy.Decision {
		if r.Purpose.Runs(policy.Content) && r.Action == policy.ManifestPull && (r.Artifact.Digest == denied || r.Artifact.Digest == named) {
			return no
		}
		return yes
	}
	b.want(b.do(with(bob, "p/a", "pull", "push"), "GET", path, nothing()), 403)
}
