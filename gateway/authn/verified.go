package authn

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Verified is a bounded memory of signed tokens that verified, with what V says
// about each, by the hash of all of their bytes: no part of a token that verified
// lends anything to another one. It keeps two generations and forgets the older
// when the newer is full; what is used moves to the newer.
//
// The bound is on bytes, not on tokens: one that says a lot takes forty times the
// memory of a short one, and who asks for tokens says how much is in them.
type Verified[V any] struct {
	limit    int // of a generation, in bytes
	mu       sync.RWMutex
	weight   int // of now
	now, old map[[sha256.Size]byte]verified[V]
}

// verified is a token that was verified with a set of keys.
type verified[V any] struct {
	value    V
	revision uint64
	expires  time.Time
	// weight is what is held for it, in bytes.
	weight int
}

// entryWeight is that of an entry whose token says nothing.
const entryWeight = 256

// NewVerified makes a memory of about limit bytes.
func NewVerified[V any](limit int) *Verified[V] {
	return &Verified[V]{limit: limit / 2, now: map[[sha256.Size]byte]verified[V]{}, old: map[[sha256.Size]byte]verified[V]{}}
}

// Get answers what was put for the token, if it was verified with the keys of this
// revision and has not expired.
func (v *Verified[V]) Get(raw string, revision uint64, at time.Time) (V, bool) {
	sum := sumOf(raw)
	v.mu.RLock()
	e, ok := v.now[sum]
	aged := false
	if !ok {
		e, aged = v.old[sum]
	}
	v.mu.RUnlock()
	if (!ok && !aged) || e.revision != revision || !at.Before(e.expires) {
		var none V
		return none, false
	}
	if aged {
		v.keep(sum, e)
	}
	return e.value, true
}

// sumOf copies a token of usual length to the stack: every request has one.
func sumOf(raw string) [sha256.Size]byte {
	var usual [2048]byte
	return sha256.Sum256(append(usual[:0], raw...))
}

// Put takes in a token that was verified. What it says was read into strings and
// slices that take about twice its length.
func (v *Verified[V]) Put(raw string, value V, revision uint64, expires time.Time) {
	v.keep(sumOf(raw), verified[V]{
		value: value, revision: revision, expires: expires, weight: entryWeight + 2*len(raw),
	})
}

func (v *Verified[V]) keep(sum [sha256.Size]byte, e verified[V]) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before, there := v.now[sum]
	if !there && v.weight+e.weight > v.limit {
		v.now, v.old, v.weight = map[[sha256.Size]byte]verified[V]{}, v.now, 0
	}
	delete(v.old, sum)
	v.now[sum] = e
	v.weight += e.weight - before.weight
}
