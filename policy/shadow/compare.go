package shadow

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// compare says how now differs from was, which rules make the difference, and the
// reasons that only one of the two has. An empty kind is no difference.
func compare(was, now *policy.Decision) (kind policy.DifferenceKind, codes []string, gone, come []policy.DifferingReason) {
	if quiet(was) && quiet(now) && was.Verdict == now.Verdict && sameScopes(was.Granted, now.Granted) {
		return "", nil, nil, nil
	}
	gone, come = apart(reasonsOf(was), reasonsOf(now))
	switch {
	case was.Allowed() && !now.Allowed():
		return policy.NewlyDenied, codesOf(denials(come)), gone, come
	case !was.Allowed() && now.Allowed():
		return policy.NewlyAllowed, codesOf(denials(gone)), gone, come
	case !sameScopes(was.Granted, now.Granted):
		return policy.GrantedOther, codesOf(gone, come), gone, come
	case len(gone)+len(come) > 0:
		return policy.OtherReasons, codesOf(gone, come), gone, come
	}
	return "", nil, nil, nil
}

// quiet reports whether no rule said anything.
func quiet(d *policy.Decision) bool {
	return len(d.Deny)+len(d.Warn)+len(d.Dryrun)+len(d.Waived) == 0
}

func reasonsOf(d *policy.Decision) []policy.DifferingReason {
	var all []policy.DifferingReason
	for effect, reasons := range map[string][]policy.Reason{"deny": d.Deny, "warn": d.Warn, "dryrun": d.Dryrun} {
		for i := range reasons {
			all = append(all, policy.DifferingReason{
				Effect: effect, Code: reasons[i].Code, Term: reasons[i].Term, Message: reasons[i].Message,
			})
		}
	}
	for _, w := range d.Waived {
		all = append(all, policy.DifferingReason{Effect: "waived", Code: w.Code, Term: w.Term, Message: w.Waiver})
	}
	slices.SortStableFunc(all, order)
	return all
}

// order puts reasons side by side that are the same one; their words do not count.
func order(a, b policy.DifferingReason) int {
	return cmp.Or(strings.Compare(a.Effect, b.Effect), strings.Compare(a.Code, b.Code), strings.Compare(a.Term, b.Term))
}

// apart answers what only one of two sorted lists has.
func apart(was, now []policy.DifferingReason) (gone, come []policy.DifferingReason) {
	for len(was) > 0 || len(now) > 0 {
		c := 0
		switch {
		case len(was) == 0:
			c = 1
		case len(now) == 0:
			c = -1
		default:
			c = order(was[0], now[0])
		}
		switch {
		case c < 0:
			gone, was = append(gone, was[0]), was[1:]
		case c > 0:
			come, now = append(come, now[0]), now[1:]
		default:
			was, now = was[1:], now[1:]
		}
	}
	return gone, come
}

func denials(all []policy.DifferingReason) []policy.DifferingReason {
	return slices.DeleteFunc(slices.Clone(all), func(r policy.DifferingReason) bool { return r.Effect != "deny" })
}

func codesOf(lists ...[]policy.DifferingReason) []string {
	var codes []string
	for _, l := range lists {
		for i := range l {
			codes = append(codes, l[i].Code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// sameScopes compares what tokens would carry, whatever the order.
func sameScopes(a, b []policy.Scope) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || slices.Equal(scopeLines(a), scopeLines(b))
}

func scopeLines(scopes []policy.Scope) []string {
	lines := make([]string, len(scopes))
	for i, s := range scopes {
		actions := slices.Sorted(slices.Values(s.Actions))
		lines[i] = s.Type + "\x00" + s.Name + "\x00" + strings.Join(actions, ",")
	}
	slices.Sort(lines)
	return lines
}
