package token

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
)

// entry is a token that was verified with a set of keys.
type entry struct {
	caller   authn.Caller
	revision uint64
	expires  time.Time
	// weight is what is held for it, in bytes.
	weight int
}

// verified is a bounded memory of verified tokens, by the hash of all of their
// bytes: no part of a token that verified lends anything to another one. It keeps
// two generations and forgets the older when the newer is full; what is used
// moves to the newer.
//
// The bound is on bytes, not on tokens: one of a hundred scopes takes forty times
// the memory of one that docker asks for, and who asks says how many there are.
type verified struct {
	limit    int // of a generation, in bytes
	mu       sync.RWMutex
	weight   int // of now
	now, old map[[sha256.Size]byte]entry
}

// entryWeight is that of an entry whose token says nothing.
const entryWeight = 256

func newVerified(limit int) *verified {
	return &verified{limit: limit / 2, now: map[[sha256.Size]byte]entry{}, old: map[[sha256.Size]byte]entry{}}
}

func (v *verified) get(sum [sha256.Size]byte) (entry, bool) {
	v.mu.RLock()
	e, ok := v.now[sum]
	aged := false
	if !ok {
		e, aged = v.old[sum]
	}
	v.mu.RUnlock()
	if aged {
		v.keep(sum, e)
	}
	return e, ok || aged
}

// put takes in a token that was so many bytes long. What it says was read into
// strings and slices that take about twice that.
func (v *verified) put(sum [sha256.Size]byte, length int, e entry) {
	e.weight = entryWeight + 2*length
	v.keep(sum, e)
}

func (v *verified) keep(sum [sha256.Size]byte, e entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before, there := v.now[sum]
	if !there && v.weight+e.weight > v.limit {
		v.now, v.old, v.weight = map[[sha256.Size]byte]entry{}, v.now, 0
	}
	delete(v.old, sum)
	v.now[sum] = e
	v.weight += e.weight - before.weight
}
