package metadata

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// useEvery is how often uses of credentials are written.
const useEvery = time.Minute

// use names a credential that can be used.
type use struct {
	kind string
	id   int64
}

// uses are the latest uses of credentials that were not written yet: one entry
// for each credential, however often it is used.
type uses struct {
	mu      sync.Mutex
	pending map[use]time.Time
}

// useQueries write a use, by the kind of credential.
var useQueries = map[string]string{
	policy.CredentialRobot:       "UPDATE robots SET last_used = $2 WHERE id = $1 AND last_used < $2",
	policy.CredentialAccessToken: "UPDATE access_tokens SET last_used = $2 WHERE id = $1 AND last_used < $2",
}

// TouchCredential notes that a credential was used, by its kind
// (policy.CredentialRobot, policy.CredentialAccessToken) and number; others are not kept. It does not
// ask the database: what is noted is written once a minute and when the store closes.
// Uses of the last minute are lost with the process.
func (s *Store) TouchCredential(kind string, id int64, at time.Time) {
	if useQueries[kind] == "" {
		return
	}
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	if s.uses.pending == nil {
		s.uses.pending = map[use]time.Time{}
	}
	if at.After(s.uses.pending[use{kind, id}]) {
		s.uses.pending[use{kind, id}] = at
	}
}

// writeUses writes until ctx ends, and then once more.
func (s *Store) writeUses(ctx context.Context) {
	ticker := time.NewTicker(useEvery)
	defer ticker.Stop()
	for {
		over := false
		select {
		case <-ctx.Done():
			over = true
		case <-ticker.C:
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
		if err := s.flushUses(last); err != nil {
			s.cfg.Logger.Warn("metadata: cannot write when credentials were used", "err", err)
		}
		cancel()
		if over {
			return
		}
	}
}

// flushUses writes what was noted; what could not be written is noted again.
func (s *Store) flushUses(ctx context.Context) error {
	s.uses.mu.Lock()
	pending := s.uses.pending
	s.uses.pending = nil
	s.uses.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		for u, at := range pending {
			if _, err := tx.exec(ctx, useQueries[u.kind], u.id, micros(at)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	maps.Copy(pending, s.uses.pending)
	s.uses.pending = pending
	return err
}
