// Package harness starts real parts for tests: the built gateway, dockerd,
// containerd, PostgreSQL, an OpenID issuer, and distribution's registry for
// comparison. Each part has its own port on the loopback and its own folder. What
// is a process is stopped by its id when the test ends.
//
// It knows the gateway only from outside, as an operator does: the binary, its
// flags, its environment and its command line. It refuses to reach into any
// package of ours, so a test that passes here passes for a user.
//
// Only tests import it.
package harness
