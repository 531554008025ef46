package opa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/bondgate/bondgate/policy"
)

// logPackage is where an author says what the records of decisions show: the
// package that OPA's own decision log asks, with the same rules (mask, drop) and
// the same input, the decision event. It is compiled by itself, so that no
// decision can read it and nothing that it reads counts as read by a decision.
var logPackage = []string{"system", "log"}

// LogRules are the rules of a bundle about the records of decisions. They are
// immutable and safe for concurrent use.
type LogRules struct {
	mask, drop *rego.PreparedEvalQuery
	input      projection
}

// LogRules are those of the bundle; nil when it has none.
func (e *Evaluator) LogRules() *LogRules { return e.log }

// Warnings are what the bundle's author should look at, though it is no mistake.
func (e *Evaluator) Warnings() []string { return slices.Clone(e.warnings) }

// isLog reports whether the module is of the package of the decision log.
func (m module) isLog() bool { return slices.Equal(m.path, logPackage) }

// split parts the modules of the decision log from all others.
func (m modules) split() (decision, log modules) {
	for _, mod := range m {
		if mod.isLog() {
			log = append(log, mod)
		} else {
			decision = append(decision, mod)
		}
	}
	return decision, log
}

// compileLog makes the rules of the modules; nil when there are none. They may
// use whatever the bundle has.
func compileLog(ctx context.Context, all, own modules, caps *ast.Capabilities, schemas *ast.SchemaSet, store storage.Store) (*LogRules, error) {
	if len(own) == 0 {
		return nil, nil
	}
	compiler, err := compileModules(ctx, all, caps, schemas, store)
	if err != nil {
		return nil, err
	}
	out := &LogRules{input: projectionOf(readsOf(compiler))}
	for name, into := range map[string]**rego.PreparedEvalQuery{"mask": &out.mask, "drop": &out.drop} {
		if !own.has(name) {
			continue
		}
		query, err := prepare(ctx, "data."+strings.Join(logPackage, ".")+"."+name, compiler, caps, store)
		if err != nil {
			return nil, fmt.Errorf("prepare the rules of the decision log: %w: %w", err, policy.ErrInvalid)
		}
		*into = &query
	}
	return out, nil
}

// has reports whether there is a rule of that name.
func (m modules) has(name string) bool {
	return slices.ContainsFunc(m, func(mod module) bool {
		return slices.ContainsFunc(mod.parsed.Rules, func(r *ast.Rule) bool { return headName(r) == name })
	})
}

func headName(r *ast.Rule) string {
	head, _ := r.Head.Ref()[0].Value.(ast.Var)
	return string(head)
}

// About answers what the rules say about a decision event. It fails when mask
// fails or is not well formed; a drop that fails asks for nothing, and is the
// ruling's Failure.
func (l *LogRules) About(ctx context.Context, event map[string]any) (ruling policy.RecordRuling, err error) {
	input, err := l.input.value(event)
	if err != nil {
		return ruling, err
	}
	value, err := evalLog(ctx, l.mask, input)
	if err != nil {
		return ruling, fmt.Errorf("system.log.mask: %w", err)
	}
	if ruling.Masks, err = masksOf(value); err != nil {
		return ruling, fmt.Errorf("system.log.mask: %w", err)
	}
	value, err = evalLog(ctx, l.drop, input)
	if err != nil {
		ruling.Failure = fmt.Errorf("system.log.drop: %w", err)
	}
	ruling.Drop = value != nil && value.Compare(ast.Boolean(true)) == 0
	return ruling, nil
}

// evalLog answers nil for what is undefined. Its errors have no values of the
// event: they are logged.
func evalLog(ctx context.Context, query *rego.PreparedEvalQuery, input ast.Value) (value ast.Value, err error) {
	if query == nil {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, errors.New("panic")
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cancel := topdown.NewCancel()
	stop := context.AfterFunc(ctx, cancel.Cancel)
	defer stop()
	rs, err := query.Eval(ctx,
		rego.EvalParsedInput(input), rego.EvalExternalCancel(cancel), rego.EvalMetrics(metrics.NoOp()))
	var broken *topdown.Error
	switch {
	case errors.As(err, &broken):
		return nil, errors.New(sayError(broken))
	case err != nil:
		return nil, errors.New("no evaluation")
	case len(rs) != 1 || len(rs[0].Expressions) != 1:
		return nil, nil
	}
	value, _ = rs[0].Expressions[0].Value.(ast.Value)
	return value, nil
}

// masksOf reads what mask answers: a set, or a list, of paths and of operations.
func masksOf(value ast.Value) (out []policy.RecordMask, err error) {
	each := func(t *ast.Term) {
		one, there, e := maskOf(t.Value)
		if e != nil {
			err = e
		}
		if there {
			out = append(out, one)
		}
	}
	switch value := value.(type) {
	case nil:
	case ast.Set:
		value.Foreach(each)
	case *ast.Array:
		value.Foreach(each)
	default:
		return nil, errors.New("is no set")
	}
	return out, err
}

// maskOf reads one mask. There is none for what a record of ours never has.
func maskOf(value ast.Value) (out policy.RecordMask, there bool, err error) {
	path := value
	if object, ok := value.(ast.Object); ok {
		var op ast.Value
		if op, path = field(object, "op"), field(object, "path"); op == nil || path == nil {
			return out, false, errors.New("an operation has op and path")
		}
		switch op.Compare(ast.String("remove")) {
		case 0:
		default:
			if op.Compare(ast.String("upsert")) != 0 {
				return out, false, errors.New("op is remove or upsert")
			}
			out.Upsert = true
			if given := field(object, "value"); given != nil {
				if out.Value, err = ast.JSON(given); err != nil {
					return out, false, errors.New("the value is no JSON")
				}
			}
		}
	}
	text, ok := path.(ast.String)
	if !ok {
		return out, false, errors.New("a path is a text")
	}
	out.Path, there, err = pointer(string(text))
	return out, there, err
}

func field(object ast.Object, name string) ast.Value {
	if t := object.Get(ast.StringTerm(name)); t != nil {
		return t.Value
	}
	return nil
}

// pointer reads a JSON pointer (RFC 6901) into the event: the part of the input
// that it is for.
func pointer(s string) (path []string, there bool, err error) {
	rest, rooted := strings.CutPrefix(s, "/")
	if !rooted {
		return nil, false, errors.New("a path begins with /input")
	}
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	switch parts[0] {
	case "input":
		return parts[1:], true, nil
	case "nd_builtin_cache": // OPA's record of impure builtins: there are none here
		return nil, false, nil
	case "result":
		return nil, false, errors.New("what was decided is not for a mask to change: a path begins with /input")
	}
	return nil, false, errors.New("a path begins with /input")
}
