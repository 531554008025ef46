// Package session is how a browser stays logged in: a cookie of 256 random bits,
// of which the store keeps the SHA-256 alone, and what the login provider said of
// the person, asked anew every few minutes.
//
// A session reaches the management API and the login pages, and nothing else: no
// route of the registry and no token request reads a cookie. It refuses requests
// that change something unless the browser says that a page of this very site
// sent them, refuses to outlive its person at the provider by more than the
// stated time, and never stores a secret that it could have sealed.
//
// gateway/authn/oidc begins sessions; the edge asks for callers; cmd/bondgate
// joins the store.
package session
