// Package egress is the one way out of the gateway: every outgoing call dials
// through a [Guard]. It exists because addresses of calls come from people who
// are not the operator (webhooks, endpoints of replication, what an OIDC issuer's
// discovery document names), and a server that calls what it is told to call
// hands out its own place in the network (CWE-918, server-side request forgery).
//
// A Guard checks the address that is really connected to, after resolution and
// for each attempt, so a name that resolves to a public address when it is asked
// and to 127.0.0.1 when it is dialled (DNS rebinding) is refused as well. It
// refuses everything that is not public unicast: loopback, link-local with the
// clouds' metadata services, private, shared and reserved ranges, and the IPv6
// forms that carry such an IPv4 address. The operator may permit ranges and
// hosts; the zero [Config] permits none.
//
// Clients made here follow no redirect, read no proxy from the environment,
// speak TLS 1.2 or newer, and end: in time, in header bytes and in body bytes,
// unless they are told otherwise.
//
// It refuses to know what a call is for: retries, credentials and meaning are the
// caller's. Any package of the gateway may be given a Guard's dialer or client;
// only this package makes one, which test/arch checks.
package egress
