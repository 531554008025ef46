package replay

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// Expectation is what a change of policy is meant to change, as somebody wrote it
// down before. What it does not list may not change at all.
type Expectation struct {
	// Rules are the most changes, by the code of a rule.
	Rules map[string]ExpectedRule `json:"rules"`
}

// ExpectedRule are the most changes of one rule, for all projects together that are
// not in Projects.
type ExpectedRule struct {
	Changes
	// Projects have limits of their own.
	Projects map[string]Changes `json:"projects,omitempty"`
}

// Changes are numbers of requests, by how they changed.
type Changes struct {
	// NewlyDenied were allowed and are denied by the rule now.
	NewlyDenied int64 `json:"newly_denied"`
	// NewlyAllowed were denied by the rule and are allowed now.
	NewlyAllowed int64 `json:"newly_allowed"`
	// Changed keep their verdict, and the rule says something else to them: a
	// warning more, another reason to deny.
	Changed int64 `json:"changed"`
}

// The ways in which a request changes, as findings name them.
const (
	NewlyDenied  = "newly denied"
	NewlyAllowed = "newly allowed"
	Changed      = "changed"
	// Unequal is an answer that differs from the one that the same bundle gave: the
	// record, or this program, is not what it was.
	Unequal = "not as recorded"
	// Undecided is a request to which the bundle gives no answer.
	Undecided = "undecided"
)

// Finding is a change that was not expected, or more of one.
type Finding struct {
	// Rule is the code; empty for what is no rule's: [Unequal] and [Undecided].
	Rule string `json:"rule,omitempty"`
	// Project is set where the project has limits of its own.
	Project string `json:"project,omitempty"`
	Kind    string `json:"kind"`
	// Requests were seen, Expected the most that were expected.
	Requests int64 `json:"requests"`
	Expected int64 `json:"expected"`
}

// scope is where limits are counted: a rule, in one project that has limits of its
// own or in all others together ("").
type scope struct{ rule, project string }

func (e *Expectation) scope(rule, project string) scope {
	if _, own := e.Rules[rule].Projects[project]; own {
		return scope{rule, project}
	}
	return scope{rule, ""}
}

func (e *Expectation) limits(s scope) Changes {
	if s.project == "" {
		return e.Rules[s.rule].Changes
	}
	return e.Rules[s.rule].Projects[s.project]
}

// beyond lists where seen is more than what is expected.
func (c Changes) beyond(s scope, seen Changes) []Finding {
	var out []Finding
	for _, k := range []struct {
		kind       string
		seen, most int64
	}{
		{NewlyDenied, seen.NewlyDenied, c.NewlyDenied},
		{NewlyAllowed, seen.NewlyAllowed, c.NewlyAllowed},
		{Changed, seen.Changed, c.Changed},
	} {
		if k.seen > k.most {
			out = append(out, Finding{Rule: s.rule, Project: s.project, Kind: k.kind, Requests: k.seen, Expected: k.most})
		}
	}
	return out
}

// Check refuses limits that are no numbers of requests.
func (e *Expectation) Check() error {
	if e.Rules == nil {
		return fmt.Errorf("an expectation has \"rules\", by their codes: %w", policy.ErrInvalid)
	}
	for code, rule := range e.Rules {
		for _, c := range append(slices.Collect(maps.Values(rule.Projects)), rule.Changes) {
			if c.NewlyDenied < 0 || c.NewlyAllowed < 0 || c.Changed < 0 {
				return fmt.Errorf("%s: numbers of requests are not negative: %w", code, policy.ErrInvalid)
			}
		}
	}
	return nil
}
