package policy

import (
	"context"
	"sync/atomic"
	"time"
)

// Record is one decision as it is kept: the input it was made on, the answer
// and how often the same answer was given to the same input. It takes counts
// until it is closed and never changes after that.
type Record struct {
	// ID is the decision's id. A record of repeats has an id of its own.
	ID string
	// Repeats is the id of the record whose repeats this one counts; empty for a first.
	Repeats   string
	At        time.Time
	RequestID string
	Workspace string
	Action    Action
	Purpose   Purpose
	// Subject, Project, Repository and Digest are what people search by. Reference
	// is the tag or digest that was named, or the management call as people write
	// it: "user:update alice".
	Subject    string
	Issuer     string
	Project    string
	Repository string
	Reference  string
	Digest     string
	Decision   Decision
	// Packs are the project's own modes and configurations, before the bundle's were
	// added: another bundle is judged with these.
	Packs []Pack
	// Reads are the paths of the input that the bundle can read, nil for all of it:
	// what is hidden on one of them cannot be replayed.
	Reads []string
	// Outage says why no decision was possible; empty for a decision.
	Outage string
	// Input makes the document that was judged, as JSON values. It is a function
	// because most records are written in the background, off the request's path.
	Input func() map[string]any

	count atomic.Int64
}

const closed = int64(-1 << 40)

// Hit counts one more request. It reports false for a record that is closed
// already: the caller opens a new one.
func (r *Record) Hit() bool { return r.count.Add(1) > 0 }

// Close ends the counting and answers how many requests were counted. Only a
// recorder calls it, once, when it writes the record.
func (r *Record) Close() int64 { return max(r.count.Swap(closed), 0) }

// Recorder keeps records. What it cannot keep did not happen: an allow whose
// record is refused is not an allow.
type Recorder interface {
	// Ready fails with [ErrUnavailable] while records cannot be kept.
	Ready() error
	// Open takes a record to be closed and written within a second.
	Open(r *Record) error
	// Write writes a record before it returns.
	Write(ctx context.Context, r *Record) error
}
