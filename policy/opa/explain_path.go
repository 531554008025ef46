package opa

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
)

// trail is a place in the input: keys of objects (string) and of lists (int).
type trail []any

// String writes the place as rules write it, without "input": subject.roles,
// artifact.layers[0].size, artifact.config.labels["org.example.team"].
func (t trail) String() string {
	var b strings.Builder
	for i, step := range t {
		switch s := step.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(s) + "]")
		case string:
			if !plainKey(s) {
				b.WriteString("[" + strconv.Quote(s) + "]")
				continue
			}
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s)
		}
	}
	return b.String()
}

// plainKey tells the keys that can be written after a dot.
func plainKey(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// get answers what is at the place; false where nothing is.
func (t trail) get(doc any) (any, bool) {
	for _, step := range t {
		switch s := step.(type) {
		case string:
			object, ok := doc.(map[string]any)
			if !ok {
				return nil, false
			}
			if doc, ok = object[s]; !ok {
				return nil, false
			}
		case int:
			list, ok := doc.([]any)
			if !ok || s >= len(list) {
				return nil, false
			}
			doc = list[s]
		}
	}
	return doc, true
}

// set answers doc with another value at the place, or without the place. What did
// not change is shared; a null on the way becomes an object. It reports false where
// the place cannot be.
func (t trail) set(doc, to any, gone bool) (any, bool) {
	if len(t) == 0 {
		return to, !gone
	}
	switch s := t[0].(type) {
	case string:
		object, ok := doc.(map[string]any)
		if !ok && doc != nil {
			return nil, false
		}
		out := maps.Clone(object)
		if out == nil {
			out = map[string]any{}
		}
		if gone && len(t) == 1 {
			delete(out, s)
			return out, true
		}
		if out[s], ok = t[1:].set(object[s], to, gone); !ok {
			return nil, false
		}
		return out, true
	case int:
		list, ok := doc.([]any)
		if !ok || s > len(list) || s == len(list) && (gone || len(t) > 1) {
			return nil, false
		}
		out := slices.Clone(list)
		if s == len(list) {
			return append(out, to), true
		}
		if gone && len(t) == 1 {
			return slices.Delete(out, s, s+1), true
		}
		if out[s], ok = t[1:].set(list[s], to, gone); !ok {
			return nil, false
		}
		return out, true
	}
	return nil, false
}

// trailOf is the place that a ref into the input reads, as far as it is known.
func trailOf(ref ast.Ref) trail {
	var out trail
	for _, t := range ref[1:] {
		switch v := t.Value.(type) {
		case ast.String:
			out = append(out, string(v))
		case ast.Number:
			n, ok := v.Int()
			if !ok || n < 0 {
				return out
			}
			out = append(out, n)
		default:
			return out
		}
	}
	return out
}

// plain makes of a document what it is after a way through JSON, with numbers as
// they are written: a nanosecond does not fit into a float.
func plain(doc map[string]any) (map[string]any, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("read the input: %w: %w", err, policy.ErrInvalid)
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil || out == nil {
		return nil, fmt.Errorf("read the input: %w", policy.ErrInvalid)
	}
	return out, nil
}
