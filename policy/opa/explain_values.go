package opa

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
)

// vocabulary is what may be put at a place, in words that the rule knows.
type vocabulary struct {
	texts   []string
	numbers []json.Number
	// fixed are texts that say what was asked: they belong nowhere else.
	fixed map[string]bool
}

// mostWords bounds a vocabulary.
const mostWords = 48

// vocabulary gathers the settings of the reason's pack, the constants of the rules
// that were asked and what they read elsewhere.
func (s *search) vocabulary(r *policy.ExplainedReason, heard *speech) vocabulary {
	v := vocabulary{fixed: map[string]bool{}}
	for _, read := range heard.reads {
		at := trailOf(read.at)
		if word, _ := at.get(s.doc); len(at) > 0 && costOf(at) == 0 {
			if text, ok := word.(string); ok {
				v.fixed[text] = true
			}
		}
	}
	for _, at := range settingsOf(s.doc, heard) {
		value, _ := at.get(s.doc)
		v.take(value)
	}
	for _, rule := range heard.rules {
		ast.WalkTerms(rule.Body, func(t *ast.Term) bool {
			switch x := t.Value.(type) {
			case ast.Ref, ast.Object:
				return true // the names of fields are no values, nor is what the rule says
			case ast.String:
				if !strings.ContainsAny(string(x), "% ") {
					v.take(string(x))
				}
			case ast.Number:
				v.take(json.Number(x))
			}
			return false
		})
	}
	if r.Term != "" {
		v.take(r.Term)
	}
	for _, read := range heard.reads {
		value, _ := trailOf(read.at).get(s.doc)
		if _, text := value.(string); text {
			v.take(value)
		}
	}
	if now, _ := (trail{"time", "rfc3339"}).get(s.doc); now != nil {
		v.take(now)
	}
	v.take("example")
	return v
}

// take adds a value, or the members of a list. A pattern is known by a text that it
// matches.
func (v *vocabulary) take(value any) {
	switch x := value.(type) {
	case string:
		if word := instance(x); word != "" && !v.fixed[word] && len(word) <= 256 && !slices.Contains(v.texts, word) && len(v.texts) < mostWords {
			v.texts = append(v.texts, word)
		}
	case json.Number:
		for _, n := range around(x) {
			if !slices.Contains(v.numbers, n) && len(v.numbers) < mostWords {
				v.numbers = append(v.numbers, n)
			}
		}
	case []any:
		for _, item := range x {
			if _, nested := item.([]any); !nested {
				v.take(item)
			}
		}
	}
}

// around are a number, its neighbours and what is a good deal more.
func around(n json.Number) []json.Number {
	i, err := n.Int64()
	if err != nil || i > 1<<52 || i < -1<<52 {
		return []json.Number{n}
	}
	var out []json.Number
	for _, x := range []int64{i, i - 1, i + 1, 10 * i, 100 * i} {
		out = append(out, json.Number(strconv.FormatInt(x, 10)))
	}
	return out
}

// with puts what stood beside a place before everything else.
func (v vocabulary) with(near []any) vocabulary {
	out := vocabulary{fixed: v.fixed}
	for _, n := range near {
		out.take(n)
	}
	for _, t := range v.texts {
		if !slices.Contains(out.texts, t) {
			out.texts = append(out.texts, t)
		}
	}
	for _, n := range v.numbers {
		if !slices.Contains(out.numbers, n) {
			out.numbers = append(out.numbers, n)
		}
	}
	return out
}

// values are what is tried at a place, what a person would put there first.
func (s *search) values(at trail, words vocabulary) []any {
	cur, there := at.get(s.doc)
	shape := shapeAt(s.schema, at)
	var out []any
	add := func(all ...any) {
		for _, v := range all {
			if !there || !reflect.DeepEqual(v, cur) {
				out = append(out, v)
			}
		}
	}
	add(natural(at)...)
	add(s.soon(at)...)
	add(shape.enum...)
	_, text := cur.(string)
	_, number := cur.(json.Number)
	flag, boolean := cur.(bool)
	list, listed := cur.([]any)
	if holdsOthers(cur) {
		return nil
	}
	open := cur == nil
	switch {
	case boolean:
		add(!flag)
	case listed:
		add(lists(list, words)...)
	}
	if open && shape.may("boolean") {
		add(true, false)
	}
	if text || open && shape.may("string") {
		for _, w := range words.texts {
			add(w)
		}
	}
	if number || open && (shape.may("integer") || shape.may("number")) {
		for _, n := range words.numbers {
			add(n)
		}
		add(json.Number("0"))
	}
	if open && shape.may("array") {
		add(lists(nil, words)...)
	}
	if there && !open && shape.may("null") {
		add(nil)
	}
	return out
}

