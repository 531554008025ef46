package api

import (
	"encoding/json"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// User is an account of the gateway's own.
type User struct {
	Name     string    `json:"name"`
	Email    string    `json:"email,omitempty"`
	RealName string    `json:"real_name,omitempty"`
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
}

// NewUser is an account to be made.
type NewUser struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Email    string `json:"email,omitempty"`
	RealName string `json:"real_name,omitempty"`
	Admin    bool   `json:"admin,omitempty"`
}

// NewPassword replaces an account's password.
type NewPassword struct {
	Password string `json:"password"`
}

// UserState enables or disables an account.
type UserState struct {
	Disabled bool `json:"disabled"`
}

// Project is a project as the API shows it.
type Project struct {
	Name   string            `json:"name"`
	Public bool              `json:"public"`
	Owner  string            `json:"owner,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Packs  []policy.Pack     `json:"packs,omitempty"`
	// Description and Policies are kept as they were written.
	Description string         `json:"description,omitempty"`
	Policies    map[string]any `json:"policies,omitempty"`
}

// NewProject is a project to be made; it is private unless it says otherwise.
type NewProject struct {
	Name   string            `json:"name"`
	Public bool              `json:"public,omitempty"`
	Owner  string            `json:"owner,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Packs  []policy.Pack     `json:"packs,omitempty"`
}

// ProjectChange changes what it names and leaves the rest.
type ProjectChange struct {
	Public *bool              `json:"public,omitempty"`
	Owner  *string            `json:"owner,omitempty"`
	Labels *map[string]string `json:"labels,omitempty"`
	Packs  *[]policy.Pack     `json:"packs,omitempty"`

	Description *string         `json:"description,omitempty"`
	Policies    *map[string]any `json:"policies,omitempty"`
}

// Member is a role of a user or a group in a project.
type Member struct {
	Project string `json:"project"`
	// Issuer vouches for Name; "local" is the gateway itself.
	Issuer string `json:"issuer"`
	// Kind is "user", "group", "robot" or "workload".
	Kind string `json:"kind"`
	Name string `json:"name"`
	Role string `json:"role"`
	// Repositories is a pattern of the repositories that the role reaches; empty for
	// the whole project.
	Repositories string `json:"repositories,omitempty"`
	// Claims are what a workload's token must say, word for word.
	Claims map[string]string `json:"claims,omitempty"`
	// Rights are those of a role that somebody made; for rules and records.
	Rights []string `json:"rights,omitempty"`
}

// NewMember gives the role; a member that is there gets this role in place of its own.
type NewMember struct {
	Role   string            `json:"role" jsonschema:"description=projectAdmin or maintainer or developer or guest or limitedGuest or a role that somebody made."`
	Claims map[string]string `json:"claims,omitempty"`
}

// DecisionQuery says which records are meant. Empty fields match everything.
type DecisionQuery struct {
	Workspace, Project, Subject, Issuer string
	Action                              policy.Action
	// Rule is a code that denied, warned, would have denied or was waived.
	Rule string
	// Verdict is "allow", "deny" or "outage".
	Verdict string
	// Since leaves out decisions made before it, Until those made then or later.
	Since, Until time.Time
	// After is a record's cursor: later ones are meant, the oldest of them first;
	// with Before, earlier ones.
	After, Before int64
	// Limit is how many records are answered at most; 0 is all, of an export alone.
	Limit int
}

