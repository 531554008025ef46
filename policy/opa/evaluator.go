package opa

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// Evaluator is one compiled revision of policy. It is immutable and safe for
// concurrent use; [Compile] makes it.
type Evaluator struct {
	revision string
	query    rego.PreparedEvalQuery
	facts    *facts
	base     map[string]basePack
	defaults []policy.Pack
	reads    []string
	input    projection
	waivers  *policy.WaiverSet
	insight  *insight
	log      *LogRules
	warnings []string
	// fileWaivers are those that waivers are filed from.
	fileWaivers []policy.Waiver
}

var _ policy.Evaluator = (*Evaluator)(nil)

// Revision names the bundle.
func (e *Evaluator) Revision() string { return e.revision }

// Reads lists the dotted paths of the input that the bundle can read, the same
// for every action; nil for all of it. The answer is shared: each record of a
// decision holds it.
func (e *Evaluator) Reads(policy.Action) []string { return e.reads }

// Waivers are those of the bundle's own files that match and are in force.
func (e *Evaluator) Waivers(repo policy.Repository, d digest.Digest, at time.Time) []policy.Waiver {
	return e.waivers.Match(repo, d, at)
}

// Decide evaluates the bundle on the facts, as [Evaluator.DecideInput] does on their document.
func (e *Evaluator) Decide(ctx context.Context, f policy.Facts) (policy.Decision, error) {
	return e.DecideInput(ctx, policy.Document(f))
}

// DecideInput evaluates the bundle on an input as it was recorded. What a rule does wrong, always in
// the same way, is a denial (bondgate.policy_error); being cut short or a panic
// is no decision and fails with [policy.ErrUnavailable].
func (e *Evaluator) DecideInput(ctx context.Context, doc map[string]any) (policy.Decision, error) {
	value, err := e.eval(ctx, doc)
	var broken *topdown.Error
	switch {
	case err == nil:
	case ctx.Err() != nil || topdown.IsCancel(err):
		return policy.Decision{}, fmt.Errorf("evaluate policy %s: cut short: %w: %w", e.revision, err, policy.ErrUnavailable)
	case errors.As(err, &broken):
		return e.refuse(sayError(broken)), nil
	default:
		return policy.Decision{}, fmt.Errorf("evaluate policy %s: %w: %w", e.revision, err, policy.ErrUnavailable)
	}
	d, err := decisionOf(value)
	if err != nil {
		return e.refuse(err.Error()), nil
	}
	d.Revision = e.revision
	return d, nil
}

// eval answers the decision document, nil when it is undefined.
func (e *Evaluator) eval(ctx context.Context, doc map[string]any) (value ast.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	input, err := e.input.value(doc)
	if err != nil {
		return nil, err
	}
	// The library's own watch on ctx is a goroutine for each evaluation; this is
	// one only if the deadline comes.
	cancel := topdown.NewCancel()
	stop := context.AfterFunc(ctx, cancel.Cancel)
	defer stop()
	rs, err := e.query.Eval(ctx,
		rego.EvalParsedInput(input),
		rego.EvalExternalCancel(cancel),
		rego.EvalMetrics(metrics.NoOp()),
	)
	if err != nil {
		return nil, err
	}
	if len(rs) != 1 || len(rs[0].Expressions) != 1 {
		return nil, nil
	}
	value, _ = rs[0].Expressions[0].Value.(ast.Value)
	return value, nil
}

// refuse is the answer of a policy that gave none.
func (e *Evaluator) refuse(why string) policy.Decision {
	r := policy.Reason{
		Code: codePolicyError, Pack: "bondgate", Mode: string(policy.ModeDeny), Severity: "critical",
		Message:     "the policy gave no valid answer: " + why,
		Remediation: "The operator has to repair the policy.",
	}
	return policy.Decision{
		Verdict: policy.Deny, Deny: []policy.Reason{r}, Visible: true, Revision: e.revision,
		Message: "[" + r.Code + "] " + r.Message,
	}
}

const codePolicyError = "bondgate.policy_error"

// sayError tells where a rule failed, without the values that it failed on:
// they may be none of the reader's business.
func sayError(err *topdown.Error) string {
	if err.Location == nil {
		return err.Code
	}
	return fmt.Sprintf("%s at %s:%d", err.Code, err.Location.File, err.Location.Row)
}
