package authn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/bondgate/bondgate/gateway/bounded"
)

// CredentialTag is what a credential is remembered under instead of itself: a
// hash under a key of this process that is never stored.
type CredentialTag [sha256.Size]byte

// Successes is a bounded memory of credentials that were right, for providers
// whose check is costly, with what V says about each. It never holds a password.
type Successes[V any] struct {
	key  []byte
	hold time.Duration

	mu    sync.Mutex
	known *bounded.Map[CredentialTag, held[V]]
}

type held[V any] struct {
	value V
	until time.Time
}

// NewSuccesses makes a memory of about limit credentials, each for hold.
func NewSuccesses[V any](limit int, hold time.Duration) *Successes[V] {
	s := &Successes[V]{
		key: make([]byte, sha256.Size), hold: hold, known: bounded.New[CredentialTag, held[V]](limit),
	}
	_, _ = rand.Read(s.key) // never fails
	return s
}

// Tag is the credential's in this memory. The lengths are hashed too: no two
// credentials run into each other.
func (s *Successes[V]) Tag(workspace, name, password string) CredentialTag {
	mac := hmac.New(sha256.New, s.key)
	var size [8]byte
	for _, part := range []string{workspace, name, password} {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		mac.Write(size[:])
		mac.Write([]byte(part))
	}
	return CredentialTag(mac.Sum(nil))
}

// Get answers what was put, unless its time is over.
func (s *Successes[V]) Get(t CredentialTag, at time.Time) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.known.Peek(t)
	if !ok || !at.Before(e.until) {
		var none V
		return none, false
	}
	return e.value, true
}

// Put remembers a success that was seen at a time.
func (s *Successes[V]) Put(t CredentialTag, v V, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Put(t, held[V]{value: v, until: at.Add(s.hold)})
}

// Amend changes what is remembered, if it still is. The time that it holds does
// not begin anew.
func (s *Successes[V]) Amend(t CredentialTag, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.known.Peek(t); ok {
		s.known.Put(t, held[V]{value: v, until: e.until})
	}
}

// Drop forgets a credential.
func (s *Successes[V]) Drop(t CredentialTag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Drop(t)
}
