package opa

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

var errPath = errors.New("not a path of an input")

// parseTrail reads what String wrote.
func parseTrail(s string) (trail, error) {
	var out trail
	for rest := s; rest != ""; {
		switch {
		case strings.HasPrefix(rest, `["`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
				return nil, fmt.Errorf("%w: %q", errPath, s)
			}
			key, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("%w: %q", errPath, s)
			}
			out, rest = append(out, key), rest[len(quoted)+2:]
		case rest[0] == '[':
			index, after, ok := strings.Cut(rest[1:], "]")
			n, err := strconv.Atoi(index)
			if !ok || err != nil || n < 0 {
				return nil, fmt.Errorf("%w: %q", errPath, s)
			}
			out, rest = append(out, n), after
		default:
			if len(out) > 0 {
				if rest[0] != '.' {
					return nil, fmt.Errorf("%w: %q", errPath, s)
				}
				rest = rest[1:]
			}
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if !plainKey(rest[:end]) {
				return nil, fmt.Errorf("%w: %q", errPath, s)
			}
			out, rest = append(out, rest[:end]), rest[end:]
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errPath)
	}
	return out, nil
}

// Apply answers an input with the changes made, one after the other. It shares with
// doc what did not change, and fails for a path that doc cannot have.
func Apply(doc map[string]any, changes []policy.Change) (map[string]any, error) {
	var out any = doc
	for _, c := range changes {
		t, err := parseTrail(c.Path)
		if err != nil {
			return nil, fmt.Errorf("change %s: %w", c.Path, err)
		}
		var ok bool
		if out, ok = t.set(out, c.To, c.Gone); !ok {
			return nil, fmt.Errorf("change %s: %w", c.Path, errPath)
		}
	}
	changed, _ := out.(map[string]any)
	return changed, nil
}
