package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// Link says that a person is one with a main person, both by number.
type Link struct{ Person, Main int64 }

// Links are the people of a workspace who are one with another. A chain of links,
// a second link of somebody, and a main person who is disabled are
// [policy.ErrConflict].
type Links interface {
	Links(ctx context.Context, workspace string) ([]Link, error)
	LinkPerson(ctx context.Context, workspace string, person, main int64) error
	UnlinkPerson(ctx context.Context, workspace string, person int64) error
}

// KnownPerson is somebody whom the workspace knows, whoever vouches for it.
type KnownPerson struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	// LinkedTo is the name of the person whom this one is one with.
	LinkedTo *string `json:"linked_to" jsonschema:"nullable"`
	Admin    bool    `json:"admin"`
	Disabled bool    `json:"disabled"`
	// Seen is the last login by an issuer; null for never, and for local people.
	Seen *time.Time `json:"seen" jsonschema:"nullable"`
}

// NewLink names whom a person is to be one with.
type NewLink struct {
	Main string `json:"main"`
}

func knownPerson(p Person, main *string) KnownPerson {
	return KnownPerson{
		ID: p.ID, Name: p.Name, Issuer: p.Issuer, Subject: p.Subject, LinkedTo: main,
		Admin: p.SystemAdmin, Disabled: p.Disabled, Seen: orNil(p.Updated),
	}
}

// linkDoc is a person with its link as rules and records see it.
func linkDoc(p Person, main *Person) map[string]any {
	doc := personDoc(p)
	doc["linked_to"] = nil
	if main != nil {
		doc["linked_to"] = personDoc(*main)
	}
	return doc
}

func (a *API) listPeople(c *call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.People.People(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		links, err := a.harbor.Links.Links(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		names, mains := map[int64]string{}, map[int64]int64{}
		for _, p := range all {
			names[p.ID] = p.Name
		}
		for _, l := range links {
			mains[l.Person] = l.Main
		}
		out := make([]KnownPerson, 0, len(all))
		for _, p := range all {
			var main *string
			if name, ok := names[mains[p.ID]]; ok {
				main = &name
			}
			out = append(out, knownPerson(p, main))
		}
		return out, nil
	}}, nil
}

// linked is the person of a path, and whom it is one with; nil for nobody.
func (a *API) linked(c *call) (p Person, main *Person, err error) {
	ctx := c.r.Context()
	if p, err = a.harbor.People.PersonByName(ctx, c.workspace(), c.path("user")); err != nil {
		return p, nil, err
	}
	links, err := a.harbor.Links.Links(ctx, c.workspace())
	i := slices.IndexFunc(links, func(l Link) bool { return l.Person == p.ID })
	if err != nil || i < 0 {
		return p, nil, err
	}
	m, err := a.harbor.People.PersonByID(ctx, c.workspace(), links[i].Main)
	return p, &m, err
}

func (a *API) linkPerson(c *call) (plan, error) {
	body, _ := c.body.(*NewLink)
	p, was, err := a.linked(c)
	if err != nil {
		return plan{id: c.path("user")}, err
	}
	asked := plan{id: p.Name, before: linkDoc(p, was)}
	main, err := a.harbor.People.PersonByName(c.r.Context(), c.workspace(), body.Main)
	if errors.Is(err, policy.ErrNotFound) {
		return asked, refuse("nobody is called %s", show(body.Main))
	}
	if err != nil {
		return asked, err
	}
	asked.after = linkDoc(p, &main)
	asked.do = func(ctx context.Context) (any, error) {
		err := a.harbor.Links.LinkPerson(ctx, c.workspace(), p.ID, main.ID)
		switch {
		case errors.Is(err, policy.ErrConflict):
			err = errcode.New(errcode.Conflict, "a person has one link, to somebody who has none and is enabled").Because(err)
		case errors.Is(err, policy.ErrInvalid):
			err = errcode.New(errcode.BadRequest, "nobody is linked to itself").Because(err)
		}
		return knownPerson(p, &main.Name), err
	}
	return asked, nil
}

func (a *API) unlinkPerson(c *call) (plan, error) {
	p, was, err := a.linked(c)
	if err != nil {
		return plan{id: c.path("user")}, err
	}
	asked := plan{id: p.Name, before: linkDoc(p, was), after: linkDoc(p, nil)}
	if was == nil {
		return asked, fmt.Errorf("find the link of %s: %w", show(p.Name), policy.ErrNotFound)
	}
	asked.do = func(ctx context.Context) (any, error) {
		return nil, a.harbor.Links.UnlinkPerson(ctx, c.workspace(), p.ID)
	}
	return asked, nil
}

// KnownGroup is a group of a directory or an identity provider.
type KnownGroup struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Issuer string `json:"issuer"`
	DN     string `json:"dn,omitempty"`
	// Admin says that whoever is in it is an administrator of the workspace.
	Admin bool `json:"admin"`
}

// GroupState says whether whoever is in a group is an administrator.
type GroupState struct {
	Admin bool `json:"admin"`
}

func knownGroup(g Group) KnownGroup {
	return KnownGroup{ID: g.ID, Name: g.Name, Issuer: g.Issuer, DN: g.DN, Admin: g.Admin}
}

func (a *API) listGroups(c *call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.Groups.Groups(ctx, c.workspace())
		out := make([]KnownGroup, 0, len(all))
		for _, g := range all {
			out = append(out, knownGroup(g))
		}
		return out, err
	}}, nil
}

func (a *API) setGroupAdmin(c *call) (plan, error) {
	body, _ := c.body.(*GroupState)
	id, err := c.id("group_id")
	if err != nil {
		return plan{}, err
	}
	all, err := a.harbor.Groups.Groups(c.r.Context(), c.workspace())
	if err != nil {
		return plan{}, err
	}
	i := slices.IndexFunc(all, func(g Group) bool { return g.ID == id })
	if i < 0 {
		return plan{}, fmt.Errorf("find group %d: %w", id, policy.ErrNotFound)
	}
	now := all[i]
	now.Admin = body.Admin
	return plan{id: now.Name, before: groupDoc(all[i]), after: groupDoc(now), do: func(ctx context.Context) (any, error) {
		return knownGroup(now), a.harbor.Groups.SetGroupAdmin(ctx, c.workspace(), id, body.Admin)
	}}, nil
}
