package main

import "runtime/debug"

// collectLater lets the heap grow to three times what lives before the garbage
// collector runs, instead of Go's twice. What lives is small (the heap of an idle
// server is some 20 MB), and half as many collections bring the slowest decisions
// under a millisecond: on two cores a collection takes one of them. GOGC in the
// environment overrules it, as everywhere.
func collectLater(gogc string) {
	if gogc == "" {
		debug.SetGCPercent(200)
	}
}
