package decisionlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Entry is a record as it is read: its JSON is what the management API answers.
type Entry struct {
	// Cursor is the place of the record among all; a later one is larger.
	Cursor int64     `json:"cursor"`
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	// Count is how many requests got this answer.
	Count int64 `json:"count"`
	// Repeats is the id of the record whose repeats this one counts.
	Repeats    string         `json:"repeats,omitempty"`
	RequestID  string         `json:"request_id,omitempty"`
	Workspace  string         `json:"workspace"`
	Action     policy.Action  `json:"action"`
	Purpose    policy.Purpose `json:"purpose,omitempty"`
	Subject    string         `json:"subject,omitempty"`
	Issuer     string         `json:"issuer,omitempty"`
	Project    string         `json:"project,omitempty"`
	Repository string         `json:"repository,omitempty"`
	Reference  string         `json:"reference,omitempty"`
	Digest     string         `json:"digest,omitempty"`
	// Packs are the project's own modes and configurations, before the bundle's
	// were added: another bundle is judged with these.
	Packs      []policy.Pack       `json:"packs,omitempty"`
	Verdict    string              `json:"verdict"` // allow, deny or outage
	Deny       []policy.Reason     `json:"deny,omitempty"`
	Warn       []policy.Reason     `json:"warn,omitempty"`
	Dryrun     []policy.Reason     `json:"dryrun,omitempty"`
	Waived     []policy.Waived     `json:"waived,omitempty"`
	Obligation []policy.Obligation `json:"obligations,omitempty"`
	Granted    []policy.Scope      `json:"granted,omitempty"`
	Visible    bool                `json:"visible"`
	Message    string              `json:"message,omitempty"`
	// BreakGlass is the grant without which the verdict would be a denial.
	BreakGlass string `json:"breakglass,omitempty"`
	// RetryAfter is in milliseconds.
	RetryAfter int64  `json:"retry_after_ms,omitempty"`
	Revision   string `json:"revision,omitempty"`
	// Outage says why there was no decision.
	Outage string `json:"outage,omitempty"`
	// Replayable is false when something that the policy reads is hidden, or when
	// there is no input.
	Replayable bool `json:"replayable"`
	// Masked are the dotted paths of the input where something is hidden ("input" for
	// all of it), and fields of the record itself as "record.message".
	Masked []string `json:"masked,omitempty"`
	// Input is the document that was judged: whole of [Log.Show] and [ReadExport],
	// with its facts by reference of [Log.All], and none of a search.
	Input json.RawMessage `json:"input,omitempty"`
	// InputDigest is the digest of the input as it is stored, and InputError why
	// it could not be.
	InputDigest string `json:"input_digest,omitempty"`
	InputError  string `json:"input_error,omitempty"`
	// Writer and Seq are the record's place in its hash chain, and Hash its hash.
	Writer string `json:"writer"`
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`

	// Facts are the digests of the parts of the input that are stored apart.
	Facts []string `json:"facts,omitempty"`
}

func entryOf(r row) (Entry, error) {
	var e Entry
	if len(r.body) == 0 {
		return Entry{}, fmt.Errorf("decision log: record %d of writer %q is spoilt or was taken away, verify the log: %w", r.seq, r.writer, policy.ErrUnavailable)
	}
	if err := json.Unmarshal(r.body, &e); err != nil {
		return Entry{}, fmt.Errorf("decision log: record %d of writer %s: %w", r.seq, r.writer, err)
	}
	e.Cursor = r.n
	e.Hash = string(appendDigest(nil, r.hash))
	if bytes.Equal(r.input, spoilt) {
		e.InputError, e.Replayable = "the stored input is not the one that was judged", false
	}
	return e, nil
}

// hasInput reports whether a row was read with an input that can be used.
func (r row) hasInput() bool { return len(r.input) > 0 && !bytes.Equal(r.input, spoilt) }
