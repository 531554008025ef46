package policy

import "time"

// DifferenceKind is how another bundle's answer differs.
type DifferenceKind string

// The kinds of difference. What must follow from a decision (its obligations) and
// the words of its message make none.
const (
	// NewlyDenied was allowed and would be denied.
	NewlyDenied DifferenceKind = "denied"
	// NewlyAllowed was denied and would be allowed.
	NewlyAllowed DifferenceKind = "allowed"
	// GrantedOther is a token that would carry other scopes.
	GrantedOther DifferenceKind = "granted"
	// OtherReasons is the same verdict for other reasons.
	OtherReasons DifferenceKind = "reasons"
)

// Difference is a request that another bundle would have answered otherwise.
type Difference struct {
	Kind DifferenceKind `json:"kind"`
	// Decision is the id of the decision that counts, to ask about it.
	Decision   string    `json:"decision"`
	At         time.Time `json:"at"`
	Action     Action    `json:"action"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer,omitempty"`
	Project    string    `json:"project"`
	Repository string    `json:"repository"`
	Reference  string    `json:"reference"`
	// Was and Now are the reasons that only one of the two has; long lists and long
	// texts are cut.
	Was []DifferingReason `json:"was"`
	Now []DifferingReason `json:"now"`
}

// DifferingReason is a rule that fired before one bundle and not before the other.
type DifferingReason struct {
	// Effect is what became of it: "deny", "warn", "dryrun" or "waived".
	Effect  string `json:"effect"`
	Code    string `json:"code"`
	Term    string `json:"term,omitempty"`
	Message string `json:"msg,omitempty"`
}

// Differences counts differences by kind.
type Differences struct {
	Denied  int64 `json:"denied"`
	Allowed int64 `json:"allowed"`
	Granted int64 `json:"granted"`
	Reasons int64 `json:"reasons"`
}

// Add counts one of a kind.
func (d *Differences) Add(kind DifferenceKind) {
	switch kind {
	case NewlyDenied:
		d.Denied++
	case NewlyAllowed:
		d.Allowed++
	case GrantedOther:
		d.Granted++
	case OtherReasons:
		d.Reasons++
	}
}

// Sum is how many there are of all kinds.
func (d Differences) Sum() int64 { return d.Denied + d.Allowed + d.Granted + d.Reasons }

// ShadowReport is what a bundle that runs in the shadow would have said, since it
// was loaded or the report was reset.
type ShadowReport struct {
	// Enabled is false for a server without a shadow; all else is zero then.
	Enabled bool `json:"enabled"`
	// Revision is the shadow's; empty when none was ever good.
	Revision string `json:"revision"`
	// Broken says that what lies in the folder now is not what is judged by, and
	// Error why; only who answers for the whole server is told.
	Broken bool   `json:"broken"`
	Error  string `json:"error,omitempty"`
	// Share is the part of the decisions that are shown to the shadow, 0 to 1.
	Share float64   `json:"share"`
	Since time.Time `json:"since"`
	// Decisions is how many the shadow made, and Failed how many it could not.
	Decisions int64 `json:"decisions"`
	Failed    int64 `json:"failed"`
	// LastFailure is the newest reason of that.
	LastFailure string `json:"last_failure,omitempty"`
	// Skipped is how many were not looked at since the last reset: there were too
	// many, or no bundle. It is the server's, and not in the report about one project.
	Skipped int64 `json:"skipped"`
	Differences
	// Rules are by code, the ones with most differences first. Unlisted counts the
	// differences of rules beyond what is kept by code.
	Rules    []ShadowRule `json:"rules"`
	Unlisted int64        `json:"unlisted"`
	// Samples are some of the differences, the newest first.
	Samples []Difference `json:"samples"`
}

// ShadowRule is the differences that one rule makes.
type ShadowRule struct {
	Code string `json:"code"`
	Differences
	// Projects is how many projects it touches.
	Projects int `json:"projects"`
}
