package replay

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bondgate/bondgate/policy"
)

// tally counts outcomes in the order of the cases, by one goroutine.
type tally struct {
	out    Report
	expect *Expectation
	each   func(c *Case, kind string, rules []string)
	rules  map[string]*ruleTally
	// seen are changes where limits are counted.
	seen map[scope]*Changes
	// names is how many more names may be held, in all sets together.
	names int
	seed  maphash.Seed
}

type ruleTally struct {
	Rule
	projects, owners, subjects names
	samples                    map[string]int
}

func newTally(revision string, expect *Expectation) *tally {
	return &tally{
		out: Report{
			Revision: revision, Totals: Totals{Skipped: map[string]Number{}},
			Rules: []Rule{}, UnequalSamples: []Sample{}, UndecidedSamples: []Sample{}, Findings: []Finding{}, Idle: []string{},
		},
		expect: expect, rules: map[string]*ruleTally{}, seen: map[scope]*Changes{},
		names: maxAllNames, seed: maphash.MakeSeed(),
	}
}

func (t *tally) add(c *Case, o *outcome) {
	n := max(c.Count, 1)
	t.out.Recorded.add(n)
	if t.out.From.IsZero() || c.At.Before(t.out.From) {
		t.out.From = c.At
	}
	if c.At.After(t.out.To) {
		t.out.To = c.At
	}
	if o.skip != "" {
		t.skip(o.skip, n)
		return
	}
	t.out.Replayed.add(n)
	if o.failed != "" {
		t.out.Undecided.add(n)
		t.each(c, Undecided, nil)
		if len(t.out.UndecidedSamples) < maxSamples {
			t.out.UndecidedSamples = append(t.out.UndecidedSamples, sampleOf(c, Undecided, sayDecision(&c.Was), o.failed, ""))
		}
		return
	}
	same := c.Was.Revision == t.out.Revision
	if same {
		t.out.SameBundle.add(n)
	}
	if o.same {
		t.out.Same.add(n)
		t.unchanged(&c.Was, n)
		return
	}
	if same {
		t.out.Unequal.add(n)
		if len(t.out.UnequalSamples) < maxSamples {
			t.out.UnequalSamples = append(t.out.UnequalSamples, sampleOf(c, Unequal, sayDecision(&c.Was), sayDecision(&o.now), o.field))
		}
	}
	t.changed(c, o, n)
}

func (t *tally) skip(why string, requests int64) {
	if _, known := t.out.Skipped[why]; !known && len(t.out.Skipped) >= maxReasons {
		why = "other"
	}
	n := t.out.Skipped[why]
	n.add(requests)
	t.out.Skipped[why] = n
}

// unchanged counts what the rules said, then as now.
func (t *tally) unchanged(d *policy.Decision, n int64) {
	if len(d.Deny)+len(d.Warn)+len(d.Dryrun)+len(d.Waived) == 0 {
		return
	}
	for code, said := range saidBy(d) {
		r := t.rule(code, said.pack)
		r.Was.add(said, n)
		r.Now.add(said, n)
	}
}

// changed settles which rules turned a case, and counts it with each.
func (t *tally) changed(c *Case, o *outcome, n int64) {
	kind := Changed
	switch {
	case c.Was.Allowed() && !o.now.Allowed():
		kind = NewlyDenied
		t.out.NewlyDenied.add(n)
	case !c.Was.Allowed() && o.now.Allowed():
		kind = NewlyAllowed
		t.out.NewlyAllowed.add(n)
	default:
		t.out.Changed.add(n)
	}
	was, now := saidBy(&c.Was), saidBy(&o.now)
	codes := maps.Clone(was)
	maps.Copy(codes, now)
	turned := false
	var by []string
	turn := func(r *ruleTally, mine, then, now string) {
		if mine == kind {
			turned, by = true, append(by, r.Code)
		}
		t.turn(r, c, mine, n, then, now, o.field)
	}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		a, b := was[code], now[code]
		r := t.rule(code, codes[code].pack)
		r.Was.add(a, n)
		r.Now.add(b, n)
		switch {
		case a.text == b.text:
		case kind == NewlyDenied && b.deny || kind == NewlyAllowed && a.deny:
			turn(r, kind, a.orElse(&c.Was), b.orElse(&o.now))
		default:
			turn(r, Changed, a.orElse(&c.Was), b.orElse(&o.now))
		}
	}
	then, since := sayDecision(&c.Was), sayDecision(&o.now)
	for _, part := range beside(&c.Was, &o.now) {
		turn(t.rule("("+part+")", ""), Changed, then, since)
	}
	if !turned {
		turn(t.rule("("+remaining(&c.Was, &o.now)+")", ""), kind, then, since)
	}
	t.each(c, kind, by)
}

