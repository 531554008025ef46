package opa

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// Within mostTries, what one reason gets: so many single changes, so many pairs of
// so many of them, and so many other ways once one is found.
const (
	mostSingles = 200
	mostPairs   = 160
	mostPaired  = 24
	mostOthers  = 4
)

// change is another value at a place of the input.
type change struct {
	at   trail
	to   any
	gone bool
}

// candidate is a set of changes that may turn a reason. They belong together: who
// gets a role has signed in.
type candidate struct {
	changes []change
	// cost says how hard it is for a person to make the changes, and how far-fetched.
	cost int
	// turn is which value of its place it is, what a person would put there first.
	turn int
}

// search tries changes of one input.
type search struct {
	ctx context.Context //nolint:containedctx // a search is one call and ends with it
	ev  *Evaluator
	doc map[string]any
	// schema is that of the action; nil for one that has none.
	schema map[string]any
	was    outcome
	// known are the outcomes of what was tried, by the changes; nil for no outcome.
	known map[string]outcome
	tries int
	// cut says that a limit ended the search before it was through.
	cut bool
}

// outcome is how much each reason weighs, by code and term.
type outcome map[[2]string]int

func outcomeOf(d policy.Decision) outcome {
	out := outcome{}
	for _, r := range fired(d) {
		key := [2]string{r.Code, r.Term}
		if rank, there := out[key]; !there || rankOf(r.Effect) < rank {
			out[key] = rankOf(r.Effect)
		}
	}
	return out
}

func (e *Evaluator) newSearch(ctx context.Context, doc map[string]any, d policy.Decision) *search {
	s := &search{ctx: ctx, ev: e, doc: doc, was: outcomeOf(d), known: map[string]outcome{}}
	action, _ := doc["action"].(string)
	_ = json.Unmarshal(e.insight.schemas[action], &s.schema) // no schema says nothing
	return s
}

// turn finds changes that silence a reason or lift it: one by one first, then two
// together.
func (s *search) turn(r *policy.ExplainedReason, heard *speech) (best []policy.Change, others [][]policy.Change) {
	all := s.candidates(r, heard)
	var found []candidate
	taken := map[string]bool{}
	for _, c := range all {
		where := c.changes[len(c.changes)-1].at.String()
		if !taken[where] && s.turns(r, c.changes) {
			taken[where] = true
			if found = append(found, c); len(found) > mostOthers {
				break
			}
		}
	}
	if len(found) == 0 {
		found = s.pairs(r, all)
	}
	if len(found) == 0 {
		return []policy.Change{}, nil
	}
	for _, c := range found[1:] {
		others = append(others, s.written(c.changes))
	}
	return s.written(found[0].changes), others
}

// pairs tries two candidates together, the easiest first, until one pair turns r.
func (s *search) pairs(r *policy.ExplainedReason, all []candidate) []candidate {
	perPlace := map[string]int{}
	var some []candidate
	for _, c := range all {
		where := c.changes[len(c.changes)-1].at.String()
		if perPlace[where]++; perPlace[where] <= 4 && len(some) < mostPaired {
			some = append(some, c)
		}
	}
	var pairs []candidate
	for i, a := range some {
		for _, b := range some[i+1:] {
			if a.changes[0].at.String() != b.changes[0].at.String() {
				pairs = append(pairs, candidate{changes: append(slices.Clone(a.changes), b.changes...), cost: a.cost + b.cost})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b candidate) int { return cmp.Compare(a.cost, b.cost) })
	for i, c := range pairs {
		if i == mostPairs {
			s.cut = true
			break
		}
		if s.turns(r, c.changes) {
			return []candidate{c}
		}
	}
	return nil
}

// turns reports whether with the changes r weighs less than it did, and nothing
// denies that did not before.
func (s *search) turns(r *policy.ExplainedReason, changes []change) bool {
	now := s.try(changes)
	if now == nil {
		return false
	}
	effect := rankOf(r.Effect)
	for key, rank := range now {
		old, was := s.was[key]
		switch {
		case key == [2]string{r.Code, r.Term}:
			if rank <= effect {
				return false
			}
		case rank == 0 && (!was || old != 0):
			return false
		case !was && key[0] == r.Code && rank <= effect:
			return false // it fires for another term instead
		}
	}
	return true
}

// try is what is decided with the changes; nil where they cannot be made, where
// there is no decision and where the search is over.
func (s *search) try(changes []change) outcome {
	raw, err := json.Marshal(s.written(changes))
	if err != nil {
		return nil
	}
	if known, tried := s.known[string(raw)]; tried {
		return known
	}
	if s.tries >= mostTries || s.ctx.Err() != nil {
		s.cut = true
		return nil
	}
	s.tries++
	var out outcome
	if doc, ok := s.with(changes); ok {
		if d, err := s.ev.DecideInput(s.ctx, doc); err == nil {
			out = outcomeOf(d)
		}
	}
	s.known[string(raw)] = out
	return out
}

func (s *search) with(changes []change) (map[string]any, bool) {
	var doc any = s.doc
	for _, c := range changes {
		var ok bool
		if doc, ok = c.at.set(doc, c.to, c.gone); !ok {
			return nil, false
		}
	}
	out, ok := doc.(map[string]any)
	return out, ok
}

// written is how an explanation says changes.
func (s *search) written(changes []change) []policy.Change {
	out := make([]policy.Change, 0, len(changes))
	for _, c := range changes {
		from, _ := c.at.get(s.doc)
		out = append(out, policy.Change{Path: c.at.String(), From: shown(from), To: c.to, Gone: c.gone})
	}
	return out
}
