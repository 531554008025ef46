package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// waiverPlan is what the gate is asked about a change of a waiver: where it was, where
// it is to be, and in every project that it reaches.
func (a *API) waiverPlan(c *call, verb string, was, now *policy.Waiver) (plan, error) {
	p := plan{project: waiverProject(*now), id: now.ID, verb: verb}
	var err error
	if was != nil {
		// Where it was comes first: elsewhere it is not even told that it is there.
		if p.project = cmp.Or(waiverProject(*was), nowhere(now.ID).Name); p.project != waiverProject(*now) {
			p.also = []string{waiverProject(*now)}
		}
		if p.before, err = a.waiverDoc(c, was); err != nil {
			return p, err
		}
	}
	if p.after, err = a.waiverDoc(c, now); err != nil || waiverProject(*now) != "" {
		return p, err
	}
	more, err := a.reached(c, now)
	p.also = append(p.also, more...)
	return p, err
}

// reached are the projects in which a waiver for more than one has to be allowed too:
// those that it names; for one without a bound, all that have packs of their own. What
// a project asks of waivers is not dodged by naming another one with it.
func (a *API) reached(c *call, w *policy.Waiver) ([]string, error) {
	projects, bounded := w.Reach()
	if !bounded {
		all, err := a.cfg.Projects.Projects(c.r.Context(), c.workspace())
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			if len(p.Packs) > 0 {
				projects = append(projects, p.Name)
			}
		}
	}
	if len(projects) > mostProjects {
		return nil, refuse("the waiver reaches more than %d projects with rules of their own: name those that it is for", mostProjects)
	}
	return projects, nil
}

// waiverAt finds the waiver that a call names, with the plan to look at or remove it.
func (a *API) waiverAt(c *call, verb string) (policy.Waiver, plan, error) {
	id := c.path("waiver")
	p := plan{project: nowhere(id).Name, id: id, verb: verb}
	w, found, err := a.waiver(c, id)
	if err != nil {
		return w, plan{id: id, verb: verb}, err
	}
	if !found {
		if verb != "read" && slices.ContainsFunc(a.cfg.WaiverSources.FileWaivers(), func(w policy.Waiver) bool { return w.ID == id }) {
			return w, p, errcode.New(errcode.Conflict, fmt.Sprintf("waiver %s stands in a file of the bundle: change it there", id))
		}
		return w, p, fmt.Errorf("find waiver: %w", policy.ErrNotFound)
	}
	p.project = cmp.Or(waiverProject(w), p.project)
	p.before, err = a.waiverDoc(c, &w)
	return w, p, err
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

// readWaiver answers one of the database, or of the bundle where that has none of the
// id or the call asks for it: an id may stand in both.
func (a *API) readWaiver(c *call) (plan, error) {
	origin := c.query("origin")
	switch origin {
	case "", policy.WaiverOfAPI, policy.WaiverOfBundle:
	default:
		return plan{}, refuse("the origin of a waiver is api or bundle, not %s", show(origin))
	}
	w, p, err := a.waiverAt(c, "read")
	if origin == policy.WaiverOfBundle || origin == "" && errors.Is(err, policy.ErrNotFound) {
		w, p, err = a.fileWaiver(c)
	}
	p.do = func(context.Context) (any, error) { return shownWaiver(w, c.now, soon), nil }
	return p, err
}

func (a *API) fileWaiver(c *call) (w policy.Waiver, p plan, err error) {
	id := c.path("waiver")
	p = plan{project: nowhere(id).Name, id: id}
	all := a.cfg.WaiverSources.FileWaivers()
	i := slices.IndexFunc(all, func(w policy.Waiver) bool { return w.ID == id })
	if i < 0 {
		return w, p, fmt.Errorf("find waiver: %w", policy.ErrNotFound)
	}
	p.project = cmp.Or(waiverProject(all[i]), p.project)
	p.before, err = a.waiverDoc(c, &all[i])
	return all[i], p, err
}

// listWaivers answers those of the workspace and of the bundle; for a project those
// that are for it alone: what is for others too is the others' as well.
func (a *API) listWaivers(c *call) (plan, error) {
	within := soon
	if s := c.query("within"); s != "" {
		var err error
		if within, err = time.ParseDuration(s); err != nil || within < 0 {
			return plan{}, refuse("within is a span of time such as 168h, not %s", show(s))
		}
	}
	state := policy.WaiverStanding(c.query("state"))
	if state != "" && !slices.Contains(policy.WaiverStandings(), state) {
		return plan{}, refuse("a waiver is pending, active, expiring, expired or rejected, not %s", show(string(state)))
	}
	project := c.query("project")
	if project != "" {
		if err := CheckProjectName(project); err != nil {
			return plan{}, err
		}
	}
	return plan{project: project, do: func(ctx context.Context) (any, error) {
		all, err := a.cfg.Waivers.Waivers(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		out := []Waiver{}
		for _, w := range slices.Concat(all, a.cfg.WaiverSources.FileWaivers()) {
			shown := shownWaiver(w, c.now, within)
			if stands(shown.Standing, state) && (project == "" || waiverProject(w) == project) {
				out = append(out, shown)
			}
		}
		slices.SortStableFunc(out, func(a, b Waiver) int { return strings.Compare(a.ID, b.ID) })
		return out, nil
	}}, nil
}

// stands reports whether a waiver is listed: what is expiring is active still.
func stands(is, wanted policy.WaiverStanding) bool {
	return wanted == "" || is == wanted || wanted == policy.WaiverActive && is == policy.WaiverExpiring
}

func shownWaiver(w policy.Waiver, now time.Time, within time.Duration) Waiver {
	return Waiver{w, w.Standing(now.Truncate(time.Second), within)}
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

// waiverDoc is a waiver in the shape of the policy contract, with how far it has come.
func (a *API) waiverDoc(c *call, w *policy.Waiver) (map[string]any, error) {
	doc := map[string]any{
		"rule": w.Rule, "terms": orEmpty(w.Terms),
		"scope": map[string]any{
			"projects": orEmpty(w.Projects), "repositories": orEmpty(w.Repositories), "digests": orEmpty(w.Digests),
		},
		"reason": w.Reason, "ticket": w.Ticket, "owner": w.Owner, "approver": w.Approver,
		"requester": w.Requester, "requested_by": w.RequestedBy, "decided_by": w.DecidedBy,
		"state": string(w.State), "origin": w.Origin,
		"created": w.Created, "expires": w.Expires, "self_decided": nil,
	}
	if w.RequestedBy == "" || w.DecidedBy == "" {
		return doc, nil
	}
	one, err := a.cfg.WaiverSources.OnePerson(c.r.Context(), c.workspace(), identified(w.RequestedBy), identified(w.DecidedBy))
	doc["self_decided"] = one
	return doc, err
}

// identified is who an identity of [policy.Principal.Identity] names.
func identified(s string) policy.Principal {
	issuer, id, _ := strings.Cut(s, "#")
	return policy.Principal{Issuer: issuer, ID: id}
}

func orEmpty(in []string) []string {
	if in == nil {
		return []string{}
	}
	return in
}
