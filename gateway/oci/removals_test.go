package oci

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// remove notes a removal; the store is locked.
func (s *store) remove(repo policy.Repository, kind policy.RemovalKind, name string) {
	s.removals = append(s.removals, policy.Removal{Repository: repo, Kind: kind, Name: name})
}

func (x index) Removals(_ context.Context, repo policy.Repository) (out []policy.Removal, err error) {
	defer x.lock()()
	for _, r := range x.removals {
		if r.Repository.Name == repo.Name {
			out = append(out, r)
		}
	}
	return out, nil
}

func (x index) Removed(_ context.Context, removals ...policy.Removal) error {
	defer x.lock()()
	x.removals = slices.DeleteFunc(x.removals, func(r policy.Removal) bool {
		return slices.ContainsFunc(removals, func(o policy.Removal) bool {
			return o.Repository.Name == r.Repository.Name && o.Kind == r.Kind && o.Name == r.Name
		})
	})
	return nil
}

func openBench(t *testing.T) *bench {
	b := newBench(t, Limits{})
	b.gate = gateFunc(func(policy.Request) (policy.Decision, error) { return yes, nil })
	return b
}

// wants sends a request as somebody who may and wants the status.
func (b *bench) wants(status int, method, path, body string) {
	b.t.Helper()
	b.want(b.do(alice, method, path, strings.NewReader(body)), status)
}

func TestABlobThatAManifestNamesIsNotDeleted(t *testing.T) {
	b := openBench(t)
	config, layer := b.blob("p/a", `{}`), b.blob("p/a", "layer")
	config.MediaType = configType
	body := manifestOf(config, "", layer)
	b.wants(http.StatusCreated, "PUT", "/v2/p/a/manifests/v1", body)
	for _, d := range []digest.Digest{config.Digest, layer.Digest} {
		b.wants(http.StatusMethodNotAllowed, "DELETE", "/v2/p/a/blobs/"+string(d), "")
		b.wants(http.StatusOK, "GET", "/v2/p/a/blobs/"+string(d), "")
	}
	b.wants(http.StatusAccepted, "DELETE", "/v2/p/a/manifests/"+string(digest.FromString(body)), "")
	for _, d := range []digest.Digest{config.Digest, layer.Digest} {
		b.wants(http.StatusAccepted, "DELETE", "/v2/p/a/blobs/"+string(d), "")
		b.wants(http.StatusNotFound, "GET", "/v2/p/a/blobs/"+string(d), "")
	}
}

// Whoever is first wins; a manifest that was taken has its blobs, in the index and
// in storage.
func TestADeletedBlobIsMissedByNoManifest(t *testing.T) {
	b := openBench(t)
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	for n := range 300 {
		layer := b.blob("p/a", fmt.Sprint("layer ", n))
		body := manifestOf(config, "", layer)
		var wg sync.WaitGroup
		wg.Go(func() { b.do(alice, "DELETE", "/v2/p/a/blobs/"+string(layer.Digest), nothing()) })
		if rand.IntN(2) == 0 {
			wg.Go(func() { b.blob("p/a", fmt.Sprint("layer ", n)) })
		}
		if got := b.do(alice, "PUT", "/v2/p/a/manifests/v1", strings.NewReader(body)); got.Code != http.StatusCreated && got.Code != http.StatusBadRequest {
			t.Fatalf("the push is answered %d %s", got.Code, got.Body)
		}
		wg.Wait()
		repo := policy.Repository{Name: "p/a"}
		known, linked := b.blobs[at(repo, layer.Digest)] != "", b.links[at(repo, layer.Digest)]
		if known != linked {
			t.Fatalf("try %d: of the blob the index knows %v, storage %v", n, known, linked)
		}
		if b.artifacts[at(repo, digest.FromString(body))] != nil && !linked {
			t.Fatalf("try %d: a manifest has lost its layer", n)
		}
	}
}

func TestADeletionThatGotStuckIsFinishedByTheNextTry(t *testing.T) {
	b := openBench(t)
	config, layer, lone := b.blob("p/a", `{}`), b.blob("p/a", "layer"), b.blob("p/a", "lone")
	config.MediaType = configType
	body := manifestOf(config, "", layer)
	d := digest.FromString(body)
	for _, path := range []string{"/v2/p/a/manifests/v1", "/v2/p/a/manifests/" + string(d), "/v2/p/a/blobs/" + string(lone.Digest)} {
		for _, tag := range []string{"v1", "v2"} {
			b.wants(http.StatusCreated, "PUT", "/v2/p/a/manifests/"+tag, body)
		}
		b.stuck = fmt.Errorf("the disk fails: %w", policy.ErrUnavailable)
		for range 2 {
			b.wants(http.StatusServiceUnavailable, "DELETE", path, "")
		}
		b.stuck = nil
		b.wants(http.StatusNotFound, "DELETE", path, "")
		if len(b.removals) > 0 || len(b.tagLinks) != len(b.tags) || len(b.manifests) != len(b.artifacts) {
			t.Errorf("after %s: removals %v, links of tags %v, tags %v, links of manifests %v", path, b.removals, b.tagLinks, b.tags, b.manifests)
		}
	}
	if b.links[at(policy.Repository{Name: "p/a"}, lone.Digest)] {
		t.Error("the blob is still linked")
	}
}

func TestWhatWasPushedAgainIsNotRemovedLater(t *testing.T) {
	b := openBench(t)
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	body := manifestOf(config, "")
	b.wants(http.StatusCreated, "PUT", "/v2/p/a/manifests/v1", body)
	b.stuck = policy.ErrUnavailable
	b.wants(http.StatusServiceUnavailable, "DELETE", "/v2/p/a/manifests/"+string(digest.FromString(body)), "")
	b.stuck = nil
	b.wants(http.StatusCreated, "PUT", "/v2/p/a/manifests/v1", body)
	b.wants(http.StatusNotFound, "DELETE", "/v2/p/a/manifests/other", "")
	if len(b.removals) > 0 || len(b.tagLinks) != 1 || len(b.manifests) != 1 {
		t.Errorf("removals %v, links of tags %v and of manifests %v", b.removals, b.tagLinks, b.manifests)
	}
}
