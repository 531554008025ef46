package opa

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// How much of an evaluation is watched at most: a hostile bundle may take millions
// of steps. What comes after is not seen.
const (
	mostEvents = 300_000
	// mostMemory is how many evaluations of one helper are kept.
	mostMemory = 64
	// mostReads bounds what is collected for one entry, and mostVisited the steps
	// that are looked at for it.
	mostReads   = 512
	mostVisited = 20_000
)

// speech is an entry of a deny or warn as a rule made it, with the rule.
type speech struct {
	pack string
	// code, term and message are empty where the entry has none.
	code, term, message string
	// formed is false for an entry without a code and a message.
	formed bool
	rule   *ast.Rule
	reads  []read
	// rules are those that were asked on the way, the speaking one first.
	rules []*ast.Rule
	// data are the refs that lead to no rule that was asked.
	data []ast.Ref
}

// builtin tells the entries of the decision itself.
func (s *speech) builtin() bool {
	pack, ok := speaker(s.rule)
	return ok && pack == ""
}

// read is one look of a rule at a place.
type read struct {
	term *ast.Term
	// at is the ref as far as it is known, and was what it had been before, in a body
	// that goes through a list.
	at  ast.Ref
	was []ast.Ref
	// near are the constants in the same expression, by which it is compared.
	near []*ast.Term
}

// step is the evaluation of one expression and what it asked.
type step struct {
	index    int
	reads    []read
	children []*frame
}

// frame is the evaluation of one body. OPA answers a helper that it asked before
// from a cache; then the frames of that helper are looked up in watch.memory.
type frame struct {
	rule *ast.Rule
	// now are the steps on the way to where the evaluation stands; all of them were.
	now, all []*step
}

// watch follows an evaluation: which rule made which entry, and what it read.
type watch struct {
	// wanted tells the entries that somebody asks about.
	wanted func(*speech) bool
	heard  []*speech
	frames map[uint64]*frame
	memory map[string][]*frame
	events int
}

var _ topdown.QueryTracer = (*watch)(nil)

func newWatch(wanted func(*speech) bool) *watch {
	return &watch{wanted: wanted, frames: map[uint64]*frame{}, memory: map[string][]*frame{}}
}

func (w *watch) Enabled() bool             { return true }
func (*watch) Config() topdown.TraceConfig { return topdown.TraceConfig{} }
func (w *watch) full() bool                { return w.events >= mostEvents }
func (w *watch) frame(id uint64) *frame {
	f := w.frames[id]
	if f == nil {
		f = &frame{}
		w.frames[id] = f
	}
	return f
}

// TraceEvent is called at every step of the evaluation.
func (w *watch) TraceEvent(evt topdown.Event) {
	if w.events++; w.full() {
		return
	}
	switch evt.Op {
	case topdown.EnterOp:
		w.enter(&evt)
	case topdown.EvalOp:
		if expr, ok := evt.Node.(*ast.Expr); ok {
			w.frame(evt.QueryID).begin(expr, &evt)
		}
	case topdown.RedoOp:
		if expr, ok := evt.Node.(*ast.Expr); ok {
			w.frame(evt.QueryID).back(expr.Index + 1)
		}
	case topdown.ExitOp:
		f := w.frame(evt.QueryID)
		f.bind(&evt)
		if rule, ok := evt.Node.(*ast.Rule); ok {
			w.hear(rule, f, &evt)
		}
	}
}

func (w *watch) enter(evt *topdown.Event) {
	f := &frame{}
	f.rule, _ = evt.Node.(*ast.Rule)
	w.frames[evt.QueryID] = f
	if parent := w.frames[evt.ParentID]; parent != nil && len(parent.now) > 0 {
		last := parent.now[len(parent.now)-1]
		last.children = append(last.children, f)
	}
	if f.rule != nil {
		name := f.rule.Ref().GroundPrefix().String()
		if kept := w.memory[name]; len(kept) < mostMemory {
			w.memory[name] = append(kept, f)
		}
	}
}

// begin notes what an expression reads.
func (f *frame) begin(expr *ast.Expr, evt *topdown.Event) {
	f.back(expr.Index)
	s := &step{index: expr.Index}
	var near []*ast.Term
	visit := ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension, *ast.Every:
			return true // they have frames of their own
		case *ast.Term:
			switch x.Value.(type) {
			case ast.Ref:
				s.reads = append(s.reads, read{term: x, at: plugged(x, evt)})
				return true
			case ast.Var:
				near = constantsIn(evt.Plug(x), near)
			case ast.String, ast.Number, ast.Boolean, ast.Set, *ast.Array:
				near = constantsIn(x, near)
				return true
			}
		}
		return false
	})
	visit.Walk(expr)
	for i := range s.reads {
		s.reads[i].near = near
	}
	f.now, f.all = append(f.now, s), append(f.all, s)
}

// back forgets the steps from an index on: the evaluation goes another way.
func (f *frame) back(index int) {
	for len(f.now) > 0 && f.now[len(f.now)-1].index >= index {
		f.now = f.now[:len(f.now)-1]
	}
}

