package policy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// GateConfig is what a Gate is made of. Bundles, Directory and Recorder are required.
type GateConfig struct {
	Bundles   Bundles
	Directory Directory
	Recorder  Recorder
	// Deadline bounds one attempt at an evaluation, of two; 50 ms when zero.
	Deadline time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Observe is told of every answer; it must be quick. Optional.
	Observe func(Observation)
	// Witness is shown what was decided on what, once for answers that are shared;
	// it must be quick and can change nothing. Optional.
	Witness func(Facts, Decision)
}

// Observation is one answer as metrics see it.
type Observation struct {
	Action Action
	// Outcome is "allow", "deny" or "unavailable".
	Outcome string
	// Cached is an answer that was given before within the second.
	Cached bool
	// Took is how long the evaluation took; zero for a cached answer.
	Took time.Duration
	// BreakGlass is the grant without which it would have been a denial; empty for none.
	BreakGlass string
}

// Gate is the only path to a verdict: it learns what a decision depends on,
// has it decided and has it recorded. It keeps no opinion of its own.
type Gate struct {
	cfg   GateConfig
	gen   atomic.Pointer[generation]
	turns chan struct{}
}

// NewGate makes a gate, or says what is missing.
func NewGate(cfg GateConfig) (*Gate, error) {
	if cfg.Bundles == nil || cfg.Directory == nil || cfg.Recorder == nil {
		return nil, fmt.Errorf("make a gate: bundles, directory and recorder are required: %w", ErrInvalid)
	}
	if cfg.Deadline <= 0 {
		cfg.Deadline = 50 * time.Millisecond
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Observation) {}
	}
	if cfg.Witness == nil {
		cfg.Witness = func(Facts, Decision) {}
	}
	return &Gate{cfg: cfg, turns: make(chan struct{}, runtime.GOMAXPROCS(0))}, nil
}

// Admit decides about req. It answers a decision, allow or deny, that is
// recorded; or fails with [ErrUnavailable] when no decision is possible, which
// is neither. An allow that cannot be recorded is not an allow.
//
// One call holds one bundle and one revision of the directory from its first
// question to the record.
func (g *Gate) Admit(ctx context.Context, req Request) (Decision, error) {
	if req.At.IsZero() {
		req.At = g.cfg.Now()
	}
	req.At = req.At.Truncate(time.Second)
	ev, view, err := g.inForce()
	if err != nil {
		return g.outage(&req, "", err)
	}
	gen := g.generation(ev, view.Revision(), req.At.Unix())
	if gen == nil || !keyable(&req) {
		e, _, err := g.decide(ctx, ev, view, req, nobodyElse)
		if err != nil {
			return g.outage(&req, ev.Revision(), err)
		}
		return e.decision, nil
	}

	buf := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(buf)
	*buf = appendKey((*buf)[:0], &req, gen.fields(req.Action))
	if e := gen.lookup(*buf); e != nil {
		return g.again(e, &req)
	}
	e, fresh, err := g.decide(ctx, ev, view, req, func() *entry { return gen.lookup(*buf) })
	switch {
	case err != nil:
		return g.outage(&req, ev.Revision(), err)
	case !fresh:
		return g.again(e, &req)
	}
	gen.insert(*buf, e)
	return e.decision, nil
}

// nobodyElse is for requests whose answer is never shared.
func nobodyElse() *entry { return nil }

func (g *Gate) inForce() (Evaluator, View, error) {
	ev, err := g.cfg.Bundles.Current()
	if err != nil {
		return nil, nil, fmt.Errorf("find the policy in force: %w", err)
	}
	view, err := g.cfg.Directory.View()
	if err != nil {
		return nil, nil, fmt.Errorf("read people and projects: %w", err)
	}
	return ev, view, nil
}

// generation is the cache for exactly this bundle, revision and second. It is
// nil for a request that still holds what others have left behind: such a
// request is decided without the cache rather than turning it back.
func (g *Gate) generation(ev Evaluator, revision, second int64) *generation {
	for {
		now := g.gen.Load()
		if now != nil && now.evaluator == ev && now.revision == revision && now.second == second {
			return now
		}
		if now != nil && (now.revision > revision || now.second > second) {
			return nil
		}
		next := newGeneration(ev, revision, second, now)
		if g.gen.CompareAndSwap(now, next) {
			return next
		}
	}
}

