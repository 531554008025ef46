package opa

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
)

// facts is what the METADATA of a bundle says, and what its data says of packs.
type facts struct {
	packs map[string]*packFacts
	// rules holds what is said of a code, by pack.
	rules map[string]map[string]map[string]any
	// needs holds the packs that need a group, by action and group.
	needs map[policy.Action]map[string][]string
	// firm holds those of needs that are wanted by a rule which holds under broken
	// glass: what it must know is waited for then too.
	firm map[policy.Action]map[string][]string
	// speaks holds the packs with a rule that may say something, by what it says
	// (deny, warn, obligation) and by action. anyAction holds all of them.
	speaks map[string]map[policy.Action]map[string]any
}

// anyAction stands for actions that nobody thought of.
const anyAction policy.Action = "*"

type packFacts struct {
	class   policy.Class
	shipped bool
	mode    policy.Mode
	config  map[string]any
}

// withArtifact are the actions whose input has an artifact, and so can have facts.
var withArtifact = []policy.Action{policy.ManifestPull, policy.ManifestPush, policy.ManifestDelete, policy.TagDelete}

// groups are the fact groups that a rule can need.
var groups = []string{"base", "signatures", "attestations", "sbom", "vulnerabilities", "vex", "vsa"}

// describe reads the METADATA of every pack.
func describe(mods modules) (*facts, error) {
	out := &facts{
		packs: map[string]*packFacts{},
		rules: map[string]map[string]map[string]any{},
		needs: map[policy.Action]map[string][]string{},
		firm:  map[policy.Action]map[string][]string{},
		speaks: map[string]map[policy.Action]map[string]any{
			"deny": {}, "warn": {}, "obligation": {},
		},
	}
	var wrong []error
	for _, mod := range mods {
		name := mod.pack()
		if name == "" {
			continue
		}
		pack := out.packs[name]
		if pack == nil {
			pack = &packFacts{class: policy.Content, mode: policy.ModeDeny, shipped: mod.file.Shipped}
			out.packs[name] = pack
			out.rules[name] = map[string]map[string]any{}
		}
		if !mod.speaks() {
			continue
		}
		if err := pack.read(mod); err != nil {
			wrong = append(wrong, err)
		}
		for _, rule := range mod.parsed.Rules {
			out.hear(name, rule)
			for _, a := range rule.Annotations {
				if err := out.addRule(mod, rule, a); err != nil {
					wrong = append(wrong, fmt.Errorf("%s:%d: %w", mod.file.key(), rule.Loc().Row, err))
				}
			}
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("read METADATA: %w: %w", errors.Join(wrong...), policy.ErrInvalid)
	}
	return out, nil
}

// read takes class and mode from the METADATA of the package.
func (p *packFacts) read(mod module) error {
	for _, a := range mod.parsed.Annotations {
		if a.Scope != "package" {
			continue
		}
		if v, there := a.Custom["class"]; there {
			s, _ := v.(string)
			p.class = policy.Class(s)
			if p.class != policy.Access && p.class != policy.Content {
				return fmt.Errorf("%s: custom.class is access or content", mod.file.key())
			}
		}
		if v, there := a.Custom["mode"]; there {
			s, _ := v.(string)
			p.mode = policy.Mode(s)
			if !knownMode(p.mode) {
				return fmt.Errorf("%s: custom.mode is off, dryrun, warn or deny", mod.file.key())
			}
		}
	}
	return nil
}

// addRule takes what a rule's METADATA says of its code.
func (f *facts) addRule(mod module, rule *ast.Rule, a *ast.Annotations) error {
	needs, err := stringsOf(a.Custom["needs"])
	if err != nil {
		return fmt.Errorf("custom.needs: %w", err)
	}
	for _, group := range needs {
		if !slices.Contains(groups, group) {
			return fmt.Errorf("custom.needs: there is no fact group %q, there are %s", group, strings.Join(groups, ", "))
		}
	}
	for _, action := range actionsOf(rule) {
		note(f.needs, action, mod.pack(), needs)
	}
	code, there := a.Custom["code"]
	if !there {
		return nil
	}
	name, ok := code.(string)
	if !ok || name == "" {
		return errors.New("custom.code is a word")
	}
	if strings.HasPrefix(name, "bondgate.") {
		return fmt.Errorf("the code %s belongs to the gateway", name)
	}
	said := map[string]any{"title": a.Title, "waivable": true, "breakglass": true}
	for _, key := range []string{"severity", "remediation", "effective_on"} {
		if v, there := a.Custom[key]; there {
			s, ok := v.(string)
			if !ok {
				return fmt.Errorf("custom.%s is a text (put dates between quotes)", key)
			}
			said[key] = s
		}
	}
	for _, key := range []string{"waivable", "breakglass"} {
		if v, there := a.Custom[key]; there {
			b, ok := v.(bool)
			if !ok {
				return fmt.Errorf("custom.%s is true or false", key)
			}
			said[key] = b
		}
	}
	if said["breakglass"] == false {
		for _, action := range actionsOf(rule) {
			note(f.firm, action, mod.pack(), needs)
		}
	}
	if date, ok := said["effective_on"].(string); ok {
		if _, err := time.Parse(time.RFC3339, date); err != nil {
			return fmt.Errorf("custom.effective_on: %w", err)
		}
	}
	if old := f.rules[mod.pack()][name]; old != nil && !maps.Equal(old, said) {
		return fmt.Errorf("the code %s is described twice and differently", name)
	}
	f.rules[mod.pack()][name] = said
	return nil
}

// hear notes for which actions a rule can say something for its pack.
func (f *facts) hear(pack string, rule *ast.Rule) {
	head, ok := rule.Head.Ref()[0].Value.(ast.Var)
	if !ok || f.speaks[string(head)] == nil {
		return
	}
	actions, named := namedActions(rule)
	if !named {
		actions = policy.Actions()
	}
	for _, action := range append(slices.Clone(actions), anyAction) {
		who := f.speaks[string(head)][action]
		if who == nil {
			who = map[string]any{}
			f.speaks[string(head)][action] = who
		}
		who[pack] = true
	}
}

// note adds a pack to those that want the groups for the action.
func note(of map[policy.Action]map[string][]string, action policy.Action, pack string, wanted []string) {
	for _, g := range wanted {
		byGroup := of[action]
		if byGroup == nil {
			byGroup = map[string][]string{}
			of[action] = byGroup
		}
		if !slices.Contains(byGroup[g], pack) {
			byGroup[g] = append(byGroup[g], pack)
			slices.Sort(byGroup[g])
		}
	}
}

// apply sets the modes and configurations that bondgate.packs names. rbac is
// required: nothing lowers it.
func (f *facts) apply(packs map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(packs)) {
		raw, err := json.Marshal(packs[name])
		if err != nil {
			return fmt.Errorf("bondgate.packs.%s: %w", name, err)
		}
		var set struct {
			Mode   *policy.Mode   `json:"mode"`
			Config map[string]any `json:"config"`
		}
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&set); err != nil {
			return fmt.Errorf("policy data bondgate.packs.%s: %w: %w", name, err, policy.ErrInvalid)
		}
		pack := f.packs[name]
		if pack == nil {
			return fmt.Errorf("policy data bondgate.packs.%s: no such pack is loaded: %w", name, policy.ErrInvalid)
		}
		pack.config = set.Config
		if set.Mode == nil {
			continue
		}
		if !knownMode(*set.Mode) {
			return fmt.Errorf("policy data bondgate.packs.%s: mode is off, dryrun, warn or deny: %w", name, policy.ErrInvalid)
		}
		pack.mode = *set.Mode
	}
	return nil
}

