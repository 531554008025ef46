package opa

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// costs says how hard it is for a person to change what stands at a path, by the
// longest path that covers it. Zero is what nobody can sensibly change: what was
// asked, by whom, of what, and which bundle answers.
var costs = map[string]int{
	"api": 0, "action": 0, "purpose": 0, "bundle": 0, "blob": 0, "result": 0,

	"artifact": 14, "artifact.config": 10, "artifact.annotations": 11, "artifact.base": 11, "artifact.media_type": 12,
	"artifact.layers": 13, "artifact.tags": 16, "artifact.size": 17, "artifact.pushed": 60,
	"artifact.digest": 0, "artifact.role": 0, "artifact.kind": 0, "artifact.subject_digest": 0, "artifact.index": 0,
	"reference": 0, "reference.value": 12, "reference.exists": 60,
	"admin": 0, "admin.after": 15, "admin.after.state": 64, "admin.auto": 70,

	"subject": 0, "subject.anonymous": 19, "subject.roles": 20, "subject.disabled": 25, "subject.groups": 30,
	"subject.grants": 35, "subject.limits": 36, "subject.auth": 37, "subject.claims": 38,
	"mount": 0, "mount.subject_can_pull_from": 22,
	"token": 0, "token.requested": 26, "token.offline": 27, "token.ttl_s": 27, "upload": 28, "quota": 33, "retention": 34,

	"project": 0, "project.exists": 21, "project.labels": 31, "project.public": 40, "project.owner": 41, "project.packs": 45,
	"repository": 0, "repository.labels": 31, "repository.immutable_tags": 42,

	"waivers": 50, "breakglass": 55, "filter": 62,
	"request": 0, "request.client_ip": 80, "request.tls": 80, "request.user_agent": 85, "time": 82, "workspace": 90,
}

// costElsewhere is for what no path covers: parts of an input that came later.
const costElsewhere = 65

// costOf answers zero for a place that is not to be changed.
func costOf(at trail) int {
	for n := len(at); n > 0; n-- {
		if cost, there := costs[at[:n].String()]; there {
			return cost
		}
	}
	return costElsewhere
}

// mostPerPlace bounds the values that are tried at one place.
const mostPerPlace = 12

// candidates are the changes that may turn a reason, the easiest first.
func (s *search) candidates(r *policy.ExplainedReason, heard *speech) []candidate {
	words := s.vocabulary(r, heard)
	var out []candidate
	seen := map[string]bool{}
	add := func(cost, turn int, changes ...change) {
		raw, err := json.Marshal(s.written(changes))
		if err != nil || seen[string(raw)] {
			return
		}
		seen[string(raw)] = true
		out = append(out, candidate{changes: changes, cost: cost, turn: turn})
	}
	for _, p := range s.places(heard) {
		for i, step := range p.at {
			if _, index := step.(int); index && !elsewhere[p.at[:i].String()] && removable(p.at[:i+1], heard) {
				add(costOf(p.at[:i+1])+1, 0, change{at: p.at[:i+1], gone: true})
			}
		}
		cost := costOf(p.at)
		if cost == 0 || elsewhere[p.at[:min(2, len(p.at))].String()] {
			continue
		}
		if value, _ := p.at.get(s.doc); r.Term != "" && value == any(r.Term) {
			cost = min(cost, 9) // what the entry is about comes before everything else
		}
		for i, to := range s.values(p.at, words.with(p.near)) {
			if i == mostPerPlace {
				break
			}
			add(cost, i, change{at: p.at, to: to})
		}
		if value, there := p.at.get(s.doc); there && !holdsOthers(value) {
			add(cost+6, 0, change{at: p.at, gone: true})
		}
	}
	asked := slices.ContainsFunc(heard.reads, func(r read) bool { return strings.HasPrefix(trailOf(r.at).String(), "subject.roles") })
	if asked || heard.pack == "rbac" {
		for _, c := range s.promotions(trail{"subject", "roles"}) {
			add(costs["subject.roles"], 0, c...)
		}
	}
	// The first value of each place comes before the second one of any.
	slices.SortStableFunc(out, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.turn, b.turn))
	})
	out = out[:min(len(out), mostSingles)]
	for _, c := range s.exceptions(r) {
		out = append(out, candidate{changes: []change{c}, cost: costOf(c.at)})
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return cmp.Compare(a.cost, b.cost) })
	return out
}

