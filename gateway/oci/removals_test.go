package oci

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

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

// A deletion that comes when storage is written and the index is not yet has to
// wait: whoever is first wins, and both sides agree.
func TestADeletedBlobIsMissedByNoManifest(t *testing.T) {
	b := openBench(t)
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	layer := b.blob("p/a", "layer")
	var deletion chan int
	deleting := func() {
		done := make(chan int, 1)
		deletion = done
		go func() { done <- b.do(alice, "DELETE", "/v2/p/a/blobs/"+string(layer.Digest), nothing()).Code }()
		time.Sleep(20 * time.Millisecond) // it would be through by now, if it did not wait
	}
	agree := func(want bool) {
		t.Helper()
		key := at(policy.Repository{Name: "p/a"}, layer.Digest)
		if known, linked := b.blobs[key] != "", b.links[key]; known != want || linked != want {
			t.Fatalf("of the blob the index knows %v, storage %v, want %v", known, linked, want)
		}
	}
	b.beforeAddBlob = deleting
	b.blob("p/a", "layer")
	if status := <-deletion; status != http.StatusAccepted {
		t.Fatalf("the deletion after an upload is answered %d", status)
	}
	agree(false)
	b.beforeAddBlob = nil
	b.blob("p/a", "layer")
	b.beforePush = deleting
	b.wants(http.StatusCreated, "PUT", "/v2/p/a/manifests/v1", manifestOf(config, "", layer))
	if status := <-deletion; status != http.StatusMethodNotAllowed {
		t.Fatalf("the deletion beside a push is answered %d", status)
	}
	agree(true)
}

// The deletion is through before the manifest is stored, and after it was judged.
func TestAPushWhoseBlobIsDeletedMeanwhileIsRefused(t *testing.T) {
	b := openBench(t)
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	layer := b.blob("p/a", "layer")
	b.gate = gateFunc(func(r policy.Request) (policy.Decision, error) {
		if r.Action == policy.ManifestPush && r.Purpose != policy.Inspect {
			b.wants(http.StatusAccepted, "DELETE", "/v2/p/a/blobs/"+string(layer.Digest), "")
		}
		return yes, nil
	})
	b.wants(http.StatusBadRequest, "PUT", "/v2/p/a/manifests/v1", manifestOf(config, "", layer))
	if len(b.manifests)+len(b.artifacts)+len(b.tags) > 0 {
		t.Errorf("storage has %v, the index %v and %v", b.manifests, b.artifacts, b.tags)
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