// mostMembers is how long a list may be that is put together anew.
const mostMembers = 32

// lists are a list with one member less or one more.
func lists(list []any, words vocabulary) []any {
	var out []any
	if len(list) > mostMembers {
		return nil
	}
	for i := range list {
		out = append(out, slices.Delete(slices.Clone(list), i, i+1))
	}
	for i, w := range words.texts {
		if i == mostPerPlace/2 {
			break
		}
		if !slices.Contains(list, any(w)) {
			out = append(out, append(slices.Clone(list), any(w)))
		}
	}
	return append(out, []any{})
}

// natural are the values that people put at a place.
func natural(at trail) []any {
	last, _ := at[len(at)-1].(string)
	switch {
	case at.String() == "artifact.config.user":
		return []any{"1000"}
	case last == "status":
		return []any{"ok", "absent"}
	case at.String() == "reference.value", len(at) == 3 && at[:2].String() == "artifact.tags":
		return []any{"1.0.0", "new"}
	case len(at) > 1 && (at[len(at)-2] == "labels" || at[len(at)-2] == "annotations"):
		return []any{"example"}
	}
	return nil
}

// soon are the moments that people put where something ends: a day on, a quarter of
// an hour.
func (s *search) soon(at trail) []any {
	if at[len(at)-1] != any("expires") {
		return nil
	}
	moment, _ := (trail{"time", "rfc3339"}).get(s.doc)
	text, _ := moment.(string)
	now, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil
	}
	var out []any
	for _, d := range []time.Duration{24 * time.Hour, 15 * time.Minute} {
		out = append(out, now.Add(d).UTC().Format(time.RFC3339))
	}
	return out
}

// plainTerms are constants as JSON values.
func plainTerms(terms []*ast.Term) []any {
	out := make([]any, 0, len(terms))
	for _, t := range terms {
		switch v := t.Value.(type) {
		case ast.String:
			out = append(out, string(v))
		case ast.Number:
			out = append(out, json.Number(v))
		case ast.Boolean:
			out = append(out, bool(v))
		}
	}
	return out
}

func nanoseconds(at time.Time) string { return strconv.FormatInt(at.UnixNano(), 10) }

// roles are the roles that the rbac pack knows, those that give less first.
func (e *Evaluator) roles() []string {
	e.insight.once.Do(func() { e.insight.roles = e.findRoles() })
	return e.insight.roles
}

func (e *Evaluator) findRoles() []string {
	rights := map[string]int{}
	for _, rule := range e.rules() {
		if rule.Ref().String() != "data.bondgate.rules.rbac.rights" {
			continue
		}
		table, _ := rule.Head.Value.Value.(ast.Object)
		if table == nil {
			continue
		}
		table.Foreach(func(role, gives *ast.Term) {
			name, ok := role.Value.(ast.String)
			set, isSet := gives.Value.(ast.Set)
			if ok && isSet {
				rights[string(name)] = set.Len()
			}
		})
	}
	return slices.SortedFunc(maps.Keys(rights), func(a, b string) int {
		return cmp.Or(cmp.Compare(rights[a], rights[b]), strings.Compare(a, b))
	})
}

// shape is what the schema of an action says of a place.
type shape struct {
	known bool
	types []string
	enum  []any
}

// may reports whether a value of the type can stand there; all can where no schema
// says anything.
func (s shape) may(kind string) bool { return !s.known || slices.Contains(s.types, kind) }

func shapeAt(node map[string]any, at trail) shape {
	for _, step := range at {
		node = below(node, step)
		if node == nil {
			return shape{}
		}
	}
	var out shape
	out.enum, _ = node["enum"].([]any)
	switch t := node["type"].(type) {
	case string:
		out.types = []string{t}
	case []any:
		for _, x := range t {
			if name, ok := x.(string); ok {
				out.types = append(out.types, name)
			}
		}
	}
	out.known = len(out.types) > 0
	return out
}

// below is the schema of a member.
func below(node map[string]any, step any) map[string]any {
	key, ok := step.(string)
	if !ok {
		inner, _ := node["items"].(map[string]any)
		return inner
	}
	properties, _ := node["properties"].(map[string]any)
	if inner, ok := properties[key].(map[string]any); ok {
		return inner
	}
	inner, _ := node["additionalProperties"].(map[string]any)
	return inner
}
