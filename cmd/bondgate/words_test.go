package main

import (
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
)

func TestALineHasRoomForADigest(t *testing.T) {
	for in, want := range map[string]string{
		"team/app@sha256:" + strings.Repeat("ab", 32): "team/app@sha256:abababababab…",
		"team/app@sha512:" + strings.Repeat("ab", 64): "team/app@sha512:abababababab…",
		"team/app:1":            "team/app:1",
		"team/app@sha256:abcde": "team/app@sha256:abcde",
	} {
		if got := shortDigests(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}

func TestADifferenceOfTheShadowIsToldOnce(t *testing.T) {
	twice := policy.DifferingReason{Effect: "deny", Code: "house.rule", Term: "W-1"}
	d := policy.Difference{Was: []policy.DifferingReason{twice, twice}, Now: []policy.DifferingReason{{Effect: "warn", Code: "house.other"}}}
	if got, want := differing(&d), "warn house.other, -deny house.rule W-1"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	for kind, want := range map[policy.DifferenceKind]string{
		policy.NewlyDenied: "denied", policy.NewlyAllowed: "allowed", policy.GrantedOther: "other scopes", policy.OtherReasons: "other reasons",
	} {
		if got := wouldBe(kind); got != want {
			t.Errorf("%s is called %q, want %q", kind, got, want)
		}
	}
}

func TestWhoFollowsDecisionsDoesNotReadOfTheFollowing(t *testing.T) {
	for sentence, c := range map[string]struct {
		d    api.DecisionRecord
		want bool
	}{
		"a list is left out":   {api.DecisionRecord{Action: policy.DecisionRead, Verdict: "allow", Reference: "decision:list"}, true},
		"not one that failed":  {api.DecisionRecord{Action: policy.DecisionRead, Verdict: "deny", Reference: "decision:list"}, false},
		"nor that one is read": {api.DecisionRecord{Action: policy.DecisionRead, Verdict: "allow", Reference: "decision:read 01"}, false},
		"nor another action":   {api.DecisionRecord{Action: policy.AdminAPI, Verdict: "allow", Reference: "decision:list"}, false},
	} {
		if got := isListing(&c.d); got != c.want {
			t.Errorf("%s: it is left out: %v", sentence, got)
		}
	}
}
