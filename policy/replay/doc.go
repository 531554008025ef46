// Package replay puts what was decided before another bundle and says what would
// have come out otherwise: rule by rule what was, what would be now, how often and
// whom it touches. With the bundle that decided, it proves that the log is true:
// each answer has to come out again, byte for byte.
//
// It holds no more memory for a year than for an hour: what it counts is exact,
// what it lists is bounded and says so. The same cases give the same report,
// however many cores worked on it. It refuses to guess: a case whose input is not
// whole where the bundle looks is skipped and counted under the reason, and a list
// of cases that breaks off is an error, not a short list.
//
// It knows neither where cases come from nor where policy comes from: it imports
// package policy only. The composition root may import it.
package replay
