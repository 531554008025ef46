// Package oidc lets people in whom an OpenID provider vouches for: in a browser by
// the authorization code flow with PKCE, from the command line with an ID token of
// the device flow. Any number of providers stand beside each other and beside
// LDAP.
//
// It refuses to take an e-mail address for an identity: a person is the provider's
// issuer and sub, so that one sub of two issuers is two people. It refuses to
// guess groups: a claim of another type, or one that was left out because it would
// be too long, is an error and never "no groups". It sends nobody to another site
// than the provider's, and takes no address from a token or from the Host header.
//
// A provider that is away keeps its own people from logging in and nothing else
// from working.
//
// cmd/bondgate imports it. It is the only importer of go-oidc.
package oidc
