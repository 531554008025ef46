package oidc

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Defaults of [Config].
const (
	DefaultRefresh  = 15 * time.Minute
	DefaultGrace    = 30 * time.Minute
	DefaultTokenAge = 10 * time.Minute
)

// Config is one provider. Name, Workspace, Issuer, ClientID and Client are
// required.
type Config struct {
	// Name stands in the addresses of the login: lower-case letters, digits, - and _.
	Name string
	// Title is what people read; Name when empty.
	Title string
	// Workspace is whose people these are.
	Workspace string
	// Issuer is the provider's issuer identifier, letter by letter.
	Issuer string
	// ClientID and ClientSecret are what the provider knows the gateway by. Without
	// a secret the gateway is a public client, which PKCE allows.
	ClientID, ClientSecret string
	// CLIClientID is the public client of `bondgate login`, which must be allowed
	// the device flow; empty when people log in by browser only.
	CLIClientID string
	// Scopes are asked for beside openid; profile and offline_access when nil.
	// Without offline_access, or a provider's own way to a refresh token, a session
	// ends when Refresh is over.
	Scopes []string
	// Parameters are added to the authorization request, such as prompt: consent.
	Parameters map[string]string
	// UsernameClaim is shown and never identifies; preferred_username when empty.
	UsernameClaim string
	// GroupsClaim is where the groups are: a claim, or a path into claims such as
	// resource_access.bondgate.roles. Empty when groups are not wanted.
	GroupsClaim string
	// UserInfo asks the provider's userinfo endpoint for what the ID token leaves
	// out. A login from the command line has an ID token alone: where groups come
	// by userinfo only, it is refused.
	UserInfo bool
	// GroupsURL is Microsoft Graph's getMemberObjects, or one that answers like it.
	// It is asked, with the person's access token, when the ID token says that the
	// groups are too many for it. An address that the token names is never asked.
	GroupsURL string
	// Claims are handed on to the rules, as the provider signed them.
	Claims []string
	// Refresh is how long the provider's word holds: a person who is removed there
	// is out here within it. Default 15 minutes, at least one.
	Refresh time.Duration
	// Grace is how much longer a session goes on while the provider is away; default
	// 30 minutes, negative for none.
	Grace time.Duration
	// TokenAge is how old an ID token may be that is shown as a credential; default
	// 10 minutes, and at most Refresh.
	TokenAge time.Duration
	// Keep is how long the provider's keys go on while it is away; default a day.
	Keep time.Duration
	// Client makes every call to the provider: one that is guarded against reaching
	// what is inside, with limits of time and size, and the authorities that the
	// provider's certificate is of.
	Client *http.Client
	// PlainHTTP allows a provider without TLS: whoever is between us and it can log
	// in as anybody.
	PlainHTTP bool
	Log       *slog.Logger
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

var nameOf = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// reserved are the parameters of the authorization request that the flow is made
// of, or that would make the provider answer elsewhere.
var reserved = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
	"code_challenge_method", "request", "request_uri", "registration", "id_token_hint",
}

func (c *Config) complete() error {
	bad := func(why string) error {
		return fmt.Errorf("authn/oidc: provider %q: %s: %w", c.Name, why, policy.ErrInvalid)
	}
	switch {
	case !nameOf.MatchString(c.Name):
		return bad("a name has lower-case letters, digits, - and _, 32 at most")
	case c.Workspace == "":
		return bad("no workspace")
	case c.ClientID == "":
		return bad("no client id")
	case c.Client == nil:
		return bad("no HTTP client")
	case c.Refresh < 0 || (c.Refresh > 0 && c.Refresh < time.Minute):
		return bad("the refresh time is less than a minute")
	case c.TokenAge < 0:
		return bad("the age of a token is negative")
	case c.GroupsURL != "" && c.GroupsClaim == "":
		return bad("an address for groups, and no claim of groups")
	}
	for name := range c.Parameters {
		if slices.Contains(reserved, name) {
			return bad("the parameter " + name + " is the login's own")
		}
	}
	for d, def := range map[*time.Duration]time.Duration{
		&c.Refresh: DefaultRefresh, &c.Grace: DefaultGrace, &c.TokenAge: DefaultTokenAge,
	} {
		if *d == 0 {
			*d = def
		}
	}
	c.Grace, c.TokenAge = max(c.Grace, 0), min(c.TokenAge, c.Refresh)
	if c.Title == "" {
		c.Title = c.Name
	}
	if c.UsernameClaim == "" {
		c.UsernameClaim = "preferred_username"
	}
	if c.Scopes == nil {
		c.Scopes = []string{"profile", "offline_access"}
	}
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}
