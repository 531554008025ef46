package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
)

// operation is one thing that clients do, and how often among a thousand.
type operation struct {
	name   string
	weight int
	do     func(w *world, ctx context.Context, r *rand.Rand) error
}

// mix is what clients do. Every answer is expected: those that are refused, too.
func mix() []operation {
	return []operation{
		{"manifest GET by tag", 380, (*world).pull},
		{"manifest HEAD", 140, (*world).head},
		{"blob GET, 20 KB", 200, (*world).blob},
		{"blob GET, 4 MB", 8, (*world).largeBlob},
		{"push, move a tag, delete", 25, (*world).push},
		{"upload begun and left", 3, (*world).leave},
		{"tags list", 60, (*world).tags},
		{"referrers", 60, (*world).referrers},
		{"catalog", 20, (*world).catalog},
		{"token", 50, (*world).sign},
		{"denied: who", 30, (*world).deniedWho},
		{"denied: what", 23, (*world).deniedWhat},
		{"membership changed", 1, (*world).member},
	}
}

// guest gives anybody who may pull.
func (w *world) guest(ctx context.Context, r *rand.Rand) (string, error) {
	return w.guests[r.IntN(len(w.guests))].auth(ctx, w.c)
}

func (w *world) maintainer(ctx context.Context, r *rand.Rand) (string, error) {
	return w.maintainers[r.IntN(len(w.maintainers))].auth(ctx, w.c)
}

// fetch is a request as a guest.
func (w *world) fetch(ctx context.Context, r *rand.Rand, method, path string, statuses ...int) (reply, error) {
	auth, err := w.guest(ctx, r)
	if err != nil {
		return reply{}, err
	}
	return w.c.want(ctx, ask{method: method, path: path, auth: auth, header: map[string]string{"Accept": manifestType}}, statuses...)
}

func (w *world) pull(ctx context.Context, r *rand.Rand) error {
	n := w.zipf(r)
	path := fmt.Sprintf("/v2/%s/manifests/t%d", stable(n/images), n%images)
	if n%8 == 7 { // the tag that moves, of the same project
		if p := n / images; w.pushed[p].filled() {
			_, err := w.fetch(ctx, r, http.MethodGet, "/v2/"+moving(p)+"/manifests/latest", http.StatusOK)
			return err
		}
	}
	got, err := w.fetch(ctx, r, http.MethodGet, path, http.StatusOK)
	if err == nil && !bytes.Equal(got.body, w.images[n].manifest) {
		err = fmt.Errorf("%s: another manifest: %s", path, got.body)
	}
	return err
}

func (w *world) head(ctx context.Context, r *rand.Rand) error {
	n := w.zipf(r)
	_, err := w.fetch(ctx, r, http.MethodHead, fmt.Sprintf("/v2/%s/manifests/t%d", stable(n/images), n%images), http.StatusOK)
	return err
}

func (w *world) blob(ctx context.Context, r *rand.Rand) error {
	n := w.zipf(r)
	got, err := w.fetch(ctx, r, http.MethodGet, "/v2/"+stable(n/images)+"/blobs/"+w.images[n].layerID, http.StatusOK)
	if err == nil && got.length != layerSize {
		err = fmt.Errorf("a blob of %d bytes came as %d", layerSize, got.length)
	}
	return err
}

func (w *world) largeBlob(ctx context.Context, r *rand.Rand) error {
	p := r.IntN(projects)
	got, err := w.fetch(ctx, r, http.MethodGet, "/v2/"+stable(p)+"/blobs/"+w.large[p].layerID, http.StatusOK)
	if err == nil && got.length != largeSize {
		err = fmt.Errorf("a blob of %d bytes came as %d", largeSize, got.length)
	}
	return err
}

func (w *world) tags(ctx context.Context, r *rand.Rand) error {
	_, err := w.fetch(ctx, r, http.MethodGet, "/v2/"+stable(r.IntN(projects))+"/tags/list?n=20", http.StatusOK)
	return err
}

func (w *world) referrers(ctx context.Context, r *rand.Rand) error {
	n := w.zipf(r)
	_, err := w.fetch(ctx, r, http.MethodGet, "/v2/"+stable(n/images)+"/referrers/"+w.images[n].imageID, http.StatusOK)
	return err
}

