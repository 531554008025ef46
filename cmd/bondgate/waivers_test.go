package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bondgate/bondgate/policy"
)

// replica is a watch with a clock that stands, over waivers that several watch.
type replica struct {
	*waiverWatch
	said  bytes.Buffer
	at    time.Time
	reads int
}

func watched(stored *[]policy.Waiver, claimed map[string]bool) *replica {
	r := &replica{at: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)}
	r.waiverWatch = &waiverWatch{
		revision: func() (int64, string) { return int64(len(*stored)), "r" },
		stored: func(context.Context) ([]policy.Waiver, error) {
			r.reads++
			return append([]policy.Waiver(nil), *stored...), nil
		},
		files: func() []policy.Waiver {
			return []policy.Waiver{{ID: "F", Rule: "a.b", State: policy.WaiverApproved, Origin: policy.WaiverOfBundle, Expires: r.at.AddDate(1, 0, 0)}}
		},
		claim: func(_ context.Context, w policy.Waiver) (bool, error) {
			first := !claimed[w.ID]
			claimed[w.ID] = true
			return first, nil
		},
		log: slog.New(slog.NewTextHandler(&r.said, nil)), now: func() time.Time { return r.at }, people: -1,
	}
	return r
}

func (r *replica) looks(t *testing.T) {
	t.Helper()
	if err := r.look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (r *replica) told() int { return strings.Count(r.said.String(), "a waiver ended") }

func TestTheEndOfAWaiverIsToldOnceByOneOfAllServers(t *testing.T) {
	start := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	stored := []policy.Waiver{
		{ID: "W-1", Rule: "a.b", Owner: "alice", State: policy.WaiverApproved, Expires: start.Add(time.Minute)},
		{ID: "W-asked", Rule: "a.b", State: policy.WaiverPending, Expires: start.Add(time.Minute)},
		{ID: "W-old", Rule: "a.b", State: policy.WaiverApproved, Expires: start.Add(-25 * time.Hour)},
		{ID: "W-down", Rule: "a.b", State: policy.WaiverApproved, Expires: start.Add(-time.Hour)},
	}
	claimed := map[string]bool{}
	a, b := watched(&stored, claimed), watched(&stored, claimed)
	a.looks(t)
	b.looks(t)
	if a.told() != 1 || b.told() != 0 || !strings.Contains(a.said.String(), "waiver=W-down") {
		t.Fatalf("of what ended while nobody served, it is said:\n%s%s", a.said.String(), b.said.String())
	}
	for range 3 {
		a.at, b.at = a.at.Add(30*time.Second), b.at.Add(30*time.Second)
		b.looks(t)
		a.looks(t)
	}
	if a.told() != 1 || b.told() != 1 || !strings.Contains(b.said.String(), "waiver=W-1") || !strings.Contains(b.said.String(), "owner=alice") {
		t.Fatalf("it is said:\n%s%s", a.said.String(), b.said.String())
	}
	if a.reads != 1 {
		t.Errorf("the waivers were read %d times, and nothing had changed", a.reads)
	}
	stored = append(stored, policy.Waiver{ID: "W-new", State: policy.WaiverApproved, Expires: a.at.Add(time.Hour)})
	a.looks(t)
	if a.reads != 2 {
		t.Errorf("after a change they were read %d times", a.reads)
	}
}

func TestAnEndThatCouldNotBeClaimedIsToldAtTheNextLook(t *testing.T) {
	stored := []policy.Waiver{{ID: "W-1", Rule: "a.b", State: policy.WaiverApproved, Expires: time.Date(2026, 9, 1, 11, 0, 0, 0, time.UTC)}}
	r := watched(&stored, map[string]bool{})
	claim := r.claim
	r.claim = func(context.Context, policy.Waiver) (bool, error) { return false, errors.New("down") }
	if err := r.look(t.Context()); err == nil || r.told() != 0 {
		t.Fatalf("%v, told %d times", err, r.told())
	}
	r.claim = claim
	r.looks(t)
	r.looks(t)
	if r.told() != 1 {
		t.Fatalf("told %d times", r.told())
	}
}

func TestTheMetricsCountWaiversAsTheyStandAtTheScrape(t *testing.T) {
	start := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	stored := []policy.Waiver{
		{ID: "1", State: policy.WaiverApproved, Expires: start.Add(10 * 24 * time.Hour)},
		{ID: "2", State: policy.WaiverApproved, Expires: start.Add(time.Hour)},
		{ID: "3", State: policy.WaiverPending, Expires: start.Add(time.Hour)},
		{ID: "4", State: policy.WaiverRejected, Expires: start.Add(time.Hour)},
	}
	r := watched(&stored, map[string]bool{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(r)
	// Before the first look nothing is known, and nothing fails.
	if n, err := testutil.GatherAndCount(registry, "bondgate_waivers"); err != nil || n != 5 {
		t.Fatal(n, err)
	}
	r.looks(t)
	want := func(text string) {
		t.Helper()
		if err := testutil.GatherAndCompare(registry, strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	}
	const head = "# HELP bondgate_waivers Waivers by standing; what is expiring ends within 7 days and is not counted as active.\n# TYPE bondgate_waivers gauge\n"
	const next = "# HELP bondgate_waiver_next_expiry_seconds When the next waiver in force ends, in seconds since 1970; absent when none will.\n# TYPE bondgate_waiver_next_expiry_seconds gauge\n"
	want(head + `bondgate_waivers{state="active"} 2
bondgate_waivers{state="expired"} 0
bondgate_waivers{state="expiring"} 1
bondgate_waivers{state="pending"} 1
bondgate_waivers{state="rejected"} 1
` + next + "bondgate_waiver_next_expiry_seconds 1.7882676e+09\n")
	// Time alone changes them.
	r.at = start.Add(9 * 24 * time.Hour)
	want(head + `bondgate_waivers{state="active"} 1
bondgate_waivers{state="expired"} 2
bondgate_waivers{state="expiring"} 1
bondgate_waivers{state="pending"} 0
bondgate_waivers{state="rejected"} 1
` + next + "bondgate_waiver_next_expiry_seconds 1.7891280e+09\n")
}
