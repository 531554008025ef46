package opa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/bondgate/bondgate/policy"
)

// The limits of one explanation. Those that count make it the same every time; the
// clock only ends what they did not, and then the explanation says that it is partial.
const (
	explainTime = 3 * time.Second
	// mostTries is how many evaluations an explanation costs at most.
	mostTries = 600
	// mostExplained is for how many reasons facts and changes are looked for.
	mostExplained = 20
	mostFacts     = 40
)

// insight is what only an explanation wants of a bundle.
type insight struct {
	compiler *ast.Compiler
	schemas  map[string][]byte
	// roles are found when they are asked for first.
	once  sync.Once
	roles []string
}

// Explain says why the bundle decides about doc as it does: for every reason the
// rule, what the rule read and what would have kept it silent. It is a pure function
// of doc, and costs as much as some hundred decisions: it belongs off the path of
// requests. It fails with [policy.ErrUnavailable] when there is no decision, and
// with [policy.ErrInvalid] for a doc that is no input.
func (e *Evaluator) Explain(ctx context.Context, doc map[string]any) (policy.Explanation, error) {
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	doc, err := plain(doc)
	if err != nil {
		return policy.Explanation{}, err
	}
	d, err := e.DecideInput(ctx, doc)
	if err != nil {
		return policy.Explanation{}, err
	}
	out := policy.Explanation{Decision: d, Revision: e.revision, Reasons: fired(d)}
	explained := out.Reasons[:min(len(out.Reasons), mostExplained)]
	out.Partial = len(explained) < len(out.Reasons)
	heard, whole := e.listen(ctx, doc, explained)
	out.Partial = out.Partial || !whole

	look := e.newSearch(ctx, doc, d)
	for i := range out.Reasons {
		r := &out.Reasons[i]
		e.describeReason(r, doc)
		if i >= len(explained) {
			continue
		}
		s := heard[i]
		if s == nil {
			continue
		}
		e.place(r, s)
		r.Facts = factsOf(doc, s)
		r.Changes, r.Others = look.turn(r, s)
	}
	out.Partial = out.Partial || look.cut
	return out, nil
}

// fired lists the reasons of a decision.
func fired(d policy.Decision) []policy.ExplainedReason {
	out := []policy.ExplainedReason{}
	for effect, reasons := range map[string][]policy.Reason{"deny": d.Deny, "warn": d.Warn, "dryrun": d.Dryrun} {
		for _, r := range reasons {
			out = append(out, policy.ExplainedReason{Reason: r, Effect: effect})
		}
	}
	slices.SortStableFunc(out, func(a, b policy.ExplainedReason) int { return rankOf(a.Effect) - rankOf(b.Effect) })
	for _, w := range d.Waived {
		out = append(out, policy.ExplainedReason{
			Reason: policy.Reason{Code: w.Code, Term: w.Term}, Effect: effectWaived, Waiver: w.Waiver,
		})
	}
	for i := range out {
		out[i].Facts, out[i].Changes = []policy.Fact{}, []policy.Change{}
	}
	return out
}

const effectWaived = "waived"

// rankOf orders effects, what weighs most first.
func rankOf(effect string) int {
	return slices.Index([]string{"deny", "warn", "dryrun", effectWaived}, effect)
}

// listen evaluates once more and answers for each reason the entry that it came
// from; nil where none was found. whole is false when not all could be watched.
func (e *Evaluator) listen(ctx context.Context, doc map[string]any, reasons []policy.ExplainedReason) (heard []*speech, whole bool) {
	heard = make([]*speech, len(reasons))
	w := newWatch(func(s *speech) bool {
		return slices.ContainsFunc(reasons, func(r policy.ExplainedReason) bool { return s.said(&r) })
	})
	err := e.watch(ctx, doc, w)
	for i := range reasons {
		for _, s := range w.heard {
			if s.said(&reasons[i]) && (heard[i] == nil || s.before(heard[i])) {
				heard[i] = s
			}
		}
		if heard[i] == nil && reasons[i].Code == codePolicyError {
			heard[i] = e.culprit(err)
		}
	}
	var broken *topdown.Error
	failed := err != nil && (!errors.As(err, &broken) || topdown.IsCancel(err))
	return heard, !failed && !w.full()
}

