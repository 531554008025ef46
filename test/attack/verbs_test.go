package attack_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

func dialHost(host string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", host, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(30 * time.Second))
}

// Class 1: verb and scope (Harbor CVE-2019-16097, zot GHSA-qg67-7m6v-qg25: a
// push token could DELETE).
func TestEveryVerbOnEveryPathWantsItsOwnRight(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "verbs", "1000", nil))
	m, l := "/v2/red/app/manifests/", "/v2/red/app/blobs/"

	type try struct {
		method, path string
		// may lists who is let in; everybody else is refused.
		may []string
	}
	readers := []string{alice, mike, gus, lou, pat, admin}
	writers := []string{alice, mike, pat, admin}
	deleters := []string{mike, pat, admin}
	tries := []try{
		{http.MethodGet, m + "v1", readers}, {http.MethodHead, m + "v1", readers},
		{http.MethodGet, m + im.digest, readers}, {http.MethodHead, m + im.digest, readers},
		{http.MethodGet, l + im.layerDigest(), readers}, {http.MethodHead, l + im.layerDigest(), readers},
		{http.MethodGet, l + im.configDigest(), readers},
		{http.MethodGet, "/v2/red/app/referrers/" + im.digest, readers},
		{http.MethodGet, "/v2/red/app/tags/list", readers},
		{http.MethodPost, l + "uploads/", writers},
	}
	everybody := []string{alice, mike, gus, lou, pat, bob, eve, nobody, admin}
	for _, try := range tries {
		for _, user := range everybody {
			r := w.as(user, try.method, try.path, harness.Accept, nil)
			if slices.Contains(try.may, user) {
				if r.Status >= 300 {
					t.Errorf("%s %s by %q: %d %s", try.method, try.path, user, r.Status, r.Body)
				}
				continue
			}
			refused(t, fmt.Sprintf("%s %s by %q", try.method, try.path, user), r, im.layer, im.manifest, im.config)
		}
	}
	// Verbs that no path has, and verbs that a path does not have.
	for _, path := range []string{"/v2/", m + "v1", l + im.layerDigest(), "/v2/_catalog", "/v2/red/app/tags/list", "/v2/red/app/referrers/" + im.digest, "/api/v1/users", "/token"} {
		for _, method := range []string{http.MethodPatch, "PROPFIND", "PURGE", http.MethodTrace, "get", http.MethodConnect} {
			if path == "/token" && method == http.MethodPost {
				continue
			}
			r := w.rawRequest(method + " " + path + " HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
			if len(r) < 12 || r[9] != '4' && r[9] != '5' {
				t.Errorf("%s %s: %.80q", method, path, r)
			}
		}
	}
	// Deletes last; a developer may push and not delete.
	for _, path := range []string{m + "v1", m + im.digest, l + im.layerDigest()} {
		for _, user := range everybody {
			if !slices.Contains(deleters, user) {
				refused(t, "DELETE "+path+" by "+user, w.as(user, http.MethodDelete, path, nil, nil))
			}
		}
		if r := w.as(mike, http.MethodDelete, path, nil, nil); r.Status != http.StatusAccepted {
			t.Errorf("DELETE %s by a maintainer: %d %s", path, r.Status, r.Body)
		}
	}
}

func TestATokenForOneThingIsNoTokenForAnother(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "scopes", "1000", nil))
	w.push(alice, newImage("red/other", "v1", "scopes", "1000", nil))
	pull, push := w.token(mike, "repository:red/app:pull"), w.token(mike, "repository:red/app:push")
	del := w.token(mike, "repository:red/app:delete")
	none := w.token(mike)
	m := "/v2/red/app/manifests/v1"
	put := http.Header{"Content-Type": {manifestType}}
	for _, c := range []struct {
		name, token, method, path string
		header                    http.Header
		body                      []byte
	}{
		{"pull does not push", pull, http.MethodPut, m, put, im.manifest},
		{"pull does not start an upload", pull, http.MethodPost, "/v2/red/app/blobs/uploads/", nil, nil},
		{"pull does not delete", pull, http.MethodDelete, m, nil, nil},
		{"push does not delete a tag", push, http.MethodDelete, m, nil, nil},
		{"push does not delete a manifest", push, http.MethodDelete, "/v2/red/app/manifests/" + im.digest, nil, nil},
		{"push does not delete a blob", push, http.MethodDelete, "/v2/red/app/blobs/" + im.layerDigest(), nil, nil},
		{"push does not read a layer", push, http.MethodGet, "/v2/red/app/blobs/" + im.layerDigest(), nil, nil},
		{"delete does not pull", del, http.MethodGet, m, nil, nil},
		{"delete does not push", del, http.MethodPut, m, put, im.manifest},
		{"one repository is not another", pull, http.MethodGet, "/v2/red/other/manifests/v1", nil, nil},
		{"one repository is not its parent's other name", pull, http.MethodGet, "/v2/red/app/v1/manifests/v1", nil, nil},
		{"no scope reads nothing", none, http.MethodGet, m, nil, nil},
		{"no scope lists nothing", none, http.MethodGet, "/v2/red/app/tags/list", nil, nil},
	} {
		r := w.bearer(c.token, c.method, c.path, c.header, c.body)
		if r.Status != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", c.name, r.Status, r.Body)
		}
	}
}

func TestATokenCarriesNoMoreThanItsOwnerMay(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(alice, newImage("red/app", "v1", "subset", "1000", nil))
	greedy := w.token(gus, "repository:red/app:pull,push,delete,*", "repository:blue/app:pull,push", "registry:catalog:*")
	if r := w.bearer(greedy, http.MethodGet, "/v2/red/app/manifests/v1", harness.Accept, nil); r.Status != http.StatusOK {
		t.Errorf("the granted part: %d %s", r.Status, r.Body)
	}
	for _, c := range [][2]string{
		{http.MethodPost, "/v2/red/app/blobs/uploads/"}, {http.MethodDelete, "/v2/red/app/manifests/v1"}, {http.MethodPost, "/v2/blue/app/blobs/uploads/"},
	} {
		refused(t, c[0]+" "+c[1], w.bearer(greedy, c[0], c[1], nil, nil))
	}
}
