// Package jwt verifies JSON Web Tokens that others sign: the ID tokens of an
// OpenID provider and the workload tokens of CI systems and clusters. It keeps an
// issuer's keys, found by OpenID Connect Discovery 1.0, at a given address or in a
// file.
//
// It refuses what a client could steer: the algorithm must be an asymmetric one
// that fits the key (no "none", no HMAC), a header brings no key and no address of
// one, and an unknown key id causes a reading of the keys every few seconds at
// most. It refuses to guess: a claim that is needed and missing, or there twice,
// is an error. An issuer that is away takes nothing for a stated time; its keys go
// on, and after that the answer is [policy.ErrUnavailable].
//
// Who may be trusted and what a token gives is not its business. The providers
// beside it (authn/oidc, authn/workload) and cmd/bondgate import it.
package jwt
