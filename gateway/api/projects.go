package api

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

func (a *API) listProjects(c *call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.cfg.Projects.Projects(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		all, err = inSight(a, c, all, func(p policy.Project) policy.Project { return p })
		out := make([]Project, 0, len(all))
		for _, p := range all {
			out = append(out, projectOf(p))
		}
		return out, err
	}}, nil
}

func (a *API) readProject(c *call) (plan, error) {
	name := c.path("project")
	if err := CheckProjectName(name); err != nil {
		return plan{}, err
	}
	p, err := a.cfg.Projects.Project(c.r.Context(), c.workspace(), name)
	return plan{project: name, id: name, do: func(ctx context.Context) (any, error) {
		return a.shown(ctx, c, projectOf(p))
	}}, err
}

// shown is a project with what is kept beside it.
func (a *API) shown(ctx context.Context, c *call, p Project) (Project, error) {
	if a.cfg.Harbor == nil {
		return p, nil
	}
	d, err := a.harbor.Projects.ProjectDetail(ctx, c.workspace(), p.Name)
	p.Description, p.Policies = d.Description, d.Policies
	return p, err
}

// described keeps a project's description and policies, where a change names them.
func (a *API) described(ctx context.Context, c *call, name string, change *ProjectChange) error {
	if change.Description == nil && change.Policies == nil {
		return nil
	}
	d, err := a.harbor.Projects.ProjectDetail(ctx, c.workspace(), name)
	if err != nil {
		return err
	}
	if change.Description != nil {
		d.Description = *change.Description
	}
	if change.Policies != nil {
		d.Policies = *change.Policies
	}
	return a.harbor.Projects.UpdateProjectDetail(ctx, c.workspace(), d)
}

// policyKeys are the policies that a project file knows, and what their values are.
var policyKeys = map[string]func(any) bool{
	"vulnerability_scanning":    isBool,
	"prevent_vulnerable_images": isBool,
	"auto_scan_on_push":         isBool,
	"auto_sbom_on_push":         isBool,
	"content_trust":             oneOf("required", "optional", "off"),
	"severity_threshold":        oneOf("none", "low", "medium", "high", "critical"),
}

func isBool(v any) bool { _, ok := v.(bool); return ok }

func oneOf(words ...string) func(any) bool {
	return func(v any) bool {
		s, ok := v.(string)
		return ok && slices.Contains(words, strings.ToLower(s))
	}
}

func checkDescription(a *API, change *ProjectChange) error {
	if (change.Description != nil || change.Policies != nil) && a.cfg.Harbor == nil {
		return refuse("a description and policies are not kept here")
	}
	if change.Description != nil {
		if err := checkText("a description", *change.Description, maxText); err != nil {
			return err
		}
	}
	if change.Policies == nil {
		return nil
	}
	for key, value := range *change.Policies {
		fits := policyKeys[key]
		if fits == nil {
			return refuse("no policy is called %s", show(key))
		}
		if !fits(value) {
			return refuse("the policy %s has no such value", key)
		}
	}
	return nil
}

func (a *API) createProject(c *call) (plan, error) {
	body, _ := c.body.(*NewProject)
	p := policy.Project{
		Workspace: c.workspace(), Name: body.Name, Public: body.Public,
		Owner: body.Owner, Labels: body.Labels, Packs: body.Packs,
	}
	if err := checkProject(p); err != nil {
		return plan{}, err
	}
	if p.Owner == "" {
		p.Owner = c.caller.Principal.ID
	}
	return plan{project: p.Name, id: p.Name, after: projectOf(p), do: func(ctx context.Context) (any, error) {
		if err := a.cfg.Projects.CreateProject(ctx, p); err != nil {
			return nil, err
		}
		return projectOf(p), nil
	}}, nil
}

func (a *API) updateProject(c *call) (plan, error) {
	body, _ := c.body.(*ProjectChange)
	name := c.path("project")
	if err := errors.Join(CheckProjectName(name), checkDescription(a, body)); err != nil {
		return plan{}, err
	}
	was, err := a.cfg.Projects.Project(c.r.Context(), c.workspace(), name)
	if err != nil {
		return plan{project: name, id: name}, err
	}
	now := was
	if body.Public != nil {
		now.Public = *body.Public
	}
	if body.Owner != nil {
		now.Owner = *body.Owner
	}
	if body.Labels != nil {
		now.Labels = maps.Clone(*body.Labels)
	}
	if body.Packs != nil {
		now.Packs = *body.Packs
	}
	if err := checkProject(now); err != nil {
		return plan{project: name, id: name}, err
	}
	after := projectOf(now)
	if body.Description != nil {
		after.Description = *body.Description
	}
	if body.Policies != nil {
		after.Policies = *body.Policies
	}
	return plan{
		project: name, id: name, before: projectOf(was), after: after,
		do: func(ctx context.Context) (any, error) {
			a.one.Lock()
			defer a.one.Unlock()
			if err := a.unchanged(ctx, was); err != nil {
				return nil, err
			}
			if err := a.cfg.Projects.UpdateProject(ctx, now); err != nil {
				return nil, err
			}
			if err := a.described(ctx, c, name, body); err != nil {
				return nil, err
			}
			return a.shown(ctx, c, projectOf(now))
		},
	}, nil
}

// unchanged fails unless the project is what it was when the change of it was
// judged: a change that is written over another one would take it back, and the
// record would not say so.
func (a *API) unchanged(ctx context.Context, was policy.Project) error {
	now, err := a.cfg.Projects.Project(ctx, was.Workspace, was.Name)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(now, was) {
		return errcode.New(errcode.Conflict, "the project was changed meanwhile; try again")
	}
	return nil
}

func checkProject(p policy.Project) error {
	if err := CheckProjectName(p.Name); err != nil {
		return err
	}
	if err := checkText("an owner", p.Owner, maxName); err != nil {
		return err
	}
	if err := checkLabels(p.Labels); err != nil {
		return err
	}
	return checkPacks(p.Packs)
}
