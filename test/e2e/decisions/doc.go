// Package decisions tells, from outside and with real clients, how a decision is
// answered for: denied, explained, waived, replayed, shadowed, enforced, verified.
// story_test.go is to be read from top to bottom; docs/decisions.md is the same story
// with what it printed, and shows no command that the story does not run.
//
// It drives everything through test/harness and knows no package of ours. Nothing
// imports it.
package decisions