func (w *world) catalog(ctx context.Context, _ *rand.Rand) error {
	_, err := w.c.want(ctx, ask{method: http.MethodGet, path: "/v2/_catalog?n=10", auth: basic(adminName, adminPassword)}, http.StatusOK)
	return err
}

func (w *world) sign(ctx context.Context, r *rand.Rand) error {
	return w.guests[r.IntN(len(w.guests))].sign(ctx, w.c)
}

// deniedWho are requests of nobody, of a stranger, and of a guest who pushes.
func (w *world) deniedWho(ctx context.Context, r *rand.Rand) error {
	n := w.zipf(r)
	path := fmt.Sprintf("/v2/%s/manifests/t%d", stable(n/images), n%images)
	switch r.IntN(3) {
	case 0:
		_, err := w.c.want(ctx, ask{method: http.MethodGet, path: path}, http.StatusUnauthorized)
		return err
	case 1:
		auth, err := w.stranger.auth(ctx, w.c)
		if err != nil {
			return err
		}
		_, err = w.c.want(ctx, ask{method: http.MethodGet, path: path, auth: auth}, http.StatusUnauthorized)
		return err
	}
	guest := w.guests[r.IntN(len(w.guests))]
	_, err := w.c.want(ctx, ask{
		method: http.MethodPost, path: "/v2/" + stable(n/images) + "/blobs/uploads/", auth: basic(guest.name, password),
	}, http.StatusForbidden)
	return err
}

// deniedWhat is a pull of what a rule says no to.
func (w *world) deniedWhat(ctx context.Context, r *rand.Rand) error {
	_, err := w.fetch(ctx, r, http.MethodGet, "/v2/"+stable(r.IntN(projects))+"/manifests/root", http.StatusForbidden)
	return err
}

// leave begins an upload, sends a chunk of it and never comes back.
func (w *world) leave(ctx context.Context, r *rand.Rand) error {
	auth, err := w.maintainer(ctx, r)
	if err != nil {
		return err
	}
	at, err := begin(ctx, w.c, auth, moving(r.IntN(projects)))
	if err != nil {
		return err
	}
	_, err = w.c.want(ctx, ask{
		method: http.MethodPatch, path: at, auth: auth, body: make([]byte, 4096),
		header: map[string]string{"Content-Type": "application/octet-stream"},
	}, http.StatusAccepted)
	return err
}

// member gives somebody who does nothing another role, which ends every decision
// that is remembered.
func (w *world) member(ctx context.Context, r *rand.Rand) error {
	role := []string{"guest", "developer"}[r.IntN(2)]
	return w.c.api(ctx, http.MethodPut, fmt.Sprintf("/projects/p%d/members/user/%s", r.IntN(projects), w.visitor.name), map[string]any{"role": role})
}

// ring are the images that a project's builds have left, oldest first.
type ring struct {
	busy sync.Mutex // one build at a time, as pipelines do
	mu   sync.Mutex
	left []*image
}

func (r *ring) filled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.left) > 0
}

// add takes an image in and answers the one that is too many, if any.
func (r *ring) add(im *image) *image {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = append(r.left, im)
	if len(r.left) <= kept {
		return nil
	}
	oldest := r.left[0]
	r.left = append([]*image(nil), r.left[1:]...)
	return oldest
}

// push is a build: a new image, under its own tag and under latest, for which the
// oldest goes.
func (w *world) push(ctx context.Context, r *rand.Rand) error {
	auth, err := w.maintainer(ctx, r)
	if err != nil {
		return err
	}
	p := r.IntN(projects)
	made := &w.pushed[p]
	made.busy.Lock()
	defer made.busy.Unlock()
	im := newImage(layerSize, "1000")
	if err := im.push(ctx, w.c, auth, moving(p), fmt.Sprintf("b%d", w.serial.Add(1))); err != nil {
		return err
	}
	if err := im.tag(ctx, w.c, auth, moving(p), "latest"); err != nil {
		return err
	}
	if oldest := made.add(im); oldest != nil {
		return oldest.remove(ctx, w.c, auth, moving(p))
	}
	return nil
}
