package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/bondgate/bondgate/policy"
)

// Shadow is the bundle that runs beside the one in force and decides nothing.
type Shadow interface {
	// ShadowReport tells what the shadow would have decided otherwise in a workspace,
	// or in one project of it.
	ShadowReport(ctx context.Context, workspace, project string) (policy.ShadowReport, error)
	// ResetShadow forgets it.
	ResetShadow(ctx context.Context, workspace string) error
}

// Inventory is what is stored, as it would be judged if it were pulled now.
type Inventory interface {
	// Inventory calls yield with each image of a workspace, or of one project of it,
	// and stops at the first error. Nothing is recorded for an image.
	Inventory(ctx context.Context, workspace, project string, yield func(InventoryImage) error) error
}

// InventoryImage is one image under one of its names, with what it would be judged
// on under purpose "audit": nobody asks, and only rules about content run.
type InventoryImage struct {
	// Kind is "image"; the last line of a list is of another kind.
	Kind       string `json:"kind"`
	Project    string `json:"project"`
	Owner      string `json:"owner,omitempty"`
	Repository string `json:"repository"`
	// Reference is a tag, or the digest for what an index alone refers to.
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	// Input is the document that is judged, and Packs are the project's own.
	Input json.RawMessage `json:"input"`
	Packs []policy.Pack   `json:"packs,omitempty"`
	// Now is what the bundle in force says of it; the zero decision where it could
	// not decide, and Outage then says why.
	Now    policy.Decision `json:"now"`
	Outage string          `json:"outage,omitempty"`
}

// policyRoutes are the part of the table about what other policy would decide.
func policyRoutes() []route {
	const admin, ok = policy.AdminAPI, http.StatusOK
	return []route{
		{method: http.MethodGet, pattern: "/policy/shadow", action: admin, resource: "policy", verb: "shadow", status: ok, query: []string{"project"}, reply: replyOf[policy.ShadowReport](), plan: (*API).shadowReport},
		{method: http.MethodDelete, pattern: "/policy/shadow", action: admin, resource: "policy", verb: "reset", status: ok, plan: (*API).resetShadow},
		{method: http.MethodGet, pattern: "/policy/inventory", action: admin, resource: "policy", verb: "audit", status: ok, query: []string{"project"}, plan: (*API).inventory},
	}
}

func (a *API) shadowReport(c *call) (plan, error) {
	project, p, err := a.ofProject(c)
	if err != nil {
		return p, err
	}
	p.do = func(ctx context.Context) (any, error) {
		return a.cfg.Shadow.ShadowReport(ctx, c.workspace(), project)
	}
	return p, nil
}

func (a *API) resetShadow(c *call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		return nil, a.cfg.Shadow.ResetShadow(ctx, c.workspace())
	}}, nil
}

func (a *API) inventory(c *call) (plan, error) {
	project, p, err := a.ofProject(c)
	if err != nil {
		return p, err
	}
	p.do = func(context.Context) (any, error) {
		return a.streamed(c, func(ctx context.Context, yield func(any) error) error {
			return a.cfg.Inventory.Inventory(ctx, c.workspace(), project, func(i InventoryImage) error { return yield(i) })
		})
	}
	return p, nil
}

// ofProject is the plan of a call about one project, or about all where the query
// names none: then it is the administrator's.
func (a *API) ofProject(c *call) (string, plan, error) {
	project := c.query("project")
	if project == "" {
		return "", plan{}, nil
	}
	if err := CheckProjectName(project); err != nil {
		return "", plan{}, err
	}
	_, err := a.cfg.Projects.Project(c.r.Context(), c.workspace(), project)
	return project, plan{project: project}, err
}
