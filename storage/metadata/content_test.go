package metadata

import (
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

func blobNames(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	d, alias := dig("blob"), digest.SHA512.FromString("blob")
	_, _, err := s.Blob(ctx, repo, d)
	is(t, err, policy.ErrNotFound)
	must(t, s.AddBlob(ctx, repo, d, "", 42))
	_, _, err = s.Blob(ctx, repo, alias)
	is(t, err, policy.ErrNotFound)
	must(t, s.AddBlob(ctx, repo, d, alias, 42))
	must(t, s.AddBlob(ctx, repo, d, alias, 42))
	for range 2 {
		for _, name := range []digest.Digest{d, alias} {
			got, size, err := s.Blob(ctx, repo, name)
			must(t, err)
			same(t, text(got, size), text(d, 42))
		}
	}
	_, _, err = s.Blob(ctx, policy.Repository{Name: "payments/other"}, d)
	is(t, err, policy.ErrNotFound)
	must(t, s.DeleteBlob(ctx, repo, alias))
	for _, name := range []digest.Digest{d, alias} {
		_, _, err := s.Blob(ctx, repo, name)
		is(t, err, policy.ErrNotFound)
		is(t, s.DeleteBlob(ctx, repo, name), policy.ErrNotFound)
	}
	is(t, s.AddBlob(ctx, repo, alias, "", 42), policy.ErrInvalid)
}

// aliasesInTheGraph has the other names come before the manifests that use them,
// or after.
func aliasesInTheGraph(t *testing.T, open func() *Store) {
	sha512 := func(name string) digest.Digest { return digest.SHA512.FromString(name) }
	s, ctx := open(), t.Context()
	for _, aliasFirst := range []bool{true, false} {
		r := policy.Repository{Workspace: "default", Name: fmt.Sprint("payments/", aliasFirst)}
		child := image("child")
		child.Repository, child.Aliases = r, []digest.Digest{sha512("child")}
		learn := func() {
			must(t, s.Push(ctx, child, nil))
			must(t, s.AddBlob(ctx, r, dig("layer"), sha512("layer"), 5))
		}
		if aliasFirst {
			learn()
		}
		user := image("user")
		user.Repository, user.Kind = r, policy.KindIndex
		user.Layers = append(user.Layers, policy.Descriptor{Digest: sha512("layer")})
		user.Manifests = []policy.Child{{Descriptor: policy.Descriptor{Digest: sha512("child")}}}
		user.Subject = &policy.Descriptor{Digest: sha512("child")}
		must(t, s.Push(ctx, user, nil))
		if !aliasFirst {
			list, err := s.Referrers(ctx, r, sha512("child"))
			must(t, err)
			same(t, len(list), 1)
			learn()
		}
		both := func(want int) {
			t.Helper()
			for _, name := range []func(string) digest.Digest{dig, sha512} {
				list, err := s.BlobManifests(ctx, r, name("layer"), 8)
				must(t, err)
				refs, err := s.Referrers(ctx, r, name("child"))
				must(t, err)
				a, err := s.Artifact(ctx, r, name("child"))
				must(t, err)
				parents, err := s.Parents(ctx, r, a.Digest)
				must(t, err)
				same(t, text(len(list), len(refs), len(a.Parents), len(parents), a.Referrers), text(want, want, want, want, want))
			}
		}
		both(1)
		both(1)
		_, err := s.DeleteManifest(ctx, r, user.Digest, nil)
		must(t, err)
		both(0)
	}
}

// aliasesOfTheDeleted has what a manifest names by an alias go while the manifest
// stays, as a signature outlives its image.
func aliasesOfTheDeleted(t *testing.T, open func() *Store) {
	sha512 := func(name string) digest.Digest { return digest.SHA512.FromString(name) }
	s, ctx := open(), t.Context()
	subject := image("subject")
	subject.Aliases = []digest.Digest{sha512("subject")}
	user := image("user")
	user.Layers = []policy.Descriptor{{Digest: sha512("layer")}}
	user.Subject = &policy.Descriptor{Digest: sha512("subject")}
	must(t, s.Push(ctx, user, nil))
	must(t, s.Push(ctx, subject, nil))
	must(t, s.AddBlob(ctx, repo, dig("layer"), sha512("layer"), 5))
	_, err := s.DeleteManifest(ctx, repo, subject.Digest, nil)
	must(t, err)
	must(t, s.DeleteBlob(ctx, repo, dig("layer")))
	for _, name := range []func(string) digest.Digest{dig, sha512} {
		refs, err := s.Referrers(ctx, repo, name("subject"))
		must(t, err)
		list, err := s.BlobManifests(ctx, repo, name("layer"), 8)
		must(t, err)
		same(t, text(len(refs), len(list)), text(1, 1))
		_, err = s.Artifact(ctx, repo, name("subject"))
		is(t, err, policy.ErrNotFound)
		_, _, err = s.Blob(ctx, repo, name("layer"))
		is(t, err, policy.ErrNotFound)
	}
}

func manifestsOfBlob(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	var want []digest.Digest
	for i := range 30 {
		a := image(fmt.Sprint(i))
		a.PushedAt = a.PushedAt.Add(time.Duration(i) * time.Second)
		must(t, s.Push(ctx, a, nil))
		want = append([]digest.Digest{a.Digest}, want...)
	}
	for _, limit := range []int{8, 1, 25, 40} {
		for range 2 {
			got, err := s.BlobManifests(ctx, repo, dig("base"), limit)
			must(t, err)
			same(t, text(got), text(want[:min(limit, 30)]))
		}
	}
	got, err := s.BlobManifests(ctx, repo, dig("3 config"), 8)
	must(t, err)
	same(t, text(got), text([]digest.Digest{dig("3")}))
}

func deletions(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	a := image("one")
	a.Aliases = []digest.Digest{digest.SHA512.FromString("one")}
	must(t, s.Push(ctx, a, []policy.TagMove{{Tag: "v2"}, {Tag: "v1"}}))
	signature := image("signature")
	signature.Subject = &policy.Descriptor{Digest: a.Digest}
	must(t, s.Push(ctx, signature, []policy.TagMove{{Tag: "sig"}}))
	warm(t, s, a.Digest, "v1", "v2", "sig")
	// A tag that nobody judged keeps it, and all of it.
	_, err := s.DeleteManifest(ctx, repo, a.Digest, []string{"v2"})
	is(t, err, policy.ErrConflict)
	tagIs(t, s, "v1", a.Digest)
	tags, err := s.DeleteManifest(ctx, repo, a.Aliases[0], []string{"v1", "v2", "gone"})
	must(t, err)
	same(t, text(tags), "[v1 v2]")
	for _, tag := range tags {
		_, err = s.ResolveTag(ctx, repo, tag)
		is(t, err, policy.ErrNotFound)
	}
	for _, d := range []digest.Digest{a.Digest, a.Aliases[0]} {
		_, err = s.Artifact(ctx, repo, d)
		is(t, err, policy.ErrNotFound)
		_, err = s.DeleteManifest(ctx, repo, d, nil)
		is(t, err, policy.ErrNotFound)
	}
	list, err := s.Referrers(ctx, repo, a.Digest)
	must(t, err)
	same(t, len(list), 1)
	blobs, err := s.BlobManifests(ctx, repo, dig("base"), 8)
	must(t, err)
	same(t, text(blobs), text([]digest.Digest{signature.Digest}))
	must(t, s.Push(ctx, a, []policy.TagMove{{Tag: "v1"}}))
	tagIs(t, s, "v1", a.Digest)
}

// warm brings answers into the cache.
func warm(t testing.TB, s *Store, d digest.Digest, tags ...string) {
	t.Helper()
	_, err := s.Artifact(t.Context(), repo, d)
	must(t, err)
	_, err = s.BlobManifests(t.Context(), repo, dig("base"), 8)
	must(t, err)
	_, err = s.Referrers(t.Context(), repo, d)
	must(t, err)
	for _, tag := range tags {
		_, err := s.ResolveTag(t.Context(), repo, tag)
		must(t, err)
	}
}

func tagDeletion(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	a := image("one")
	must(t, s.Push(ctx, a, []policy.TagMove{{Tag: "v1"}, {Tag: "v2"}}))
	warm(t, s, a.Digest, "v1", "v2")
	is(t, s.DeleteTag(ctx, repo, "v1", dig("elsewhere")), policy.ErrConflict)
	must(t, s.DeleteTag(ctx, repo, "v1", a.Digest))
	is(t, s.DeleteTag(ctx, repo, "v1", a.Digest), policy.ErrNotFound)
	_, err := s.ResolveTag(ctx, repo, "v1")
	is(t, err, policy.ErrNotFound)
	got, err := s.Artifact(ctx, repo, a.Digest)
	must(t, err)
	same(t, text(got.Tags), "[v2]")
	must(t, s.DeleteTag(ctx, repo, "v2", ""))
	got, err = s.Artifact(ctx, repo, a.Digest)
	must(t, err)
	same(t, len(got.Tags), 0)
}

func rebuilding(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	kept, lost, found := image("kept"), image("lost"), image("found")
	must(t, s.Push(ctx, kept, []policy.TagMove{{Tag: "v1"}}))
	must(t, s.Push(ctx, lost, []policy.TagMove{{Tag: "v2"}}))
	must(t, s.AddBlob(ctx, repo, dig("old blob"), "", 1))
	warm(t, s, lost.Digest, "v1", "v2")
	again := *kept
	again.PushedAt, again.PushedBy, again.Tags = time.Now(), "", []string{"v1", "v3"}
	found.Tags, found.Aliases = []string{"v2"}, []digest.Digest{digest.SHA512.FromString("found")}
	rebuild := func() {
		must(t, s.Rebuild(ctx, repo, []*policy.Artifact{&again, found},
			map[digest.Digest]int64{dig("base"): 100, dig("other"): 3},
			map[digest.Digest]digest.Digest{digest.SHA512.FromString("base"): dig("base")}))
	}
	for range 2 {
		rebuild()
		got, err := s.Artifact(ctx, repo, kept.Digest)
		must(t, err)
		same(t, text(got.Tags, got.PushedBy, got.PushedAt.Equal(kept.PushedAt)), "[v1 v3] alice true")
		tagIs(t, s, "v2", found.Digest)
		_, err = s.Artifact(ctx, repo, lost.Digest)
		is(t, err, policy.ErrNotFound)
		_, err = s.Artifact(ctx, repo, found.Aliases[0])
		must(t, err)
		d, size, err := s.Blob(ctx, repo, digest.SHA512.FromString("base"))
		must(t, err)
		same(t, text(d, size), text(dig("base"), 100))
		_, _, err = s.Blob(ctx, repo, dig("old blob"))
		is(t, err, policy.ErrNotFound)
	}
	must(t, s.Rebuild(ctx, repo, nil, nil, nil))
	exists, err := s.RepositoryExists(ctx, repo)
	must(t, err)
	same(t, exists, false)
}