// join puts what was read where the decision looks for it: data.bondgate.meta.
func (f *facts) join(data map[string]any) {
	packs := map[string]any{}
	for name, p := range f.packs {
		packs[name] = map[string]any{"class": string(p.class), "shipped": p.shipped}
	}
	rules := map[string]any{}
	for name, codes := range f.rules {
		byCode := map[string]any{}
		for code, said := range codes {
			byCode[code] = said
		}
		rules[name] = byCode
	}
	root, _ := data["bondgate"].(map[string]any)
	if root == nil {
		root = map[string]any{}
		data["bondgate"] = root
	}
	speaks := map[string]any{}
	for kind, byAction := range f.speaks {
		said := map[string]any{string(anyAction): map[string]any{}}
		for _, action := range policy.Actions() {
			said[string(action)] = map[string]any{}
		}
		for action, who := range byAction {
			said[string(action)] = who
		}
		speaks[kind] = said
	}
	root["meta"] = map[string]any{"packs": packs, "rules": rules, "needs": namesOf(f.needs), "firm": namesOf(f.firm), "speaks": speaks}
}

// namesOf is a table of packs by action and group as JSON values.
func namesOf(table map[policy.Action]map[string][]string) map[string]any {
	out := map[string]any{}
	for action, wanted := range table {
		byGroup := map[string]any{}
		for group, who := range wanted {
			names := make([]any, len(who))
			for i, n := range who {
				names[i] = n
			}
			byGroup[group] = names
		}
		out[string(action)] = byGroup
	}
	return out
}

// actionsOf finds the actions that a rule is for: its body names them as
// input.action == "…" or input.action in {"…"}. A rule that names none is for
// every action with an artifact, as far as facts go.
func actionsOf(rule *ast.Rule) []policy.Action {
	if named, ok := namedActions(rule); ok {
		return named
	}
	return withArtifact
}

// namedActions reports false for a rule that may be about any action: one whose
// body does not name the action by itself, or that evaluates with another input.
func namedActions(rule *ast.Rule) ([]policy.Action, bool) {
	for _, expr := range rule.Body {
		if expr.Negated || len(expr.With) > 0 || !expr.IsCall() {
			continue
		}
		terms := expr.Operands()
		if len(terms) != 2 {
			continue
		}
		switch op := expr.Operator().String(); op {
		case "equal", "eq", "assign":
			for i, t := range terms {
				if s, ok := terms[1-i].Value.(ast.String); ok && isAction(t) {
					return []policy.Action{policy.Action(s)}, true
				}
			}
		case "internal.member_2":
			if isAction(terms[0]) {
				if named, ok := constants(terms[1].Value); ok {
					return named, true
				}
			}
		}
	}
	return nil, false
}

func isAction(t *ast.Term) bool {
	ref, ok := t.Value.(ast.Ref)
	return ok && ref.String() == "input.action"
}

func constants(v ast.Value) ([]policy.Action, bool) {
	var out []policy.Action
	ok := true
	each := func(t *ast.Term) {
		s, isString := t.Value.(ast.String)
		ok = ok && isString
		out = append(out, policy.Action(s))
	}
	switch v := v.(type) {
	case ast.Set:
		v.Foreach(each)
	case *ast.Array:
		v.Foreach(each)
	default:
		return nil, false
	}
	return out, ok
}

func stringsOf(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("a list of names is wanted")
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, errors.New("a list of names is wanted")
		}
		out = append(out, s)
	}
	return out, nil
}
