package decisionlog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// mask is a tree of the paths that are hidden. A nil mask hides nothing.
type mask struct {
	hide bool
	keys map[string]*mask
	any  *mask
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
	// Whoever hides what people are called does not want to read it as their id.
	if subject := root.keys["subject"]; subject != nil && subject.keys["name"] != nil && subject.keys["name"].hide {
		subject.keys["id"] = subject.keys["name"]
	}
	return root, nil
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
	return &mask{hide: next.hide || anyKey.hide, keys: merged(next.keys, anyKey.keys), any: either(next.any, anyKey.any)}
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
	return &mask{hide: a.hide || b.hide, keys: merged(a.keys, b.keys), any: either(a.any, b.any)}
}

// covers reports whether the value at a path is hidden, itself or as a part.
func (m *mask) covers(path ...string) bool {
	for _, key := range path {
		if m = m.down(key); m == nil {
			return false
		}
		if m.hide {
			return true
		}
	}
	return false
}

// hidden is what stands for a value's canonical JSON: equal for equal values,
// and of no use without the key.
func hidden(key, canonical []byte) string {
	sum := hmac.New(sha256.New, key)
	sum.Write(canonical)
	return "hmac:" + hex.EncodeToString(sum.Sum(nil)[:8])
}
