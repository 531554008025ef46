package decisionlog

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// The bounds of a page of [Log.Tail].
const (
	DefaultLimit = 50
	MaxLimit     = 1000
)

// Query says which records to read. Empty fields match everything, but an empty
// Workspace is the default one: no search crosses workspaces.
type Query struct {
	Workspace, Project, Subject, Issuer string
	Action                              policy.Action
	// Rule is a code that denied, warned, would have denied or was waived.
	Rule string
	// Verdict is "allow", "deny" or "outage".
	Verdict string
	// Since leaves out decisions made before it, Until those made then or later.
	Since, Until time.Time
	// Limit is the number of entries at most; 0 is [DefaultLimit], [MaxLimit] the
	// most. [Log.All] and [Log.Export] have no most, and 0 is all.
	Limit int
	// Before asks for what was written before the entry with this cursor.
	Before int64
	// After asks for what was written after the entry with this cursor, oldest first.
	After int64
}

func (l *Log) search(q Query) search {
	s := search{
		workspace: clean(workspaceOf(q.Workspace)), action: clean(string(q.Action)), verdict: q.Verdict,
		project: l.sought(q.Project, "project", "name"), subject: l.sought(q.Subject, "subject", "name"),
		issuer: l.sought(q.Issuer, "subject", "issuer"), rule: l.sought(q.Rule),
		before: q.Before, after: q.After, forward: q.After > 0, limit: q.Limit,
	}
	if s.limit <= 0 {
		s.limit = DefaultLimit
	}
	s.limit = min(s.limit, MaxLimit)
	if !q.Since.IsZero() {
		s.since = q.Since.UnixMicro()
		// A record is never in a day before the one it was made in; a day of
		// grace for clocks that differ.
		s.sinceDay = q.Since.UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	}
	if !q.Until.IsZero() {
		s.until = q.Until.UnixMicro()
	}
	return s
}

// sought is a searched value as it is stored.
func (l *Log) sought(v string, path ...string) string {
	return stored(l.mask, l.cfg.MaskKey, v, path...)
}

// Tail answers the records that match, the newest first (with After, the oldest
// first), without their inputs.
func (l *Log) Tail(ctx context.Context, q Query) ([]Entry, error) {
	return l.read(ctx, l.search(q))
}

func (l *Log) read(ctx context.Context, s search) ([]Entry, error) {
	rows, err := l.store.tail(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("decision log: search: %w", err)
	}
	entries := make([]Entry, 0, len(rows))
	for _, r := range rows {
		e, err := entryOf(r)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Follow yields records that match as they are written, in order, from
// q.After or from now on, until ctx ends or a search fails.
func (l *Log) Follow(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		s := l.search(q)
		s.forward, s.before, s.limit = true, 0, MaxLimit
		if q.After <= 0 {
			newest, err := l.store.newest(ctx)
			if err != nil {
				yield(Entry{}, fmt.Errorf("decision log: follow: %w", err))
				return
			}
			s.after = newest
		}
		wait := time.NewTicker(l.cfg.FlushEvery)
		defer wait.Stop()
		for {
			entries, err := l.read(ctx, s)
			if err != nil {
				if ctx.Err() == nil {
					yield(Entry{}, err)
				}
				return
			}
			for _, e := range entries {
				s.after = e.Cursor
				if !yield(e, nil) {
					return
				}
			}
			if len(entries) == s.limit {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-wait.C:
			}
		}
	}
}

// Show answers one record with its input, [policy.ErrNotFound] when there is
// none. The caller judges who may see the workspace that it is in.
func (l *Log) Show(ctx context.Context, id string) (Entry, error) {
	r, facts, release, err := l.store.show(ctx, id)
	if err != nil {
		return Entry{}, fmt.Errorf("decision log: record %q: %w", id, err)
	}
	defer release()
	e, err := entryOf(r)
	if err != nil || !r.hasInput() {
		return e, err
	}
	e.Input, err = splice(nil, r.input, func(name string) ([]byte, error) {
		digest, err := parseDigest(name)
		if err != nil {
			return nil, err
		}
		body, err := facts(ctx, digest)
		if err != nil {
			return nil, fmt.Errorf("fact %s: %w", name, err)
		}
		return body, nil
	}, 0)
	if err != nil {
		return Entry{}, fmt.Errorf("decision log: input of record %q: %w", id, err)
	}
	return e, nil
}

func parseDigest(name string) (hash, error) {
	var d hash
	text, ok := strings.CutPrefix(name, "sha256:")
	if !ok || len(text) != 2*len(d) {
		return d, fmt.Errorf("%q is no digest: %w", name, policy.ErrInvalid)
	}
	_, err := hex.Decode(d[:], []byte(text))
	return d, err
}