// bind completes the refs of a body that came to its end: all variables are known.
func (f *frame) bind(evt *topdown.Event) {
	for _, s := range f.now {
		for i := range s.reads {
			r := &s.reads[i]
			if r.term.IsGround() {
				continue
			}
			if r.at.IsGround() && len(r.was) < mostMemory {
				r.was = append(r.was, r.at)
			}
			r.at = plugged(r.term, evt)
		}
	}
}

func plugged(t *ast.Term, evt *topdown.Event) ast.Ref {
	if t.IsGround() {
		return t.Value.(ast.Ref) //nolint:forcetypeassert // asked before
	}
	ref, ok := evt.Plug(t).Value.(ast.Ref)
	if !ok {
		return t.Value.(ast.Ref).GroundPrefix() //nolint:forcetypeassert // asked before
	}
	return ref
}

// mostNear bounds the constants of one expression.
const mostNear = 16

func constantsIn(t *ast.Term, out []*ast.Term) []*ast.Term {
	add := func(t *ast.Term) {
		switch t.Value.(type) {
		case ast.String, ast.Number, ast.Boolean:
			if len(out) < mostNear {
				out = append(out, t)
			}
		}
	}
	switch v := t.Value.(type) {
	case ast.Set:
		v.Foreach(add)
	case *ast.Array:
		v.Foreach(add)
	default:
		add(t)
	}
	return out
}

// hear keeps an entry that somebody asked about.
func (w *watch) hear(rule *ast.Rule, f *frame, evt *topdown.Event) {
	pack, ok := speaker(rule)
	if !ok || rule.Head.Key == nil {
		return
	}
	s := &speech{pack: pack, rule: rule}
	s.read(evt.Plug(rule.Head.Key))
	if !w.wanted(s) {
		return
	}
	c := collector{memory: w.memory, seen: map[*frame]bool{}, at: map[string]bool{}, asked: map[*ast.Rule]bool{}, out: s}
	c.rule(rule)
	c.steps(f.now, false)
	w.heard = append(w.heard, s)
}

// speaker tells the rules whose entries reach a decision, and for which pack; the
// pack of what is built in stands in its entry.
func speaker(rule *ast.Rule) (pack string, ok bool) {
	if rule.Module == nil {
		return "", false
	}
	path, err := packagePath(rule.Module)
	if err != nil || len(path) == 0 || path[0] != "bondgate" {
		return "", false
	}
	name := string(rule.Head.Name)
	switch {
	case len(path) == 1:
		return "", name == "builtin_deny" || name == "warned"
	case len(path) == 3 && path[1] == "rules":
		return path[2], name == "deny" || name == "warn"
	}
	return "", false
}

// read takes what an entry says of itself. A warning that is built in comes with a rank.
func (s *speech) read(t *ast.Term) {
	if ranked, ok := t.Value.(*ast.Array); ok && ranked.Len() == 2 && s.pack == "" {
		t = ranked.Elem(1)
	}
	entry, ok := t.Value.(ast.Object)
	if !ok {
		return
	}
	text := func(key string) string {
		v := entry.Get(ast.StringTerm(key))
		if v == nil {
			return ""
		}
		str, _ := v.Value.(ast.String)
		return string(str)
	}
	s.code, s.term, s.message = text("code"), text("term"), text("msg")
	s.formed = s.code != "" && entry.Get(ast.StringTerm("msg")) != nil
	if s.pack == "" {
		s.pack = text("pack")
	}
}

// collector gathers what was read on the way to an entry.
type collector struct {
	memory  map[string][]*frame
	seen    map[*frame]bool
	at      map[string]bool
	asked   map[*ast.Rule]bool
	visited int
	out     *speech
}

func (c *collector) rule(r *ast.Rule) {
	if r != nil && !c.asked[r] {
		c.asked[r] = true
		c.out.rules = append(c.out.rules, r)
	}
}

func (c *collector) frame(f *frame, steps []*step) {
	if !c.seen[f] {
		c.seen[f] = true
		c.rule(f.rule)
		c.steps(steps, true)
	}
}

// steps looks at what steps read; with before set also at what they had read when
// their bodies went another way.
func (c *collector) steps(steps []*step, before bool) {
	for _, s := range steps {
		if c.visited++; c.visited > mostVisited || len(c.out.reads) >= mostReads {
			return
		}
		for _, r := range s.reads {
			if before {
				for _, at := range r.was {
					c.look(read{at: at, near: r.near}, len(s.children) > 0)
				}
			}
			c.look(r, len(s.children) > 0)
		}
		for _, child := range s.children {
			c.frame(child, child.all)
		}
	}
}

// look notes a place of the input, or follows a ref to the rules behind it.
func (c *collector) look(r read, asked bool) {
	switch {
	case r.at.HasPrefix(ast.InputRootRef):
		key := r.at.String()
		if !c.at[key] {
			c.at[key] = true
			c.out.reads = append(c.out.reads, r)
		}
	case r.at.HasPrefix(ast.DefaultRootRef):
		key := r.at.String()
		if c.at[key] {
			return
		}
		c.at[key] = true
		c.out.data = append(c.out.data, r.at)
		if asked {
			return
		}
		for ref := r.at.GroundPrefix(); len(ref) > 1; ref = ref[:len(ref)-1] {
			if kept, there := c.memory[ref.String()]; there {
				for _, f := range kept {
					c.frame(f, f.all)
				}
				return
			}
		}
	}
}
