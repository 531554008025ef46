package local

import (
	"sync"
	"time"
)

// success is a password that was right: for which stored hash, and at which
// revision that hash was last seen in the store.
type success struct {
	hash     string
	revision int64
	until    time.Time
}

// successes is a bounded memory of successes. It keeps two generations and
// forgets the older when the newer is full, so that a flood of credentials costs
// no scan and no list.
type successes struct {
	limit int
	hold  time.Duration

	mu       sync.Mutex
	now, old map[tag]success
}

func newSuccesses(limit int, hold time.Duration) *successes {
	return &successes{limit: max(1, limit/2), hold: hold, now: map[tag]success{}, old: map[tag]success{}}
}

func (s *successes) get(t tag, at time.Time) (success, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.now[t]
	if !ok {
		e, ok = s.old[t]
	}
	if !ok || !at.Before(e.until) {
		return success{}, false
	}
	return e, true
}

func (s *successes) put(t tag, e success, at time.Time) {
	e.until = at.Add(s.hold)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(t, e)
}

// confirm notes that the hash was still the same at the revision. The time that
// a success holds does not begin anew.
func (s *successes) confirm(t tag, revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.now[t]
	if !ok {
		e, ok = s.old[t]
	}
	if ok {
		e.revision = revision
		s.set(t, e)
	}
}

func (s *successes) drop(t tag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.now, t)
	delete(s.old, t)
}

// set wants the lock.
func (s *successes) set(t tag, e success) {
	if _, there := s.now[t]; !there && len(s.now) >= s.limit {
		s.now, s.old = make(map[tag]success, s.limit), s.now
	}
	delete(s.old, t)
	s.now[t] = e
}
