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
}

// verified is a bounded memory of verified tokens, by the hash of all of their
// bytes: no part of a token that verified lends anything to another one. It keeps
// two generations and forgets the older when the newer is full; what is used
// moves to the newer.
type verified struct {
	limit    int
	mu       sync.RWMutex
	now, old map[[sha256.Size]byte]entry
}

func newVerified(limit int) *verified {
	return &verified{limit: max(1, limit/2), now: map[[sha256.Size]byte]entry{}, old: map[[sha256.Size]byte]entry{}}
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
		v.put(sum, e)
	}
	return e, ok || aged
}

func (v *verified) put(sum [sha256.Size]byte, e entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, there := v.now[sum]; !there && len(v.now) >= v.limit {
		v.now, v.old = make(map[[sha256.Size]byte]entry, v.limit), v.now
	}
	delete(v.old, sum)
	v.now[sum] = e
}
