package token

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// Limits of what a client may ask for.
const (
	maxScopeText = 32 << 10 // all the scope parameters together, in bytes
	maxType      = 64
	maxResource  = 255
	maxActions   = 16
	maxAction    = 32
)

// ParseScopes reads the scope parameters of a token request, each a list
// separated by spaces, after distribution's scope grammar: type, name and
// actions, such as "repository:a/b:pull,push" or "registry:catalog:*". The
// actions that are asked for one thing in several scopes are joined; the order is
// that of the first mention. A repository's name is one that the protocol would
// route, so that what a token says and what a path says are the same thing.
//
// Everything else is [policy.ErrInvalid], or [policy.ErrTooLarge] for too much.
func ParseScopes(params []string) ([]policy.Scope, error) {
	total := 0
	for _, p := range params {
		if total += len(p); total > maxScopeText {
			return nil, fmt.Errorf("token: the scopes are too long: %w", policy.ErrTooLarge)
		}
	}
	scopes := []policy.Scope{}
	for _, p := range params {
		for text := range strings.SplitSeq(p, " ") {
			if text == "" {
				continue
			}
			s, err := parseScope(text)
			if err != nil {
				return nil, err
			}
			at := slices.IndexFunc(scopes, func(o policy.Scope) bool { return o.Type == s.Type && o.Name == s.Name })
			if at < 0 {
				if scopes, at = append(scopes, policy.Scope{Type: s.Type, Name: s.Name}), len(scopes); at == MaxScopes {
					return nil, fmt.Errorf("token: more than %d scopes: %w", MaxScopes, policy.ErrTooLarge)
				}
			}
			for _, a := range s.Actions {
				if !slices.Contains(scopes[at].Actions, a) {
					scopes[at].Actions = append(scopes[at].Actions, a)
				}
			}
			if len(scopes[at].Actions) > maxActions {
				return nil, fmt.Errorf("token: more than %d actions on one thing: %w", maxActions, policy.ErrTooLarge)
			}
		}
	}
	return scopes, nil
}

// parseScope reads one scope. The name may hold colons (a host with a port), so
// the type ends at the first and the actions begin after the last.
func parseScope(text string) (policy.Scope, error) {
	kind, rest, ok := strings.Cut(text, ":")
	last := strings.LastIndexByte(rest, ':')
	if !ok || last < 0 {
		return policy.Scope{}, badScope("has not three parts")
	}
	s := policy.Scope{Type: kind, Name: rest[:last]}
	switch {
	case !validType(kind):
		return policy.Scope{}, badScope("has no such type")
	case kind == authn.ScopeRepository && !ociroute.ValidName(s.Name):
		return policy.Scope{}, badScope("names no repository")
	case !validResource(s.Name):
		return policy.Scope{}, badScope("has no such name")
	}
	for action := range strings.SplitSeq(rest[last+1:], ",") {
		if action == "" {
			continue // "repository:a/b:" asks for nothing
		}
		if !validAction(action) || len(s.Actions) == maxActions {
			return policy.Scope{}, badScope("has no such actions")
		}
		s.Actions = append(s.Actions, action)
	}
	return s, nil
}

func badScope(why string) error {
	return fmt.Errorf("token: a scope %s: %w", why, policy.ErrInvalid)
}

func lower(c byte) bool { return 'a' <= c && c <= 'z' }
func digit(c byte) bool { return '0' <= c && c <= '9' }

// validType allows a type with an optional class: "repository(plugin)".
func validType(s string) bool {
	if len(s) > maxType {
		return false
	}
	kind, class, has := strings.Cut(s, "(")
	if has {
		inner, ok := strings.CutSuffix(class, ")")
		if !ok || !word(inner) {
			return false
		}
	}
	return word(kind)
}

func word(s string) bool {
	for i := range len(s) {
		if !lower(s[i]) && !digit(s[i]) {
			return false
		}
	}
	return s != ""
}

func validResource(s string) bool {
	for i := range len(s) {
		if c := s[i]; !lower(c) && !digit(c) && !strings.ContainsRune("._-/:", rune(c)) && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != "" && len(s) <= maxResource
}

func validAction(s string) bool {
	if s == "*" {
		return true
	}
	for i := range len(s) {
		if !lower(s[i]) {
			return false
		}
	}
	return len(s) <= maxAction
}

// FormatScopes writes scopes the way clients ask for them.
func FormatScopes(scopes []policy.Scope) string {
	out := make([]string, 0, len(scopes))
	for _, s := range scopes {
		out = append(out, s.Type+":"+s.Name+":"+strings.Join(s.Actions, ","))
	}
	return strings.Join(out, " ")
}

// within is the part of granted that was asked for. The gate answers a subset by
// its contract; a rule that somebody wrote must not be able to hand out more
// than the client wanted. An asked "*" wants whatever there is.
func within(granted, asked []policy.Scope) []policy.Scope {
	out := []policy.Scope{}
	for _, g := range granted {
		at := slices.IndexFunc(asked, func(a policy.Scope) bool { return a.Type == g.Type && a.Name == g.Name })
		if at < 0 {
			continue
		}
		var actions []string
		for _, action := range g.Actions {
			if validAction(action) && !slices.Contains(actions, action) && len(actions) < maxActions &&
				(slices.Contains(asked[at].Actions, action) || slices.Contains(asked[at].Actions, "*")) {
				actions = append(actions, action)
			}
		}
		again := slices.ContainsFunc(out, func(o policy.Scope) bool { return o.Type == g.Type && o.Name == g.Name })
		if len(actions) > 0 && !again {
			out = append(out, policy.Scope{Type: g.Type, Name: g.Name, Actions: actions})
		}
	}
	return out
}

// answered is granted, and beside it without any action each repository that was
// asked for in vain. So a token tells that asking again is no use, and a client
// that has one is not sent for another.
func answered(granted, asked []policy.Scope) []policy.Scope {
	out := slices.Clip(granted)
	for _, a := range asked {
		given := slices.ContainsFunc(granted, func(g policy.Scope) bool { return g.Type == a.Type && g.Name == a.Name })
		if a.Type == authn.ScopeRepository && !given {
			out = append(out, policy.Scope{Type: a.Type, Name: a.Name, Actions: []string{}})
		}
	}
	return out
}