// again gives an answer that is in the cache once more.
func (g *Gate) again(e *entry, req *Request) (Decision, error) {
	if err := g.cfg.Recorder.Ready(); err != nil {
		return g.outage(req, e.decision.Revision, err)
	}
	if err := e.count(g.cfg.Recorder, newDecisionID); err != nil {
		return g.outage(req, e.decision.Revision, err)
	}
	g.cfg.Observe(Observation{Action: req.Action, Outcome: e.decision.Verdict.String(), Cached: true, BreakGlass: e.decision.BreakGlass})
	return e.decision, nil
}

// decide learns, evaluates and records. While it waited for its turn somebody
// else may have found the same answer; then meanwhile has it, and nothing is fresh.
func (g *Gate) decide(ctx context.Context, ev Evaluator, view View, req Request, meanwhile func() *entry) (e *entry, fresh bool, err error) {
	start := time.Now()
	if err := g.turn(ctx); err != nil {
		return nil, false, err
	}
	if e := meanwhile(); e != nil {
		<-g.turns
		return e, false, nil
	}
	facts := learn(ev, view, req)
	d, err := g.evaluate(ctx, ev, facts)
	<-g.turns
	if err != nil {
		return nil, false, err
	}
	d.ID = newDecisionID()
	d.Revision = ev.Revision()
	rec := newRecord(facts, d)
	rec.Reads = ev.Reads(req.Action)
	rec.Hit()
	if err := g.keep(ctx, rec); err != nil {
		return nil, false, fmt.Errorf("record decision %s: %w", d.ID, err)
	}
	g.cfg.Observe(Observation{Action: req.Action, Outcome: d.Verdict.String(), Took: time.Since(start), BreakGlass: d.BreakGlass})
	g.cfg.Witness(facts, d)
	return &entry{decision: d, record: rec}, true, nil
}

// turn waits for one of as many turns as there are cores. Evaluation is pure
// computing: more at once than cores would make each of them slower, until all
// of them miss a deadline that any of them alone would have met.
func (g *Gate) turn(ctx context.Context) error {
	select {
	case g.turns <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	select {
	case g.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a turn to evaluate: %w: %w", ErrUnavailable, ctx.Err())
	}
}

// turnWait is how long a request waits for its turn; longer is an outage, and
// the client tries again.
const turnWait = 5 * time.Second

// learn gathers what the decision depends on, all from one view.
func learn(ev Evaluator, view View, req Request) Facts {
	f := Facts{Request: req, Revision: ev.Revision()}
	workspace := workspaceOf(&req)
	project := req.Repository.Project()
	if project != "" {
		f.Project, f.ProjectExists = view.Project(workspace, project)
	}
	f.Subject = view.Subject(req.Principal, project, req.At)
	f.Packs = ev.Packs(f.Project.Packs)
	if req.Repository.Name != "" {
		at := Repository{Workspace: workspace, Name: req.Repository.Name}
		var d digest.Digest
		if req.Artifact != nil {
			d = req.Artifact.Digest
		}
		f.Waivers = together(view.Waivers(at, d, req.At), ev.Waivers(at, d, req.At))
		if grant, ok := view.BreakGlass(req.Principal, project, req.At); ok && purposeOf(&req) == Use {
			f.BreakGlass = &grant
		}
	}
	if req.Token != nil {
		f.Scopes = learnScopes(view, workspace, &req)
	}
	return f
}

// together are the waivers of both, by id. They are copies of the callee's: a view
// and a bundle hand out new slices.
func together(a, b []Waiver) []Waiver {
	if len(b) == 0 {
		return a
	}
	all := append(a, b...)
	slices.SortStableFunc(all, func(a, b Waiver) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Suppose answers what a request would be judged on and by what, without judging
// it: for whoever explains. It is no way to a verdict, and nothing is recorded.
func (g *Gate) Suppose(req Request) (Facts, Evaluator, error) {
	if req.At.IsZero() {
		req.At = g.cfg.Now()
	}
	req.At = req.At.Truncate(time.Second)
	ev, view, err := g.inForce()
	if err != nil {
		return Facts{}, nil, err
	}
	return learn(ev, view, req), ev, nil
}

func learnScopes(view View, workspace string, req *Request) []ScopeFacts {
	out := make([]ScopeFacts, 0, len(req.Token.Requested))
	for _, s := range req.Token.Requested {
		sf := ScopeFacts{Scope: s}
		if s.Type == "repository" {
			project := Repository{Name: s.Name}.Project()
			sf.Project, sf.ProjectExists = view.Project(workspace, project)
			if !sf.ProjectExists {
				sf.Project.Name = project
			}
			sf.Subject = view.Subject(req.Principal, project, req.At)
		} else {
			sf.Subject = view.Subject(req.Principal, "", req.At)
		}
		out = append(out, sf)
	}
	return out
}

// evaluate asks the evaluator within the deadline, and once more when that
// passed: a machine that stalled for a moment (it swapped, it was paused) looks
// like a slow rule the first time and not the second.
func (g *Gate) evaluate(ctx context.Context, ev Evaluator, f Facts) (Decision, error) {
	d, late, err := g.attempt(ctx, ev, f)
	if late && ctx.Err() == nil {
		d, _, err = g.attempt(ctx, ev, f)
	}
	return d, err
}

// attempt evaluates once; late says that the deadline ended it. A panic is no
// decision: it must neither allow nor take the server down.
func (g *Gate) attempt(ctx context.Context, ev Evaluator, f Facts) (d Decision, late bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Deadline)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			d, late, err = Decision{}, false, fmt.Errorf("evaluate %s: panic: %v: %w", f.Request.Action, p, ErrUnavailable)
		}
	}()
	d, err = ev.Decide(ctx, f)
	if err != nil {
		return Decision{}, errors.Is(ctx.Err(), context.DeadlineExceeded), fmt.Errorf("evaluate %s: %w", f.Request.Action, err)
	}
	// An answer that came too late was still made: only an evaluator that was
	// cut short has none. A deny in hand wins over an allow by definition.
	if d.Allowed() && len(d.Deny) > 0 {
		return Decision{}, false, fmt.Errorf("evaluate %s: allowed with a deny left: %w", f.Request.Action, ErrUnavailable)
	}
	return d, false, nil
}

