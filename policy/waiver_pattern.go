package policy

import (
	"path"
	"strings"
)

// glob matches a repository's name. "*" and "?" stay within one component, "**" as
// a component stands for any number of them, none included.
func glob(pattern, name string) bool {
	for {
		head, tail, more := strings.Cut(pattern, "/")
		if head == "**" {
			if !more {
				return true
			}
			for {
				if glob(tail, name) {
					return true
				}
				_, rest, ok := strings.Cut(name, "/")
				if !ok {
					return false
				}
				name = rest
			}
		}
		part, rest, moreName := strings.Cut(name, "/")
		if ok, err := path.Match(head, part); err != nil || !ok {
			return false
		}
		if !more || !moreName {
			// "payments/**" matches "payments" as well.
			return more == moreName || (more && tail == "**")
		}
		pattern, name = tail, rest
	}
}

// ValidWaiverPattern refuses a pattern of repositories that would silently never match.
func ValidWaiverPattern(pattern string) bool {
	// Each "**" multiplies the ways to match: a few are enough for anybody.
	if pattern == "" || strings.ContainsAny(pattern, "{}") || strings.Count(pattern, "**") > 3 {
		return false
	}
	for part := range strings.SplitSeq(pattern, "/") {
		if _, err := path.Match(part, ""); err != nil || part == "" {
			return false
		}
		if part != "**" && strings.Contains(part, "**") {
			return false
		}
	}
	return true
}
