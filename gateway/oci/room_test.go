package oci

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
)

func TestAManifestCarriesSoManyTagsAndNoMore(t *testing.T) {
	b := newBench(t, Limits{ManifestTags: 3})
	d, body := b.image("p/a", "t1", "")
	other, otherBody := b.image("p/a", "o1", `,"annotations":{"n":"2"}`)
	put := func(ref, body string) answer {
		return b.do(alice, "PUT", "/v2/p/a/manifests/"+ref, strings.NewReader(body), "Content-Type: "+manifest.OCIManifest)
	}
	b.want(put(string(d)+"?tag=t2&tag=t3", body), http.StatusCreated)

	for name, ref := range map[string]string{"by tag": "t4", "by digest": string(d) + "?tag=t4", "partly new": string(d) + "?tag=t1&tag=t4"} {
		got := b.want(put(ref, body), http.StatusForbidden)
		if got.code() != "DENIED" || !strings.Contains(got.Body.String(), "4 tags") || !strings.Contains(got.Body.String(), "3 are allowed") {
			t.Errorf("%s: %s", name, got.Body)
		}
	}
	if _, there := b.tags["p/a|t4"]; there {
		t.Fatal("the tag is there")
	}
	if last := b.asked[len(b.asked)-1]; last.Action != policy.ManifestPush {
		t.Fatalf("who may not push is told that first: %+v", last)
	}
	// What is there already, another manifest, and the digest alone are no more.
	b.want(put("t2", body), http.StatusCreated)
	b.want(put(string(d), body), http.StatusCreated)
	b.want(put("o2", otherBody), http.StatusCreated)
	// A tag that moves away makes room, as one that is deleted does.
	b.want(put("t3", otherBody), http.StatusCreated)
	b.want(put("t5", body), http.StatusCreated)
	b.want(b.do(alice, "DELETE", "/v2/p/a/manifests/t5", nothing()), http.StatusAccepted)
	b.want(put("t6", body), http.StatusCreated)
	if b.tags["p/a|t3"] != other || b.tags["p/a|t6"] != d {
		t.Fatal(b.tags)
	}
}

// Tags that were too many before there was a limit do not keep a push of one of
// them out.
func TestTooManyTagsOfOldMayBePushedAgain(t *testing.T) {
	b := newBench(t, Limits{})
	d, body := b.image("p/a", "t1", "")
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/"+string(d)+"?tag=t2&tag=t3", strings.NewReader(body)), http.StatusCreated)
	b.restart(Limits{ManifestTags: 2})
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/t2", strings.NewReader(body)), http.StatusCreated)
	b.want(b.do(alice, "PUT", "/v2/p/a/manifests/t4", strings.NewReader(body)), http.StatusForbidden)
}

// Pushes at once of many tags onto one manifest are judged with each other's tags,
// and no more get through than may.
func TestTagsPushedAtOnceAreJudgedTogether(t *testing.T) {
	const limit = 4
	b := newBench(t, Limits{ManifestTags: limit})
	d, body := b.image("p/a", "t", "")
	var mu sync.Mutex
	most := 0
	b.gate = gateFunc(func(r policy.Request) (policy.Decision, error) {
		mu.Lock()
		defer mu.Unlock()
		if r.Artifact != nil {
			most = max(most, len(r.Artifact.Tags))
		}
		return yes, nil
	})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			got := b.do(alice, "PUT", fmt.Sprintf("/v2/p/a/manifests/%d", i), strings.NewReader(body))
			if got.Code != http.StatusCreated && got.Code != http.StatusForbidden && got.Code != http.StatusConflict {
				t.Errorf("%d %s", got.Code, got.Body)
			}
		})
	}
	wg.Wait()
	on := 0
	for _, at := range b.tags {
		if at == d {
			on++
		}
	}
	if on > limit || on < 2 {
		t.Errorf("%d tags are on it, %d are allowed", on, limit)
	}
	if most < on {
		t.Errorf("%d tags are on it and %d at most were judged together", on, most)
	}
}

func TestAManifestIsInSoManyIndexesAndNoMore(t *testing.T) {
	b := newBench(t, Limits{Parents: 2})
	child, body := b.image("p/a", "child", "")
	key := at(policy.Repository{Name: "p/a"}, child)
	indexOf := func(n int) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}],"annotations":{"n":"%d"}}`,
			manifest.OCIIndex, manifest.OCIManifest, child, len(body), n)
	}
	put := func(n, status int) {
		t.Helper()
		b.want(b.do(alice, "PUT", fmt.Sprintf("/v2/p/a/manifests/i%d", n), strings.NewReader(indexOf(n)), "Content-Type: "+manifest.OCIIndex), status)
	}
	for n := range 2 {
		put(n, http.StatusCreated)
		b.artifacts[key].Parents = append(b.artifacts[key].Parents, digest.FromString(indexOf(n)))
	}
	put(2, http.StatusForbidden)
	put(1, http.StatusCreated) // it is one of them
}