// keep writes what must be on disk before the answer (a first denial, a
// management call, broken glass), and hands the rest to the background.
func (g *Gate) keep(ctx context.Context, rec *Record) error {
	if err := g.cfg.Recorder.Ready(); err != nil {
		return err
	}
	if !rec.Decision.Allowed() || rec.Action == AdminAPI || rec.Decision.BreakGlass != "" {
		return g.cfg.Recorder.Write(ctx, rec)
	}
	return g.cfg.Recorder.Open(rec)
}

// outage records that there was no decision, as far as that is possible, and
// answers so. The zero Decision that goes with it denies.
func (g *Gate) outage(req *Request, revision string, cause error) (Decision, error) {
	g.cfg.Observe(Observation{Action: req.Action, Outcome: "unavailable"})
	rec := newRecord(Facts{Request: *req, Revision: revision}, Decision{ID: newDecisionID(), Revision: revision})
	rec.Outage = cause.Error()
	rec.Hit()
	// A recorder that is the outage itself cannot keep this one; the caller's
	// log has the cause.
	_ = g.cfg.Recorder.Open(rec)
	if errors.Is(cause, ErrUnavailable) {
		return Decision{}, cause
	}
	return Decision{}, fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

func newRecord(f Facts, d Decision) *Record {
	r := &f.Request
	rec := &Record{
		ID: d.ID, At: r.At, RequestID: r.ID, Workspace: workspaceOf(r), Action: r.Action, Purpose: purposeOf(r),
		Subject: r.Principal.ID, Issuer: r.Principal.Issuer, Project: r.Repository.Project(),
		Repository: r.Repository.Name, Reference: r.Reference.Value, Decision: d, Packs: f.Project.Packs,
		Input: func() map[string]any { return Document(f) },
	}
	if r.Admin != nil {
		rec.Reference = strings.TrimRight(r.Admin.Resource+":"+r.Admin.Verb+" "+r.Admin.ID, " ")
	}
	switch {
	case r.Artifact != nil:
		rec.Digest = string(r.Artifact.Digest)
	case r.Blob != nil:
		rec.Digest = string(r.Blob.Digest)
	}
	return rec
}
