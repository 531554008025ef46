package opa

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/bondgate/bondgate/policy"
)

// entry is the document that a decision is read from.
const entry = "data.bondgate.decision"

// Compile makes an evaluator of a source, or says in words for the author of the
// policy what is wrong with it ([policy.ErrInvalid]). It takes as long as the
// source is large: it belongs off the path of requests.
func Compile(ctx context.Context, src Source) (*Evaluator, error) {
	if err := src.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, src.Limits.WithDefaults().CompileTime)
	defer cancel()

	// The compiler knows no context. Its size is bounded, so a compilation that
	// nobody waits for any more ends by itself.
	type outcome struct {
		ev  *Evaluator
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		var out outcome
		defer func() {
			if p := recover(); p != nil {
				out = outcome{err: fmt.Errorf("compile policy: panic: %v: %w", p, policy.ErrInvalid)}
			}
			done <- out
		}()
		out.ev, out.err = compile(ctx, src)
	}()
	select {
	case out := <-done:
		return out.ev, out.err
	case <-ctx.Done():
		return nil, fmt.Errorf("compile policy: %w: %w", ctx.Err(), policy.ErrInvalid)
	}
}

func compile(ctx context.Context, src Source) (*Evaluator, error) {
	caps, err := ast.LoadCapabilitiesJSON(strings.NewReader(string(src.Capabilities)))
	if err != nil {
		return nil, fmt.Errorf("read capabilities: %w: %w", err, policy.ErrInvalid)
	}
	mods, err := parse(src, caps)
	if err != nil {
		return nil, err
	}
	if err := mods.checkOwners(); err != nil {
		return nil, err
	}
	if err := mods.checkManifest(src); err != nil {
		return nil, err
	}
	data, base, err := loadData(src, mods)
	if err != nil {
		return nil, err
	}
	facts, err := describe(mods)
	if err != nil {
		return nil, err
	}
	waivers, err := waiversOf(src)
	if err != nil {
		return nil, err
	}
	if err := facts.apply(base); err != nil {
		return nil, err
	}
	facts.join(data)

	store := inmem.NewFromObjectWithOpts(data,
		inmem.OptRoundTripOnWrite(false), inmem.OptReturnASTValuesOnRead(true))
	schemas, err := schemaSet(src.Schemas)
	if err != nil {
		return nil, err
	}
	decision, log := mods.split()
	compiler, err := compileModules(ctx, decision, caps, schemas, store)
	if err != nil {
		return nil, err
	}
	query, err := prepare(ctx, entry, compiler, caps, store)
	if err != nil {
		return nil, fmt.Errorf("prepare policy: %w: %w", err, policy.ErrInvalid)
	}
	packs, defaults, err := facts.basis()
	if err != nil {
		return nil, err
	}
	rules, err := compileLog(ctx, mods, log, caps, schemas, store)
	if err != nil {
		return nil, err
	}
	reads := readsOf(compiler)
	return &Evaluator{
		revision: src.Revision, query: query, facts: facts,
		base: packs, defaults: defaults, reads: reads, input: projectionOf(reads),
		log: rules, warnings: append(warnMasks(log, reads), warnWaivers(waivers, facts.rules)...),
		insight: &insight{compiler: compiler, schemas: src.Schemas},
		waivers: policy.NewWaiverSet(waivers), fileWaivers: waivers,
	}, nil
}

// prepare makes a query ready. Its answers stay values of OPA's, and a builtin that
// fails is an error rather than undefined.
func prepare(ctx context.Context, query string, compiler *ast.Compiler, caps *ast.Capabilities, store storage.Store) (rego.PreparedEvalQuery, error) {
	return rego.New(
		rego.Query(query),
		rego.Compiler(compiler),
		rego.Store(store),
		rego.Capabilities(caps),
		rego.StrictBuiltinErrors(true),
		rego.GenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t.Value, nil }),
	).PrepareForEval(ctx)
}

func compileModules(ctx context.Context, mods modules, caps *ast.Capabilities, schemas *ast.SchemaSet, store storage.Store) (*ast.Compiler, error) {
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, fmt.Errorf("open policy data: %w", err)
	}
	defer store.Abort(ctx, txn)
	compiler := ast.NewCompiler().
		WithCapabilities(caps).
		WithSchemas(schemas).
		WithUseTypeCheckAnnotations(true).
		WithPathConflictsCheck(storage.NonEmpty(ctx, store, txn))
	compiler.Compile(mods.byName())
	if compiler.Failed() {
		return nil, fmt.Errorf("compile policy: %w: %w", compiler.Errors, policy.ErrInvalid)
	}
	return compiler, nil
}

