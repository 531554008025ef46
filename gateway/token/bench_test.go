package token_test

import (
	"context"
	"testing"

	"github.com/bondgate/bondgate/gateway/token"
)

func BenchmarkVerifyWarm(b *testing.B) {
	s := open(b, newShelf(), newClock())
	raw := issue(b, s)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Verify(context.Background(), "default", raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	s := open(b, newShelf(), newClock())
	for b.Loop() {
		issue(b, s)
	}
}

// BenchmarkVerifyCold forgets every token before it comes again.
func BenchmarkVerifyCold(b *testing.B) {
	s := open(b, newShelf(), newClock(), func(c *token.Config) { c.Verified = 2 })
	raws := make([]string, 100)
	for i := range raws {
		raws[i] = issue(b, s)
	}
	i := 0
	for b.Loop() {
		if _, err := s.Verify(context.Background(), "default", raws[i%len(raws)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
