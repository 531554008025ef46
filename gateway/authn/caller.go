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
	// Scopes are what the token was granted when it was issued; one without actions
	// is a repository that was asked for and of which nothing was granted. They only ever
	// narrow: every request is decided anew for the principal.
	Scopes []policy.Scope
	// Scoped says that the caller came with a bearer token and is limited to Scopes.
	Scoped bool
	// RequestID is the id that the edge gave this request, the one in the answer's
	// X-Request-Id. Only records and logs use it.
	RequestID string
	// ClientIP is the peer's address, or what a configured proxy said it is.
	ClientIP string
	// PeerSPIFFE is the SPIFFE id of the connection's certificate, whoever the header
	// names; empty for a client without one.
	PeerSPIFFE string
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

// Asked reports whether the caller's token was asked for anything in the
// repository, be it granted or not. Without a token there was nothing to ask for.
func (c Caller) Asked(repository string) bool {
	return slices.ContainsFunc(c.Scopes, func(s policy.Scope) bool { return s.Type == ScopeRepository && s.Name == repository })
}

// Repositories are those that the caller's token names and carries the action on;
// none for a caller without a token.
func (c Caller) Repositories(action string) []string {
	var out []string
	for _, s := range c.Scopes {
		if s.Type == ScopeRepository && c.Carries(s.Name, action) {
			out = append(out, s.Name)
		}
	}
	return out
}
