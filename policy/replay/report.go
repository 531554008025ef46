package replay

import "time"

// Report is what came of a replay. It is the same for the same cases, whatever
// the number of workers.
type Report struct {
	// Revision names the bundle that the cases were put before.
	Revision string `json:"revision"`
	// From and To are when the first and the last case were decided.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	Totals
	// Rules are those that said something, then or now; those that changed most
	// come first. Beyond [MaxRules] they are counted together as [OtherRules].
	Rules []Rule `json:"rules"`
	// UnequalSamples are the first answers that differ from those that the same bundle
	// gave, and UndecidedSamples the first cases without an answer.
	UnequalSamples   []Sample `json:"unequal_samples"`
	UndecidedSamples []Sample `json:"undecided_samples"`
	// Findings are what was not expected. There is none where all is well.
	Findings []Finding `json:"findings"`
	// Idle are rules whose change was expected and that changed nothing.
	Idle []string `json:"idle"`
}

// OK reports whether nothing changed but what was expected.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// Of answers the changes of a kind.
func (c Changes) Of(kind string) int64 {
	switch kind {
	case NewlyDenied:
		return c.NewlyDenied
	case NewlyAllowed:
		return c.NewlyAllowed
	case Changed:
		return c.Changed
	}
	return 0
}

// Number counts decisions, and the requests that they answered: one decision that
// was cached stands for many.
type Number struct {
	Decisions int64 `json:"decisions"`
	Requests  int64 `json:"requests"`
}

func (n *Number) add(requests int64) {
	n.Decisions++
	n.Requests += requests
}

// Totals are exact, whatever the number of cases.
type Totals struct {
	// Recorded are all cases; each of them was skipped, or replayed.
	Recorded Number `json:"recorded"`
	Replayed Number `json:"replayed"`
	// Skipped is by the reason.
	Skipped map[string]Number `json:"skipped"`
	// SameBundle were decided by the very bundle that they were put before.
	SameBundle Number `json:"same_bundle"`
	// Same have the same answer, byte for byte. NewlyDenied, NewlyAllowed and
	// Changed have another one, Changed with the same verdict.
	Same         Number `json:"same"`
	NewlyDenied  Number `json:"newly_denied"`
	NewlyAllowed Number `json:"newly_allowed"`
	Changed      Number `json:"changed"`
	// Undecided have no answer.
	Undecided Number `json:"undecided"`
	// Unequal are those of SameBundle with another answer; they count as what they
	// became, too.
	Unequal Number `json:"unequal"`
}

// Effects are requests by what a rule did to them. One rule can do several things
// to one request, once for each of its terms.
type Effects struct {
	Deny   int64 `json:"deny"`
	Warn   int64 `json:"warn"`
	Dryrun int64 `json:"dryrun"`
	Waived int64 `json:"waived"`
}

// Rule is what became of one rule.
type Rule struct {
	// Code is the rule's, or stands in parentheses for a part of the answer that no
	// rule answers for: "(granted)".
	Code string `json:"code"`
	Pack string `json:"pack,omitempty"`
	// Title is the rule's, File and Line where it is written: whoever has the bundle
	// fills them in. Line is 0 for a rule that is not there.
	Title string `json:"title,omitempty"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	// Was and Now are in requests.
	Was Effects `json:"was"`
	Now Effects `json:"now"`
	// Changes are those by this rule; a request that several rules turn counts with
	// each of them.
	Changes
	// Requests changed in any way, in so many Decisions.
	Requests  int64 `json:"requests"`
	Decisions int64 `json:"decisions"`
	// Whom the change touches.
	Projects Names `json:"projects"`
	Owners   Names `json:"owners"`
	Subjects Names `json:"subjects"`
	// Samples are the first changed cases of each kind.
	Samples []Sample `json:"samples"`
}

// Names are different names: how many, and the first of them.
type Names struct {
	Count int64 `json:"count"`
	// AtLeast says that there may be more than Count: so many were not to be held.
	AtLeast bool     `json:"at_least,omitempty"`
	First   []string `json:"first"`
}

// Sample is one case, with the id under which its record is found.
type Sample struct {
	ID         string    `json:"id"`
	At         time.Time `json:"at,omitzero"`
	Requests   int64     `json:"requests"`
	Action     string    `json:"action"`
	Subject    string    `json:"subject,omitempty"`
	Project    string    `json:"project,omitempty"`
	Owner      string    `json:"owner,omitempty"`
	Repository string    `json:"repository,omitempty"`
	Reference  string    `json:"reference,omitempty"`
	Digest     string    `json:"digest,omitempty"`
	// Kind is how it changed, Was and Now what was said; Field where the answers
	// differ first.
	Kind  string `json:"kind"`
	Was   string `json:"was"`
	Now   string `json:"now"`
	Field string `json:"field,omitempty"`
}

// The bounds of what a report holds.
const (
	// MaxRules are told apart.
	MaxRules = 1000
	// maxNames are told apart in one set, and maxAllNames in all of them.
	maxNames    = 100_000
	maxAllNames = 1_000_000
	// maxFirst names, and maxSamples cases of a kind, are listed.
	maxFirst   = 10
	maxSamples = 5
	// maxReasons to skip are told apart, far more than there are.
	maxReasons = 20
	// maxText bounds a text of a sample, in bytes.
	maxText = 512
)

// OtherRules stands for the rules beyond [MaxRules].
const OtherRules = "(other rules)"