// holdsOthers tells the objects: their members are changed one by one.
func holdsOthers(value any) bool {
	_, object := value.(map[string]any)
	return object
}

// elsewhere are the places whose changes are made by promotions and exceptions.
var elsewhere = map[string]bool{"subject.roles": true, "waivers": true, "breakglass": true}

// removable tells the members that can be taken out of their list. A project cannot
// do without a pack that the operator put into force; one that is missing is its own.
func removable(at trail, heard *speech) bool {
	return costOf(at) > 0 && (at[0] != "project" || heard.builtin())
}

// mostFields bounds the members of an object that are tried one by one.
const mostFields = 24

// places are the places that were read; of an object that was read as a whole, its
// members that can be changed by themselves.
func (s *search) places(heard *speech) []place {
	var out []place
	seen := map[string]bool{}
	add := func(p place) {
		if name := p.at.String(); !seen[name] {
			seen[name] = true
			out = append(out, p)
		}
	}
	for _, p := range readPlaces(s.doc, heard) {
		if p.at.String() == "project.packs" {
			for i := range packsIn(s.doc) {
				add(place{at: append(slices.Clone(p.at), i)})
			}
			continue
		}
		add(p)
		value, _ := p.at.get(s.doc)
		object, ok := value.(map[string]any)
		if !ok || len(object) > mostFields || p.at.ofPacks() {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			switch object[key].(type) {
			case map[string]any, []any:
			default:
				add(place{at: append(slices.Clone(p.at), key), near: p.near})
			}
		}
	}
	return out
}

// promotions give the subject one more role each, the weakest first. Who gets a
// role has signed in.
func (s *search) promotions(at trail) [][]change {
	cur, _ := at.get(s.doc)
	has, _ := cur.([]any)
	var before []change
	if anonymous, _ := (trail{"subject", "anonymous"}).get(s.doc); anonymous == true {
		before = []change{{at: trail{"subject", "anonymous"}, to: false}}
	}
	var out [][]change
	for _, role := range s.ev.roles() {
		if !slices.Contains(has, any(role)) {
			out = append(out, append(slices.Clone(before), change{at: at, to: append(slices.Clone(has), any(role))}))
		}
	}
	return out
}

// exceptions are what lifts a rule without anything being mended: a waiver, broken
// glass, and another time.
func (s *search) exceptions(r *policy.ExplainedReason) []change {
	var out []change
	moment, _ := (trail{"time", "rfc3339"}).get(s.doc)
	text, _ := moment.(string)
	now, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil
	}
	until := now.Add(24 * time.Hour).UTC().Format(time.RFC3339)
	waivers, _ := (trail{"waivers"}).get(s.doc)
	if list, ok := waivers.([]any); ok && r.Effect != effectWaived {
		terms := []any{}
		if r.Term != "" {
			terms = append(terms, r.Term)
		}
		out = append(out, change{at: trail{"waivers", len(list)}, to: map[string]any{
			"id": "W-…", "rule": r.Code, "terms": terms, "owner": "…", "approver": "…", "ticket": "…",
			"origin": policy.WaiverOfAPI, "expires": until,
		}})
	}
	if glass, there := (trail{"breakglass"}).get(s.doc); there && glass == nil && r.Effect == "deny" {
		out = append(out, change{at: trail{"breakglass"}, to: map[string]any{
			"grant": "…", "justification": "…", "ticket": "…", "expires": until, "approver": "…",
		}})
	}
	if since, err := time.Parse(time.RFC3339, r.EffectiveOn); err == nil {
		out = append(out, change{at: trail{"time", "ns"}, to: json.Number(nanoseconds(since.Add(-time.Second)))})
	}
	return out
}

// instance is a text that a glob matches.
func instance(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			if i == len(pattern)-1 {
				b.WriteByte('1')
			}
		case '?':
			b.WriteByte('x')
		case '\\':
			if i++; i < len(pattern) {
				b.WriteByte(pattern[i])
			}
		case '[', '{':
			end := strings.IndexByte(pattern[i:], c+2)
			if end < 0 {
				return b.String()
			}
			inner := pattern[i+1 : i+end]
			if c == '{' {
				inner, _, _ = strings.Cut(inner, ",")
				b.WriteString(instance(inner))
			} else if first := strings.TrimLeft(inner, "!^"); first != "" {
				b.WriteByte(first[0])
			}
			i += end
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
