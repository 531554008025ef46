package metadata

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata/metadatatest"
)

// BenchmarkPush is one image of two layers with a tag, by eight clients.
func BenchmarkPush(b *testing.B) {
	run := func(b *testing.B, s *Store, repos int) {
		var n atomic.Int64
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				i := n.Add(1)
				a := image(fmt.Sprint(i))
				a.Repository.Name = fmt.Sprintf("payments/r%d", i%int64(repos))
				if err := s.Push(context.Background(), a, []policy.TagMove{{Tag: fmt.Sprint("t", i)}}); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
	}
	for _, repos := range []int{1, 100} {
		b.Run(fmt.Sprintf("SQLite/%d repositories", repos), func(b *testing.B) {
			run(b, open(b, Config{DSN: "sqlite:" + filepath.Join(b.TempDir(), "b.db")}), repos)
		})
		b.Run(fmt.Sprintf("PostgreSQL/%d repositories", repos), func(b *testing.B) {
			run(b, open(b, Config{DSN: metadatatest.PostgreSQL(b)}), repos)
		})
	}
}

func BenchmarkWarmPull(b *testing.B) {
	s := open(b, Config{DSN: "sqlite:" + filepath.Join(b.TempDir(), "b.db")})
	ctx := b.Context()
	must(b, s.Push(ctx, image("one"), []policy.TagMove{{Tag: "v1"}}))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d, err := s.ResolveTag(ctx, repo, "v1")
			if err == nil {
				_, err = s.Artifact(ctx, repo, d)
			}
			if err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkColdArtifact(b *testing.B) {
	s := open(b, Config{DSN: "sqlite:" + filepath.Join(b.TempDir(), "b.db")})
	ctx := b.Context()
	must(b, s.Push(ctx, image("one"), []policy.TagMove{{Tag: "v1"}}))
	for b.Loop() {
		s.cache.clear()
		_, err := s.Artifact(ctx, repo, dig("one"))
		must(b, err)
	}
}

// BenchmarkMembershipChange has a thousand projects of twenty members.
func BenchmarkMembershipChange(b *testing.B) {
	s := open(b, Config{DSN: "sqlite:" + filepath.Join(b.TempDir(), "b.db")})
	ctx := b.Context()
	for p := range 1000 {
		name := fmt.Sprint("p", p)
		must(b, s.update(ctx, func(ctx context.Context, tx querier) error {
			if _, err := tx.exec(ctx, `INSERT INTO projects (workspace, name, id, public, owner, labels, packs, created)
				VALUES ('default', $1, $2, 0, '', 'null', 'null', 0)`, name, p); err != nil {
				return err
			}
			for m := range 20 {
				if _, err := tx.exec(ctx, "INSERT INTO members VALUES ('default', $3, $1, 'idp', 'user', $2, '', 'guest', 'null')",
					name, fmt.Sprint("u", m), -20*p-m); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for m := range 20 {
		must(b, fails(s.Enroll(ctx, Person{Issuer: "idp", Subject: fmt.Sprint("u", m)})))
	}
	must(b, s.directory.reload(ctx))
	b.Run("change", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			addMember(b, s, Member{Project: "p7", Issuer: "idp", Name: "u3", Role: roleNames[1+i%5]})
		}
	})
	b.Run("subject", func(b *testing.B) {
		v, _ := s.View()
		p := policy.Principal{Issuer: "idp", ID: "u3", Kind: policy.KindUser}
		b.ReportAllocs()
		for b.Loop() {
			v.Subject(p, "p7", time.Now())
		}
	})
}

// BenchmarkTagsPage compares the first with the last page of 50,000 tags.
func BenchmarkTagsPage(b *testing.B) {
	for name, dsn := range map[string]func() string{
		"SQLite":     func() string { return "sqlite:" + filepath.Join(b.TempDir(), "b.db") },
		"PostgreSQL": func() string { return metadatatest.PostgreSQL(b) },
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b, Config{DSN: dsn()})
			ctx := b.Context()
			a := image("one")
			for i := range 50_000 {
				a.Tags = append(a.Tags, fmt.Sprintf("v%06d", i))
			}
			must(b, s.Rebuild(ctx, repo, []*policy.Artifact{a}, nil, nil))
			for _, after := range []string{"", "v049899"} {
				b.Run("after "+after, func(b *testing.B) {
					for b.Loop() {
						page, err := s.Tags(ctx, repo, after, 100)
						must(b, err)
						same(b, len(page), 100)
					}
				})
			}
		})
	}
}
