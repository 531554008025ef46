package metadata

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

func pushIsReadBack(t *testing.T, open func() *Store) {
	s := open()
	ctx := t.Context()
	a := image("one")
	a.Aliases = []digest.Digest{digest.SHA512.FromString("one")}
	must(t, s.Push(ctx, a, []policy.TagMove{{Tag: "v1"}, {Tag: "latest"}}))
	for _, d := range []digest.Digest{a.Digest, a.Aliases[0]} {
		got, err := s.Artifact(ctx, repo, d)
		must(t, err)
		same(t, text(got.Digest, got.Tags, got.PushedBy, got.PushedAt.Equal(a.PushedAt), got.Repository, got.Aliases, got.Config.User),
			text(a.Digest, []string{"latest", "v1"}, "alice", true, repo, a.Aliases, "root"))
	}
	d, err := s.ResolveTag(ctx, repo, "v1")
	must(t, err)
	same(t, d, a.Digest)
	_, err = s.ResolveTag(ctx, repo, "v2")
	is(t, err, policy.ErrNotFound)
}

func pushAgain(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	a := image("one")
	must(t, s.Push(ctx, a, nil))
	again := image("one")
	again.PushedAt, again.PushedBy = a.PushedAt.Add(time.Hour), "mallory"
	again.Config.User = "app" // as if a newer version read it better
	again.Aliases = []digest.Digest{digest.SHA512.FromString("one")}
	must(t, s.Push(ctx, again, []policy.TagMove{{Tag: "v1"}}))
	got, err := s.Artifact(ctx, repo, a.Digest)
	must(t, err)
	same(t, text(got.PushedAt, got.PushedBy, got.Config.User, got.Aliases, got.Tags),
		text(a.PushedAt, "alice", "app", again.Aliases, []string{"v1"}))
	list, err := s.BlobManifests(ctx, repo, dig("base"), 8)
	must(t, err)
	same(t, len(list), 1)
}

func tagsCompareAndSwap(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	one, two := image("one"), image("two")
	is(t, s.Push(ctx, one, []policy.TagMove{{Tag: "v1", From: two.Digest}}), policy.ErrConflict)
	must(t, s.Push(ctx, one, []policy.TagMove{{Tag: "v1"}}))
	is(t, s.Push(ctx, two, []policy.TagMove{{Tag: "v1"}}), policy.ErrConflict)
	is(t, s.Push(ctx, two, []policy.TagMove{{Tag: "v1", From: two.Digest}}), policy.ErrConflict)
	must(t, s.Push(ctx, one, []policy.TagMove{{Tag: "v1", From: one.Digest}}))
	must(t, s.Push(ctx, two, nil))
	warm(t, s, one.Digest, "v1")
	warm(t, s, two.Digest)
	must(t, s.Push(ctx, two, []policy.TagMove{{Tag: "v1", From: one.Digest}, {Tag: "a"}}))
	tagIs(t, s, "v1", two.Digest)
	tagIs(t, s, "a", two.Digest)
	for d, tags := range map[digest.Digest]string{one.Digest: "[]", two.Digest: "[a v1]"} {
		got, err := s.Artifact(ctx, repo, d)
		must(t, err)
		same(t, text(got.Tags), tags)
	}
}

func tagIs(t testing.TB, s *Store, tag string, want digest.Digest) {
	t.Helper()
	got, err := s.ResolveTag(t.Context(), repo, tag)
	must(t, err)
	same(t, got, want)
}

