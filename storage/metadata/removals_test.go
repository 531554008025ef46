package metadata

import (
	"testing"

	"github.com/bondgate/bondgate/policy"
)

func TestADeletionIsKnownUntilStorageWasTold(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		kinds := func(r policy.Repository) (out []any) {
			list, err := s.Removals(ctx, r)
			must(t, err)
			for _, r := range list {
				out = append(out, r.Repository.Name, r.Kind, r.Name)
			}
			return out
		}
		a, other := image("app"), policy.Repository{Name: "payments/other"}
		must(t, s.Push(ctx, a, []policy.TagMove{{Tag: "v1"}, {Tag: "v2"}, {Tag: "v3"}}))
		must(t, s.AddBlob(ctx, other, dig("blob"), "", 1))
		same(t, text(kinds(policy.Repository{})...), "")

		must(t, s.DeleteTag(ctx, repo, "v1", a.Digest))
		is(t, s.DeleteTag(ctx, repo, "v2", dig("elsewhere")), policy.ErrConflict)
		_, err := s.DeleteManifest(ctx, repo, a.Digest, []string{"v2"})
		is(t, err, policy.ErrConflict)
		same(t, text(kinds(repo)...), text(repo.Name, "tag", "v1"))

		_, err = s.DeleteManifest(ctx, repo, a.Digest, []string{"v2", "v3"})
		must(t, err)
		must(t, s.DeleteBlob(ctx, other, dig("blob")))
		_ = s.Close()
		s = open() // what a crash leaves is there afterwards
		same(t, text(kinds(repo)...), text(repo.Name, "manifest", a.Digest, repo.Name, "tag", "v1", repo.Name, "tag", "v2", repo.Name, "tag", "v3"))
		same(t, len(kinds(policy.Repository{})), 15)

		list, err := s.Removals(ctx, policy.Repository{})
		must(t, err)
		must(t, s.Removed(ctx, list[1:]...))
		same(t, text(kinds(policy.Repository{})...), text(repo.Name, "manifest", a.Digest))
		must(t, s.Removed(ctx, list...))
		same(t, text(kinds(policy.Repository{})...), "")
	})
}
