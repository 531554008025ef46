package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func TestAWaiverStandsAsItsStateAndItsEndSay(t *testing.T) {
	at := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	const week = 7 * 24 * time.Hour
	for name, c := range map[string]struct {
		state   policy.WaiverState
		left    time.Duration
		want    policy.WaiverStanding
		inForce bool
	}{
		"approved, with time left":               {policy.WaiverApproved, week + time.Second, policy.WaiverActive, true},
		"approved, a week before its end":        {policy.WaiverApproved, week, policy.WaiverExpiring, true},
		"approved, in its last second":           {policy.WaiverApproved, time.Second, policy.WaiverExpiring, true},
		"approved, at its end":                   {policy.WaiverApproved, 0, policy.WaiverExpired, false},
		"approved, after its end":                {policy.WaiverApproved, -time.Second, policy.WaiverExpired, false},
		"asked for":                              {policy.WaiverPending, week, policy.WaiverAsked, false},
		"asked for, after its end":               {policy.WaiverPending, 0, policy.WaiverExpired, false},
		"rejected":                               {policy.WaiverRejected, week, policy.WaiverRefused, false},
		"rejected, after its end":                {policy.WaiverRejected, -week, policy.WaiverRefused, false},
		"of no state, which lifts nothing":       {"", week, policy.WaiverAsked, false},
		"of a state that nobody knows, likewise": {"fine", week, policy.WaiverAsked, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := policy.Waiver{ID: "W", Rule: "r", Owner: "o", State: c.state, Expires: at.Add(c.left)}
			if got := w.Standing(at, week); got != c.want {
				t.Errorf("it is %s", got)
			}
			matched := len(policy.NewWaiverSet([]policy.Waiver{w}).Match(policy.Repository{Name: "a/b"}, "", at)) > 0
			if w.InForce(at) != c.inForce || matched != c.inForce {
				t.Errorf("it is in force: %v, and matches: %v", w.InForce(at), matched)
			}
		})
	}
}

func TestAWaiverReachesTheProjectsThatItCanMatchIn(t *testing.T) {
	for name, c := range map[string]struct {
		projects, repositories []string
		want                   string
	}{
		"its projects, once":                  {[]string{"b", "a", "b"}, nil, "[a b] true"},
		"its projects, whatever its patterns": {[]string{"a"}, []string{"**"}, "[a] true"},
		"the projects that its patterns name": {nil, []string{"b/*", "a/**"}, "[a b] true"},
		"any, by a star":                      {nil, []string{"a/*", "*/b"}, "[] false"},
		"any, by a class":                     {nil, []string{"[ab]/x"}, "[] false"},
		"any, without anything":               {nil, nil, "[] false"},
	} {
		t.Run(name, func(t *testing.T) {
			w := policy.Waiver{Projects: c.projects, Repositories: c.repositories, State: policy.WaiverApproved, Expires: time.Unix(2, 0)}
			projects, bounded := w.Reach()
			if got := fmt.Sprint(projects, bounded); got != c.want {
				t.Errorf("it reaches %s", got)
			}
			// What it does not reach, it does not match in.
			if bounded && len(policy.NewWaiverSet([]policy.Waiver{w}).Match(policy.Repository{Name: "c/x"}, "", time.Unix(1, 0))) > 0 {
				t.Error("it matches elsewhere")
			}
		})
	}
}

func TestTwoPeopleOfOneNameAreTwo(t *testing.T) {
	a := policy.Principal{Issuer: "local", ID: "alice"}
	b := policy.Principal{Issuer: "https://sso", ID: "alice"}
	if a.Identity() == b.Identity() || a.Identity() != "local#alice" || (policy.Principal{Issuer: "local"}).Identity() != "" {
		t.Fatal(a.Identity(), b.Identity())
	}
}
