package metadata

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/bondgate/bondgate/policy"
)

// kind says what a cached answer is.
type kind uint8

const (
	cachedTag kind = iota
	cachedArtifact
	cachedAlias
	cachedBlob
	cachedBlobManifests
	cachedReferrers
	cachedRepository
)

// cacheKey names an answer of the index.
type cacheKey struct {
	kind kind
	repo policy.Repository
	name string
}

// slot holds two counters for the repositories that share it by hash. A reader
// notes both before it asks the database.
type slot struct {
	// gen moves with every change of the repository: what was read before the
	// change is not installed after it.
	gen atomic.Uint64
	// epoch moves with changes that say no more than "the repository": what was
	// installed before it is not answered any more.
	epoch atomic.Uint64
}

// ticket is a reading of a slot.
type ticket struct{ gen, epoch uint64 }

const (
	cacheShards = 32
	cacheSlots  = 4096
)

// cache keeps answers of the index in memory, least recently used ones going
// first. Only what exists is kept: a name that somebody makes up costs a query,
// not memory.
type cache struct {
	seed   maphash.Seed
	slots  [cacheSlots]slot
	shards [cacheShards]shard
}

type shard struct {
	mu      sync.Mutex
	entries map[cacheKey]*entry
	// head.next is the most recently used, head.prev the least.
	head  entry
	cost  int64
	limit int64
}

type entry struct {
	key        cacheKey
	value      any
	epoch      uint64
	cost       int64
	prev, next *entry
}

func newCache(limit int64) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		s := &c.shards[i]
		s.entries = map[cacheKey]*entry{}
		s.head.prev, s.head.next = &s.head, &s.head
		s.limit = limit / cacheShards
	}
	return c
}

func (c *cache) slot(repo policy.Repository) *slot {
	return &c.slots[maphash.Comparable(c.seed, repo)%cacheSlots]
}

func (c *cache) shard(key cacheKey) *shard {
	return &c.shards[maphash.Comparable(c.seed, key)%cacheShards]
}

// begin is called before the database is asked.
func (c *cache) begin(repo policy.Repository) ticket {
	s := c.slot(repo)
	return ticket{gen: s.gen.Load(), epoch: s.epoch.Load()}
}

func (c *cache) get(key cacheKey) (any, bool) {
	epoch := c.slot(key.repo).epoch.Load()
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil {
		return nil, false
	}
	if e.epoch != epoch {
		s.remove(e)
		return nil, false
	}
	if s.head.next != e {
		e.unlink()
		s.pushFront(e)
	}
	return e.value, true
}

// install keeps an answer unless the repository changed since begin. The check is
// made under the shard's lock and a change moves gen before it takes that lock:
// either the check sees the change, or the change removes the entry.
func (c *cache) install(t ticket, key cacheKey, value any, cost int64) {
	sl := c.slot(key.repo)
	s := c.shard(key)
	cost += int64(len(key.name)+len(key.repo.Name)) + 160 // the entry itself, roughly
	if cost > s.limit {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl.gen.Load() != t.gen || sl.epoch.Load() != t.epoch {
		return
	}
	if old := s.entries[key]; old != nil {
		s.remove(old)
	}
	e := &entry{key: key, value: value, epoch: t.epoch, cost: cost}
	s.entries[key] = e
	s.pushFront(e)
	s.cost += cost
	for s.cost > s.limit {
		s.remove(s.head.prev)
	}
}

// changed forgets the named answers of a repository.
func (c *cache) changed(repo policy.Repository, keys []cacheKey) {
	c.slot(repo).gen.Add(1)
	for _, key := range keys {
		s := c.shard(key)
		s.mu.Lock()
		if e := s.entries[key]; e != nil {
			s.remove(e)
		}
		s.mu.Unlock()
	}
}

// changedAll forgets everything about a repository.
func (c *cache) changedAll(repo policy.Repository) {
	s := c.slot(repo)
	s.epoch.Add(1)
	s.gen.Add(1)
}

// clear forgets everything.
func (c *cache) clear() {
	for i := range c.slots {
		c.slots[i].epoch.Add(1)
		c.slots[i].gen.Add(1)
	}
}

func (s *shard) remove(e *entry) {
	delete(s.entries, e.key)
	e.unlink()
	s.cost -= e.cost
}

func (s *shard) pushFront(e *entry) {
	e.prev, e.next = &s.head, s.head.next
	e.prev.next, e.next.prev = e, e
}

func (e *entry) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}
