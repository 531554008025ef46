package registry

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"

	"github.com/bondgate/bondgate/policy"
)

// maxSessions bounds the hash states kept in memory. The state of an upload
// beyond it is dropped and costs one reading of its file at the commit.
const maxSessions = 4096

// session is what this process remembers of one upload: the sha256 of its first
// hashed bytes. It is a convenience: the file alone is the truth.
type session struct {
	busy   bool
	hash   hash.Hash
	hashed int64
}

// sessions gives each upload to one call at a time.
type sessions struct {
	mu   sync.Mutex
	open map[string]*session
}

// take claims the upload, or fails with policy.ErrConflict when another call
// has it.
func (s *sessions) take(key string) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.open[key]
	if found == nil {
		s.makeRoom()
		found = &session{hash: sha256.New()}
		s.open[key] = found
	}
	if found.busy {
		return nil, fmt.Errorf("registry: %w: the upload is in use by another request", policy.ErrConflict)
	}
	found.busy = true
	return found, nil
}

func (s *sessions) makeRoom() {
	if len(s.open) < maxSessions {
		return
	}
	for key, other := range s.open {
		if !other.busy {
			delete(s.open, key)
			return
		}
	}
}

// release gives the upload back; forget says that it is over.
func (s *sessions) release(key string, held *session, forget bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held.busy = false
	if forget {
		delete(s.open, key)
	}
}

// wrote takes in bytes that were stored at the given offset.
func (s *session) wrote(offset int64, p []byte) {
	if s.hashed == offset {
		_, _ = s.hash.Write(p)
		s.hashed += int64(len(p))
	}
}
