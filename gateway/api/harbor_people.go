package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// HarborUser is Harbor's UserResp.
type HarborUser struct {
	UserID       int64     `json:"user_id"`
	Username     string    `json:"username"`
	Email        string    `json:"email"`
	RealName     string    `json:"realname"`
	Comment      string    `json:"comment"`
	SysadminFlag bool      `json:"sysadmin_flag"`
	AdminInAuth  bool      `json:"admin_role_in_auth"`
	Issuer       string    `json:"issuer"`
	Disabled     bool      `json:"disabled"`
	Created      time.Time `json:"creation_time"`
	Updated      time.Time `json:"update_time"`
}

// HarborUserCreation is Harbor's UserCreationReq.
type HarborUserCreation struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Email    string `json:"email,omitempty"`
	RealName string `json:"realname,omitempty"`
	Comment  string `json:"comment,omitempty"`
}

// HarborUserProfile is Harbor's UserProfile.
type HarborUserProfile struct {
	Email    string `json:"email,omitempty"`
	RealName string `json:"realname,omitempty"`
	Comment  string `json:"comment,omitempty"`
}

// HarborSysadminFlag is Harbor's UserSysAdminFlag.
type HarborSysadminFlag struct {
	SysadminFlag bool `json:"sysadmin_flag"`
}

// HarborPassword is Harbor's PasswordReq. An administrator who changes somebody
// else's needs no old password.
type HarborPassword struct {
	Old string `json:"old_password,omitempty"`
	New string `json:"new_password"`
}

// HarborUserFound is Harbor's UserSearchRespItem.
type HarborUserFound struct {
	UserID   int64  `json:"user_id"`
	Username string `json:"username"`
}

var personFields = []field[Person]{
	{"username", func(p Person) any { return p.Name }},
	{"user_id", func(p Person) any { return p.ID }},
	{"email", func(p Person) any { return p.Email }},
	{"realname", func(p Person) any { return p.RealName }},
	{"sysadmin_flag", func(p Person) any { return p.SystemAdmin }},
	{"creation_time", func(p Person) any { return p.Created }},
}

func harborUser(p Person) HarborUser {
	return HarborUser{
		UserID: p.ID, Username: p.Name, Email: p.Email, RealName: p.RealName, Comment: p.Comment,
		SysadminFlag: p.SystemAdmin, Issuer: p.Issuer, Disabled: p.Disabled, Created: p.Created, Updated: p.Updated,
	}
}

// personDoc is a person as rules and records see one.
func personDoc(p Person) map[string]any {
	return map[string]any{
		"name": p.Name, "issuer": p.Issuer, "subject": p.Subject, "email": p.Email, "admin": p.SystemAdmin, "disabled": p.Disabled,
	}
}

func (a *API) harborListUsers(c *call) (plan, error) {
	l, err := readListing(c)
	if err != nil {
		return plan{}, err
	}
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.People.People(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		return paged(l, all, "username", personFields, harborUser)
	}}, nil
}

func (a *API) harborSearchUsers(c *call) (plan, error) {
	name := c.query("username")
	if name == "" {
		return plan{}, refuse("username is required")
	}
	l, err := readListing(c)
	if err != nil {
		return plan{}, err
	}
	l.where = append(l.where, condition{field: "username", fuzzy: true, values: []string{name}})
	return plan{do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.People.People(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		return paged(l, all, "username", personFields, func(p Person) HarborUserFound { return HarborUserFound{p.ID, p.Name} })
	}}, nil
}

func (a *API) harborCreateUser(c *call) (plan, error) {
	body, _ := c.body.(*HarborUserCreation)
	c.body = &NewUser{Name: body.Username, Password: body.Password, Email: body.Email, RealName: body.RealName}
	if err := checkText("a comment", body.Comment, maxName); err != nil {
		return plan{}, err
	}
	p, err := a.createUser(c)
	make := p.do
	p.do = func(ctx context.Context) (any, error) {
		if _, err := make(ctx); err != nil {
			return nil, err
		}
		made, err := a.harbor.People.PersonByName(ctx, c.workspace(), body.Username)
		if err != nil {
			return nil, err
		}
		if body.Comment != "" {
			made.Comment = body.Comment
			if err := a.harbor.Changes.UpdatePerson(ctx, c.workspace(), made); err != nil {
				return nil, err
			}
		}
		return located(c, made.ID), nil
	}
	return p, err
}

