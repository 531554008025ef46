// Package arch holds the tests that keep the house in order: who may import
// whom, one package doc per package, no file too long to read. It reads the
// source with go/parser, because a test that shells out to `go list` was seen to
// stay cached green while the tree changed under it.
//
// It has no code of its own and nothing imports it.
package arch
