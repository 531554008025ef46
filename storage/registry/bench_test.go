package registry_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

func BenchmarkPushOfOneLayerAndManifest(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		b.Run(fmt.Sprintf("fsync=%v", fsync), func(b *testing.B) {
			e := open(b, registry.Config{Parameters: map[string]any{"rootdirectory": b.TempDir(), "fsync": fsync}})
			var worker atomic.Int64
			b.SetParallelism(4)
			b.RunParallel(func(p *testing.PB) {
				repo := policy.Repository{Name: fmt.Sprintf("team/app%d", worker.Add(1))}
				body := make([]byte, 10_000)
				for p.Next() {
					_, _ = rand.Read(body)
					if err := pushImage(context.Background(), e, repo, body, func(string, digest.Digest) {}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkWarmReads(b *testing.B) {
	e := open(b, registry.Config{Parameters: map[string]any{"rootdirectory": b.TempDir()}})
	body, d := content(b, 10_000)
	push(b, e, app, body, d)
	if err := e.PutManifest(b.Context(), app, d, "", body); err != nil {
		b.Fatal(err)
	}
	b.Run("stat", func(b *testing.B) {
		for b.Loop() {
			if _, err := e.StatBlob(context.Background(), app, d); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			r, _, err := e.OpenBlob(context.Background(), app, d)
			if err != nil {
				b.Fatal(err)
			}
			_ = r.Close()
		}
	})
	b.Run("manifest", func(b *testing.B) {
		for b.Loop() {
			if _, err := e.Manifest(context.Background(), app, d); err != nil {
				b.Fatal(err)
			}
		}
	})
}