// personOf is the person of the path.
func (a *API) personOf(c *call) (Person, error) {
	id, err := c.id("user_id")
	if err != nil {
		return Person{}, err
	}
	return a.harbor.People.PersonByID(c.r.Context(), c.workspace(), id)
}

func (a *API) harborReadUser(c *call) (plan, error) {
	p, err := a.personOf(c)
	return plan{id: cmp.Or(p.Name, c.path("user_id")), before: personDoc(p), do: func(context.Context) (any, error) {
		return harborUser(p), nil
	}}, err
}

func (a *API) harborUpdateUser(c *call) (plan, error) {
	body, _ := c.body.(*HarborUserProfile)
	if err := errors.Join(checkEmail(body.Email), checkText("a real name", body.RealName, maxName), checkText("a comment", body.Comment, maxName)); err != nil {
		return plan{}, err
	}
	was, err := a.personOf(c)
	if err != nil {
		return plan{id: c.path("user_id")}, err
	}
	now := was
	now.Email, now.RealName, now.Comment = body.Email, body.RealName, body.Comment
	return plan{id: was.Name, before: personDoc(was), after: personDoc(now), do: func(ctx context.Context) (any, error) {
		return done, a.harbor.Changes.UpdatePerson(ctx, c.workspace(), now)
	}}, nil
}

func (a *API) harborDeleteUser(c *call) (plan, error) {
	was, err := a.personOf(c)
	if err != nil {
		return plan{id: c.path("user_id")}, err
	}
	return plan{id: was.Name, before: personDoc(was), do: func(ctx context.Context) (any, error) {
		err := a.harbor.Changes.DeletePerson(ctx, c.workspace(), was.ID)
		return done, lastAdmin(err)
	}}, nil
}

func (a *API) harborSetSysadmin(c *call) (plan, error) {
	body, _ := c.body.(*HarborSysadminFlag)
	was, err := a.personOf(c)
	if err != nil {
		return plan{id: c.path("user_id")}, err
	}
	now := was
	now.SystemAdmin = body.SysadminFlag
	return plan{id: was.Name, before: personDoc(was), after: personDoc(now), do: func(ctx context.Context) (any, error) {
		err := a.harbor.Changes.SetPersonAdmin(ctx, c.workspace(), was.ID, body.SysadminFlag)
		return done, lastAdmin(err)
	}}, nil
}

func (a *API) harborSetPassword(c *call) (plan, error) {
	body, _ := c.body.(*HarborPassword)
	if err := CheckPassword(body.New); err != nil {
		return plan{}, err
	}
	was, err := a.personOf(c)
	if err != nil {
		return plan{id: c.path("user_id")}, err
	}
	if was.Issuer != policy.LocalIssuer {
		return plan{id: was.Name, before: personDoc(was)}, refuse("the password of %s is kept by %s", was.Name, was.Issuer)
	}
	return plan{id: was.Name, before: personDoc(was), after: personDoc(was), do: func(ctx context.Context) (any, error) {
		hash, err := a.cfg.Passwords.Hash(body.New)
		if err != nil {
			return nil, err
		}
		return done, a.cfg.Credentials.SetPasswordHash(ctx, c.workspace(), was.Name, hash)
	}}, nil
}

// harborCurrentUser answers who asks, as far as there is a person behind it.
func (a *API) harborCurrentUser(c *call) (plan, error) {
	who := c.caller.Principal
	return plan{id: who.ID, do: func(ctx context.Context) (any, error) {
		view, err := a.harbor.View.View()
		if err != nil {
			return nil, err
		}
		subject := view.Subject(who, "", c.now)
		u := HarborUser{Username: who.Label(), Issuer: who.Issuer, SysadminFlag: hasRole(subject, "admin")}
		if who.Kind != policy.KindUser {
			return u, nil
		}
		p, err := a.harbor.People.PersonBySubject(ctx, c.workspace(), who.Issuer, who.ID)
		switch {
		case errors.Is(err, policy.ErrNotFound):
			return u, nil
		case err != nil:
			return nil, err
		}
		u = harborUser(p)
		u.AdminInAuth = !p.SystemAdmin && hasRole(subject, "admin")
		return u, nil
	}}, nil
}

func hasRole(s policy.Subject, role string) bool { return slices.Contains(s.Roles, role) }

// lastAdmin puts the store's refusal into words.
func lastAdmin(err error) error {
	if errors.Is(err, policy.ErrConflict) {
		return errcode.New(errcode.Conflict, "a workspace keeps one enabled administrator").Because(err)
	}
	return err
}
