package metadata

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata/metadatatest"
)

// eventually polls: how long a replica takes is not what is tested.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func replicaDirectory(t *testing.T, open func() *Store) {
	a, b, ctx := open(), open(), t.Context()
	addUser(t, a, Person{Name: "alice"}, "")
	addProject(t, a, policy.Project{Name: "payments"})
	addMember(t, a, Member{Project: "payments", Name: "alice", Role: "guest"})
	keepWaiver(t, a, policy.Waiver{ID: "w", Rule: "r", Owner: "o", State: policy.WaiverApproved, Expires: time.Now().Add(time.Hour)})
	eventually(t, "the member and the waiver are seen", func() bool {
		return rolesOf(t, b, local("alice"), "payments") == "[guest] false" &&
			len(viewOf(t, b).Waivers(repo, "", time.Now())) == 1
	})
	revision := viewOf(t, b).Revision()
	must(t, a.AddSecret(ctx, Secret{Kind: "token", ID: "1", Data: []byte{1}}))
	eventually(t, "a new secret shows in the revision", func() bool { return viewOf(t, b).Revision() > revision })
	must(t, b.RemoveMember(ctx, Member{Project: "payments", Name: "alice"}))
	same(t, rolesOf(t, b, local("alice"), "payments"), "[] false")
	eventually(t, "the removal is seen", func() bool { return rolesOf(t, a, local("alice"), "payments") == "[] false" })
}

func replicaIndex(t *testing.T, open func() *Store) {
	a, b, ctx := open(), open(), t.Context()
	one, two := image("one"), image("two")
	must(t, a.Push(ctx, one, []policy.TagMove{{Tag: "v1"}}))
	for _, s := range []*Store{a, b} {
		warm(t, s, one.Digest, "v1")
	}
	must(t, b.Push(ctx, two, []policy.TagMove{{Tag: "v1", From: one.Digest}}))
	tagIs(t, b, "v1", two.Digest)
	eventually(t, "the move is seen", func() bool {
		d, err := a.ResolveTag(ctx, repo, "v1")
		must(t, err)
		got, err := a.Artifact(ctx, repo, one.Digest)
		must(t, err)
		list, err := a.BlobManifests(ctx, repo, dig("base"), 8)
		must(t, err)
		return d == two.Digest && len(got.Tags) == 0 && len(list) == 2
	})
	_, err := a.DeleteManifest(ctx, repo, two.Digest, []string{"v1"})
	must(t, err)
	eventually(t, "the deletion is seen", func() bool {
		_, err := b.ResolveTag(ctx, repo, "v1")
		return err != nil
	})
}

// TestReplicasMissNoChange changes from two replicas at once: on PostgreSQL rows of changes
// appear out of order, and none may be missed.
func TestReplicasMissNoChange(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		a, b, watcher, ctx := open(), open(), open(), t.Context()
		const each = 60
		done := make(chan error, 2)
		for i, s := range []*Store{a, b} {
			go func() {
				for n := range each {
					if _, err := s.CreateProject(ctx, Project{Project: policy.Project{Name: fmt.Sprintf("p%d-%d", i, n)}}); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		must(t, <-done)
		must(t, <-done)
		eventually(t, "every project is seen everywhere", func() bool {
			for _, s := range []*Store{a, b, watcher} {
				v := viewOf(t, s)
				for i := range 2 * each {
					if _, ok := v.Project("", fmt.Sprintf("p%d-%d", i%2, i/2)); !ok {
						return false
					}
				}
			}
			return true
		})
	})
}

// A transaction that took its number early may commit after one with a larger
// number was read.
func TestPostgreSQLChangesOutOfOrderAreNotMissed(t *testing.T) {
	dsn := metadatatest.PostgreSQL(t)
	a, b, watcher, ctx := open(t, Config{DSN: dsn}), open(t, Config{DSN: dsn}), open(t, Config{DSN: dsn}), t.Context()
	recorded, commit := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- a.update(ctx, func(ctx context.Context, tx querier) error {
			if _, err := tx.exec(ctx, "INSERT INTO projects (workspace, name, public, owner, labels, packs, created) VALUES ('default', 'early', true, '', 'null', 'null', 0)"); err != nil {
				return err
			}
			if err := a.record(ctx, tx, changedProject, "default", "early"); err != nil {
				return err
			}
			close(recorded)
			<-commit
			return nil
		})
	}()
	<-recorded
	sees := func(name string) func() bool {
		return func() bool { _, ok := viewOf(t, watcher).Project("", name); return ok }
	}
	for i := range 3 {
		name := fmt.Sprint("late", i)
		addProject(t, b, policy.Project{Name: name})
		eventually(t, "a change with a larger number is seen", sees(name))
	}
	revision := viewOf(t, watcher).Revision()
	time.Sleep(3 * watcher.cfg.Poll) // what was seen is not taken for new
	same(t, viewOf(t, watcher).Revision(), revision)
	same(t, sees("early")(), false)
	close(commit)
	must(t, <-done)
	eventually(t, "the change with the smaller number is seen", sees("early"))
}

func TestOldChangesAreRemovedInPortions(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		count := func() (n int) {
			must(t, s.reads.row(ctx, "SELECT COUNT(*) FROM changes").Scan(&n))
			return n
		}
		for _, c := range []struct {
			at         time.Time
			add, leave int
		}{
			{time.UnixMicro(1), 2*pruneRows + 10, 10},
			{time.Now(), pruneRows, pruneRows + 10}, // the oldest portion ends with a new row
		} {
			must(t, s.update(ctx, func(ctx context.Context, tx querier) error {
				var rows [][]any
				for range c.add {
					rows = append(rows, []any{"default", changedRepository, "a/b", "elsewhere", c.at.UnixMicro()})
				}
				return insert(ctx, tx, "changes (workspace, kind, key, origin, at)", "", 5, rows)
			}))
			must(t, s.directory.prune(ctx))
			same(t, count(), c.leave)
		}
	})
}
