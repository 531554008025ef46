package opa

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
)

// Ruleset is what a source says, by its rules: what two sources are compared by.
type Ruleset struct {
	// Packs are by name, Rules by pack, kind and code, Waivers by id.
	Packs   []PackRules
	Rules   []Rule
	Waivers []policy.Waiver
}

// PackRules is what a source says of a pack as a whole.
type PackRules struct {
	Name   string         `json:"name"`
	Class  policy.Class   `json:"class"`
	Mode   policy.Mode    `json:"mode"`
	Config map[string]any `json:"config,omitempty"`
	// Shipped packs came with the gateway.
	Shipped bool `json:"shipped,omitempty"`
	// Data is what the source's data holds for the pack's rules, as JSON.
	Data string `json:"data,omitempty"`
}

// Rule is what is said under one code of a pack, or by a helper of the pack. One
// code may have several conditions, each of which is enough.
type Rule struct {
	// Code is the rule's; a rule whose code is known at evaluation only, or a helper,
	// is called by its name in the pack.
	Code string `json:"code"`
	Pack string `json:"pack"`
	// Kind is deny, warn or obligation, helper for what these are made with, and
	// record for what is said of the records of decisions.
	Kind        string `json:"kind"`
	Title       string `json:"title,omitempty"`
	Severity    string `json:"severity,omitempty"`
	EffectiveOn string `json:"effective_on,omitempty"`
	Remediation string `json:"remediation,omitempty"`
	Waivable    bool   `json:"waivable"`
	// Needs are the fact groups that it wants, Actions what it speaks about; "*" is any.
	Needs   []string `json:"needs,omitempty"`
	Actions []string `json:"actions"`
	// Conditions are the rule's texts without comments and in one layout, sorted.
	Conditions []string `json:"conditions"`
	// File and Line are where the first of them is written; a Shipped rule's file came
	// with the gateway.
	File    string `json:"file"`
	Line    int    `json:"line"`
	Shipped bool   `json:"shipped,omitempty"`
}

// The kinds of what denies, warns and obliges nothing by itself.
const (
	KindHelper = "helper"
	KindRecord = "record"
)

