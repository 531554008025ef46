package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// Bounds on access tokens.
const (
	maxTokens    = 100
	maxTokenDays = 365
)

// TokenScope is what an access token reaches: a project, or the repositories of it
// that a pattern names, and the rights there.
type TokenScope struct {
	Project      string   `json:"project"`
	Repositories string   `json:"repositories,omitempty"`
	Rights       []string `json:"rights" jsonschema:"enum=pull,enum=push,enum=delete,enum=list,enum=members,enum=manage"`
}

// PersonalToken is an access token without its secret.
type PersonalToken struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Owner string `json:"owner"`
	// Scopes is null for a token that reaches as far as its owner.
	Scopes   []TokenScope `json:"scopes" jsonschema:"nullable"`
	Created  time.Time    `json:"created"`
	Expires  *time.Time   `json:"expires" jsonschema:"nullable"`
	LastUsed *time.Time   `json:"last_used" jsonschema:"nullable"`
}

// NewPersonalToken is a token to be made. Without scopes it reaches as far as its
// owner; without days it lives for 30.
type NewPersonalToken struct {
	Name   string       `json:"name"`
	Scopes []TokenScope `json:"scopes,omitempty"`
	Days   int          `json:"days,omitempty"`
}

// PersonalTokenMade is the one time that the secret is shown.
type PersonalTokenMade struct {
	PersonalToken
	Secret string `json:"secret"`
}

func personalToken(t AccessToken) PersonalToken {
	out := PersonalToken{ID: t.ID, Name: t.Name, Owner: t.OwnerName, Created: t.Created, Expires: orNil(t.Expires), LastUsed: orNil(t.LastUsed)}
	if t.Limited {
		out.Scopes = []TokenScope{}
		for _, g := range t.Limits {
			out.Scopes = append(out.Scopes, TokenScope(g))
		}
	}
	return out
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// tokenDoc is a token as rules and records see it.
func tokenDoc(t AccessToken) map[string]any {
	doc := map[string]any{"name": t.Name, "owner": t.Owner, "issuer": t.Issuer, "scopes": nil, "expires": nil}
	if t.Limited {
		doc["scopes"] = t.Limits
	}
	if !t.Expires.IsZero() {
		doc["expires"] = t.Expires.UTC().Format(time.RFC3339)
	}
	return doc
}

// tokenOwner is whose tokens a call is about: the caller's, or those of the person
// whom it names, which the gate lets nobody but an administrator do.
func (a *API) tokenOwner(c *call) (AccessToken, error) {
	who := c.caller.Principal
	t := AccessToken{Issuer: who.Issuer, Owner: who.ID, OwnerName: who.Label()}
	if name := c.query("user"); name != "" {
		p, err := a.harbor.People.PersonByName(c.r.Context(), c.workspace(), name)
		return AccessToken{Issuer: p.Issuer, Owner: p.Subject, OwnerName: p.Name}, err
	}
	if who.Kind != policy.KindUser {
		return t, refuse("only people have access tokens; name one with user=")
	}
	return t, nil
}

func (a *API) listTokens(c *call) (plan, error) {
	owner, err := a.tokenOwner(c)
	return plan{before: tokenDoc(owner), do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.AccessTokens.AccessTokens(ctx, c.workspace(), owner.Issuer, owner.Owner)
		out := make([]PersonalToken, 0, len(all))
		for _, t := range all {
			out = append(out, personalToken(t))
		}
		return out, err
	}}, err
}

func (a *API) createToken(c *call) (plan, error) {
	body, _ := c.body.(*NewPersonalToken)
	t, err := a.tokenOwner(c)
	if err != nil {
		return plan{before: tokenDoc(t)}, err
	}
	asked := plan{before: tokenDoc(t)}
	if t.Name = body.Name; t.Name == "" {
		return asked, refuse("a token has a name")
	}
	if err := checkText("a token's name", t.Name, maxName); err != nil {
		return asked, err
	}
	days := body.Days
	if days == 0 {
		days = 30
	}
	if days < 1 || days > maxTokenDays {
		return asked, refuse("a token lives for 1 to %d days", maxTokenDays)
	}
	t.Created, t.Expires = c.now, c.now.Add(time.Duration(days)*24*time.Hour)
	if t.Limits, err = limitsOf(body.Scopes); err != nil {
		return asked, err
	}
	t.Limited = len(body.Scopes) > 0
	return plan{id: t.Name, after: tokenDoc(t), do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.AccessTokens.AccessTokens(ctx, c.workspace(), t.Issuer, t.Owner)
		if err != nil {
			return nil, err
		}
		if len(all) >= maxTokens {
			return nil, refuse("somebody has at most %d tokens; revoke one first", maxTokens)
		}
		raw, hash := authn.NewSecret(authn.PrefixAccessToken)
		made, err := a.harbor.AccessTokens.CreateAccessToken(ctx, c.workspace(), t, hash)
		if err != nil {
			return nil, err
		}
		return PersonalTokenMade{personalToken(made), raw}, nil
	}}, nil
}

