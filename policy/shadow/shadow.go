package shadow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Judge is the bundle that runs in the shadow.
type Judge interface {
	policy.Evaluator
	// DecideInput decides on a document as it was judged. It fails with
	// [policy.ErrUnavailable] when no decision is possible.
	DecideInput(ctx context.Context, doc map[string]any) (policy.Decision, error)
}

// Config is what a shadow is made of. Current is required.
type Config struct {
	// Current is the bundle to judge by; it fails while none was ever good.
	Current func() (Judge, error)
	// Share is the part of the decisions to judge, above 0 and at most 1; 0 is 1.
	Share float64
	// Deadline bounds one evaluation; 50 ms when zero.
	Deadline time.Duration
	// Queue is how many decisions may wait; 1024 when zero. Memory for them is taken
	// at once, about a kilobyte each.
	Queue int
	// Bytes is how much may hang on those that wait (manifests, calls); 16 MiB when zero.
	Bytes int64
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Shadow judges again what was decided. It is safe for concurrent use.
type Shadow struct {
	cfg    Config
	queue  chan shown
	held   atomic.Int64
	ledger ledger
	counts counts
}

// shown is one decision and what it was made on.
type shown struct {
	facts    policy.Facts
	decision policy.Decision
	// input is the document of a management call as JSON, made before the call is
	// carried out: what it changes may be changed while the decision waits here.
	input  []byte
	weight int64
}

// counts go up for as long as the process runs.
type counts struct {
	decisions, failed, full, broken   atomic.Int64
	denied, allowed, granted, reasons atomic.Int64
}

// Counts are what was counted since the process began, whatever was reset.
type Counts struct {
	// Decisions are those that the shadow made, and Failed those that it could not.
	Decisions, Failed int64
	// Full were not looked at because too many waited, and Broken because there was
	// no bundle that compiles.
	Full, Broken int64
	policy.Differences
}

// New makes a shadow, or says what is wrong with cfg.
func New(cfg Config) (*Shadow, error) {
	if cfg.Current == nil {
		return nil, fmt.Errorf("make a shadow: a bundle is required: %w", policy.ErrInvalid)
	}
	if cfg.Share < 0 || cfg.Share > 1 {
		return nil, fmt.Errorf("make a shadow: a share of %g is not between 0 and 1: %w", cfg.Share, policy.ErrInvalid)
	}
	if cfg.Share == 0 {
		cfg.Share = 1
	}
	if cfg.Deadline <= 0 {
		cfg.Deadline = 50 * time.Millisecond
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 1024
	}
	if cfg.Bytes <= 0 {
		cfg.Bytes = 16 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Shadow{cfg: cfg, queue: make(chan shown, cfg.Queue)}
	s.ledger.begin("", cfg.Now())
	return s, nil
}

// Witness takes note of a decision, to be judged again later; it never waits. It is
// made for [policy.GateConfig.Witness].
func (s *Shadow) Witness(f policy.Facts, d policy.Decision) {
	if s.cfg.Share < 1 && rand.Float64() >= s.cfg.Share { //nolint:gosec // a sample, and no secret
		return
	}
	it := shown{facts: f, decision: d, weight: weightOf(&f)}
	if s.held.Add(it.weight) > s.cfg.Bytes {
		s.leave(it.weight)
		return
	}
	if f.Request.Admin != nil {
		raw, err := json.Marshal(policy.Document(f))
		if err != nil || s.held.Add(int64(len(raw))) > s.cfg.Bytes {
			s.leave(it.weight + int64(len(raw)))
			return
		}
		it.input, it.weight = raw, it.weight+int64(len(raw))
		it.facts.Request.Reference.Value = calledOf(f.Request.Admin)
		it.facts.Request.Admin = nil
	}
	select {
	case s.queue <- it:
	default:
		s.leave(it.weight)
	}
}

// calledOf is a management call as people write it, and as records have it.
func calledOf(a *policy.AdminCall) string {
	return strings.TrimRight(a.Resource+":"+a.Verb+" "+a.ID, " ")
}

// leave counts a decision that is not looked at, and gives back its room.
func (s *Shadow) leave(weight int64) {
	s.held.Add(-weight)
	s.counts.full.Add(1)
}

// perDecision is what a decision weighs without what hangs on it.
const perDecision = 2 << 10

// weightOf estimates what the facts keep in memory.
func weightOf(f *policy.Facts) int64 {
	w := int64(perDecision)
	if a := f.Request.Artifact; a != nil {
		w += a.Size
		if a.ConfigBlob != nil && a.Config != nil {
			w += a.ConfigBlob.Size
		}
	}
	return w
}

// stretch is how long the worker works before it rests for as long: the other half
// of its core is for requests, however much the shadow has to do.
const stretch = 5 * time.Millisecond

// Run judges what is shown until ctx ends. One call at a time may run.
func (s *Shadow) Run(ctx context.Context) error {
	rest := time.NewTimer(time.Hour)
	defer rest.Stop()
	for worked := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case it := <-s.queue:
			start := time.Now()
			s.look(ctx, &it)
			s.held.Add(-it.weight)
			worked += time.Since(start)
		}
		if worked < stretch {
			continue
		}
		rest.Reset(worked)
		worked = 0
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rest.C:
		}
	}
}

