package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Explainer says why the policy in force decides as it does.
type Explainer interface {
	// Explain judges an input that was recorded, with the project's own packs of then.
	Explain(ctx context.Context, input map[string]any, own []policy.Pack) (policy.Explanation, error)
	// Suppose is what a request would be judged on now. Nothing is recorded.
	Suppose(req policy.Request) (policy.Facts, error)
}

// ExplainedDecision is a decision with the reasons for it.
type ExplainedDecision struct {
	// Decision is the record, without its input; of a what-if, what would be recorded.
	Decision DecisionRecord `json:"decision"`
	// Supposed says that nobody asked for it: it is a what-if.
	Supposed bool `json:"supposed,omitempty"`
	// Explanation is what the bundle in force says of the same input; nil where it
	// cannot be judged again, and Unexplained says why.
	Explanation *policy.Explanation `json:"explanation" jsonschema:"nullable"`
	Unexplained string              `json:"unexplained,omitempty"`
	// SameBundle says that the bundle in force is the one that decided.
	SameBundle bool `json:"same_bundle"`
	// Differences are where the bundle in force says something else than was recorded.
	Differences []string `json:"differences,omitempty"`
	// Notes are what else has to be known.
	Notes []string `json:"notes,omitempty"`
}

// explainRoutes are the part of the table about why.
func explainRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/decisions/{decision}/explanation", action: policy.DecisionRead, resource: "decision", verb: "read", status: http.StatusOK, reply: replyOf[ExplainedDecision](), plan: (*API).explainDecision},
		{method: http.MethodPost, pattern: "/policy/explain", action: policy.AdminAPI, resource: "policy", verb: "explain", status: http.StatusOK, body: bodyOf[WhatIf](), reply: replyOf[ExplainedDecision](), plan: (*API).whatIf},
	}
}

func (a *API) explainDecision(c *call) (plan, error) {
	rec, p, err := a.explained(c, c.path("decision"))
	if err != nil {
		return p, err
	}
	p.do = func(ctx context.Context) (any, error) { return a.explain(ctx, c, rec) }
	return p, nil
}

// decisionID is what the id of a decision can look like.
var decisionID = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// explained looks a decision up, and says what the gate is to be asked. Its own
// subject may read it as far as the subject was told of it: what a denial hid is
// still hidden.
func (a *API) explained(c *call, id string) (DecisionRecord, plan, error) {
	if !decisionID.MatchString(id) {
		id = "-" // nobody's, and the gate is asked all the same
	}
	rec, err := a.cfg.Decisions.Show(c.r.Context(), c.workspace(), id)
	if err != nil {
		return rec, plan{project: nowhere(id).Name, id: id}, err
	}
	before := map[string]any{"project": rec.Project, "repository": rec.Repository}
	if rec.Visible || rec.Verdict == policy.Allow.String() {
		before["subject"], before["issuer"] = rec.Subject, rec.Issuer
	}
	return rec, plan{project: cmp.Or(rec.Project, nowhere(id).Name), id: id, before: before}, nil
}

// explain judges a record again, if that is possible.
func (a *API) explain(ctx context.Context, c *call, rec DecisionRecord) (ExplainedDecision, error) {
	out := ExplainedDecision{Decision: rec}
	out.Decision.Input, out.Decision.Packs = nil, nil
	switch {
	case rec.Verdict == outageVerdict:
		out.Unexplained = "no decision was possible, so there is nothing to explain"
		return out, nil
	case len(rec.Input) == 0:
		out.Unexplained = "its input was not kept, so it cannot be judged again; this is what was recorded"
		return out, nil
	case !rec.Replayable:
		out.Unexplained = "a part of its input is masked, so it cannot be judged again; this is what was recorded"
		return out, nil
	}
	input, err := inputOf(rec.Input)
	if err != nil {
		return out, fmt.Errorf("decision %s: %w", rec.ID, err)
	}
	x, err := a.whyOf(ctx, input, rec.Packs)
	if err != nil {
		return out, fmt.Errorf("explain decision %s: %w", rec.ID, err)
	}
	if c.withholds(&rec) {
		withoutWithheld(&x)
	}
	out.Explanation, out.SameBundle = &x, x.Revision == rec.Revision
	out.Differences = differences(rec, x.Decision)
	return out, nil
}

const outageVerdict = "outage"

// inputOf reads an input with its numbers as they were written.
func inputOf(raw json.RawMessage) (map[string]any, error) {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil || out == nil {
		return nil, errors.New("its input is no object")
	}
	return out, nil
}

// explainWait is how long somebody waits for their turn to have something explained.
const explainWait = 10 * time.Second

// whyOf asks the explainer, one at a time: an explanation costs as much as some
// hundred decisions, and must not take the cores from those.
func (a *API) whyOf(ctx context.Context, input map[string]any, own []policy.Pack) (policy.Explanation, error) {
	wait, cancel := context.WithTimeout(ctx, explainWait)
	defer cancel()
	select {
	case a.explaining <- struct{}{}:
	case <-wait.Done():
		return policy.Explanation{}, fmt.Errorf("wait for a turn: %w", policy.ErrUnavailable)
	}
	defer func() { <-a.explaining }()
	x, err := a.cfg.Explainer.Explain(ctx, input, own)
	x.Decision = listed(x.Decision)
	return x, err
}

// listed gives a decision an empty list for each that it has not: that is how the
// answer is described.
func listed(d policy.Decision) policy.Decision {
	d.Deny, d.Warn, d.Dryrun = orNone(d.Deny), orNone(d.Warn), orNone(d.Dryrun)
	d.Waived, d.Obligations, d.Granted = orNone(d.Waived), orNone(d.Obligations), orNone(d.Granted)
	return d
}

// differences says where a decision is another one now, in the order of the codes.
func differences(rec DecisionRecord, now policy.Decision) []string {
	var out []string
	if rec.Verdict != now.Verdict.String() {
		out = append(out, "the verdict was "+rec.Verdict+" and is "+now.Verdict.String()+" now")
	}
	then := map[string]map[string]bool{"deny": keysOf(rec.Deny), "warn": keysOf(rec.Warn), "dryrun": keysOf(rec.Dryrun), "waived": waivedKeys(rec.Waived)}
	current := map[string]map[string]bool{"deny": keysOf(now.Deny), "warn": keysOf(now.Warn), "dryrun": keysOf(now.Dryrun), "waived": waivedKeys(now.Waived)}
	for _, effect := range []string{"deny", "warn", "dryrun", "waived"} {
		var gone, come []string
		for key := range then[effect] {
			if !current[effect][key] {
				gone = append(gone, effect+" of "+key+" was recorded and is not there now")
			}
		}
		for key := range current[effect] {
			if !then[effect][key] {
				come = append(come, effect+" of "+key+" is there now and was not recorded")
			}
		}
		slices.Sort(gone)
		slices.Sort(come)
		out = append(append(out, gone...), come...)
	}
	return out
}

func keysOf(reasons []policy.Reason) map[string]bool {
	out := map[string]bool{}
	for _, r := range reasons {
		out[strings.TrimSpace(r.Code+" "+r.Term)] = true
	}
	return out
}

func waivedKeys(waived []policy.Waived) map[string]bool {
	out := map[string]bool{}
	for _, w := range waived {
		out[strings.TrimSpace(w.Code+" "+w.Term)] = true
	}
	return out
}

func orNone[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}