// said reports whether the entry is what a reason came from. A malformed entry is
// what its pack's policy error came from.
func (s *speech) said(r *policy.ExplainedReason) bool {
	switch {
	case r.Code == codePolicyError && r.Pack != "bondgate":
		return s.pack == r.Pack && !s.formed
	case r.Effect == effectWaived:
		return s.code == r.Code && s.term == r.Term
	default:
		return s.code == r.Code && s.term == r.Term && s.pack == r.Pack && s.message == r.Message
	}
}

// before orders entries that say the same by where they are written.
func (s *speech) before(o *speech) bool {
	a, b := s.rule.Loc(), o.rule.Loc()
	return a.File < b.File || a.File == b.File && a.Row < b.Row
}

// watch evaluates doc under the eyes of w. All bodies are evaluated, those too that
// an index would leave out: what they read kept them silent.
func (e *Evaluator) watch(ctx context.Context, doc map[string]any, w *watch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	input, err := e.input.value(doc)
	if err != nil {
		return err
	}
	cancel := topdown.NewCancel()
	stop := context.AfterFunc(ctx, cancel.Cancel)
	defer stop()
	_, err = e.query.Eval(ctx,
		rego.EvalParsedInput(input),
		rego.EvalExternalCancel(cancel),
		rego.EvalMetrics(metrics.NoOp()),
		rego.EvalRuleIndexing(false),
		rego.EvalQueryTracer(w),
	)
	return err
}

// culprit is the rule in which an evaluation failed.
func (e *Evaluator) culprit(err error) *speech {
	var broken *topdown.Error
	if !errors.As(err, &broken) || broken.Location == nil {
		return nil
	}
	var found *ast.Rule
	for _, r := range e.rules() {
		at := r.Loc()
		if at.File == broken.Location.File && at.Row <= broken.Location.Row && (found == nil || found.Loc().Row < at.Row) {
			found = r
		}
	}
	if found == nil {
		return nil
	}
	return &speech{rule: found, rules: []*ast.Rule{found}}
}

// rules are all rules of the bundle.
func (e *Evaluator) rules() []*ast.Rule {
	var out []*ast.Rule
	for _, m := range e.insight.compiler.Modules {
		out = append(out, m.Rules...)
	}
	return out
}

// describeReason adds what the METADATA of a reason's code says. A lifted reason
// does not name its pack: the first of the project's that knows the code is meant.
func (e *Evaluator) describeReason(r *policy.ExplainedReason, doc map[string]any) {
	for _, pack := range packsIn(doc) {
		name, _ := pack["name"].(string)
		if r.Pack != "" && name != r.Pack || e.facts.rules[name][r.Code] == nil {
			continue
		}
		if r.Pack == "" {
			r.Pack = name
			r.Mode, _ = pack["mode"].(string)
		}
		said := e.facts.rules[name][r.Code]
		r.Waivable, _ = said["waivable"].(bool)
		if r.Severity == "" {
			r.Severity, _ = said["severity"].(string)
		}
		if r.Remediation == "" {
			r.Remediation, _ = said["remediation"].(string)
		}
		break
	}
	for _, rule := range e.rules() {
		pack, ok := speaker(rule)
		if !ok || pack != r.Pack {
			continue
		}
		for _, a := range rule.Annotations {
			if a.Custom["code"] != r.Code {
				continue
			}
			r.Title, r.Description = a.Title, a.Description
			r.Owner, _ = a.Custom["owner"].(string)
			r.Links = nil
			for _, link := range a.RelatedResources {
				r.Links = append(r.Links, link.Ref.String())
			}
			return
		}
	}
}

// place says where the rule stands that made the entry.
func (e *Evaluator) place(r *policy.ExplainedReason, s *speech) {
	r.Rule = s.rule.Ref().GroundPrefix().String()
	if at := s.rule.Loc(); at != nil {
		r.File, r.Line = at.File, at.Row
	}
	if r.Message == "" {
		r.Message = s.message
	}
}

// packsIn are the packs that an input names.
func packsIn(doc map[string]any) []map[string]any {
	list, _ := trail{"project", "packs"}.get(doc)
	packs, _ := list.([]any)
	out := make([]map[string]any, 0, len(packs))
	for _, p := range packs {
		if pack, ok := p.(map[string]any); ok {
			out = append(out, pack)
		}
	}
	return out
}
