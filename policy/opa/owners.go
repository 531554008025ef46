package opa

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
)

// packName is what an author may call a pack.
var packName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]*$`)

// reservedPack is where the bundles of projects will live.
const reservedPack = "p_"

// pack is the name of the pack that a module belongs to; "" for none.
func (m module) pack() string {
	if len(m.path) >= 3 && m.path[0] == "bondgate" && m.path[1] == "rules" {
		return m.path[2]
	}
	return ""
}

// speaks reports whether the module may say deny, warn and obligation for its
// pack; a module further down is a helper of the pack.
func (m module) speaks() bool { return m.pack() != "" && len(m.path) == 3 }

func (m modules) shippedPacks() map[string]bool {
	out := map[string]bool{}
	for _, mod := range m {
		if p := mod.pack(); p != "" && mod.file.Shipped {
			out[p] = true
		}
	}
	return out
}

// checkOwners refuses what would let an author's file speak for something that
// ships with the gateway, and rules whose shape would make a deny disappear.
func (m modules) checkOwners() error {
	shipped := m.shippedPacks()
	var wrong []error
	for _, mod := range m {
		if !mod.file.Shipped {
			if err := checkAuthor(mod, shipped); err != nil {
				wrong = append(wrong, err)
			}
		}
		wrong = append(wrong, checkSpeech(mod)...)
		wrong = append(wrong, checkLog(mod)...)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("check policy: %w: %w", errors.Join(wrong...), policy.ErrInvalid)
	}
	return nil
}

func checkAuthor(mod module, shipped map[string]bool) error {
	name := strings.Join(mod.path, ".")
	pack := mod.pack()
	switch {
	case mod.isLog():
		return nil
	case pack == "":
		return fmt.Errorf("%s: package %s is not yours to write: a file of yours belongs to bondgate.rules.<pack> or, for masks of records, to system.log", mod.file.key(), name)
	case shipped[pack]:
		return fmt.Errorf("%s: package %s ships with the gateway and cannot be extended or replaced: give your pack a name of its own", mod.file.key(), name)
	case !packName.MatchString(pack):
		return fmt.Errorf("%s: %q cannot be the name of a pack: letters, digits and _ make one", mod.file.key(), pack)
	case strings.HasPrefix(pack, reservedPack):
		return fmt.Errorf("%s: names of packs that begin with %s belong to projects", mod.file.key(), reservedPack)
	}
	return nil
}

// checkSpeech refuses a deny, warn or obligation that would say nothing: one that
// is no set, and one that stands below its pack.
func checkSpeech(mod module) []error {
	if mod.pack() == "" {
		return nil
	}
	spoken := func(s string) bool { return s == "deny" || s == "warn" || s == "obligation" }
	var wrong []error
	if len(mod.path) > 3 && spoken(mod.path[3]) {
		wrong = append(wrong, fmt.Errorf("%s: a package cannot be called %s below a pack", mod.file.key(), mod.path[3]))
	}
	for _, rule := range mod.parsed.Rules {
		ref := rule.Head.Ref()
		head, ok := ref[0].Value.(ast.Var)
		if !ok || !spoken(string(head)) {
			continue
		}
		if !mod.speaks() {
			wrong = append(wrong, fmt.Errorf("%s:%d: nobody asks for a %s below a pack: write it in package bondgate.rules.%s",
				mod.file.key(), rule.Loc().Row, head, mod.pack()))
			continue
		}
		if rule.Default || len(ref) != 1 || rule.Head.RuleKind() != ast.MultiValue {
			wrong = append(wrong, fmt.Errorf("%s:%d: write %q: %s has to be a set of objects",
				mod.file.key(), rule.Loc().Row, string(head)+" contains {…} if {…}", head))
		}
	}
	return wrong
}

// checkDataOwner refuses data of an author anywhere but under the author's own
// packs and in bondgate.packs, which sets modes and configurations.
func (m modules) checkDataOwner(f File, doc map[string]any) error {
	shipped := m.shippedPacks()
	refuse := func(where string) error {
		return fmt.Errorf("policy data %s: %s is not yours to set: yours are bondgate.rules.<your pack> and bondgate.packs: %w",
			f.key(), where, policy.ErrInvalid)
	}
	for _, top := range slices.Sorted(maps.Keys(doc)) {
		if top != "bondgate" {
			return refuse(top)
		}
	}
	root, ok := doc["bondgate"].(map[string]any)
	if !ok && doc["bondgate"] != nil {
		return refuse("bondgate")
	}
	for _, second := range slices.Sorted(maps.Keys(root)) {
		sub, ok := root[second].(map[string]any)
		if !ok || second != "rules" && second != "packs" {
			return refuse("bondgate." + second)
		}
		if second == "packs" {
			continue
		}
		for _, pack := range slices.Sorted(maps.Keys(sub)) {
			if shipped[pack] || !packName.MatchString(pack) {
				return refuse("bondgate.rules." + pack)
			}
			inner, ok := sub[pack].(map[string]any)
			if !ok {
				return refuse("bondgate.rules." + pack)
			}
			for _, spoken := range []string{"deny", "warn", "obligation"} {
				if _, there := inner[spoken]; there {
					return refuse("bondgate.rules." + pack + "." + spoken)
				}
			}
		}
	}
	return nil
}

// manifest is the part of OPA's .manifest that is honoured.
type manifest struct {
	Roots *[]string `json:"roots"`
}

// checkManifest refuses roots that an author may not own, and files outside of
// the roots that the author named.
func (m modules) checkManifest(src Source) error {
	for _, f := range src.Files {
		if f.Shipped || !f.isManifest() {
			continue
		}
		var man manifest
		if err := json.Unmarshal(f.Data, &man); err != nil {
			return fmt.Errorf("policy manifest: %w: %w", err, policy.ErrInvalid)
		}
		if man.Roots == nil {
			continue
		}
		shipped := m.shippedPacks()
		for _, root := range *man.Roots {
			parts := strings.Split(strings.Trim(root, "/"), "/")
			if slices.Equal(parts, logPackage) {
				continue
			}
			if len(parts) < 3 || parts[0] != "bondgate" || parts[1] != "rules" || shipped[parts[2]] {
				return fmt.Errorf("policy manifest: root %q is not yours: roots are bondgate/rules/<your pack> and system/log: %w", root, policy.ErrInvalid)
			}
		}
		for _, mod := range m {
			if !mod.file.Shipped && !within(strings.Join(mod.path, "/"), *man.Roots) {
				return fmt.Errorf("policy manifest: %s is outside of the roots that the manifest names: %w", mod.file.key(), policy.ErrInvalid)
			}
		}
	}
	return nil
}

func within(at string, roots []string) bool {
	for _, root := range roots {
		root = strings.Trim(root, "/")
		if at == root || strings.HasPrefix(at, root+"/") {
			return true
		}
	}
	return false
}
