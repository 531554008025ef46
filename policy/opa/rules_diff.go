package opa

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Difference is something that one source says and another does not, or says
// otherwise.
type Difference struct {
	// Change is added, removed or changed.
	Change string `json:"change"`
	// What is a pack, a rule or a waiver, or the kind of a rule that denies nothing:
	// warn, obligation, helper, record.
	What string `json:"what"`
	Name string `json:"name"`
	Pack string `json:"pack,omitempty"`
	// Title, Actions, File and Line are those of what is there now, or of what was.
	Title   string   `json:"title,omitempty"`
	Actions []string `json:"actions,omitempty"`
	File    string   `json:"file,omitempty"`
	Line    int      `json:"line,omitempty"`
	// Fields are what changed.
	Fields []FieldDifference `json:"fields,omitempty"`
}

// FieldDifference is a field with what it was and what it is.
type FieldDifference struct {
	Field string `json:"field"`
	Was   string `json:"was"`
	Now   string `json:"now"`
}

// The words of [Difference.Change].
const (
	DiffAdded   = "added"
	DiffRemoved = "removed"
	DiffChanged = "changed"
)

// Diff lists how now differs from was: packs, rules, waivers, each by name. Comments
// and layout make no difference, nor does the file in which a rule stands.
func (was Ruleset) Diff(now Ruleset) []Difference {
	out := diffPacks(was, now)
	pairs := map[ruleName][2]*Rule{}
	for i := range was.Rules {
		r := &was.Rules[i]
		pairs[r.name()] = [2]*Rule{r, nil}
	}
	for i := range now.Rules {
		r := &now.Rules[i]
		pairs[r.name()] = [2]*Rule{pairs[r.name()][0], r}
	}
	matchMoved(pairs)
	for _, name := range slices.SortedFunc(maps.Keys(pairs), ruleName.compare) {
		if d, differs := diffRule(pairs[name][0], pairs[name][1]); differs {
			out = append(out, d)
		}
	}
	return append(out, diffWaivers(was.Waivers, now.Waivers)...)
}

// matchMoved finds the rules that only got another pack or another code, which are
// a change and not a new rule.
func matchMoved(pairs map[ruleName][2]*Rule) {
	names := slices.SortedFunc(maps.Keys(pairs), ruleName.compare)
	for _, from := range names {
		a := pairs[from][0]
		if a == nil || pairs[from][1] != nil || a.Kind == KindHelper || a.Kind == KindRecord {
			continue
		}
		for _, to := range names {
			b := pairs[to][1]
			if b == nil || pairs[to][0] != nil || a.Kind != b.Kind || !moved(a, b) {
				continue
			}
			pairs[to] = [2]*Rule{a, b}
			delete(pairs, from)
			break
		}
	}
}

func moved(a, b *Rule) bool {
	switch {
	case a.Code == b.Code:
		return true
	case a.Pack != b.Pack:
		return false
	}
	return slices.EqualFunc(a.Conditions, b.Conditions, func(x, y string) bool {
		return strings.ReplaceAll(x, jsonText(a.Code), jsonText(b.Code)) == y
	})
}

func diffPacks(was, now Ruleset) []Difference {
	pairs := map[string][2]*PackRules{}
	for i := range was.Packs {
		pairs[was.Packs[i].Name] = [2]*PackRules{&was.Packs[i], nil}
	}
	for i := range now.Packs {
		name := now.Packs[i].Name
		pairs[name] = [2]*PackRules{pairs[name][0], &now.Packs[i]}
	}
	var out []Difference
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		a, b := pairs[name][0], pairs[name][1]
		d := Difference{What: "pack", Name: name, Change: changeOf(a, b)}
		none := &PackRules{}
		d.Fields = fieldsOf(packFields(orNone(a, none)), packFields(orNone(b, none)))
		if len(d.Fields) > 0 {
			out = append(out, d)
		}
	}
	return out
}

func packFields(p *PackRules) [][2]string {
	return [][2]string{
		{"class", string(p.Class)}, {"mode", string(p.Mode)}, {"config", configText(p.Config)}, {"data", p.Data},
	}
}

func diffWaivers(was, now []policy.Waiver) []Difference {
	pairs := map[string][2]*policy.Waiver{}
	for i := range was {
		pairs[was[i].ID] = [2]*policy.Waiver{&was[i], nil}
	}
	for i := range now {
		pairs[now[i].ID] = [2]*policy.Waiver{pairs[now[i].ID][0], &now[i]}
	}
	var out []Difference
	for _, id := range slices.Sorted(maps.Keys(pairs)) {
		a, b := pairs[id][0], pairs[id][1]
		none := &policy.Waiver{}
		fields := fieldsOf(waiverFields(orNone(a, none)), waiverFields(orNone(b, none)))
		if len(fields) > 0 {
			out = append(out, Difference{Change: changeOf(a, b), What: "waiver", Name: id, Fields: fields})
		}
	}
	return out
}

func waiverFields(w *policy.Waiver) [][2]string {
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	return [][2]string{
		{"rule", w.Rule}, {"terms", strings.Join(w.Terms, ", ")}, {"projects", strings.Join(w.Projects, ", ")},
		{"repositories", strings.Join(w.Repositories, ", ")}, {"digests", strings.Join(w.Digests, ", ")},
		{"expires", when(w.Expires)}, {"owner", w.Owner}, {"approver", w.Approver}, {"ticket", w.Ticket},
		{"reason", w.Reason}, {"created", when(w.Created)},
	}
}

func diffRule(a, b *Rule) (Difference, bool) {
	none := &Rule{Waivable: true}
	now := orNone(b, a)
	d := Difference{
		Change: changeOf(a, b), What: "rule", Name: now.Code, Pack: now.Pack, Title: now.Title,
		Actions: now.Actions, File: now.File, Line: now.Line,
	}
	if now.Kind != "deny" {
		d.What = now.Kind
	}
	d.Fields = fieldsOf(ruleFields(orNone(a, none)), ruleFields(orNone(b, none)))
	return d, a == nil || b == nil || len(d.Fields) > 0
}

func ruleFields(r *Rule) [][2]string {
	return [][2]string{
		{"code", r.Code}, {"pack", r.Pack}, {"title", r.Title}, {"severity", r.Severity}, {"effective_on", r.EffectiveOn},
		{"remediation", r.Remediation}, {"waivable", fmt.Sprint(r.Waivable)}, {"needs", strings.Join(r.Needs, ", ")},
		{"actions", strings.Join(r.Actions, ", ")}, {"condition", strings.Join(r.Conditions, "\n")},
	}
}

func fieldsOf(was, now [][2]string) []FieldDifference {
	var out []FieldDifference
	for i := range was {
		if was[i][1] != now[i][1] {
			out = append(out, FieldDifference{Field: was[i][0], Was: was[i][1], Now: now[i][1]})
		}
	}
	return out
}

func changeOf[T any](a, b *T) string {
	switch {
	case a == nil:
		return DiffAdded
	case b == nil:
		return DiffRemoved
	}
	return DiffChanged
}

func orNone[T any](v, none *T) *T {
	if v == nil {
		return none
	}
	return v
}

func configText(config map[string]any) string {
	if len(config) == 0 {
		return ""
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func jsonText(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(raw)
}
