// Package conformance holds the server to the OCI distribution-spec, from
// outside and by the letter: each endpoint (end-1 to end-14) with what it answers
// when it succeeds and when it cannot, and each error code. The sentences of its
// tables name the section that they come from.
//
// The tests ask as registry clients do: every request is sent bare first, and
// again with the token that the challenge asks for, against a project that is
// private and with the shipped policy deciding. The suites of the specification
// itself cannot be had as a Go module; docs/conformance.md has what they say.
//
// It drives everything through test/harness and knows no package of ours. Nothing
// imports it.
package conformance
