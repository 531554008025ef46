package metadata

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// waiverSet is the waivers of a workspace, filed so that a request looks at the
// few that may match. A nil set is empty.
type waiverSet struct {
	byDigest  map[string][]*policy.Waiver
	byProject map[string][]*policy.Waiver
	rest      []*policy.Waiver
}

func newWaiverSet(all []policy.Waiver) *waiverSet {
	s := &waiverSet{byDigest: map[string][]*policy.Waiver{}, byProject: map[string][]*policy.Waiver{}}
	for i := range all {
		w := &all[i]
		switch {
		case len(w.Digests) > 0:
			file(s.byDigest, w.Digests, w)
		case len(w.Projects) > 0:
			file(s.byProject, w.Projects, w)
		default:
			if projects, ok := projectsOf(w.Repositories); ok {
				file(s.byProject, projects, w)
			} else {
				s.rest = append(s.rest, w)
			}
		}
	}
	return s
}

func file(under map[string][]*policy.Waiver, keys []string, w *policy.Waiver) {
	for i, key := range keys {
		if !slices.Contains(keys[:i], key) {
			under[key] = append(under[key], w)
		}
	}
}

// projectsOf gives the projects that patterns begin with, when all of them
// begin with a plain one.
func projectsOf(patterns []string) ([]string, bool) {
	var projects []string
	for _, pattern := range patterns {
		first, _, _ := strings.Cut(pattern, "/")
		if strings.ContainsAny(first, `*?[\`) {
			return nil, false
		}
		projects = append(projects, first)
	}
	return projects, len(projects) > 0
}

// match answers copies of the waivers whose every given part fits: a waiver for
// a project and a digest is for that digest in that project only.
func (s *waiverSet) match(repo policy.Repository, d digest.Digest, at time.Time) []policy.Waiver {
	if s == nil {
		return nil
	}
	var found []policy.Waiver
	if d != "" {
		found = matching(found, s.byDigest[string(d)], repo, at)
	}
	found = matching(found, s.byProject[repo.Project()], repo, at)
	found = matching(found, s.rest, repo, at)
	slices.SortFunc(found, func(a, b policy.Waiver) int { return strings.Compare(a.ID, b.ID) })
	return found
}

func matching(found []policy.Waiver, filed []*policy.Waiver, repo policy.Repository, at time.Time) []policy.Waiver {
	for _, w := range filed {
		if !at.Before(w.Expires) {
			continue
		}
		if len(w.Projects) > 0 && !slices.Contains(w.Projects, repo.Project()) {
			continue
		}
		if len(w.Repositories) > 0 && !slices.ContainsFunc(w.Repositories, func(pattern string) bool {
			return glob(pattern, repo.Name)
		}) {
			continue
		}
		found = append(found, *w)
	}
	return found
}

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

// validGlob refuses what glob would silently never match.
func validGlob(pattern string) bool {
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
