// Package identity shows who gets in at the built gateway, and how far: people of
// directories, local accounts, robots, access tokens and the jobs of a CI platform,
// with the clients that they use, in one workspace and in several.
//
// It drives everything from outside through test/harness and knows no package of
// ours. Nothing imports it.
package identity
