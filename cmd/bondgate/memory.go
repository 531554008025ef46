package main

import "runtime/debug"

// collectLater lets the heap grow to three times what lives before the garbage
// collector runs, instead of Go's twice: half as many collections, and the slowest
// decisions are those beside a collection (docs/performance.md). GOGC in the
// environment overrules it, as everywhere.
func collectLater(gogc string) {
	if gogc == "" {
		debug.SetGCPercent(200)
	}
}