// limitsOf checks the scopes of a token.
func limitsOf(scopes []TokenScope) ([]RobotGrant, error) {
	if len(scopes) > 100 {
		return nil, refuse("a token has at most 100 scopes")
	}
	known := []string{"pull", "push", "delete", "list", "members", "manage"}
	out := make([]RobotGrant, 0, len(scopes))
	for _, s := range scopes {
		if err := CheckProjectName(s.Project); err != nil {
			return nil, err
		}
		if err := checkPattern(s.Repositories); err != nil {
			return nil, err
		}
		if len(s.Rights) == 0 {
			return nil, refuse("a scope allows something")
		}
		for _, right := range s.Rights {
			if !slices.Contains(known, right) {
				return nil, refuse("a right is one of %v, not %s", known, show(right))
			}
		}
		out = append(out, RobotGrant(s))
	}
	return out, nil
}

func (a *API) deleteToken(c *call) (plan, error) {
	id, err := c.id("token")
	if err != nil {
		return plan{}, err
	}
	owner, err := a.tokenOwner(c)
	if err != nil {
		return plan{before: tokenDoc(owner)}, err
	}
	all, err := a.harbor.AccessTokens.AccessTokens(c.r.Context(), c.workspace(), owner.Issuer, owner.Owner)
	if err != nil {
		return plan{before: tokenDoc(owner)}, err
	}
	i := slices.IndexFunc(all, func(t AccessToken) bool { return t.ID == id })
	if i < 0 {
		return plan{before: tokenDoc(owner)}, fmt.Errorf("find access token %d: %w", id, policy.ErrNotFound)
	}
	return plan{id: all[i].Name, before: tokenDoc(all[i]), do: func(ctx context.Context) (any, error) {
		return nil, a.harbor.AccessTokens.DeleteAccessToken(ctx, c.workspace(), id)
	}}, nil
}

// identityRoutes are those of our own that need the same parts as Harbor's.
func identityRoutes() []route {
	const tokens, role, workspace = "/access-tokens", "/roles/{role}", "/workspaces/{workspace}"
	return []route{
		{method: "GET", pattern: "/roles", action: policy.AdminAPI, resource: "role", verb: "list", status: 200, reply: replyOf[[]Role](), plan: (*API).listRoles},
		{method: "PUT", pattern: role, action: policy.AdminAPI, resource: "role", verb: "update", status: 200, body: bodyOf[NewRole](), reply: replyOf[Role](), plan: (*API).putRole},
		{method: "DELETE", pattern: role, action: policy.AdminAPI, resource: "role", verb: "delete", status: 204, plan: (*API).deleteRole},

		{method: "GET", pattern: "/directories/{directory}/people/{user}", action: policy.AdminAPI, resource: "directory", verb: "read", status: 200, reply: replyOf[DirectoryPerson](), plan: (*API).lookUp},

		{method: "GET", pattern: "/people", action: policy.AdminAPI, resource: "user", verb: "list", status: 200, reply: replyOf[[]KnownPerson](), plan: (*API).listPeople},
		{method: "PUT", pattern: "/people/{user}/link", action: policy.AdminAPI, resource: "user", verb: "update", status: 200, body: bodyOf[NewLink](), reply: replyOf[KnownPerson](), plan: (*API).linkPerson},
		{method: "DELETE", pattern: "/people/{user}/link", action: policy.AdminAPI, resource: "user", verb: "update", status: 204, plan: (*API).unlinkPerson},
		{method: "GET", pattern: "/groups", action: policy.AdminAPI, resource: "group", verb: "list", status: 200, reply: replyOf[[]KnownGroup](), plan: (*API).listGroups},
		{method: "PUT", pattern: "/groups/{group_id}/admin", action: policy.AdminAPI, resource: "group", verb: "update", status: 200, body: bodyOf[GroupState](), reply: replyOf[KnownGroup](), plan: (*API).setGroupAdmin},

		{method: "GET", pattern: "/workspaces", action: policy.AdminAPI, resource: "workspace", verb: "list", status: 200, reply: replyOf[[]Workspace](), plan: (*API).listWorkspaces},
		{method: "POST", pattern: "/workspaces", action: policy.AdminAPI, resource: "workspace", verb: "create", status: 201, body: bodyOf[NewWorkspace](), reply: replyOf[Workspace](), plan: (*API).createWorkspace},
		{method: "GET", pattern: workspace, action: policy.AdminAPI, resource: "workspace", verb: "read", status: 200, reply: replyOf[Workspace](), plan: (*API).readWorkspace},
		{method: "PATCH", pattern: workspace, action: policy.AdminAPI, resource: "workspace", verb: "update", status: 200, body: bodyOf[WorkspaceChange](), reply: replyOf[Workspace](), plan: (*API).updateWorkspace},
		{method: "DELETE", pattern: workspace, action: policy.AdminAPI, resource: "workspace", verb: "delete", status: 204, plan: (*API).deleteWorkspace},

		{method: "GET", pattern: tokens, action: policy.AdminAPI, resource: "access_token", verb: "list", status: 200, query: []string{"user"}, reply: replyOf[[]PersonalToken](), plan: (*API).listTokens},
		{method: "POST", pattern: tokens, action: policy.AdminAPI, resource: "access_token", verb: "create", status: 201, query: []string{"user"}, body: bodyOf[NewPersonalToken](), reply: replyOf[PersonalTokenMade](), plan: (*API).createToken},
		{method: "DELETE", pattern: tokens + "/{token}", action: policy.AdminAPI, resource: "access_token", verb: "delete", status: 204, query: []string{"user"}, plan: (*API).deleteToken},
	}
}
