// Package ldap knows the people of a directory (OpenLDAP, 389, Active Directory)
// under the issuer "ldap:" and the provider's name. A login finds the person's one
// entry, binds as it with the password that was sent, and reads the groups.
//
// It refuses to send a password in the open (TLS or StartTLS, unless a setting
// with a dangerous name says otherwise), to bind with an empty password (which a
// directory takes for an anonymous bind, RFC 4513 section 5.1.2), to build filters
// and names from what was typed without escaping it, to choose between two people,
// to follow referrals, and to take an answer that it could not read to its end for
// "no groups". It holds a bounded number of connections, and a bounded time.
//
// It keeps no password: successes are remembered under a keyed hash, a minute at
// most, and used for longer only while the directory does not answer.
//
// It is the only importer of go-ldap, and is given its dialer. The gateway's authn
// chain and cmd/bondgate import it.
package ldap