// DecisionRecord is one decision as it was kept.
type DecisionRecord struct {
	// Cursor is the place of the record among all; a later one is larger.
	Cursor int64     `json:"cursor"`
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	// Count is how many requests got this answer.
	Count int64 `json:"count"`
	// Repeats is the id of the record whose repeats this one counts.
	Repeats     string              `json:"repeats,omitempty"`
	RequestID   string              `json:"request_id,omitempty"`
	Workspace   string              `json:"workspace"`
	Action      policy.Action       `json:"action"`
	Purpose     policy.Purpose      `json:"purpose,omitempty"`
	Subject     string              `json:"subject,omitempty"`
	Issuer      string              `json:"issuer,omitempty"`
	Project     string              `json:"project,omitempty"`
	Repository  string              `json:"repository,omitempty"`
	Reference   string              `json:"reference,omitempty"`
	Digest      string              `json:"digest,omitempty"`
	Verdict     string              `json:"verdict"`
	Deny        []policy.Reason     `json:"deny,omitempty"`
	Warn        []policy.Reason     `json:"warn,omitempty"`
	Dryrun      []policy.Reason     `json:"dryrun,omitempty"`
	Waived      []policy.Waived     `json:"waived,omitempty"`
	Obligations []policy.Obligation `json:"obligations,omitempty"`
	Granted     []policy.Scope      `json:"granted,omitempty"`
	Visible     bool                `json:"visible"`
	Message     string              `json:"message,omitempty"`
	// BreakGlass is the grant without which the verdict would be a denial.
	BreakGlass string `json:"breakglass,omitempty"`
	// Justification is why that grant was given.
	Justification string `json:"justification,omitempty"`
	// RetryAfter is in milliseconds.
	RetryAfter int64  `json:"retry_after_ms,omitempty"`
	Revision   string `json:"revision,omitempty"`
	// Outage says why there was no decision.
	Outage string `json:"outage,omitempty"`
	// Replayable is false when a mask took something out of the input.
	Replayable bool `json:"replayable"`
	// Masked are the dotted paths of the input that were hidden.
	Masked []string `json:"masked,omitempty"`
	// Packs are the project's own modes and configurations.
	Packs []policy.Pack `json:"packs,omitempty"`
	// Input is the document that was judged; only one record by its id has it.
	Input json.RawMessage `json:"input,omitempty"`
	// Writer, Seq and Hash are the record's place in its hash chain.
	Writer string `json:"writer"`
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`
}

// Verification is what was found when the whole record of decisions was read and
// every hash was computed anew.
type Verification struct {
	// Intact is false when there is a finding.
	Intact  bool  `json:"intact"`
	Records int64 `json:"records"`
	// Facts are the parts of documents that are kept once, and Days the parts of
	// the record that retention drops as a whole.
	Facts int64 `json:"facts"`
	Days  int   `json:"days"`
	// Heads are where the chains end. Kept elsewhere, they also show that the whole
	// record was written anew.
	Heads    []VerificationHead    `json:"heads"`
	Findings []VerificationFinding `json:"findings"`
	// More is how many findings are not listed.
	More int64 `json:"more,omitempty"`
}

// VerificationHead is the end of one writer's chain.
type VerificationHead struct {
	Writer string `json:"writer"`
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`
	// Dropped is the sequence number up to which retention dropped records.
	Dropped int64 `json:"dropped,omitempty"`
}

// VerificationFinding is one place where the record is not as it was written.
type VerificationFinding struct {
	// Kind is "changed", "removed" or "inserted".
	Kind   string `json:"kind"`
	Writer string `json:"writer,omitempty"`
	// First and Last are sequence numbers of the writer, Day and Block where they are.
	First int64  `json:"first,omitempty"`
	Last  int64  `json:"last,omitempty"`
	Day   string `json:"day,omitempty"`
	Block int64  `json:"block,omitempty"`
	What  string `json:"what"`
}

// Status is what a server says of itself.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Listen  string    `json:"listen"`
	PID     int       `json:"pid"`
	// Parts are the parts that readiness depends on, by name: "ok" or what is wrong.
	Parts map[string]string `json:"parts"`
	// Revision names the bundle in force.
	Revision string `json:"revision,omitempty"`
}

// ReindexReport is what a rebuilding of the index found.
type ReindexReport struct {
	Repositories int `json:"repositories"`
	Manifests    int `json:"manifests"`
	Tags         int `json:"tags"`
	Blobs        int `json:"blobs"`
	// Skipped are manifests that could not be read or understood, with the reason.
	Skipped []string `json:"skipped,omitempty"`
}
