package metadata

import (
	"fmt"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// maxPattern bounds a pattern of repositories, in bytes: that of a name.
const maxPattern = 255

// checkPattern refuses a pattern of repositories that could never match in the
// project, or that two readers could read differently: it is of the characters
// of names, "*" for a part of a component and "**" across components. Empty is
// no pattern.
func checkPattern(pattern, project string) error {
	if pattern == "" {
		return nil
	}
	if !validPattern(pattern) {
		return fmt.Errorf("repositories %q: not a pattern of names: %w", pattern, policy.ErrInvalid)
	}
	first, _, _ := strings.Cut(pattern, "/")
	if project != AnyProject && first != project && !strings.HasPrefix(first, "*") {
		return fmt.Errorf("repositories %q: none of project %q is called so: %w", pattern, project, policy.ErrInvalid)
	}
	return nil
}

func validPattern(pattern string) bool {
	// Each star multiplies the ways to match: a few are enough for anybody.
	if len(pattern) > maxPattern || strings.Count(pattern, "*") > 6 || strings.Contains(pattern, "***") {
		return false
	}
	for part := range strings.SplitSeq(pattern, "/") {
		if part == "" {
			return false
		}
		for _, c := range part {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("._-*", c)) {
				return false
			}
		}
	}
	return true
}
