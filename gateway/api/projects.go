package api

import (
	"context"
	"maps"
	"reflect"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

func (a *API) listProjects(c *call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.cfg.Projects.Projects(ctx, c.workspace())
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
	return plan{project: name, id: name, do: func(context.Context) (any, error) { return projectOf(p), nil }}, err
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
	if err := CheckProjectName(name); err != nil {
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
		return plan{}, err
	}
	return plan{
		project: name, id: name, before: projectOf(was), after: projectOf(now),
		do: func(ctx context.Context) (any, error) {
			a.one.Lock()
			defer a.one.Unlock()
			if err := a.unchanged(ctx, was); err != nil {
				return nil, err
			}
			if err := a.cfg.Projects.UpdateProject(ctx, now); err != nil {
				return nil, err
			}
			return projectOf(now), nil
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
