package policy

import (
	"fmt"
	"time"
)

// Verdict is the outcome of a decision. The zero Verdict denies: forgetting to
// decide is not an allow.
type Verdict int

// The two verdicts.
const (
	Deny Verdict = iota
	Allow
)

// String is the word that records use.
func (v Verdict) String() string {
	if v == Allow {
		return "allow"
	}
	return "deny"
}

// MarshalText is the verdict's word, in JSON too.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the word. What it does not know is an error and denies.
func (v *Verdict) UnmarshalText(text []byte) error {
	*v = Deny
	switch string(text) {
	case Allow.String():
		*v = Allow
	case Deny.String():
	default:
		return fmt.Errorf("%q is no verdict: %w", text, ErrInvalid)
	}
	return nil
}

// Reason is one rule that fired.
type Reason struct {
	Code        string `json:"code"`
	Pack        string `json:"pack"`
	Mode        string `json:"mode"`
	Severity    string `json:"severity,omitempty"`
	Term        string `json:"term,omitempty"`
	Message     string `json:"msg"`
	Remediation string `json:"remediation,omitempty"`
	EffectiveOn string `json:"effective_on,omitempty"`
}

// Waived is a reason that a waiver lifted.
type Waived struct {
	Code   string `json:"code"`
	Term   string `json:"term,omitempty"`
	Waiver string `json:"waiver"`
}

// Obligation is something that must follow from the decision.
type Obligation struct {
	Type   string         `json:"type"`
	Fields map[string]any `json:"fields,omitempty"`
}

// Decision is the answer to a request. It is immutable: many requests share one.
type Decision struct {
	ID          string       `json:"-"`
	Verdict     Verdict      `json:"verdict"`
	Deny        []Reason     `json:"deny"`
	Warn        []Reason     `json:"warn"`
	Dryrun      []Reason     `json:"dryrun"`
	Waived      []Waived     `json:"waived"`
	Obligations []Obligation `json:"obligations"`
	// Visible says whether the subject may know that the repository exists. A
	// denial of something invisible is told as "not found".
	Visible bool `json:"visible"`
	// Granted is the part of the requested scopes that a token may carry.
	Granted []Scope `json:"granted"`
	Message string  `json:"message"`
	// BreakGlass is the grant without which the verdict would be a denial; such an
	// allow is not a clean one. Empty otherwise.
	BreakGlass string `json:"breakglass,omitempty"`
	// RetryAfter is when the answer may be another one; zero for never by itself.
	RetryAfter time.Duration `json:"retry_after"`
	// Revision names the bundle that decided.
	Revision string `json:"revision"`
}

// Allowed reports whether the request may go on.
func (d Decision) Allowed() bool { return d.Verdict == Allow }

// Clean reports whether the decision allows with nothing lifted for it: only such an
// allow may be vouched for to others.
func (d Decision) Clean() bool {
	return d.Allowed() && len(d.Waived) == 0 && d.BreakGlass == ""
}
