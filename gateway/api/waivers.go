package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// waiverRoutes are the part of the table about waivers.
func waiverRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/waivers", action: policy.AdminAPI, resource: "waiver", verb: "list", status: http.StatusOK, plan: (*API).listWaivers},
		{method: http.MethodPost, pattern: "/waivers", action: policy.AdminAPI, resource: "waiver", verb: "create", status: http.StatusCreated, body: bodyOf[NewWaiver](), plan: (*API).createWaiver},
		{method: http.MethodDelete, pattern: "/waivers/{waiver}", action: policy.AdminAPI, resource: "waiver", verb: "delete", status: http.StatusOK, plan: (*API).deleteWaiver},
	}
}

func (a *API) listWaivers(c *call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		return list(a.cfg.Waivers.Waivers(ctx, c.workspace()))
	}}, nil
}

func (a *API) createWaiver(c *call) (plan, error) {
	body, _ := c.body.(*NewWaiver)
	w := policy.Waiver{
		ID: body.ID, Workspace: c.workspace(), Rule: body.Rule, Terms: body.Terms,
		Projects: body.Projects, Repositories: body.Repositories, Digests: body.Digests,
		Reason: body.Reason, Ticket: body.Ticket, Owner: body.Owner, Approver: body.Approver,
		Created: c.now, Expires: body.Expires.UTC(), State: policy.WaiverApproved, Origin: policy.WaiverOfAPI,
	}
	if w.ID == "" {
		w.ID = fmt.Sprintf("W-%d-%s", c.now.Year(), strings.ToLower(rand.Text()[:8]))
	}
	if w.Owner == "" {
		w.Owner = c.caller.Principal.ID
	}
	if err := checkWaiver(w); err != nil {
		return plan{}, err
	}
	p := plan{project: waiverProject(w), id: w.ID, after: waiverDoc(w)}
	if _, found, err := a.waiver(c, w.ID); err != nil {
		return p, err
	} else if found {
		return p, fmt.Errorf("make waiver %s: %w", w.ID, policy.ErrConflict)
	}
	p.do = func(ctx context.Context) (any, error) {
		a.one.Lock()
		defer a.one.Unlock()
		// Somebody may have taken the id since it was looked up.
		if _, found, err := a.waiver(c, w.ID); err != nil {
			return nil, err
		} else if found {
			return nil, fmt.Errorf("make waiver %s: %w", w.ID, policy.ErrConflict)
		}
		return w, a.cfg.Waivers.PutWaiver(ctx, w)
	}
	return p, nil
}

func (a *API) deleteWaiver(c *call) (plan, error) {
	id := c.path("waiver")
	w, found, err := a.waiver(c, id)
	if err != nil {
		return plan{id: id}, err
	}
	if !found {
		return plan{project: nowhere(id).Name, id: id}, fmt.Errorf("find waiver: %w", policy.ErrNotFound)
	}
	return plan{project: cmp.Or(waiverProject(w), nowhere(id).Name), id: id, before: waiverDoc(w), do: func(ctx context.Context) (any, error) {
		return nil, a.cfg.Waivers.DeleteWaiver(ctx, c.workspace(), id)
	}}, nil
}

func (a *API) waiver(c *call, id string) (policy.Waiver, bool, error) {
	all, err := a.cfg.Waivers.Waivers(c.r.Context(), c.workspace())
	if err != nil {
		return policy.Waiver{}, false, err
	}
	i := slices.IndexFunc(all, func(w policy.Waiver) bool { return w.ID == id })
	if i < 0 {
		return policy.Waiver{}, false, nil
	}
	return all[i], true, nil
}

func checkWaiver(w policy.Waiver) error {
	switch {
	case !waiverID.MatchString(w.ID):
		return refuse("a waiver's id is 1 to 64 letters, digits and . _ -: %s", show(w.ID))
	case !ruleCode.MatchString(w.Rule):
		return refuse("a waiver names the code of a rule, such as image.root_user: %s", show(w.Rule))
	case w.Owner == "":
		return refuse("a waiver has an owner")
	case w.Expires.IsZero():
		return refuse("a waiver has an end: expires")
	case !w.Expires.After(w.Created):
		return refuse("the waiver has expired already")
	}
	for _, p := range w.Projects {
		if err := CheckProjectName(p); err != nil {
			return err
		}
	}
	for what, texts := range map[string][]string{
		"a term": w.Terms, "a repository": w.Repositories,
		"an owner, an approver, a ticket": {w.Owner, w.Approver, w.Ticket}, "a reason": {w.Reason},
	} {
		for _, s := range texts {
			if err := checkText(what, s, maxText); err != nil {
				return err
			}
		}
	}
	return checkDigests(w.Digests)
}

// waiverProject is the one project that a waiver can touch, in which its
// caller's roles count; empty for a waiver that reaches further.
func waiverProject(w policy.Waiver) string {
	project := ""
	if len(w.Projects) == 1 {
		project = w.Projects[0]
	}
	if project == "" {
		return ""
	}
	for _, r := range w.Repositories {
		if r != project && !strings.HasPrefix(r, project+"/") {
			return ""
		}
	}
	return project
}

// waiverDoc is a waiver in the shape of the policy contract.
func waiverDoc(w policy.Waiver) map[string]any {
	return map[string]any{
		"rule": w.Rule, "terms": orEmpty(w.Terms),
		"scope": map[string]any{
			"projects": orEmpty(w.Projects), "repositories": orEmpty(w.Repositories), "digests": orEmpty(w.Digests),
		},
		"reason": w.Reason, "ticket": w.Ticket, "owner": w.Owner, "approver": w.Approver,
		"created": w.Created, "expires": w.Expires,
	}
}

func orEmpty(in []string) []string {
	if in == nil {
		return []string{}
	}
	return in
}
