package metadata

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/bondgate/bondgate/policy"
)

// BenchmarkInventory reads all manifests of a store of 5,000.
func BenchmarkInventory(b *testing.B) {
	s, err := Open(b.Context(), Config{DSN: "sqlite:" + filepath.Join(b.TempDir(), "b.db")})
	must(b, err)
	defer s.Close()
	const all = 5000
	for i := range all {
		a := image(fmt.Sprint("image ", i))
		a.Repository.Name = fmt.Sprintf("project-%d/app-%d", i%10, i%100)
		must(b, s.Push(b.Context(), a, []policy.TagMove{{Tag: fmt.Sprint("v", i)}}))
	}
	for b.Loop() {
		n := 0
		must(b, s.Inventory(b.Context(), "", "", func(*policy.Artifact) error { n++; return nil }))
		if n != all {
			b.Fatalf("%d manifests", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/all, "us/manifest")
}
