package oci

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// tally counts the uploads that each principal has begun and not ended, so that
// nobody fills storage with beginnings. It is of this process: one that was
// restarted learns of an earlier upload when a chunk of it comes, and storage
// forgets all of them when they expire.
type tally struct {
	most int
	keep time.Duration
	now  func() time.Time

	mu    sync.Mutex
	of    map[owner]*account
	swept time.Time
}

// owner is one principal of one workspace.
type owner struct{ workspace, issuer, id string }

type account struct {
	// starting are those that storage has not named yet.
	starting int
	// fed is when each upload was begun or got its last chunk.
	fed map[string]time.Time
}

func newTally(most int, keep time.Duration, now func() time.Time) *tally {
	return &tally{most: most, keep: keep, now: now, of: map[owner]*account{}, swept: now()}
}

func (c *call) owner() owner {
	return owner{c.repo.Workspace, c.caller.Principal.Issuer, c.caller.Principal.ID}
}

// begin makes place for one more upload, or says when to try again. What start
// answers with is counted until it ends.
func (t *tally) begin(who owner, start func() (string, error)) (string, error) {
	if err := t.reserve(who); err != nil {
		return "", err
	}
	id, err := start()
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.of[who]
	a.starting--
	if err == nil {
		a.fed[id] = t.now()
	}
	t.tidy(who, a)
	return id, err
}

func (t *tally) reserve(who owner) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if now.Sub(t.swept) > t.keep/4 {
		t.sweep(now)
	}
	a := t.account(who)
	if a.starting+len(a.fed) >= t.most {
		first := now
		for id, fed := range a.fed {
			if now.Sub(fed) > t.keep {
				delete(a.fed, id)
			} else if fed.Before(first) {
				first = fed
			}
		}
		if a.starting+len(a.fed) >= t.most {
			wait := min(max(t.keep-now.Sub(first), time.Second), time.Minute)
			return errcode.New(errcode.TooManyRequests, "too many uploads are open: end some, or cancel them").
				With("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		}
	}
	a.starting++
	return nil
}

// ended takes note of what came of an upload: nothing is left of one that
// succeeded, was given up, or is not there.
func (t *tally) ended(who owner, id string, err error) {
	if err != nil && !errors.Is(err, policy.ErrNotFound) && !errors.Is(err, policy.ErrDigestMismatch) && !errors.Is(err, policy.ErrNoSpace) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.of[who]; a != nil {
		delete(a.fed, id)
		t.tidy(who, a)
	}
}

// fed takes note of a chunk; of an upload that an earlier process began, too.
func (t *tally) fed(who owner, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.account(who).fed[id] = t.now()
}

func (t *tally) account(who owner) *account {
	a := t.of[who]
	if a == nil {
		a = &account{fed: map[string]time.Time{}}
		t.of[who] = a
	}
	return a
}

// tidy forgets a principal who has nothing open.
func (t *tally) tidy(who owner, a *account) {
	if a.starting == 0 && len(a.fed) == 0 {
		delete(t.of, who)
	}
}

// sweep forgets what storage has forgotten.
func (t *tally) sweep(now time.Time) {
	t.swept = now
	for who, a := range t.of {
		for id, fed := range a.fed {
			if now.Sub(fed) > t.keep {
				delete(a.fed, id)
			}
		}
		t.tidy(who, a)
	}
}
