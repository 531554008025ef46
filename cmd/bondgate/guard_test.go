package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway/authn"
)

type served func(r *http.Request)

func (f served) Serve(_ http.ResponseWriter, r *http.Request, _ authn.Caller) error {
	f(r)
	return nil
}

func TestTheGuardIsTakenWithTheLastByte(t *testing.T) {
	tests := map[string]struct {
		method, path string
		body         string
		length       int64
		held         bool
	}{
		"a manifest of a known length":  {"PUT", "/v2/a/b/manifests/1", "{}", 2, true},
		"a manifest of no known length": {"PUT", "/v2/a/b/manifests/1", "{}", -1, true},
		"a deletion":                    {"DELETE", "/v2/a/b/manifests/1", "", 0, true},
		"a manifest that is read":       {"GET", "/v2/a/b/manifests/1", "", 0, false},
		"the end of a blob":             {"PUT", "/v2/a/b/blobs/uploads/x", "{}", 2, true},
		"a blob at once":                {"POST", "/v2/a/b/blobs/uploads/", "{}", 2, true},
		"a mount":                       {"POST", "/v2/a/b/blobs/uploads/", "", 0, true},
		"a blob's deletion":             {"DELETE", "/v2/a/b/blobs/sha256:x", "", 0, true},
		"a chunk, however large":        {"PATCH", "/v2/a/b/blobs/uploads/x", "{}", 2, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := &writeGuard{}
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			r.ContentLength = tt.length
			held := false
			err := guarded{guard: g, protocol: served(func(r *http.Request) {
				if tt.method == http.MethodPut && !g.mu.TryLock() {
					t.Error("it is held before there is a body")
				} else if tt.method == http.MethodPut {
					g.mu.Unlock()
				}
				if _, err := io.ReadAll(r.Body); err != nil {
					t.Error(err)
				}
				if held = !g.mu.TryLock(); !held {
					g.mu.Unlock()
				}
			})}.Serve(httptest.NewRecorder(), r, authn.Caller{})
			if err != nil || held != tt.held {
				t.Fatalf("held is %v, the error %v", held, err)
			}
			if !g.mu.TryLock() {
				t.Fatal("it is not given back")
			}
		})
	}
}
