package limit

// generations is a bounded map. It keeps two generations and forgets the older
// when the newer is full; what is used moves to the newer. The owner has the lock.
type generations[K comparable, V any] struct {
	limit    int
	now, old map[K]V
}

func newGenerations[K comparable, V any](limit int) *generations[K, V] {
	return &generations[K, V]{limit: max(1, limit/2), now: map[K]V{}, old: map[K]V{}}
}

func (g *generations[K, V]) get(key K) (V, bool) {
	v, ok := g.now[key]
	if ok {
		return v, true
	}
	if v, ok = g.old[key]; ok {
		g.put(key, v)
	}
	return v, ok
}

func (g *generations[K, V]) put(key K, v V) {
	if _, there := g.now[key]; !there && len(g.now) >= g.limit {
		g.now, g.old = make(map[K]V, g.limit), g.now
	}
	delete(g.old, key)
	g.now[key] = v
}

func (g *generations[K, V]) drop(key K) {
	delete(g.now, key)
	delete(g.old, key)
}
