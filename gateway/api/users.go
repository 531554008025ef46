package api

import (
	"context"
	"errors"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

func (a *API) listUsers(c *call) (plan, error) {
	return plan{do: func(ctx context.Context) (any, error) {
		return list(a.cfg.Accounts.Users(ctx, c.workspace()))
	}}, nil
}

func (a *API) readUser(c *call) (plan, error) {
	name := c.path("user")
	u, err := a.cfg.Accounts.User(c.r.Context(), c.workspace(), name)
	return plan{id: name, do: func(context.Context) (any, error) { return u, nil }}, err
}

func (a *API) createUser(c *call) (plan, error) {
	body, _ := c.body.(*NewUser)
	if err := CheckUserName(body.Name); err != nil {
		return plan{}, err
	}
	if err := CheckPassword(body.Password); err != nil {
		return plan{}, err
	}
	if err := checkEmail(body.Email); err != nil {
		return plan{}, err
	}
	if err := checkText("a real name", body.RealName, maxName); err != nil {
		return plan{}, err
	}
	u := User{Name: body.Name, Email: body.Email, RealName: body.RealName, Admin: body.Admin, Created: c.now}
	return plan{id: u.Name, after: userDoc(u), do: func(ctx context.Context) (any, error) {
		hash, err := a.cfg.Passwords.Hash(body.Password)
		if err != nil {
			return nil, err
		}
		if err := a.cfg.Accounts.CreateUser(ctx, c.workspace(), u, hash); err != nil {
			return nil, err
		}
		return u, nil
	}}, nil
}

func (a *API) setPassword(c *call) (plan, error) {
	body, _ := c.body.(*NewPassword)
	if err := CheckPassword(body.Password); err != nil {
		return plan{}, err
	}
	name := c.path("user")
	u, err := a.cfg.Accounts.User(c.r.Context(), c.workspace(), name)
	if err != nil {
		return plan{id: name}, err
	}
	return plan{id: name, before: userDoc(u), after: userDoc(u), do: func(ctx context.Context) (any, error) {
		hash, err := a.cfg.Passwords.Hash(body.Password)
		if err != nil {
			return nil, err
		}
		return nil, a.cfg.Credentials.SetPasswordHash(ctx, c.workspace(), name, hash)
	}}, nil
}

func (a *API) setDisabled(c *call) (plan, error) {
	body, _ := c.body.(*UserState)
	name := c.path("user")
	u, err := a.cfg.Accounts.User(c.r.Context(), c.workspace(), name)
	if errors.Is(err, policy.ErrNotFound) && a.harbor.People != nil {
		return a.setPersonDisabled(c, name, body.Disabled)
	}
	if err != nil {
		return plan{id: name}, err
	}
	after := u
	after.Disabled = body.Disabled
	return plan{id: name, before: userDoc(u), after: userDoc(after), do: func(ctx context.Context) (any, error) {
		return after, lastEnabled(a.cfg.Credentials.SetUserDisabled(ctx, c.workspace(), name, body.Disabled))
	}}, nil
}

// setPersonDisabled is for those whom somebody else vouches for: they are locked out
// here whatever is said there.
func (a *API) setPersonDisabled(c *call, name string, disabled bool) (plan, error) {
	was, err := a.harbor.People.PersonByName(c.r.Context(), c.workspace(), name)
	if err != nil {
		return plan{id: name}, err
	}
	now := was
	now.Disabled = disabled
	return plan{id: name, before: personDoc(was), after: personDoc(now), do: func(ctx context.Context) (any, error) {
		shown := User{Name: now.Name, Email: now.Email, RealName: now.RealName, Admin: now.SystemAdmin, Disabled: disabled, Created: now.Created}
		return shown, lastEnabled(a.harbor.Changes.SetPersonDisabled(ctx, c.workspace(), was.ID, disabled))
	}}, nil
}

func lastEnabled(err error) error {
	if errors.Is(err, policy.ErrConflict) {
		return errcode.New(errcode.Conflict, "the last enabled administrator cannot be disabled").Because(err)
	}
	return err
}

// userDoc is an account as rules and records see it: who and with what powers.
func userDoc(u User) map[string]any {
	return map[string]any{"name": u.Name, "email": u.Email, "admin": u.Admin, "disabled": u.Disabled}
}

// list makes an empty answer an empty list.
func list[T any](items []T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if items == nil {
		items = []T{}
	}
	return items, nil
}

func projectOf(p policy.Project) Project {
	return Project{Name: p.Name, Public: p.Public, Owner: p.Owner, Labels: p.Labels, Packs: p.Packs}
}
