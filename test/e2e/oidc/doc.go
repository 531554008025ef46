// Package oidc shows that people log in at the built gateway with the account of
// their organisation: in Chromium, and from the command line for docker and the
// like. The provider is a real one.
//
// It drives everything from outside through test/harness and knows no package of
// ours. Nothing imports it.
package oidc
