// Package bounded has a map that a flood of keys cannot grow: what clients choose
// the keys of must not cost memory without end.
//
// It refuses to be exact about what it forgets: no list is kept of what is oldest,
// and no scan looks for it. Any room of the gateway may import it.
package bounded

// Map keeps two generations of entries and forgets the older when the newer is
// full. It has no lock: its owner has one.
type Map[K comparable, V any] struct {
	limit    int // of a generation
	now, old map[K]V
}

// New makes a map of about limit entries.
func New[K comparable, V any](limit int) *Map[K, V] {
	return &Map[K, V]{limit: max(1, limit/2), now: map[K]V{}, old: map[K]V{}}
}

// Peek answers what was put.
func (m *Map[K, V]) Peek(key K) (V, bool) {
	v, ok := m.now[key]
	if !ok {
		v, ok = m.old[key]
	}
	return v, ok
}

// Use is Peek, and counts as a use: what is used is forgotten later.
func (m *Map[K, V]) Use(key K) (V, bool) {
	v, ok := m.now[key]
	if ok {
		return v, true
	}
	if v, ok = m.old[key]; ok {
		m.Put(key, v)
	}
	return v, ok
}

// Put keeps v under key, in place of what was there.
func (m *Map[K, V]) Put(key K, v V) {
	if _, there := m.now[key]; !there && len(m.now) >= m.limit {
		m.now, m.old = make(map[K]V, m.limit), m.now
	}
	delete(m.old, key)
	m.now[key] = v
}

// Drop forgets key.
func (m *Map[K, V]) Drop(key K) {
	delete(m.now, key)
	delete(m.old, key)
}
