package main

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/bondgate/bondgate/gateway/authn"
)

// writeGuard lets content and tags be written side by side, and stops them for
// the moments in which index and storage are made equal. Without it what is
// acknowledged between the reading and the replacing of a repository's rows, a
// blob as well as a push, would be gone from the index.
//
// It is this process's own: over several replicas a reindex is for a quiet hour.
type writeGuard struct{ mu sync.RWMutex }

// stop waits for the writes that go on and holds back others until unlock.
func (g *writeGuard) stop() (unlock func()) {
	g.mu.Lock()
	return g.mu.Unlock
}

// protocol is the registry protocol as the edge sees it.
type protocol interface {
	Serve(w http.ResponseWriter, r *http.Request, c authn.Caller) error
}

// guarded is the protocol with what writes index and storage under the guard.
type guarded struct {
	protocol
	guard *writeGuard
}

// Serve answers one request. The guard is taken when the body is there: a slow
// client must not hold up those who wait for it.
func (g guarded) Serve(w http.ResponseWriter, r *http.Request, c authn.Caller) error {
	if !writes(r) {
		return g.protocol.Serve(w, r, c)
	}
	body := &guardedBody{ReadCloser: r.Body, guard: g.guard, left: r.ContentLength}
	defer body.release()
	if r.Method == http.MethodDelete || r.Body == nil || r.Body == http.NoBody {
		body.take()
	} else {
		r.Body = body
	}
	return g.protocol.Serve(w, r, c)
}

// writes reports whether the request may change both sides. A chunk of an upload
// changes storage alone.
func writes(r *http.Request) bool {
	switch r.Method {
	case http.MethodPut, http.MethodDelete, http.MethodPost:
		return strings.Contains(r.URL.Path, "/manifests/") || strings.Contains(r.URL.Path, "/blobs/")
	default:
		return false
	}
}

// guardedBody takes the guard with the last byte.
type guardedBody struct {
	io.ReadCloser
	guard *writeGuard
	// left is what is still to come, in bytes; negative when nobody said.
	left  int64
	taken bool
}

func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	known := b.left >= 0
	b.left -= int64(n)
	if err != nil || known && b.left <= 0 {
		b.take()
	}
	return n, err
}

func (b *guardedBody) take() {
	if !b.taken {
		b.guard.mu.RLock()
		b.taken = true
	}
}

func (b *guardedBody) release() {
	if b.taken {
		b.guard.mu.RUnlock()
	}
}
