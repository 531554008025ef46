package oci

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bondgate/bondgate/policy"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func BenchmarkManifestByTag(b *testing.B) {
	t := &testing.T{}
	bench := newBench(t, Limits{})
	d, _ := bench.image("p/a", "v1", "", bench.blob("p/a", "layer"))
	bench.gate = gateFunc(func(policy.Request) (policy.Decision, error) { return yes, nil })
	caller := with(alice, "p/a", "pull")
	r := httptest.NewRequest("GET", "/v2/p/a/manifests/"+string(d), nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := bench.Serve(discard{http.Header{}}, r, caller); err != nil {
			b.Fatal(err)
		}
	}
}
