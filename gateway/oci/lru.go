package oci

import (
	"container/list"
	"hash/maphash"
	"sync"
)

// shards is how many parts a cache has, each with a lock of its own.
const shards = 16

// lru keeps the values that were used last, up to a weight.
type lru[K comparable, V any] struct {
	seed   maphash.Seed
	shards [shards]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu     sync.Mutex
	max    int64
	weight int64
	order  *list.List
	byKey  map[K]*list.Element
}

type item[K comparable, V any] struct {
	key    K
	value  V
	weight int64
}

func newLRU[K comparable, V any](maxWeight int64) *lru[K, V] {
	l := &lru[K, V]{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i] = shard[K, V]{max: max(maxWeight/shards, 1), order: list.New(), byKey: map[K]*list.Element{}}
	}
	return l
}

func (l *lru[K, V]) shard(key K) *shard[K, V] {
	return &l.shards[maphash.Comparable(l.seed, key)%shards]
}

func (l *lru[K, V]) get(key K) (v V, ok bool) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	el, ok := s.byKey[key]
	if !ok {
		return v, false
	}
	s.order.MoveToFront(el)
	return el.Value.(*item[K, V]).value, true
}

func (l *lru[K, V]) put(key K, v V, weight int64) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if weight > s.max {
		return
	}
	if el, ok := s.byKey[key]; ok {
		it := el.Value.(*item[K, V])
		s.weight += weight - it.weight
		it.value, it.weight = v, weight
		s.order.MoveToFront(el)
	} else {
		s.byKey[key] = s.order.PushFront(&item[K, V]{key: key, value: v, weight: weight})
		s.weight += weight
	}
	for s.weight > s.max {
		s.remove(s.order.Back())
	}
}

func (l *lru[K, V]) drop(key K) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if el, ok := s.byKey[key]; ok {
		s.remove(el)
	}
}

func (s *shard[K, V]) remove(el *list.Element) {
	it := s.order.Remove(el).(*item[K, V])
	delete(s.byKey, it.key)
	s.weight -= it.weight
}
