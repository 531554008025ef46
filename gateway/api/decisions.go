package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/bondgate/bondgate/policy"
)

// How many decisions one call answers: by itself, and at most.
const (
	someDecisions = 20
	mostDecisions = 1000
)

// decisionRoutes are the part of the table about the record of decisions.
func decisionRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/decisions", action: policy.DecisionRead, resource: "decision", verb: "list", status: http.StatusOK, query: []string{"limit", "after", "project", "subject", "issuer", "action", "verdict"}, plan: (*API).listDecisions},
		{method: http.MethodGet, pattern: "/decisions/{decision}", action: policy.DecisionRead, resource: "decision", verb: "read", status: http.StatusOK, plan: (*API).readDecision},
	}
}

func (a *API) listDecisions(c *call) (plan, error) {
	limit, err := c.number("limit", someDecisions, mostDecisions)
	if err != nil {
		return plan{}, err
	}
	q := DecisionQuery{
		Workspace: c.workspace(), Project: c.query("project"), Subject: c.query("subject"),
		Issuer: c.query("issuer"), Action: policy.Action(c.query("action")), Verdict: c.query("verdict"), Limit: limit,
	}
	if s := c.query("after"); s != "" {
		if q.After, err = strconv.ParseInt(s, 10, 64); err != nil || q.After < 1 {
			return plan{}, refuse("after is the cursor of a decision, not %s", show(s))
		}
	}
	if q.Project != "" {
		if err := CheckProjectName(q.Project); err != nil {
			return plan{}, err
		}
	}
	if q.Action != "" && !slices.Contains(policy.Actions(), q.Action) {
		return plan{}, refuse("%s is not an action", show(string(q.Action)))
	}
	switch q.Verdict {
	case "", "allow", "deny", "outage":
	default:
		return plan{}, refuse("a verdict is allow, deny or outage, not %s", show(q.Verdict))
	}
	return plan{
		project: q.Project,
		before:  map[string]any{"subject": q.Subject, "issuer": q.Issuer, "project": q.Project},
		do: func(ctx context.Context) (any, error) {
			return list(a.cfg.Decisions.Tail(ctx, q))
		},
	}, nil
}

func (a *API) readDecision(c *call) (plan, error) {
	id := c.path("decision")
	rec, err := a.cfg.Decisions.Show(c.r.Context(), c.workspace(), id)
	if err != nil {
		return plan{project: nowhere(id).Name, id: id}, err
	}
	return plan{
		project: cmp.Or(rec.Project, nowhere(id).Name), id: id,
		before: map[string]any{
			"subject": rec.Subject, "issuer": rec.Issuer, "project": rec.Project, "repository": rec.Repository,
		},
		do: func(context.Context) (any, error) { return rec, nil },
	}, nil
}
