package opa

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// required are the packs without which nothing is decided. A project, or the
// operator's data, can configure them and never lower them.
var required = []string{"rbac"}

var strictness = map[policy.Mode]int{
	policy.ModeOff: 0, policy.ModeDryrun: 1, policy.ModeWarn: 2, policy.ModeDeny: 3,
}

func knownMode(m policy.Mode) bool {
	_, known := strictness[m]
	return known
}

// stricter answers the stricter of two modes. A mode that nobody knows is deny.
func stricter(a, b policy.Mode) policy.Mode {
	if !knownMode(a) || !knownMode(b) {
		return policy.ModeDeny
	}
	if strictness[a] >= strictness[b] {
		return a
	}
	return b
}

// basePack is a pack as the bundle has it for every project.
type basePack struct {
	mode   policy.Mode
	config map[string]any
	raw    json.RawMessage
}

// basis settles what every project has, before it says anything itself.
func (f *facts) basis() (map[string]basePack, []policy.Pack, error) {
	base := map[string]basePack{}
	for name, p := range f.packs {
		b := basePack{mode: p.mode, config: p.config}
		if len(p.config) > 0 {
			raw, err := json.Marshal(p.config)
			if err != nil {
				return nil, nil, fmt.Errorf("configuration of pack %s: %w", name, err)
			}
			b.raw = raw
		}
		base[name] = b
	}
	for _, name := range required {
		b := base[name]
		b.mode = policy.ModeDeny
		base[name] = b
	}
	return base, complete(base, nil), nil
}

// Packs completes a project's own modes with the bundle's. A project can only
// raise a mode, and can only add to a configuration: a key that the bundle sets
// stays as it is. Packs that are off are left out; one that is in force and not
// loaded stays, so that the decision misses it. The answer is sorted and shared.
func (e *Evaluator) Packs(own []policy.Pack) []policy.Pack {
	if len(own) == 0 {
		return e.defaults
	}
	return complete(e.base, own)
}

func complete(base map[string]basePack, own []policy.Pack) []policy.Pack {
	all := make(map[string]policy.Pack, len(base)+len(own))
	for name, b := range base {
		all[name] = policy.Pack{Name: name, Mode: b.mode, Config: b.raw}
	}
	for _, p := range own {
		now, there := all[p.Name]
		if !there {
			now = policy.Pack{Name: p.Name, Mode: policy.ModeOff}
		}
		now.Mode = stricter(now.Mode, p.Mode)
		now.Config = overlay(base[p.Name].config, now.Config, p.Config)
		all[p.Name] = now
	}
	out := make([]policy.Pack, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if p := all[name]; p.Mode != policy.ModeOff {
			out = append(out, p)
		}
	}
	return out
}

// overlay adds own to what is there; the bundle's keys win.
func overlay(base map[string]any, there, own json.RawMessage) json.RawMessage {
	if len(own) == 0 {
		return there
	}
	if len(there) == 0 {
		return own
	}
	var sum, add map[string]any
	if json.Unmarshal(there, &sum) != nil || json.Unmarshal(own, &add) != nil {
		return there
	}
	if sum == nil {
		sum = map[string]any{}
	}
	maps.Copy(sum, add)
	maps.Copy(sum, base)
	raw, err := json.Marshal(sum)
	if err != nil {
		return there
	}
	return raw
}

// Needs is looked up in the table made from METADATA: which fact groups the
// packs want for the action.
func (e *Evaluator) Needs(action policy.Action, packs []policy.Pack) policy.Needs {
	var out policy.Needs
	for group, who := range e.facts.needs[action] {
		for _, p := range packs {
			if p.Mode != policy.ModeOff && slices.Contains(who, p.Name) {
				out.Groups = append(out.Groups, group)
				break
			}
		}
	}
	slices.Sort(out.Groups)
	return out
}