// turn counts a change with a rule.
func (t *tally) turn(r *ruleTally, c *Case, kind string, n int64, was, now, field string) {
	r.Requests += n
	r.Decisions++
	r.Changes.add(kind, n)
	at := t.expect.scope(r.Code, c.Project)
	if t.seen[at] == nil {
		t.seen[at] = &Changes{}
	}
	t.seen[at].add(kind, n)
	t.names -= r.projects.add(c.Project, t.seed, t.names)
	t.names -= r.owners.add(c.Owner, t.seed, t.names)
	t.names -= r.subjects.add(c.Subject, t.seed, t.names)
	if r.samples[kind] < maxSamples {
		r.samples[kind]++
		r.Samples = append(r.Samples, sampleOf(c, kind, was, now, field))
	}
}

func (c *Changes) add(kind string, n int64) {
	switch kind {
	case NewlyDenied:
		c.NewlyDenied += n
	case NewlyAllowed:
		c.NewlyAllowed += n
	default:
		c.Changed += n
	}
}

func (t *tally) rule(code, pack string) *ruleTally {
	code, pack = bounded(code), bounded(pack)
	r := t.rules[code]
	if r != nil {
		return r
	}
	if len(t.rules) >= MaxRules {
		if r = t.rules[OtherRules]; r != nil {
			return r
		}
		code, pack = OtherRules, ""
	}
	r = &ruleTally{Rule: Rule{Code: code, Pack: pack, Samples: []Sample{}}, samples: map[string]int{}}
	t.rules[code] = r
	return r
}

// names counts different names by their hashes: a set of them has a bounded size,
// whatever the names are.
type names struct {
	seen map[uint64]struct{}
	full bool
	head []string
}

// add answers how much of what is left it used.
func (s *names) add(name string, seed maphash.Seed, left int) int {
	if name == "" {
		return 0
	}
	h := maphash.String(seed, name)
	if _, known := s.seen[h]; known {
		return 0
	}
	if len(s.seen) >= maxNames || left <= 0 {
		s.full = true
		return 0
	}
	if s.seen == nil {
		s.seen = map[uint64]struct{}{}
	}
	s.seen[h] = struct{}{}
	if len(s.head) < maxFirst {
		s.head = append(s.head, bounded(name))
	}
	return 1
}

func (s *names) report() Names {
	return Names{Count: int64(len(s.seen)), AtLeast: s.full, First: append([]string{}, s.head...)}
}

// report closes the tally.
func (t *tally) report() Report {
	for _, r := range t.rules {
		r.Projects, r.Owners, r.Subjects = r.projects.report(), r.owners.report(), r.subjects.report()
		t.out.Rules = append(t.out.Rules, r.Rule)
	}
	slices.SortFunc(t.out.Rules, func(a, b Rule) int {
		return cmp.Or(
			cmp.Compare(b.NewlyDenied, a.NewlyDenied), cmp.Compare(b.NewlyAllowed, a.NewlyAllowed),
			cmp.Compare(b.Changed, a.Changed), strings.Compare(a.Code, b.Code))
	})
	t.out.Findings = append(t.out.Findings, t.findings()...)
	for _, code := range slices.Sorted(maps.Keys(t.expect.Rules)) {
		if r := t.rules[code]; r == nil || r.Requests == 0 {
			t.out.Idle = append(t.out.Idle, code)
		}
	}
	return t.out
}

func (t *tally) findings() []Finding {
	var out []Finding
	if n := t.out.Unequal.Requests; n > 0 {
		out = append(out, Finding{Kind: Unequal, Requests: n})
	}
	if n := t.out.Undecided.Requests; n > 0 {
		out = append(out, Finding{Kind: Undecided, Requests: n})
	}
	order := slices.SortedFunc(maps.Keys(t.seen), func(a, b scope) int {
		return cmp.Or(strings.Compare(a.rule, b.rule), strings.Compare(a.project, b.project))
	})
	for _, s := range order {
		out = append(out, t.expect.limits(s).beyond(s, *t.seen[s])...)
	}
	return out
}

func sampleOf(c *Case, kind, was, now, field string) Sample {
	return Sample{
		ID: bounded(c.ID), At: c.At, Requests: max(c.Count, 1), Action: bounded(string(c.Action)), Subject: bounded(c.Subject),
		Project: bounded(c.Project), Owner: bounded(c.Owner), Repository: bounded(c.Repository), Reference: bounded(c.Reference),
		Digest: bounded(c.Digest), Kind: kind, Was: bounded(was), Now: bounded(now), Field: bounded(field),
	}
}

// bounded is a text of at most maxText bytes.
func bounded(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
