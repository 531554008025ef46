// Package authn answers one question about a request: who is asking. It reads
// the Authorization header (Basic or Bearer), asks the configured providers in
// order, and hands on a [Caller].
//
// It refuses to say what anybody may do: rights are looked up by the gate for
// each decision. No other header is identity: X-Forwarded-*, X-Real-IP,
// X-Remote-User, cookies and User-Agent are never read here. Whatever is off
// about a credential is one answer, [policy.ErrUnauthenticated], so that nothing
// can be learned from the difference.
//
// The gateway's packages and cmd/bondgate may import it; providers live in
// packages below it.
package authn
