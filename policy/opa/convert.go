package opa

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bondgate/bondgate/policy"
)

// decisionOf turns the decision document into a decision. It is strict: what is
// not exactly as the contract says is an error, and an error denies.
func decisionOf(v ast.Value) (policy.Decision, error) {
	doc, ok := v.(ast.Object)
	if !ok {
		return policy.Decision{}, errors.New("the decision is undefined")
	}
	r := reader{doc: doc}
	d := policy.Decision{
		Deny:        list(&r, "deny", reasonOf),
		Warn:        list(&r, "warn", reasonOf),
		Dryrun:      list(&r, "dryrun", reasonOf),
		Waived:      list(&r, "waived", waivedOf),
		Obligations: list(&r, "obligations", obligationOf),
		Granted:     list(&r, "granted", scopeOf),
		Visible:     r.boolean("visible"),
		Message:     r.text("message"),
		RetryAfter:  time.Duration(r.number("retry_after_s")) * time.Second,
		BreakGlass:  r.text("breakglass"),
	}
	allow := r.boolean("allow")
	if r.err != nil {
		return policy.Decision{}, r.err
	}
	if allow != (len(d.Deny) == 0) {
		return policy.Decision{}, errors.New("the decision contradicts itself")
	}
	if d.BreakGlass != "" && (!allow || !lifts(d.BreakGlass, d.Waived)) {
		return policy.Decision{}, errors.New("the decision breaks glass and lifts nothing")
	}
	if allow {
		d.Verdict = policy.Allow
	}
	return d, nil
}

// lifts reports whether a grant stands among what was waived.
func lifts(grant string, waived []policy.Waived) bool {
	return slices.ContainsFunc(waived, func(w policy.Waived) bool { return w.Waiver == grant })
}

func reasonOf(r *reader) policy.Reason {
	out := policy.Reason{
		Code: r.text("code"), Pack: r.text("pack"), Mode: r.text("mode"), Severity: r.text("severity"),
		Term: r.text("term"), Message: r.text("msg"), Remediation: r.text("remediation"), EffectiveOn: r.text("effective_on"),
	}
	if out.Code == "" && r.err == nil {
		r.err = errors.New("a reason has no code")
	}
	return out
}

func waivedOf(r *reader) policy.Waived {
	return policy.Waived{Code: r.text("code"), Term: r.text("term"), Waiver: r.text("waiver")}
}

func scopeOf(r *reader) policy.Scope {
	out := policy.Scope{Type: r.text("type"), Name: r.text("name")}
	r.array("actions", func(t *ast.Term) error {
		s, ok := t.Value.(ast.String)
		if !ok {
			return errors.New("an action is not a text")
		}
		out.Actions = append(out.Actions, string(s))
		return nil
	})
	return out
}

func obligationOf(r *reader) policy.Obligation {
	out := policy.Obligation{Type: r.text("type")}
	if r.err != nil {
		return out
	}
	raw, err := ast.JSON(r.doc)
	fields, ok := raw.(map[string]any)
	if err != nil || !ok {
		r.err = errors.New("an obligation is not a JSON object")
		return out
	}
	delete(fields, "type")
	if len(fields) > 0 {
		out.Fields = fields
	}
	return out
}

// reader reads an object and keeps the first thing that is wrong with it.
type reader struct {
	doc ast.Object
	err error
}

func (r *reader) get(key string) ast.Value {
	if r.err != nil {
		return nil
	}
	t := r.doc.Get(ast.StringTerm(key))
	if t == nil {
		r.err = fmt.Errorf("%s is missing", key)
		return nil
	}
	return t.Value
}

func (r *reader) fail(key, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s is not %s", key, want)
	}
}

func (r *reader) text(key string) string {
	s, ok := r.get(key).(ast.String)
	if !ok {
		r.fail(key, "a text")
	}
	return string(s)
}

func (r *reader) boolean(key string) bool {
	b, ok := r.get(key).(ast.Boolean)
	if !ok {
		r.fail(key, "true or false")
	}
	return bool(b)
}

// number reads whole seconds of a reasonable size.
func (r *reader) number(key string) int64 {
	n, ok := r.get(key).(ast.Number)
	if !ok {
		r.fail(key, "a number")
		return 0
	}
	i, ok := n.Int64()
	if !ok || i < 0 || i > int64(24*time.Hour/time.Second) {
		r.fail(key, "a number of seconds of a day at most")
		return 0
	}
	return i
}

func (r *reader) array(key string, each func(*ast.Term) error) {
	a, ok := r.get(key).(*ast.Array)
	if !ok {
		r.fail(key, "a list")
		return
	}
	a.Foreach(func(t *ast.Term) {
		if r.err != nil {
			return
		}
		if err := each(t); err != nil {
			r.err = fmt.Errorf("%s: %w", key, err)
		}
	})
}

// list reads an array of objects; an empty one is nil.
func list[T any](r *reader, key string, read func(*reader) T) []T {
	var out []T
	r.array(key, func(t *ast.Term) error {
		doc, ok := t.Value.(ast.Object)
		if !ok {
			return errors.New("an entry is not an object")
		}
		item := reader{doc: doc}
		out = append(out, read(&item))
		return item.err
	})
	return out
}
