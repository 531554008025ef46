package shadow

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/bondgate/bondgate/policy"
)

// Bounds of what is kept. Codes come from a bundle, and names from clients.
const (
	// maxPlaces is how many counts by project and rule there are.
	maxPlaces = 4000
	// maxSamples is how many differences are kept, and samplesEach of one rule in
	// one project: the newest.
	maxSamples  = 500
	samplesEach = 3
	// maxReasons is how many reasons of each side a sample has, and maxText how many
	// bytes of a text.
	maxReasons = 5
	maxText    = 200
)

// place is where something is counted. The code is empty for all of a project, the
// project for what is in none that exists: names that nobody made are without number.
type place struct{ workspace, project, code string }

type tally struct {
	decisions, failed int64
	policy.Differences
	samples []policy.Difference
}

// ledger keeps what was found with one revision of the shadow bundle.
type ledger struct {
	mu          sync.Mutex
	revision    string
	since       map[string]time.Time
	began       time.Time
	places      map[place]*tally
	samples     int
	workspaces  map[string]*total
	lastFailure string
	// before is how many were not looked at before a workspace's last reset.
	before map[string]int64
}

// total is a workspace's sum, which is exact whatever is not kept by place.
type total struct {
	tally
	unlisted int64
}

// begin starts anew when the bundle is another one: its differences are its own.
func (l *ledger) begin(revision string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places != nil && l.revision == revision {
		return
	}
	l.revision, l.began, l.lastFailure, l.samples = revision, at, "", 0
	l.since, l.places, l.workspaces = map[string]time.Time{}, map[place]*tally{}, map[string]*total{}
}

func (l *ledger) reset(workspace string, skipped int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, t := range l.places {
		if p.workspace == workspace {
			l.samples -= len(t.samples)
			delete(l.places, p)
		}
	}
	delete(l.workspaces, workspace)
	if l.before == nil {
		l.before = map[string]int64{}
	}
	l.since[workspace], l.before[workspace], l.lastFailure = at, skipped, ""
}

func (l *ledger) skippedBefore(workspace string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before[workspace]
}

// at is the tally of a place; nil when there are too many places already.
func (l *ledger) at(p place) *tally {
	t := l.places[p]
	if t == nil && len(l.places) < maxPlaces {
		t = &tally{}
		l.places[p] = t
	}
	return t
}

func (l *ledger) total(workspace string) *total {
	t := l.workspaces[workspace]
	if t == nil {
		t = &total{}
		l.workspaces[workspace] = t
	}
	return t
}

func (l *ledger) fail(it *shown, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := placeOf(it)
	l.lastFailure = clip(err.Error())
	l.total(p.workspace).failed++
	if t := l.at(p); t != nil {
		t.failed++
	}
}

func (l *ledger) add(it *shown, kind policy.DifferenceKind, codes []string, was, now []policy.DifferingReason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := placeOf(it)
	sum := l.total(p.workspace)
	sum.decisions++
	sum.Add(kind)
	all := l.at(p)
	if all != nil {
		all.decisions++
		all.Add(kind)
	}
	if kind == "" {
		return
	}
	if len(codes) == 0 && all != nil {
		l.keep(all, sampleOf(it, p.project, kind, was, now))
	}
	for i, code := range codes {
		p.code = clip(code)
		t := l.at(p)
		if t == nil {
			sum.unlisted++
			continue
		}
		t.Add(kind)
		if i == 0 {
			l.keep(t, sampleOf(it, p.project, kind, was, now))
		}
	}
}

// keep adds a sample. The newest of its place take the room of the oldest.
func (l *ledger) keep(t *tally, d policy.Difference) {
	switch {
	case len(t.samples) >= samplesEach || l.samples >= maxSamples && len(t.samples) > 0:
		copy(t.samples, t.samples[1:])
		t.samples[len(t.samples)-1] = d
	case l.samples < maxSamples:
		t.samples = append(t.samples, d)
		l.samples++
	}
}

func placeOf(it *shown) place {
	r := &it.facts.Request
	p := place{workspace: cmp.Or(r.Repository.Workspace, r.Principal.Workspace, policy.DefaultWorkspace)}
	if it.facts.ProjectExists {
		p.project = it.facts.Project.Name
	}
	return p
}

func sampleOf(it *shown, project string, kind policy.DifferenceKind, was, now []policy.DifferingReason) policy.Difference {
	r := &it.facts.Request
	return policy.Difference{
		Kind: kind, Decision: it.decision.ID, At: r.At, Action: r.Action,
		Subject: clip(r.Principal.ID), Issuer: clip(r.Principal.Issuer), Project: project,
		Repository: clip(r.Repository.Name), Reference: clip(r.Reference.Value),
		Was: someReasons(was), Now: someReasons(now),
	}
}

func someReasons(all []policy.DifferingReason) []policy.DifferingReason {
	out := make([]policy.DifferingReason, 0, min(len(all), maxReasons))
	for _, r := range all[:min(len(all), maxReasons)] {
		r.Code, r.Term, r.Message = clip(r.Code), clip(r.Term), clip(r.Message)
		out = append(out, r)
	}
	return out
}

// clip cuts a text, and makes it a copy that keeps nothing else alive.
func clip(s string) string {
	if len(s) <= maxText {
		return strings.Clone(s)
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.Clone(s[:cut]) + "…"
}

func (l *ledger) report(workspace, project string) policy.ShadowReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := policy.ShadowReport{Revision: l.revision, Since: l.began, Rules: []policy.ShadowRule{}, Samples: []policy.Difference{}}
	if at, ok := l.since[workspace]; ok {
		r.Since = at
	}
	rules := map[string]*policy.ShadowRule{}
	for p, t := range l.places {
		if p.workspace != workspace || project != "" && p.project != project {
			continue
		}
		r.Samples = append(r.Samples, t.samples...)
		if p.code == "" {
			if project != "" {
				r.Decisions, r.Failed, r.Differences = t.decisions, t.failed, t.Differences
			}
			continue
		}
		rule := rules[p.code]
		if rule == nil {
			rule = &policy.ShadowRule{Code: p.code}
			rules[p.code] = rule
		}
		rule.Denied += t.Denied
		rule.Allowed += t.Allowed
		rule.Granted += t.Granted
		rule.Reasons += t.Reasons
		if p.project != "" {
			rule.Projects++
		}
	}
	if sum := l.workspaces[workspace]; sum != nil && project == "" {
		r.Decisions, r.Failed, r.Differences, r.Unlisted = sum.decisions, sum.failed, sum.Differences, sum.unlisted
		r.LastFailure = l.lastFailure
	}
	for _, rule := range rules {
		r.Rules = append(r.Rules, *rule)
	}
	slices.SortFunc(r.Rules, func(a, b policy.ShadowRule) int {
		return cmp.Or(cmp.Compare(b.Sum(), a.Sum()), strings.Compare(a.Code, b.Code))
	})
	slices.SortFunc(r.Samples, func(a, b policy.Difference) int {
		return cmp.Or(b.At.Compare(a.At), strings.Compare(a.Decision, b.Decision))
	})
	return r
}
