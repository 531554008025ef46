package decisionlog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// mask is a tree of the paths that are hidden. A nil mask hides nothing.
type mask struct {
	hide bool
	// upsert puts value in the place of what is there, or is not; hide is stronger.
	upsert bool
	value  any
	keys   map[string]*mask
	any    *mask
}

func parseMasks(paths []string) (*mask, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	root := &mask{keys: map[string]*mask{}}
	for _, path := range paths {
		at := root
		for key := range strings.SplitSeq(path, ".") {
			if key == "" {
				return nil, fmt.Errorf("decision log: mask %q has an empty part: %w", path, policy.ErrInvalid)
			}
			next := at.keys[key]
			if key == "*" {
				next = at.any
			}
			if next == nil {
				next = &mask{keys: map[string]*mask{}}
			}
			if key == "*" {
				at.any = next
			} else {
				at.keys[key] = next
			}
			at = next
		}
		at.hide = true
	}
	return root.alias(), nil
}

// alias hides what people are called as their id too: whoever hides the one does
// not want to read the other.
func (m *mask) alias() *mask {
	if subject := m.keys["subject"]; subject != nil && subject.keys["name"].replaces() && !subject.keys["id"].replaces() {
		subject.keys["id"] = subject.keys["name"]
	}
	return m
}

// down is the mask of the value under a key.
func (m *mask) down(key string) *mask {
	if m == nil {
		return nil
	}
	next, anyKey := m.keys[key], m.any
	switch {
	case next == nil:
		return anyKey
	case anyKey == nil:
		return next
	}
	return either(next, anyKey)
}

// item is the mask of a list's item: lists are passed through, and an item has
// its number for a key too.
func (m *mask) item(i int) *mask {
	if m == nil || len(m.keys) == 0 {
		return m
	}
	return either(m, m.keys[strconv.Itoa(i)])
}

// replaces reports whether nothing is left of the value that the mask is for.
func (m *mask) replaces() bool { return m != nil && (m.hide || m.upsert) }

// missing appends the keys that an object has not and gets from the mask.
func (m *mask) missing(object map[string]any, keys []string) []string {
	if m == nil {
		return keys
	}
	for k, sub := range m.keys {
		if _, there := object[k]; !there && sub.upserts() {
			keys = append(keys, k)
		}
	}
	return keys
}

// upserts reports whether a value is given here or further down.
func (m *mask) upserts() bool {
	if m.upsert {
		return true
	}
	for _, sub := range m.keys {
		if sub.upserts() {
			return true
		}
	}
	return false
}

func merged(a, b map[string]*mask) map[string]*mask {
	all := make(map[string]*mask, len(a)+len(b))
	for k, m := range a {
		all[k] = either(m, b[k])
	}
	for k, m := range b {
		if all[k] == nil {
			all[k] = m
		}
	}
	return all
}

func either(a, b *mask) *mask {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	both := &mask{hide: a.hide || b.hide, upsert: a.upsert || b.upsert, value: b.value, keys: merged(a.keys, b.keys), any: either(a.any, b.any)}
	if !b.upsert {
		both.value = a.value
	}
	return both
}

// at is the mask that replaces the value at a path, itself or as a part of
// another one; nil for none.
func (m *mask) at(path ...string) *mask {
	if m.replaces() {
		return m
	}
	for _, key := range path {
		if m = m.down(key); m.replaces() {
			return m
		}
	}
	return nil
}

// shown is a text that stands at a path of the input and elsewhere too: it is
// hidden in both places or in none.
func (m *mask) shown(key []byte, v string, path ...string) string {
	if v == "" {
		return v
	}
	by := m.at(path...)
	switch {
	case by == nil:
		return v
	case by.upsert && !by.hide && by == m.exactly(path...):
		if given, ok := by.value.(string); ok {
			return given
		}
	}
	return hidden(key, appendString(nil, v))
}

// exactly is the mask of the value at a path.
func (m *mask) exactly(path ...string) *mask {
	for _, key := range path {
		m = m.down(key)
	}
	return m
}

// with is the mask and what the policy says of one record. The paths begin below
// the input; an empty one is all of it.
func (m *mask) with(more []policy.RecordMask) *mask {
	if len(more) == 0 {
		return m
	}
	root := &mask{keys: map[string]*mask{}}
	for _, one := range more {
		at := root
		for _, key := range one.Path {
			if at.keys[key] == nil {
				at.keys[key] = &mask{keys: map[string]*mask{}}
			}
			at = at.keys[key]
		}
		if one.Upsert {
			at.upsert, at.value = true, one.Value
		} else {
			at.hide = true
		}
	}
	return either(m, root.alias())
}

// hidden is what stands for a value's canonical JSON: equal for equal values,
// and of no use without the key.
func hidden(key, canonical []byte) string {
	sum := hmac.New(sha256.New, key)
	sum.Write(canonical)
	return "hmac:" + hex.EncodeToString(sum.Sum(nil)[:8])
}
