package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// How many decisions one call answers: by itself, and at most.
const (
	someDecisions = 20
	mostDecisions = 1000
)

// decisionFilters are the query parameters that say which decisions are meant.
var decisionFilters = []string{"since", "until", "project", "rule", "subject", "issuer", "action", "verdict"}

// decisionRoutes are the part of the table about the record of decisions.
func decisionRoutes() []route {
	const read, ok = policy.DecisionRead, http.StatusOK
	return []route{
		{method: http.MethodGet, pattern: "/decisions", action: read, resource: "decision", verb: "list", status: ok, query: slices.Concat(decisionFilters, []string{"limit", "after", "before"}), reply: replyOf[[]DecisionRecord](), plan: (*API).listDecisions},
		{method: http.MethodGet, pattern: "/decisions/export", action: read, resource: "decision", verb: "export", status: ok, query: decisionFilters, plan: (*API).exportDecisions},
		{method: http.MethodGet, pattern: "/decisions/verification", action: read, resource: "decision", verb: "verify", status: ok, reply: replyOf[Verification](), plan: (*API).verifyDecisions},
		{method: http.MethodGet, pattern: "/decisions/{decision}", action: read, resource: "decision", verb: "read", status: ok, plan: (*API).readDecision},
	}
}

func (a *API) listDecisions(c *call) (plan, error) {
	q, err := c.decisions()
	if err != nil {
		return plan{}, err
	}
	if q.Limit, err = c.number("limit", someDecisions, mostDecisions); err != nil {
		return plan{}, err
	}
	if q.After, err = c.cursor("after"); err != nil {
		return plan{}, err
	}
	if q.Before, err = c.cursor("before"); err != nil {
		return plan{}, err
	}
	return plan{
		project: q.Project,
		before:  map[string]any{"subject": q.Subject, "issuer": q.Issuer, "project": q.Project},
		do: func(ctx context.Context) (any, error) {
			records, err := a.cfg.Decisions.Tail(ctx, q)
			if err == nil {
				err = a.justify(ctx, q.Workspace, records)
			}
			for i := range records {
				c.veil(&records[i])
			}
			return list(records, err)
		},
	}, nil
}

// exportDecisions streams records with all that they were judged on. Whose records
// are meant is not told to the gate: an input holds more than its subject's own,
// so nobody exports by right of being the subject.
func (a *API) exportDecisions(c *call) (plan, error) {
	q, err := c.decisions()
	if err != nil {
		return plan{}, err
	}
	return plan{
		project: q.Project,
		before:  map[string]any{"project": q.Project},
		do: func(context.Context) (any, error) {
			return a.streamed(c, func(ctx context.Context, yield func(any) error) error {
				return a.cfg.Decisions.Export(ctx, q, yield)
			})
		},
	}, nil
}

// longestVerification bounds a verification, which reads all that is kept.
const longestVerification = time.Hour

// verifyDecisions is for the administrator alone: no project is named, and no
// subject that somebody could be.
func (a *API) verifyDecisions(*call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		if !a.verifying.TryLock() {
			return nil, fmt.Errorf("a verification is under way: %w", policy.ErrLimited)
		}
		defer a.verifying.Unlock()
		ctx, cancel := context.WithTimeout(ctx, longestVerification)
		defer cancel()
		return a.cfg.Decisions.Verify(ctx)
	}}, nil
}

// decisions reads the filters of a call.
func (c *call) decisions() (q DecisionQuery, err error) {
	q = DecisionQuery{
		Workspace: c.workspace(), Project: c.query("project"), Subject: c.query("subject"), Rule: c.query("rule"),
		Issuer: c.query("issuer"), Action: policy.Action(c.query("action")), Verdict: c.query("verdict"),
	}
	if q.Since, err = c.time("since"); err != nil {
		return q, err
	}
	if q.Until, err = c.time("until"); err != nil {
		return q, err
	}
	if q.Project != "" {
		if err := CheckProjectName(q.Project); err != nil {
			return q, err
		}
	}
	if q.Action != "" && !slices.Contains(policy.Actions(), q.Action) {
		return q, refuse("%s is not an action", show(string(q.Action)))
	}
	switch q.Verdict {
	case "", "allow", "deny", "outage":
		return q, nil
	}
	return q, refuse("a verdict is allow, deny or outage, not %s", show(q.Verdict))
}

// time reads a moment of the query; the zero time when it is not there.
func (c *call) time(name string) (time.Time, error) {
	s := c.query(name)
	if s == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return at, refuse("%s is a time such as 2026-11-21T10:00:00Z, not %s", name, show(s))
	}
	return at, nil
}

// cursor reads the place of a decision among all; 0 when it is not there.
func (c *call) cursor(name string) (int64, error) {
	s := c.query(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, refuse("%s is the cursor of a decision, not %s", name, show(s))
	}
	return n, nil
}

// readDecision answers a record to its own subject as far as the subject was told
// of it, and to auditors.
func (a *API) readDecision(c *call) (plan, error) {
	rec, p, err := a.explained(c, c.path("decision"))
	if err != nil {
		return p, err
	}
	p.do = func(context.Context) (any, error) {
		if !c.withholds(&rec) {
			return rec, nil
		}
		return withheld(rec)
	}
	return p, nil
}

// veil takes out of a list what its own subject was not to know: that something was
// found where the denial said that nothing is.
func (c *call) veil(rec *DecisionRecord) {
	who := c.caller.Principal
	if !rec.Visible && rec.Verdict != policy.Allow.String() && rec.Subject == who.ID && rec.Issuer == who.Issuer {
		rec.Digest = ""
	}
}
