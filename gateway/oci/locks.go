package oci

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/bondgate/bondgate/policy"
)

// stripes is how many locks stand for all tags and manifests. Two that share one
// wait for each other without need, rarely.
const stripes = 1024

// locks orders the writes about one tag, or one manifest, of this process: the
// index and the engine are told in the same order. Between processes the index's
// own transactions decide.
type locks struct {
	seed    maphash.Seed
	stripes [stripes]sync.Mutex
	// blobs are of whole repositories: many add blobs and name them in manifests,
	// side by side, and who takes a blob away does so alone.
	blobs [stripes]sync.RWMutex
}

type lockKey struct {
	repo policy.Repository
	name string
}

func newLocks() *locks { return &locks{seed: maphash.MakeSeed()} }

// hold locks all the names of a repository and returns what unlocks them. Names
// are tags and digests, which cannot be equal.
func (l *locks) hold(repo policy.Repository, names ...string) (release func()) {
	held := make([]uint64, 0, len(names))
	for _, name := range names {
		held = append(held, maphash.Comparable(l.seed, lockKey{repo, name})%stripes)
	}
	// One order for everybody, and no stripe twice.
	slices.Sort(held)
	held = slices.Compact(held)
	for _, i := range held {
		l.stripes[i].Lock()
	}
	return func() {
		for _, i := range held {
			l.stripes[i].Unlock()
		}
	}
}

// share keeps the repository's blobs from being taken away until release. It comes
// after hold.
func (l *locks) share(repo policy.Repository) (release func()) {
	m := l.ofBlobs(repo)
	m.RLock()
	return m.RUnlock
}

// alone waits until nobody shares the repository's blobs.
func (l *locks) alone(repo policy.Repository) (release func()) {
	m := l.ofBlobs(repo)
	m.Lock()
	return m.Unlock
}

func (l *locks) ofBlobs(repo policy.Repository) *sync.RWMutex {
	return &l.blobs[maphash.Comparable(l.seed, repo)%stripes]
}
