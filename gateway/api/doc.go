// Package api is the management API: people, projects, members, waivers,
// decisions and maintenance, as JSON under /api/v1. The command line speaks it
// over the socket in the data folder, others over HTTP with a password.
//
// It refuses to decide: every call, reads included, is an [policy.AdminAPI] or
// [policy.DecisionRead] request to the gate, with what would change from what to
// what, before anything is done. It never shows or records a secret, takes no
// registry token (those are made for images) and accepts no key that it does not
// know.
//
// cmd/bondgate may import it; it imports policy and the gateway's authn and errcode.
package api
