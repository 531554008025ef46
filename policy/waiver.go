package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Waiver lifts a rule for a while. Expires and Owner are required.
type Waiver struct {
	ID        string `json:"id"`
	Workspace string `json:"-"`
	Rule      string `json:"rule"`
	// Terms are what of the rule is lifted; without any, all of it.
	Terms []string `json:"terms,omitempty"`
	// Projects, Repositories (patterns) and Digests say where: each that is given has
	// to match, and without any of them it is everywhere.
	Projects     []string `json:"projects,omitempty"`
	Repositories []string `json:"repositories,omitempty"`
	Digests      []string `json:"digests,omitempty"`
	Reason       string   `json:"reason,omitempty"`
	Ticket       string   `json:"ticket,omitempty"`
	// Owner answers for it, Requester asked for it, and Approver let it be, or
	// refused it. They are names, for people to read.
	Owner     string `json:"owner"`
	Requester string `json:"requester,omitempty"`
	Approver  string `json:"approver,omitempty"`
	// RequestedBy and DecidedBy are who that was, as [Principal.Identity] has it; the
	// gateway sets them, and files have none.
	RequestedBy string `json:"requested_by,omitempty"`
	DecidedBy   string `json:"decided_by,omitempty"`
	// Remark is what was said with the approval or the refusal.
	Remark  string    `json:"remark,omitempty"`
	Created time.Time `json:"created"`
	Decided time.Time `json:"decided,omitzero"`
	Expires time.Time `json:"expires"`
	// State says whether it was approved; the zero state lifts nothing.
	State WaiverState `json:"state"`
	// Origin is where it stands: [WaiverOfBundle] or [WaiverOfAPI].
	Origin string `json:"origin,omitempty"`
	// Version changes with every change, and no two versions of any waiver are one:
	// an approval names the version that was read.
	Version string `json:"version,omitempty"`
}

// WaiverState is how far a waiver has come.
type WaiverState string

// The states of a waiver.
const (
	WaiverPending  WaiverState = "pending"
	WaiverApproved WaiverState = "approved"
	WaiverRejected WaiverState = "rejected"
)

// Where a waiver stands: in the files of a bundle, where a review of the file is its
// approval, or in the database, by the API.
const (
	WaiverOfBundle = "bundle"
	WaiverOfAPI    = "api"
)

// InForce reports whether the waiver lifts anything at a moment. It ends by itself,
// on the second.
func (w *Waiver) InForce(at time.Time) bool {
	return w.State == WaiverApproved && at.Before(w.Expires)
}

// Reach answers the projects in which the waiver can lift anything, sorted; false
// when it can do so in any.
func (w *Waiver) Reach() ([]string, bool) {
	projects, bounded := w.Projects, true
	if len(projects) == 0 {
		projects, bounded = projectsOf(w.Repositories)
	}
	projects = slices.Clone(projects)
	slices.Sort(projects)
	return slices.Compact(projects), bounded
}

// WaiverStanding is what a waiver amounts to at a moment.
type WaiverStanding string

// The standings of a waiver. Each waiver has one of them.
const (
	// WaiverAsked waits for somebody to approve it.
	WaiverAsked WaiverStanding = "pending"
	// WaiverActive lifts what it names.
	WaiverActive WaiverStanding = "active"
	// WaiverExpiring does too, and ends soon.
	WaiverExpiring WaiverStanding = "expiring"
	// WaiverExpired has ended, approved or not.
	WaiverExpired WaiverStanding = "expired"
	WaiverRefused WaiverStanding = "rejected"
)

// WaiverStandings lists them.
func WaiverStandings() []WaiverStanding {
	return []WaiverStanding{WaiverAsked, WaiverActive, WaiverExpiring, WaiverExpired, WaiverRefused}
}

// Standing answers what the waiver amounts to at a moment; soon is how long before
// its end it is expiring.
func (w *Waiver) Standing(at time.Time, soon time.Duration) WaiverStanding {
	switch {
	case w.State == WaiverRejected:
		return WaiverRefused
	case !at.Before(w.Expires):
		return WaiverExpired
	case w.State != WaiverApproved:
		return WaiverAsked
	case w.Expires.Sub(at) <= soon:
		return WaiverExpiring
	default:
		return WaiverActive
	}
}

// WaiverSet is waivers, filed so that a request looks at the few that may match. It
// is immutable; a nil set is empty.
type WaiverSet struct {
	byDigest  map[string][]*Waiver
	byProject map[string][]*Waiver
	rest      []*Waiver
}

// NewWaiverSet files waivers; those that are not in force at any time are left out.
func NewWaiverSet(all []Waiver) *WaiverSet {
	s := &WaiverSet{byDigest: map[string][]*Waiver{}, byProject: map[string][]*Waiver{}}
	for i := range all {
		w := &all[i]
		if w.State != WaiverApproved {
			continue
		}
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

func file(under map[string][]*Waiver, keys []string, w *Waiver) {
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

// Match answers copies of the waivers whose every given part fits: a waiver for
// a project and a digest is for that digest in that project only. They are sorted by id.
func (s *WaiverSet) Match(repo Repository, d digest.Digest, at time.Time) []Waiver {
	if s == nil {
		return nil
	}
	var found []Waiver
	if d != "" {
		found = matching(found, s.byDigest[string(d)], repo, at)
	}
	found = matching(found, s.byProject[repo.Project()], repo, at)
	found = matching(found, s.rest, repo, at)
	slices.SortFunc(found, func(a, b Waiver) int { return strings.Compare(a.ID, b.ID) })
	return found
}

func matching(found []Waiver, filed []*Waiver, repo Repository, at time.Time) []Waiver {
	for _, w := range filed {
		if !w.InForce(at) {
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
