package replay_test

import (
	"fmt"
	"testing"

	"github.com/bondgate/bondgate/policy/replay"
)

// Who counts by something else, as an audit by projects, is told of each change.
func TestEachChangeIsToldWithItsRulesInOrder(t *testing.T) {
	was := compiled(t, nil)
	now := compiled(t, map[string]string{
		"a.rego": rule("a", "a.one", "one", `input.reference.value == "bad"`),
		"b.rego": rule("b", "b.two", "two", `input.reference.value == "bad"`),
	})
	broken := decided(t, was, "4", 1, pull("red/app", "good"))
	broken.Input, broken.Raw = nil, []byte("no document")
	var told []string
	run(t, now, replay.Options{Each: func(c *replay.Case, kind string, rules []string) {
		told = append(told, fmt.Sprint(c.ID, " ", kind, " ", rules))
	}},
		decided(t, was, "1", 1, pull("red/app", "bad")),
		decided(t, was, "2", 1, pull("red/app", "good")),
		decided(t, was, "3", 7, pull("blue/app", "bad")),
		broken,
	)
	want := "[1 newly denied [a.one b.two] 3 newly denied [a.one b.two] 4 undecided []]"
	if fmt.Sprint(told) != want {
		t.Errorf("%v, want %s", told, want)
	}
}
