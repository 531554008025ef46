package oci

import (
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// Nobody has more uploads open than is allowed, whatever others have, and each
// way for one to end makes place for another.
func TestUploadsAreCounted(t *testing.T) {
	b := newBench(t, Limits{Uploads: 2})
	const post = "/v2/p/a/blobs/uploads/"
	blob := post + "?digest=" + string(digest.FromString("abc"))
	for name, end := range map[string]func(at string){
		"committed": func(at string) {
			b.want(b.do(alice, "PUT", at+"&digest="+string(digest.FromString("abc")), strings.NewReader("abc")), 201)
		},
		"cancelled": func(at string) { b.want(b.do(alice, "DELETE", at, nothing()), 204) },
		"of other bytes": func(at string) {
			b.want(b.do(alice, "PUT", at+"&digest="+string(digest.FromString("abc")), strings.NewReader("abd")), 400)
		},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := b.start(alice, "p/a"), b.start(alice, "p/b")
			for _, path := range []string{post, blob} {
				got := b.want(b.do(alice, "POST", path, strings.NewReader("abc")), 429)
				if got.code() != "TOOMANYREQUESTS" || got.Header().Get("Retry-After") != "60" {
					t.Fatalf("%s %v", got.Body, got.Header())
				}
			}
			b.want(b.do(bob, "DELETE", b.start(bob, "p/a"), nothing()), 204)
			end(first)
			b.want(b.do(alice, "POST", blob, strings.NewReader("abc")), 201)
			b.want(b.do(alice, "POST", blob, strings.NewReader("abd")), 400)
			end(second)
		})
	}
	b.limitsHold(t)
}

// limitsHold is for the end: nothing is counted that is not open.
func (b *bench) limitsHold(t *testing.T) {
	t.Helper()
	if n := len(b.Protocol.uploads.of); n != 0 {
		t.Fatalf("%d principals are held to have uploads open", n)
	}
}

func TestAnUploadThatExpiredCountsNoMore(t *testing.T) {
	now := time.Unix(1e9, 0)
	a := newTally(1, time.Hour, func() time.Time { return now })
	who, name := owner{id: "alice"}, func() (string, error) { return now.String(), nil }
	for range 3 {
		id, err := a.begin(who, name)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(50 * time.Minute)
		a.fed(who, id) // a chunk came
		now = now.Add(50 * time.Minute)
		if _, err := a.begin(who, name); err == nil {
			t.Fatal("two are open")
		}
		now = now.Add(11 * time.Minute)
	}
	now = now.Add(20 * time.Minute)
	if _, err := a.begin(owner{id: "bob"}, name); err != nil || len(a.of) != 1 {
		t.Fatalf("%v, %d principals are remembered", err, len(a.of))
	}
}
