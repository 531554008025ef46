package opa

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
)

// mostFactBytes bounds a value that is shown.
const mostFactBytes = 2048

// factsOf are the places that the way to an entry read and what is there, in the
// order in which they were read.
func factsOf(doc map[string]any, s *speech) []policy.Fact {
	out := []policy.Fact{}
	seen := map[string]bool{}
	for _, at := range placesOf(doc, s) {
		value, there := at.get(doc)
		for !there && len(at) > 1 {
			over, known := at[:len(at)-1].get(doc)
			if _, object := over.(map[string]any); known && object {
				break // the one thing that is missing
			}
			// What stands above it says why it is not there.
			if at, value, there = at[:len(at)-1], over, known; there && over != nil {
				there = false
				break
			}
		}
		if !there && len(at) == 1 {
			continue // the input of this action has no such part
		}
		path := at.String()
		if seen[path] || len(out) == mostFacts {
			continue
		}
		seen[path] = true
		out = append(out, policy.Fact{Path: path, Value: shown(value), Absent: !there})
	}
	return out
}

// placesOf are the places that were read. The list of packs is read by everything;
// of it only the settings count that the rule asked for.
func placesOf(doc map[string]any, s *speech) []trail {
	var out []trail
	for _, p := range readPlaces(doc, s) {
		out = append(out, p.at)
	}
	return out
}

// place is a place that was read, with the constants that stood beside it.
type place struct {
	at   trail
	near []any
}

func readPlaces(doc map[string]any, s *speech) []place {
	var out []place
	for _, r := range s.reads {
		at := trailOf(r.at)
		switch {
		case len(at) == 0:
		case s.builtin() || !at.ofPacks():
			out = append(out, place{at: at, near: plainTerms(r.near)})
		default:
			for _, setting := range settingsOf(doc, s) {
				out = append(out, place{at: setting})
			}
		}
	}
	return theOnes(doc, s.term, out)
}

// ofPacks tells the list of packs, and a pack in it.
func (t trail) ofPacks() bool {
	if len(t) < 2 || len(t) > 3 || t[0] != "project" || t[1] != "packs" {
		return false
	}
	if len(t) == 2 {
		return true
	}
	_, member := t[2].(int)
	return member
}

// mostAlike is how many members of one list count where none is what an entry is about.
const mostAlike = 8

// theOnes leaves out the members of lists that were looked at and passed over: those
// with the entry's term stay, where there are such.
func theOnes(doc map[string]any, term string, all []place) []place {
	listOf := func(at trail) (string, int) {
		for i, step := range at {
			if _, index := step.(int); index {
				return at[:i].String(), i
			}
		}
		return "", 0
	}
	about, count := map[string]bool{}, map[string]int{}
	for _, p := range all {
		if list, i := listOf(p.at); i > 0 && holds(doc, p.at[:i+1], term) {
			about[list] = true
		}
	}
	out := all[:0:0]
	for _, p := range all {
		list, i := listOf(p.at)
		if i > 0 {
			count[list]++
			if about[list] && !holds(doc, p.at[:i+1], term) || !about[list] && count[list] > mostAlike {
				continue
			}
		}
		out = append(out, p)
	}
	return out
}

// holds reports whether a member is the term or has it.
func holds(doc map[string]any, at trail, term string) bool {
	value, _ := at.get(doc)
	if object, ok := value.(map[string]any); ok {
		for _, field := range object {
			if field == any(term) {
				return true
			}
		}
	}
	return term != "" && value == any(term)
}

// settingsOf are the keys of the pack's configuration that the rule names, and the
// one that its entry is about.
func settingsOf(doc map[string]any, s *speech) []trail {
	packs, _ := trail{"project", "packs"}.get(doc)
	list, _ := packs.([]any)
	for i, p := range list {
		pack, _ := p.(map[string]any)
		if pack["name"] != s.pack {
			continue
		}
		config, _ := pack["config"].(map[string]any)
		var out []trail
		for _, key := range slices.Sorted(maps.Keys(config)) {
			if key == s.term || slices.ContainsFunc(s.data, func(ref ast.Ref) bool { return names(ref, key) }) {
				out = append(out, trail{"project", "packs", i, "config", key})
			}
		}
		return out
	}
	return nil
}

// names reports whether a ref goes by a configuration's key.
func names(ref ast.Ref, key string) bool {
	config := false
	for _, t := range ref[1:] {
		s, ok := t.Value.(ast.String)
		if ok && config && string(s) == key {
			return true
		}
		config = config || ok && s == "config"
	}
	return false
}

// shown is a value as it can be printed: what is too large is counted.
func shown(v any) any {
	raw, err := json.Marshal(v)
	if err == nil && len(raw) <= mostFactBytes {
		return v
	}
	switch v := v.(type) {
	case []any:
		return fmt.Sprintf("(a list of %d)", len(v))
	case map[string]any:
		return fmt.Sprintf("(an object of %d)", len(v))
	default:
		return fmt.Sprintf("(%d bytes)", len(raw))
	}
}
