package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Rules are what a policy says about the records of decisions: its package system.log.
type Rules interface {
	// About judges a decision event as OPA's decision log has it. It answers before
	// ctx ends, and fails when a rule does not hold: then nothing is known about
	// what may be seen. It must not change the event.
	About(ctx context.Context, event map[string]any) (policy.RecordRuling, error)
}

const (
	// ruleTime is how long the rules may take over one record.
	ruleTime = 20 * time.Millisecond
	// rulesTime is how long they may take over all records that are written at once:
	// a denial waits for its turn before it is answered.
	rulesTime = 250 * time.Millisecond
)

// ruler asks the rules in force about records. Rules that fail cost the input of
// the record, never the record and never the secret. Only the flusher uses it.
type ruler struct {
	rules  func() Rules
	writer string
	logger *slog.Logger
	left   time.Duration
	// last is what is known about the record that was asked about last.
	last   said
	failed string
}

// said is a record's document and what the rules say about it.
type said struct {
	record *policy.Record
	doc    map[string]any
	masks  []policy.RecordMask
	drop   bool
	// failure says why there is no document.
	failure string
}

var errRulesSlow = errors.New("the rules in package system.log take too long")

// begin gives the rules their time for the next records.
func (u *ruler) begin() { u.left = rulesTime }

// about answers what is known about a record; a second question about the same
// one costs nothing.
func (u *ruler) about(r *policy.Record) said {
	if u.last.record == r {
		return u.last
	}
	u.last = said{record: r}
	u.last.doc, u.last.failure = documentOf(r)
	if u.rules == nil {
		return u.last
	}
	rules := u.rules()
	if rules == nil {
		return u.last
	}
	ruling, err := u.ask(rules, r, u.last.doc)
	u.tell(errors.Join(err, ruling.Failure))
	if err != nil {
		u.last.masks = []policy.RecordMask{{}} // of everything
		u.last.failure = "hidden, because its masks are not known: " + err.Error()
		return u.last
	}
	u.last.masks = ruling.Masks
	u.last.drop = ruling.Drop && droppable(r)
	return u.last
}

// ask asks within the time that is left.
func (u *ruler) ask(rules Rules, r *policy.Record, doc map[string]any) (ruling policy.RecordRuling, err error) {
	if u.left <= 0 {
		return ruling, errRulesSlow
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), min(ruleTime, u.left))
	defer func() {
		u.left -= time.Since(start)
		if ctx.Err() != nil && err != nil {
			err = errRulesSlow
		}
		cancel()
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return rules.About(ctx, u.event(r, doc))
}

// tell says once that the rules fail, and that they do not any more.
func (u *ruler) tell(err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	if now == u.failed || u.logger == nil {
		return
	}
	u.failed = now
	if err != nil {
		u.logger.Error("the policy's rules about records fail: without its masks an input is hidden whole, without its drop a record is kept", "error", now)
	} else {
		u.logger.Info("the policy's rules about records hold again")
	}
}

// droppable reports whether a record may be left out at all: an allow of
// everyday. What was refused, what was managed, what was done in an emergency and
// what could not be decided is kept whatever a rule says.
func droppable(r *policy.Record) bool {
	return verdictOf(r) == verdictAllow && r.Action != policy.AdminAPI && r.Decision.BreakGlass == ""
}

// drops reports whether the policy wants no record of this.
func (e *encoder) drops(r *policy.Record) bool {
	return e.ruler.rules != nil && droppable(r) && e.ruler.about(r).drop
}

// documentOf makes the record's document, or says why that was not possible.
func documentOf(r *policy.Record) (doc map[string]any, failure string) {
	defer func() {
		if p := recover(); p != nil {
			doc, failure = nil, fmt.Sprint("panic: ", p)
		}
	}()
	if r.Input == nil {
		return nil, ""
	}
	return r.Input(), ""
}

// event is the decision as rules that are written for OPA's decision log see it.
func (u *ruler) event(r *policy.Record, doc map[string]any) map[string]any {
	event := map[string]any{
		"labels":      map[string]any{"app": "bondgate", "id": u.writer},
		"decision_id": r.ID, "path": "bondgate/decision",
		"bundles":   map[string]any{"bondgate": map[string]any{"revision": r.Decision.Revision}},
		"timestamp": r.At.UTC().Format(time.RFC3339Nano),
		"input":     doc,
	}
	if request, ok := doc["request"].(map[string]any); ok {
		event["requested_by"] = request["client_ip"]
	}
	if r.Outage != "" {
		event["error"] = map[string]any{"message": r.Outage}
		return event
	}
	d := &r.Decision
	event["result"] = map[string]any{
		"api": 1, "allow": d.Allowed(), "visible": d.Visible, "message": d.Message,
		"deny": reasonsOf(d.Deny), "warn": reasonsOf(d.Warn), "dryrun": reasonsOf(d.Dryrun),
	}
	return event
}

func reasonsOf(all []policy.Reason) []any {
	out := make([]any, len(all))
	for i, r := range all {
		out[i] = map[string]any{
			"code": r.Code, "pack": r.Pack, "mode": r.Mode, "severity": r.Severity, "term": r.Term, "msg": r.Message,
		}
	}
	return out
}
