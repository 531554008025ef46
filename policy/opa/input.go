package opa

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// projection is the part of the input that a bundle can read, as a tree. What no
// rule can read is not turned into a value: for many requests that is most of
// the document.
type projection struct {
	// all is a place that is read as a whole.
	all   bool
	parts []part
}

type part struct {
	key  string
	term *ast.Term
	sub  projection
}

// projectionOf makes the tree of dotted paths; nil paths read everything.
func projectionOf(paths []string) projection {
	if paths == nil {
		return projection{all: true}
	}
	byHead := map[string][]string{}
	whole := map[string]bool{}
	for _, p := range paths {
		head, rest, more := strings.Cut(p, ".")
		if more {
			byHead[head] = append(byHead[head], rest)
		} else {
			byHead[head], whole[head] = nil, true
		}
	}
	var out projection
	for _, head := range slices.Sorted(maps.Keys(byHead)) {
		rest := byHead[head]
		if whole[head] {
			rest = nil
		}
		out.parts = append(out.parts, part{key: head, term: ast.StringTerm(head), sub: projectionOf(rest)})
	}
	return out
}

// value turns the part of doc that is read into a value. What is no object where
// one was read is kept as it is: a rule may well look at a null.
func (p projection) value(doc any) (ast.Value, error) {
	object, ok := doc.(map[string]any)
	if p.all || !ok {
		v, err := ast.InterfaceToValue(doc)
		if err != nil {
			return nil, fmt.Errorf("make the input: %w", err)
		}
		return v, nil
	}
	pairs := make([][2]*ast.Term, 0, len(p.parts))
	for i := range p.parts {
		at := &p.parts[i]
		inner, there := object[at.key]
		if !there {
			continue
		}
		v, err := at.sub.value(inner)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2]*ast.Term{at.term, ast.NewTerm(v)})
	}
	return ast.NewObject(pairs...), nil
}