func oneWinner(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	from := digest.Digest("")
	for round := range 5 {
		var won atomic.Pointer[policy.Artifact]
		var wins, conflicts atomic.Int64
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				a := image(fmt.Sprintf("round %d of %d", round, i))
				switch err := s.Push(ctx, a, []policy.TagMove{{Tag: "latest", From: from}, {Tag: fmt.Sprint("t", i, round)}}); {
				case err == nil:
					wins.Add(1)
					won.Store(a)
				case errors.Is(err, policy.ErrConflict):
					conflicts.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		same(t, text(wins.Load(), conflicts.Load()), "1 15")
		from = won.Load().Digest
		tagIs(t, s, "latest", from)
	}
	names, err := s.Tags(ctx, repo, "", 100)
	must(t, err)
	same(t, len(names), 6) // a loser's other tag is not there
}

func repositoryCounts(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	for _, at := range []policy.Repository{
		{Name: "payments/a"}, {Name: "payments/b/c"}, {Name: "payments"}, {Name: "payments2/a"}, {Name: "pay/a"},
		{Workspace: "acme", Name: "payments/x"},
	} {
		a := image("one")
		a.Repository = at
		must(t, s.Push(ctx, a, nil))
	}
	counts, err := s.RepositoryCounts(ctx, "")
	must(t, err)
	same(t, text(counts), "map[pay:1 payments:3 payments2:1]")
	for project, want := range map[string]int{"payments": 3, "payments2": 1, "pay": 1, "none": 0} {
		n, err := s.CountRepositories(ctx, "", project)
		must(t, err)
		same(t, n, want)
	}
	counts, err = s.RepositoryCounts(ctx, "acme")
	must(t, err)
	same(t, text(counts), "map[payments:1]")
}

func manyPushes(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	const each = 25
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range each {
				a := image(fmt.Sprintf("%d of %d", i, w))
				a.Repository.Name = fmt.Sprintf("payments/r%d", w%4)
				if err := s.Push(ctx, a, []policy.TagMove{{Tag: fmt.Sprintf("t%d-%d", w, i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	must(t, s.TagLinks(ctx, func(r policy.Repository, tag string, d digest.Digest) error {
		total++
		got, err := s.Artifact(ctx, r, d)
		if err == nil && !slices.Contains(got.Tags, tag) {
			err = fmt.Errorf("%s lacks tag %s", d, tag)
		}
		return err
	}))
	same(t, total, 8*each)
}

func failedPush(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	must(t, s.Push(ctx, image("one"), []policy.TagMove{{Tag: "v1"}}))
	two := image("two")
	two.Repository.Name = "payments/other"
	is(t, s.Push(ctx, two, []policy.TagMove{{Tag: "a"}, {Tag: "v1", From: dig("nowhere")}}), policy.ErrConflict)
	_, err := s.Artifact(ctx, two.Repository, two.Digest)
	is(t, err, policy.ErrNotFound)
	found, err := s.RepositoryExists(ctx, two.Repository)
	must(t, err)
	same(t, found, false)
	list, err := s.BlobManifests(ctx, two.Repository, dig("base"), 8)
	must(t, err)
	same(t, len(list), 0)
}

func derivedFacts(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	child := image("child")
	must(t, s.Push(ctx, child, []policy.TagMove{{Tag: "v1"}}))
	facts := func() string {
		t.Helper()
		got, err := s.Artifact(ctx, repo, child.Digest)
		must(t, err)
		return text(got.Tags, len(got.Parents), got.Referrers)
	}
	same(t, facts(), "[v1] 0 0")
	index := &policy.Artifact{
		Repository: repo, Digest: dig("index"), MediaType: "application/vnd.oci.image.index.v1+json", Kind: policy.KindIndex,
		Manifests: []policy.Child{{Descriptor: policy.Descriptor{Digest: child.Digest}}, {Descriptor: policy.Descriptor{Digest: child.Digest}}},
	}
	must(t, s.Push(ctx, index, []policy.TagMove{{Tag: "v1", From: child.Digest}}))
	same(t, facts(), "[] 1 0")

	list, err := s.Referrers(ctx, repo, child.Digest)
	must(t, err)
	same(t, len(list), 0)
	signature := image("signature")
	signature.ArtifactType, signature.Annotations = "", map[string]string{"k": "v"}
	signature.Subject = &policy.Descriptor{Digest: child.Digest}
	must(t, s.Push(ctx, signature, nil))
	sbom := image("sbom")
	sbom.ArtifactType, sbom.PushedAt = "application/spdx+json", sbom.PushedAt.Add(time.Second)
	sbom.Subject = &policy.Descriptor{Digest: child.Digest}
	must(t, s.Push(ctx, sbom, nil))
	same(t, facts(), "[] 1 2")
	list, err = s.Referrers(ctx, repo, child.Digest)
	must(t, err)
	same(t, text(list), text([]policy.Descriptor{
		{Digest: signature.Digest, Size: 500, MediaType: signature.MediaType,
			ArtifactType: "application/vnd.oci.image.config.v1+json", Annotations: map[string]string{"k": "v"}},
		{Digest: sbom.Digest, Size: 500, MediaType: sbom.MediaType, ArtifactType: "application/spdx+json"},
	}))

	_, err = s.DeleteManifest(ctx, repo, index.Digest, []string{"v1"})
	must(t, err)
	_, err = s.DeleteManifest(ctx, repo, sbom.Digest, nil)
	must(t, err)
	same(t, facts(), "[] 0 1")
	list, err = s.Referrers(ctx, repo, child.Digest)
	must(t, err)
	same(t, len(list), 1)
	list, err = s.Referrers(ctx, repo, dig("never pushed"))
	must(t, err)
	same(t, len(list), 0)
}

func paging(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	var moves []policy.TagMove
	for i := range 50 {
		moves = append(moves, policy.TagMove{Tag: fmt.Sprintf("v%d", i)})
	}
	moves = append(moves, policy.TagMove{Tag: "Upper"}, policy.TagMove{Tag: "_under"}, policy.TagMove{Tag: "a.b-c"})
	must(t, s.Push(ctx, image("one"), moves))
	var want []string
	for _, m := range moves {
		want = append(want, m.Tag)
	}
	slices.Sort(want)
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := s.Tags(ctx, repo, after, 7)
		must(t, err)
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	same(t, text(got), text(want))
	for _, name := range []string{"b/b", "b-b", "a", "b/a/c"} {
		a := image("one")
		a.Repository.Name = name
		must(t, s.Push(ctx, a, nil))
	}
	repos, err := s.Repositories(ctx, "", "a", 3)
	must(t, err)
	same(t, text(repos), "[b-b b/a/c b/b]")
	repos, err = s.Repositories(ctx, "default", "b/b", 3)
	must(t, err)
	same(t, text(repos), "[payments/api]")
	repos, err = s.Repositories(ctx, "elsewhere", "", 3)
	must(t, err)
	same(t, len(repos), 0)
}

func workspaces(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	there := repo
	there.Workspace = "prod"
	a, b := image("one"), image("two")
	b.Repository = there
	must(t, s.Push(ctx, a, []policy.TagMove{{Tag: "v1"}}))
	must(t, s.Push(ctx, b, []policy.TagMove{{Tag: "v1"}}))
	addUser(t, s, Person{Name: "alice", SystemAdmin: true}, "here")
	addUser(t, s, Person{Workspace: "prod", Name: "alice"}, "there")
	addProject(t, s, policy.Project{Name: "payments", Public: true})
	addProject(t, s, policy.Project{Workspace: "prod", Name: "payments"})
	tagIs(t, s, "v1", a.Digest)
	d, err := s.ResolveTag(ctx, there, "v1")
	must(t, err)
	same(t, d, b.Digest)
	_, err = s.Artifact(ctx, there, a.Digest)
	is(t, err, policy.ErrNotFound)
	v := viewOf(t, s)
	same(t, text(v.Subject(local("alice"), "payments", time.Now()).Roles), "[admin]")
	p := local("alice")
	p.Workspace = "prod"
	same(t, text(v.Subject(p, "payments", time.Now()).Roles), "[]")
	here, _ := v.Project("", "payments")
	other, _ := v.Project("prod", "payments")
	same(t, text(here.Public, other.Public), "true false")
}

// staleReaders reads while tags move. Whoever reads after a push has returned
// must see it, or a later one.
func staleReaders(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	const pushes = 200
	order := map[digest.Digest]int{}
	images := make([]*policy.Artifact, pushes)
	for i := range images {
		images[i] = image(fmt.Sprint("stale ", i))
		order[images[i].Digest] = i
	}
	must(t, s.Push(ctx, images[0], []policy.TagMove{{Tag: "latest"}}))
	var returned atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				floor := int(returned.Load())
				d, err := s.ResolveTag(ctx, repo, "latest")
				if err != nil {
					t.Error(err)
					return
				}
				if order[d] < floor {
					t.Errorf("read push %d after push %d had returned", order[d], floor)
					return
				}
				base, err := s.BlobManifests(ctx, repo, dig("base"), 2*pushes)
				if err != nil || len(base) <= floor {
					t.Errorf("%d manifests of the base after push %d had returned: %v", len(base), floor, err)
					return
				}
				floor = int(returned.Load())
				old, err := s.Artifact(ctx, repo, images[max(floor-1, 0)].Digest)
				if err != nil || (floor > 0 && len(old.Tags) > 0) {
					t.Errorf("the image before push %d still has its tag: %v", floor, err)
					return
				}
			}
		})
	}
	for i := 1; i < pushes; i++ {
		must(t, s.Push(ctx, images[i], []policy.TagMove{{Tag: "latest", From: images[i-1].Digest}}))
		returned.Store(int64(i))
	}
	close(stop)
	wg.Wait()
}
