package authn

import (
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// The types of scope that a token may carry.
const (
	ScopeRepository = "repository"
	ScopeRegistry   = "registry"
)

// Caller is who sent a request and, for a bearer token, what the token was
// issued for. The zero Caller is anonymous.
type Caller struct {
	Principal policy.Principal
	// Scopes are what the token was granted when it was issued. They only ever
	// narrow: every request is decided anew for the principal.
	Scopes []policy.Scope
	// Scoped says that the caller came with a bearer token and is limited to Scopes.
	Scoped bool
	// RequestID is the id that the edge gave this request, the one in the answer's
	// X-Request-Id. Only records and logs use it.
	RequestID string
	// ClientIP is the peer's address, or what a configured proxy said it is.
	ClientIP string
}

// Carries reports whether the caller's credential reaches as far as action
// ("pull", "push", "delete") on the repository. A caller without a token is not
// limited: that one's rights are the gate's business alone.
func (c Caller) Carries(repository, action string) bool {
	return c.CarriesScope(ScopeRepository, repository, action)
}

// CarriesScope is [Caller.Carries] for any type of scope, such as "registry"
// "catalog" "*". An action "*" in the token stands for every action on that name;
// a name is compared as it is, never as a pattern.
func (c Caller) CarriesScope(kind, name, action string) bool {
	if !c.Scoped {
		return true
	}
	for _, s := range c.Scopes {
		if s.Type == kind && s.Name == name && (slices.Contains(s.Actions, action) || slices.Contains(s.Actions, "*")) {
			return true
		}
	}
	return false
}