func schemaSet(schemas map[string][]byte) (*ast.SchemaSet, error) {
	set := ast.NewSchemaSet()
	for action, raw := range schemas {
		var schema any
		if err := json.Unmarshal(raw, &schema); err != nil {
			return nil, fmt.Errorf("schema of %s: %w: %w", action, err, policy.ErrInvalid)
		}
		set.Put(ast.SchemaRootRef.Append(ast.StringTerm("input")).Append(ast.StringTerm(action)), schema)
	}
	return set, nil
}

// module is a parsed file with its place.
type module struct {
	file   File
	parsed *ast.Module
	// path is the package below "data".
	path []string
}

type modules []module

func (m modules) byName() map[string]*ast.Module {
	out := make(map[string]*ast.Module, len(m))
	for _, mod := range m {
		out[mod.file.key()] = mod.parsed
	}
	return out
}

func parse(src Source, caps *ast.Capabilities) (modules, error) {
	var out modules
	var wrong []error
	for _, f := range src.Files {
		if !f.isModule() {
			continue
		}
		parsed, err := ast.ParseModuleWithOpts(f.key(), string(f.Data), ast.ParserOptions{
			ProcessAnnotation: true, Capabilities: caps, RegoVersion: ast.RegoV1,
		})
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		where, err := packagePath(parsed)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", f.key(), err))
			continue
		}
		out = append(out, module{file: f, parsed: parsed, path: where})
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("parse policy: %w: %w", errors.Join(wrong...), policy.ErrInvalid)
	}
	return out, nil
}

func packagePath(m *ast.Module) ([]string, error) {
	var out []string
	for _, term := range m.Package.Path[1:] {
		s, ok := term.Value.(ast.String)
		if !ok {
			return nil, fmt.Errorf("package %s is not a path of names", m.Package)
		}
		out = append(out, string(s))
	}
	return out, nil
}

// loadData merges the data files. What authors say about packs
// (bondgate.packs) is taken out of the document: it sets modes and
// configurations, which reach the rules through the input.
func loadData(src Source, mods modules) (data map[string]any, packs map[string]any, err error) {
	data = map[string]any{}
	for _, f := range src.Files {
		if !f.isData() {
			continue
		}
		doc, err := decodeObject(f)
		if err != nil {
			return nil, nil, err
		}
		doc = nest(f, doc)
		if !f.Shipped {
			if err := mods.checkDataOwner(f, doc); err != nil {
				return nil, nil, err
			}
		}
		if err := merge(data, doc); err != nil {
			return nil, nil, fmt.Errorf("policy data %s: %w: %w", f.key(), err, policy.ErrInvalid)
		}
	}
	root, _ := data["bondgate"].(map[string]any)
	if root != nil {
		packs, _ = root["packs"].(map[string]any)
		delete(root, "packs")
	}
	return data, packs, nil
}

func decodeObject(f File) (map[string]any, error) {
	var doc map[string]any
	dec := json.NewDecoder(strings.NewReader(string(f.Data)))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("policy data %s: %w: %w", f.key(), err, policy.ErrInvalid)
	}
	if dec.More() {
		return nil, fmt.Errorf("policy data %s: more than one document: %w", f.key(), policy.ErrInvalid)
	}
	return doc, nil
}

// nest puts a document at the path of its folder.
func nest(f File, doc map[string]any) map[string]any {
	parts := strings.Split(f.Path, "/")
	for i := len(parts) - 2; i >= 0; i-- {
		doc = map[string]any{parts[i]: doc}
	}
	return doc
}

func merge(into, from map[string]any) error {
	for k, v := range from {
		old, there := into[k]
		if !there {
			into[k] = v
			continue
		}
		a, okA := old.(map[string]any)
		b, okB := v.(map[string]any)
		if !okA || !okB {
			return fmt.Errorf("%q is set twice", k)
		}
		if err := merge(a, b); err != nil {
			return err
		}
	}
	return nil
}
