package policy

import "testing"

func TestGlobMatchesRepositories(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"payments/*", "payments/api", true},
		{"payments/*", "payments", false},
		{"payments/*", "payments/api/v2", false},
		{"payments/*", "payments-evil/api", false},
		{"payments/**", "payments/api/v2", true},
		{"payments/**", "payments", true},
		{"payments/**", "paymentsx/api", false},
		{"payments", "payments", true},
		{"payments", "payments/api", false},
		{"**", "anything/at/all", true},
		{"**/api", "api", true},
		{"**/api", "a/b/api", true},
		{"**/api", "a/b/apis", false},
		{"a/**/z", "a/z", true},
		{"a/**/z", "a/b/c/z", true},
		{"a/**/z", "a/b/c", false},
		{"*/api-?", "x/api-1", true},
		{"*/api-?", "x/api-", false},
		{"x/[a-c]*", "x/beta", true},
		{"x/[a-c]*", "x/delta", false},
		{"**/b/**/d", "a/b/c/b/d", true},
	} {
		if got := glob(c.pattern, c.name); got != c.want {
			t.Errorf("%q on %q is %v", c.pattern, c.name, got)
		}
	}
	for _, pattern := range []string{"", "a/", "/a", "a//b", "a/{b,c}", "a/b**", "[", "**/a/**/b/**/c/**"} {
		if ValidWaiverPattern(pattern) {
			t.Errorf("%q passes", pattern)
		}
	}
}
