// Package limit bounds how often somebody may ask: failed logins by name and
// address, requests by identity, project and address.
//
// It refuses by what a client cannot choose alone (its address, the name that it
// tries), in the same way whether the name exists or not, and it keeps a bounded
// number of counters: a flood of names costs the oldest counters, never memory.
// Everything is counted by each process for itself.
//
// cmd/bondgate makes it; the authenticator and the edge ask it through interfaces
// of their own.
package limit