// look judges one decision again and counts what came of it.
func (s *Shadow) look(ctx context.Context, it *shown) {
	judge, err := s.cfg.Current()
	if err != nil {
		s.counts.broken.Add(1)
		return
	}
	now, err := s.decide(ctx, judge, it)
	if ctx.Err() != nil {
		return // the server stops: that is no fault of the bundle
	}
	s.ledger.begin(judge.Revision(), s.cfg.Now())
	if err != nil {
		s.counts.failed.Add(1)
		s.ledger.fail(it, err)
		return
	}
	s.counts.decisions.Add(1)
	kind, codes, was, is := compare(&it.decision, &now)
	s.counts.add(kind)
	s.ledger.add(it, kind, codes, was, is)
}

// decide puts what was judged before the shadow bundle. Whatever goes wrong is an error.
func (s *Shadow) decide(ctx context.Context, judge Judge, it *shown) (d policy.Decision, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Deadline)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			d, err = policy.Decision{}, fmt.Errorf("panic: %v", p)
		}
	}()
	doc, err := it.document()
	if err != nil {
		return policy.Decision{}, err
	}
	d, err = judge.DecideInput(ctx, policy.Transpose(doc, it.facts.Project.Packs, judge))
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
		return policy.Decision{}, fmt.Errorf("no decision within %s: %w", s.cfg.Deadline, ctx.Err())
	}
	return d, err
}

func (it *shown) document() (map[string]any, error) {
	if it.input == nil {
		return policy.Document(it.facts), nil
	}
	dec := json.NewDecoder(bytes.NewReader(it.input))
	dec.UseNumber() // a time in nanoseconds is beyond what a float64 can hold
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read the input: %w", err)
	}
	return doc, nil
}

func (c *counts) add(kind policy.DifferenceKind) {
	switch kind {
	case policy.NewlyDenied:
		c.denied.Add(1)
	case policy.NewlyAllowed:
		c.allowed.Add(1)
	case policy.GrantedOther:
		c.granted.Add(1)
	case policy.OtherReasons:
		c.reasons.Add(1)
	}
}

// Counts are what was counted so far.
func (s *Shadow) Counts() Counts {
	c := &s.counts
	return Counts{
		Decisions: c.decisions.Load(), Failed: c.failed.Load(), Full: c.full.Load(), Broken: c.broken.Load(),
		Differences: policy.Differences{
			Denied: c.denied.Load(), Allowed: c.allowed.Load(), Granted: c.granted.Load(), Reasons: c.reasons.Load(),
		},
	}
}

// Report is what was found in a workspace: in one project, or everywhere when
// project is empty. What the bundle is and whether it is broken is its folder's to say.
func (s *Shadow) Report(workspace, project string) policy.ShadowReport {
	r := s.ledger.report(workspace, project)
	r.Enabled, r.Share = true, s.cfg.Share
	if project == "" {
		r.Skipped = s.counts.full.Load() + s.counts.broken.Load() - s.ledger.skippedBefore(workspace)
	}
	return r
}

// Reset forgets what was found in a workspace; what [Shadow.Counts] answers goes on.
func (s *Shadow) Reset(workspace string) {
	s.ledger.reset(workspace, s.counts.full.Load()+s.counts.broken.Load(), s.cfg.Now())
}
