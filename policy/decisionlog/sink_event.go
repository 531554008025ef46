package decisionlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// eventPath is what was asked for, as OPA writes it: the rule that answers.
const eventPath = "bondgate/decision"

// event is a record in the format of OPA's decision logs, which log services
// read: https://www.openpolicyagent.org/docs/management-decision-logs. What is
// ours and has no place there is under "custom", which is for that.
type event struct {
	Labels      map[string]string      `json:"labels"`
	DecisionID  string                 `json:"decision_id"`
	Bundles     map[string]eventBundle `json:"bundles,omitempty"`
	Path        string                 `json:"path"`
	Input       json.RawMessage        `json:"input,omitempty"`
	Result      *eventResult           `json:"result,omitempty"`
	Erased      []string               `json:"erased,omitempty"`
	Masked      []string               `json:"masked,omitempty"`
	RequestedBy string                 `json:"requested_by,omitempty"`
	Timestamp   time.Time              `json:"timestamp"`
	Custom      map[string]eventOurs   `json:"custom"`
}

type eventBundle struct {
	Revision string `json:"revision"`
}

// eventResult is the decision. When none was possible there is no result, as
// OPA has none for what is undefined.
type eventResult struct {
	Allow       bool                `json:"allow"`
	Deny        []policy.Reason     `json:"deny"`
	Warn        []policy.Reason     `json:"warn"`
	Dryrun      []policy.Reason     `json:"dryrun"`
	Waived      []policy.Waived     `json:"waived"`
	Obligations []policy.Obligation `json:"obligations"`
	Granted     []policy.Scope      `json:"granted"`
	Visible     bool                `json:"visible"`
	Message     string              `json:"message,omitempty"`
}

// eventOurs is the record without what stands elsewhere in the event.
type eventOurs struct {
	Verdict    string         `json:"verdict"`
	Outage     string         `json:"outage,omitempty"`
	Count      int64          `json:"count"`
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
	RetryAfter int64          `json:"retry_after_ms,omitempty"`
	BreakGlass string         `json:"breakglass,omitempty"`
	Packs      []policy.Pack  `json:"packs,omitempty"`
	Replayable bool           `json:"replayable"`
	// InputBytes is the size of an input that was left out because the event was
	// too large with it; the log itself has it.
	InputBytes  int    `json:"input_left_out_bytes,omitempty"`
	InputDigest string `json:"input_digest,omitempty"`
	InputError  string `json:"input_error,omitempty"`
	// Writer, Seq and Hash are the record's place in its hash chain.
	Writer string `json:"writer"`
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`
}

// eventOf writes an event. It fails for what is no JSON only.
func eventOf(e Entry, in eventInput, labels map[string]string) ([]byte, error) {
	out := event{
		Labels:     map[string]string{"app": "bondgate"},
		DecisionID: e.ID, Path: eventPath, Input: in.doc, Erased: in.erased, Masked: pointers(e.Masked), RequestedBy: in.address,
		Timestamp: e.At.UTC(),
		Custom: map[string]eventOurs{"bondgate": {
			Verdict: e.Verdict, Outage: e.Outage, Count: e.Count, Repeats: e.Repeats, RequestID: e.RequestID,
			Workspace: e.Workspace, Action: e.Action, Purpose: e.Purpose, Subject: e.Subject, Issuer: e.Issuer,
			Project: e.Project, Repository: e.Repository, Reference: e.Reference, Digest: e.Digest,
			RetryAfter: e.RetryAfter, BreakGlass: e.BreakGlass, Packs: e.Packs, Replayable: e.Replayable, InputBytes: in.bytes, InputDigest: e.InputDigest,
			InputError: e.InputError, Writer: e.Writer, Seq: e.Seq, Hash: e.Hash,
		}},
	}
	for name, v := range labels {
		out.Labels[name] = v
	}
	out.Labels["id"] = e.Writer // as OPA's id, it says who decided
	if e.Revision != "" {
		out.Bundles = map[string]eventBundle{"bondgate": {e.Revision}}
	}
	if e.Verdict != verdictOutage {
		out.Result = &eventResult{
			Allow: e.Verdict == verdictAllow, Deny: listed(e.Deny), Warn: listed(e.Warn), Dryrun: listed(e.Dryrun),
			Waived: listed(e.Waived), Obligations: listed(e.Obligation), Granted: listed(e.Granted),
			Visible: e.Visible, Message: e.Message,
		}
	}
	if in.fault != "" {
		ours := out.Custom["bondgate"]
		ours.InputError = in.fault
		out.Custom["bondgate"] = ours
	}
	// No escapes for HTML: they would make another text of the input.
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(out)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

func listed[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// eventInput is a record's input as it is sent.
type eventInput struct {
	doc     json.RawMessage
	address string   // of the client, as the input has it
	erased  []string // what was left out, as JSON pointers into the event
	bytes   int      // of what was left out
	fault   string   // why the stored input cannot be read
}

func (in eventInput) leftOut() eventInput {
	return eventInput{address: in.address, erased: []string{"/input"}, bytes: len(in.doc)}
}

// faultyAfter is how many tries in a row it takes until an input that cannot be
// read counts as one that is not there any more.
const faultyAfter = 3

// inputOf reads a record's input, with its facts in their places. It fails when
// they cannot be read; given up, it answers an input that is left out and why.
func inputOf(ctx context.Context, store backend, r row, giveUp bool) (eventInput, error) {
	if len(r.input) == 0 {
		return eventInput{}, nil
	}
	doc, err := splice(nil, r.input, func(name string) ([]byte, error) {
		digest, err := parseDigest(name)
		if err != nil {
			return nil, err
		}
		body, err := store.fact(ctx, r.day, digest)
		if err != nil {
			return nil, fmt.Errorf("fact %s: %w", name, err)
		}
		return body, nil
	}, 0)
	if err != nil && !giveUp {
		return eventInput{}, err
	}
	// It also shows whether what is stored is JSON still.
	var top struct {
		Request struct {
			ClientIP any `json:"client_ip"`
		} `json:"request"`
	}
	if err == nil {
		err = json.Unmarshal(doc, &top)
	}
	if shape := (*json.UnmarshalTypeError)(nil); errors.As(err, &shape) {
		err = nil // another shape, and JSON
	}
	if err != nil {
		return eventInput{erased: []string{"/input"}, fault: "the input in the store is not whole: " + strings.ToValidUTF8(err.Error(), "")}, nil
	}
	in := eventInput{doc: doc}
	in.address, _ = top.Request.ClientIP.(string)
	return in, nil
}

// pointers are masked paths as OPA writes them: JSON pointers into the event.
func pointers(masked []string) []string {
	var all []string
	for _, path := range masked {
		at := "/input"
		if field, ok := strings.CutPrefix(path, ownField); ok {
			if at = "/custom/bondgate"; field != "packs" && slices.Contains(replayedFields, field) {
				at = "/result"
			}
			path = field
		} else if path == "input" {
			path = ""
		}
		for part := range strings.SplitSeq(path, ".") {
			if part != "" {
				at += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part)
			}
		}
		all = append(all, at)
	}
	return all
}