// Rules reads the rules of a source without compiling them; a source that does not
// parse, or says of its rules what cannot be, fails with [policy.ErrInvalid].
func Rules(src Source) (Ruleset, error) {
	caps, err := ast.LoadCapabilitiesJSON(strings.NewReader(string(src.Capabilities)))
	if err != nil {
		return Ruleset{}, fmt.Errorf("read capabilities: %w: %w", err, policy.ErrInvalid)
	}
	mods, err := parse(src, caps)
	if err != nil {
		return Ruleset{}, err
	}
	// A file that is not the author's to write would be left out in silence.
	if err := mods.checkOwners(); err != nil {
		return Ruleset{}, err
	}
	data, set, err := loadData(src, mods)
	if err != nil {
		return Ruleset{}, err
	}
	said, err := describe(mods)
	if err != nil {
		return Ruleset{}, err
	}
	if err := said.apply(set); err != nil {
		return Ruleset{}, err
	}
	var out Ruleset
	if out.Waivers, err = waiversOf(src); err != nil {
		return Ruleset{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(said.packs)) {
		p := said.packs[name]
		out.Packs = append(out.Packs, PackRules{
			Name: name, Class: p.class, Mode: p.mode, Config: p.config, Shipped: p.shipped, Data: packData(data, name),
		})
	}
	byName := map[ruleName]*Rule{}
	for _, mod := range mods {
		for _, rule := range mod.parsed.Rules {
			if mod.pack() != "" || mod.isLog() {
				addRule(byName, mod, rule)
			}
		}
	}
	for _, r := range byName {
		slices.Sort(r.Conditions)
		slices.Sort(r.Actions)
		r.Actions = slices.Compact(r.Actions)
		slices.Sort(r.Needs)
		r.Needs = slices.Compact(r.Needs)
		out.Rules = append(out.Rules, *r)
	}
	slices.SortFunc(out.Rules, func(a, b Rule) int { return a.name().compare(b.name()) })
	return out, nil
}

// ruleName tells rules apart.
type ruleName struct{ pack, kind, code string }

func (r *Rule) name() ruleName { return ruleName{r.Pack, r.Kind, r.Code} }

func (a ruleName) compare(b ruleName) int {
	return cmp.Or(strings.Compare(a.pack, b.pack), strings.Compare(a.kind, b.kind), strings.Compare(a.code, b.code))
}

func addRule(all map[ruleName]*Rule, mod module, rule *ast.Rule) {
	r := Rule{Pack: mod.pack(), Kind: KindHelper, Waivable: true, File: mod.file.Path, Line: rule.Loc().Row, Shipped: mod.file.Shipped}
	head := rule.Head.Ref().String()
	r.Code = head
	switch {
	case r.Pack == "":
		r.Kind = KindRecord
	case len(mod.path) > 3:
		r.Code = strings.Join(mod.path[3:], ".") + "." + head
	}
	if mod.speaks() && (head == "deny" || head == "warn" || head == "obligation") {
		r.Kind = head
		if code := codeOf(rule); code != "" {
			r.Code = code
		}
	}
	for _, a := range rule.Annotations {
		r.annotate(a)
	}
	actions, named := namedActions(rule)
	if !named {
		actions = []policy.Action{anyAction}
	}
	for _, a := range actions {
		r.Actions = append(r.Actions, string(a))
	}
	r.Conditions = []string{textOf(mod, rule)}
	known := all[r.name()]
	if known == nil {
		all[r.name()] = &r
		return
	}
	known.Conditions = append(known.Conditions, r.Conditions...)
	known.Actions = append(known.Actions, r.Actions...)
	known.Needs = append(known.Needs, r.Needs...)
	if known.Title == "" && r.Title != "" {
		known.Title, known.Severity, known.EffectiveOn, known.Remediation, known.Waivable = r.Title, r.Severity, r.EffectiveOn, r.Remediation, r.Waivable
	}
}

func (r *Rule) annotate(a *ast.Annotations) {
	r.Title = a.Title
	for key, at := range map[string]*string{
		"severity": &r.Severity, "effective_on": &r.EffectiveOn, "remediation": &r.Remediation,
	} {
		if s, ok := a.Custom[key].(string); ok {
			*at = s
		}
	}
	if b, ok := a.Custom["waivable"].(bool); ok {
		r.Waivable = b
	}
	if needs, err := stringsOf(a.Custom["needs"]); err == nil {
		r.Needs = append(r.Needs, needs...)
	}
}

// codeOf is the code of a rule: as METADATA says it, or as it stands in the head.
func codeOf(rule *ast.Rule) string {
	for _, a := range rule.Annotations {
		if s, ok := a.Custom["code"].(string); ok {
			return s
		}
	}
	if rule.Head.Key == nil {
		return ""
	}
	entry, ok := rule.Head.Key.Value.(ast.Object)
	if !ok {
		return ""
	}
	key := "code"
	if rule.Head.Ref().String() == "obligation" {
		key = "type"
	}
	if t := entry.Get(ast.StringTerm(key)); t != nil {
		if s, ok := t.Value.(ast.String); ok {
			return string(s)
		}
	}
	return ""
}

// textOf is a rule in one layout and without comments, with the imports that it
// uses: the same words with another import are another rule.
func textOf(mod module, rule *ast.Rule) string {
	used := map[ast.Var]bool{}
	ast.WalkVars(rule, func(v ast.Var) bool { used[v] = true; return false })
	var text strings.Builder
	for _, imp := range mod.parsed.Imports {
		if used[imp.Name()] && !strings.HasPrefix(imp.Path.String(), "rego.") {
			text.WriteString(imp.String() + "\n")
		}
	}
	bare := rule.Copy()
	bare.Annotations = nil // what counts of them is compared by name
	text.WriteString(bare.String())
	return text.String()
}

// packData is what lies in data for the rules of a pack.
func packData(data map[string]any, pack string) string {
	root, _ := data["bondgate"].(map[string]any)
	rules, _ := root["rules"].(map[string]any)
	if rules[pack] == nil {
		return ""
	}
	raw, err := json.Marshal(rules[pack])
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
