package opa

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// readsOf lists the paths of the input that the compiled modules can read. A
// path ends where a rule goes on with something that is known at evaluation
// only, or with a key that a dotted path cannot hold. Nil means all of the input.
func readsOf(compiler *ast.Compiler) []string {
	found := map[string]bool{}
	whole := false
	var visit *ast.GenericVisitor
	visit = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			if !x.HasPrefix(ast.InputRootRef) {
				return false
			}
			path := staticPath(x[1:])
			whole = whole || path == ""
			found[path] = true
			// A key in brackets may read the input too.
			for _, t := range x[1:] {
				visit.Walk(t)
			}
			return true
		case ast.Var:
			whole = whole || x.Equal(ast.InputRootDocument.Value)
		}
		return false
	})
	for _, m := range compiler.Modules {
		for _, r := range m.Rules {
			visit.Walk(r)
		}
	}
	if whole {
		return nil
	}
	return shortest(slices.Sorted(maps.Keys(found)))
}

func staticPath(ref ast.Ref) string {
	var parts []string
	for _, t := range ref {
		s, ok := t.Value.(ast.String)
		// A key with a dot in it (a label's name) cannot stand in a dotted path.
		if !ok || s == "" || strings.Contains(string(s), ".") {
			break
		}
		parts = append(parts, string(s))
	}
	return strings.Join(parts, ".")
}

// shortest drops paths that a shorter one covers; in is sorted.
func shortest(in []string) []string {
	out := []string{}
	for _, p := range in {
		covered := slices.ContainsFunc(out, func(q string) bool { return strings.HasPrefix(p, q+".") })
		if !covered {
			out = append(out, p)
		}
	}
	return out
}
