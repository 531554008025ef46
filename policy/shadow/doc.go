// Package shadow lets a bundle of policy run beside the one in force and counts
// where it would have answered otherwise, before anybody is stopped by it.
//
// It is shown what was decided, after it was decided, and judges it once more off
// the path of requests: one worker, with a queue that is bounded in number and in
// bytes, which rests as long as it works. What does not fit is counted as not looked
// at. A shadow that fails, panics or never ends is counted and harms nobody: it has
// no way to a verdict, to an answer or to a record, and refuses to be given one.
//
// What it counts is exact and what it lists is bounded; both begin anew with each
// revision of the shadow bundle. It knows neither where the bundle comes from nor
// who asks for the report: it imports package policy only. The composition root may
// import it.
package shadow
