// Package workload knows jobs of CI systems, pods and other programs by the signed
// token that their platform gives them: GitHub Actions, GitLab CI, Kubernetes and
// any other OpenID issuer that the operator trusts. The token comes as a password
// (docker login) or in a token exchange; there is no secret to keep, and none to
// leak.
//
// It refuses to trust by itself: an issuer counts for one workspace and one
// audience, both configured, and nothing is fetched for any other. It refuses to
// outlive the proof: a principal ends with its token. What a workload may do
// follows from its claims, in memberships and rules; this package keeps the claims
// that are asked for, within limits, and judges none of them.
//
// cmd/bondgate imports it.
package workload
