package opa

import (
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
)

// checkLog refuses a mask and a drop that could answer nothing but nonsense.
func checkLog(mod module) []error {
	if !mod.isLog() {
		return nil
	}
	var wrong []error
	for _, rule := range mod.parsed.Rules {
		at := fmt.Sprintf("%s:%d", mod.file.key(), rule.Loc().Row)
		name, kind := headName(rule), rule.Head.RuleKind()
		function := len(rule.Head.Args) > 0
		switch {
		case name != "mask" && name != "drop":
			continue
		case len(rule.Head.Ref()) != 1 || function:
			wrong = append(wrong, fmt.Errorf("%s: %s is a rule of its own, neither a function nor an object", at, name))
		case name == "drop" && kind == ast.MultiValue:
			wrong = append(wrong, fmt.Errorf("%s: drop is true or false", at))
		}
		for _, t := range maskTerms(rule) {
			if _, _, err := literalMask(t); err != nil {
				wrong = append(wrong, fmt.Errorf("%s: mask: %w", at, err))
			}
		}
	}
	return wrong
}

// maskTerms are the masks that a rule writes down, as far as it does.
func maskTerms(rule *ast.Rule) []*ast.Term {
	if headName(rule) != "mask" {
		return nil
	}
	if rule.Head.Key != nil {
		return []*ast.Term{rule.Head.Key}
	}
	var out []*ast.Term
	add := func(t *ast.Term) { out = append(out, t) }
	if rule.Head.Value != nil {
		switch v := rule.Head.Value.Value.(type) {
		case ast.Set:
			v.Foreach(add)
		case *ast.Array:
			v.Foreach(add)
		}
	}
	return out
}

// literalMask is a mask as far as it is written down; there is none where its
// path is known at evaluation only.
func literalMask(t *ast.Term) (out policy.RecordMask, there bool, err error) {
	switch v := t.Value.(type) {
	case ast.String:
		return maskOf(v)
	case ast.Object:
		path, known := field(v, "path").(ast.String)
		if op, literal := field(v, "op").(ast.String); !known || field(v, "op") != nil && !literal {
			return out, false, nil
		} else if !literal {
			return out, false, errors.New("an operation has op and path")
		} else {
			return maskOf(ast.NewObject(ast.Item(ast.StringTerm("op"), ast.NewTerm(op)), ast.Item(ast.StringTerm("path"), ast.NewTerm(path))))
		}
	}
	return out, false, nil
}

// warnMasks says which masks take away what a rule reads. A path that is known
// at evaluation only is not seen here; the records say so then.
func warnMasks(log modules, reads []string) (out []string) {
	for _, mod := range log {
		for _, rule := range mod.parsed.Rules {
			for _, t := range maskTerms(rule) {
				mask, there, err := literalMask(t)
				if err != nil || !there {
					continue
				}
				path := dotted(mask.Path)
				if read := readAt(reads, path); read != "" {
					out = append(out, fmt.Sprintf("%s:%d: the mask of %s hides what a rule reads (%s): the decisions that it is hidden of cannot be replayed",
						mod.file.key(), rule.Loc().Row, strings.TrimSuffix("input."+path, "."), read))
				}
			}
		}
	}
	return out
}

// dotted is a path as [policy.Evaluator.Reads] has them.
func dotted(path []string) string {
	for i, key := range path {
		if key == "" || strings.Contains(key, ".") {
			path = path[:i]
			break
		}
	}
	return strings.Join(path, ".")
}

// readAt is the path that is read where another one is; empty for none.
func readAt(reads []string, path string) string {
	if reads == nil {
		return "all of the input"
	}
	for _, read := range reads {
		if policy.PathsOverlap(read, path) {
			return "input." + read
		}
	}
	return ""
}
