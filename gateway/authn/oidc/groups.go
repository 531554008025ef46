package oidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

const (
	// maxGroups is how many groups a person may have; Entra ID answers 11,000 at most.
	maxGroups = 11_000
	maxGroup  = 255
)

// errOverage is that a token says that the groups were left out of it.
var errOverage = errors.New("the person's groups are too many for the ID token")

// groupsAt reads the groups at a path of claims. A claim that is not there is no
// groups; one of another type than a string or a list of strings is an error, and
// so is a token that says that the claim was left out (errOverage).
func groupsAt(claims map[string]any, path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	if overage(claims, path) {
		return nil, errOverage
	}
	value, there := lookup(claims, path)
	if !there || value == nil {
		return nil, nil
	}
	list, ok := value.([]any)
	if one, isText := value.(string); isText {
		list, ok = []any{one}, true // as it is: a comma or a space may be part of a name
	}
	if !ok {
		return nil, fmt.Errorf("the claim %s is neither a string nor a list", path)
	}
	if len(list) > maxGroups {
		return nil, fmt.Errorf("the claim %s has %d groups, %d are allowed", path, len(list), maxGroups)
	}
	groups := make([]string, 0, len(list))
	for _, v := range list {
		name, ok := v.(string)
		switch {
		case !ok:
			return nil, fmt.Errorf("the claim %s has something that is no string in its list", path)
		case name == "":
			continue
		case len(name) > maxGroup || strings.ContainsFunc(name, unicode.IsControl):
			return nil, fmt.Errorf("the claim %s has a group that is too long or has control characters", path)
		}
		groups = append(groups, name)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// lookup follows a path. A claim's own name may have dots, as those that are
// addresses do, so the longest name is tried first.
func lookup(claims map[string]any, path string) (any, bool) {
	if v, ok := claims[path]; ok {
		return v, true
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v, ok := lookup(inner, path[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// overage reports whether the claims say that those at path are elsewhere: as an
// aggregated or distributed claim (OpenID Connect Core 1.0, section 5.6.2), or in
// the two further ways of Entra ID, hasgroups and groups:src1.
func overage(claims map[string]any, path string) bool {
	root, _, _ := strings.Cut(path, ".")
	for _, name := range []string{path, root} {
		if names, ok := claims["_claim_names"].(map[string]any); ok {
			if _, there := names[name]; there {
				return true
			}
		}
		for claim := range claims {
			if strings.HasPrefix(claim, name+":src") {
				return true
			}
		}
	}
	has, there := claims["hasgroups"]
	return there && has != false && has != "false" && root == "groups"
}
