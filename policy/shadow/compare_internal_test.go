package shadow

import (
	"fmt"
	"testing"

	"github.com/bondgate/bondgate/policy"
)

func reasons(codes ...string) []policy.Reason {
	var out []policy.Reason
	for _, c := range codes {
		out = append(out, policy.Reason{Code: c, Message: "words of " + c})
	}
	return out
}

func scopes(actions ...string) []policy.Scope {
	return []policy.Scope{{Type: "repository", Name: "a/b", Actions: actions}}
}

func TestADifferenceIsToldByItsKindAndItsRules(t *testing.T) {
	allow := policy.Decision{Verdict: policy.Allow}
	for name, c := range map[string]struct {
		was, now policy.Decision
		kind     policy.DifferenceKind
		codes    string
	}{
		"the same silence is no difference": {was: allow, now: allow, codes: "[]"},
		"the same denial is no difference": {
			was: policy.Decision{Deny: reasons("a", "b")}, now: policy.Decision{Deny: reasons("b", "a")}, codes: "[]",
		},
		"a rule that denies what passed": {
			was: policy.Decision{Verdict: policy.Allow, Warn: reasons("w")}, now: policy.Decision{Deny: reasons("a"), Warn: reasons("v")},
			kind: policy.NewlyDenied, codes: "[a]",
		},
		"a rule that denies where it warned": {
			was: policy.Decision{Verdict: policy.Allow, Warn: reasons("a")}, now: policy.Decision{Deny: reasons("a")},
			kind: policy.NewlyDenied, codes: "[a]",
		},
		"a rule that is gone and had denied": {
			was: policy.Decision{Deny: reasons("a", "b")}, now: allow, kind: policy.NewlyAllowed, codes: "[a b]",
		},
		"a denial for one more reason": {
			was: policy.Decision{Deny: reasons("a")}, now: policy.Decision{Deny: reasons("a", "b")},
			kind: policy.OtherReasons, codes: "[b]",
		},
		"a warning where nothing was said": {
			was: allow, now: policy.Decision{Verdict: policy.Allow, Warn: reasons("a")}, kind: policy.OtherReasons, codes: "[a]",
		},
		"a waiver that lifts what was denied": {
			was:  policy.Decision{Deny: reasons("a")},
			now:  policy.Decision{Verdict: policy.Allow, Waived: []policy.Waived{{Code: "a", Waiver: "W-1"}}},
			kind: policy.NewlyAllowed, codes: "[a]",
		},
		"another term of one rule": {
			was:  policy.Decision{Deny: []policy.Reason{{Code: "a", Term: "x"}}},
			now:  policy.Decision{Deny: []policy.Reason{{Code: "a", Term: "y"}}},
			kind: policy.OtherReasons, codes: "[a]",
		},
		"other words for the same are no difference": {
			was: policy.Decision{Deny: []policy.Reason{{Code: "a", Message: "one"}}},
			now: policy.Decision{Deny: []policy.Reason{{Code: "a", Message: "two"}}}, codes: "[]",
		},
		"the same scopes in another order are no difference": {
			was: policy.Decision{Verdict: policy.Allow, Granted: scopes("pull", "push")},
			now: policy.Decision{Verdict: policy.Allow, Granted: scopes("push", "pull")}, codes: "[]",
		},
		"a token that carries less": {
			was:  policy.Decision{Verdict: policy.Allow, Granted: scopes("pull", "push")},
			now:  policy.Decision{Verdict: policy.Allow, Granted: scopes("pull")},
			kind: policy.GrantedOther, codes: "[]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			kind, codes, _, _ := compare(&c.was, &c.now)
			if kind != c.kind || fmt.Sprint(codes) != c.codes {
				t.Errorf("%q by %v, want %q by %s", kind, codes, c.kind, c.codes)
			}
		})
	}
}
