package main

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/storage/metadata"
)

// waiverSources are the bundle's waivers and the people who ask for others, as the
// management API sees them.
type waiverSources struct {
	*bundle.Folder
	*metadata.Store
}

// How waivers are watched: what changed is looked for every second; a waiver is
// expiring for a week; an end is told for a day, by a server that was down at the time.
const (
	lookForWaivers = time.Second
	expiringFor    = 7 * 24 * time.Hour
	toldFor        = 24 * time.Hour
)

// waiverWatch knows all waivers, for the metrics and to tell when one ends. It lifts
// and ends nothing: each decision sees for itself what is in force.
type waiverWatch struct {
	// revision changes with every change of waivers, and of more.
	revision func() (people int64, rules string)
	stored   func(context.Context) ([]policy.Waiver, error)
	files    func() []policy.Waiver
	// claim is true for one of all replicas.
	claim func(context.Context, policy.Waiver) (bool, error)
	log   *slog.Logger
	now   func() time.Time

	all atomic.Pointer[[]policy.Waiver]
	// Of the watching goroutine only: what was read, and until when ends are told.
	people int64
	rules  string
	told   time.Time
}

func (a *App) newWaiverWatch() *waiverWatch {
	return &waiverWatch{
		revision: func() (int64, string) { return a.revision(), a.bundle.Status().Revision },
		stored:   a.store.AllWaivers, files: a.bundle.FileWaivers, claim: a.store.ClaimWaiverEnd,
		log: a.log, now: time.Now, people: -1,
	}
}

// run watches until ctx ends. What cannot be read is read at the next look.
func (w *waiverWatch) run(ctx context.Context) {
	tick := time.NewTicker(lookForWaivers)
	defer tick.Stop()
	failed := false
	for {
		err := w.look(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			w.log.Error("the waivers cannot be watched", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *waiverWatch) look(ctx context.Context) error {
	if people, rules := w.revision(); people < 0 || people != w.people || rules != w.rules {
		stored, err := w.stored(ctx)
		if err != nil {
			return err
		}
		all := append(stored, w.files()...)
		w.all.Store(&all)
		w.people, w.rules = people, rules
	}
	return w.tellEnds(ctx)
}

// tellEnds writes a line about each waiver that ended since the last look.
func (w *waiverWatch) tellEnds(ctx context.Context) error {
	now := w.now()
	since := w.told
	if since.IsZero() {
		since = now.Add(-toldFor)
	}
	for _, one := range *w.all.Load() {
		if one.State != policy.WaiverApproved || one.Expires.After(now) || !one.Expires.After(since) {
			continue
		}
		first, err := w.claim(ctx, one)
		if err != nil {
			return err
		}
		if first {
			w.log.Warn("a waiver ended: its rule is in force again", "waiver", one.ID, "origin", one.Origin,
				"workspace", one.Workspace, "rule", one.Rule, "owner", one.Owner, "expired", one.Expires)
		}
	}
	w.told = now
	return nil
}

var (
	waiversDesc = prometheus.NewDesc("bondgate_waivers",
		"Waivers by standing; what is expiring ends within 7 days and is not counted as active.", []string{"state"}, nil)
	nextExpiryDesc = prometheus.NewDesc("bondgate_waiver_next_expiry_seconds",
		"When the next waiver in force ends, in seconds since 1970; absent when none will.", nil, nil)
)

// Describe tells the names of the metrics.
func (w *waiverWatch) Describe(ch chan<- *prometheus.Desc) {
	ch <- waiversDesc
	ch <- nextExpiryDesc
}

// Collect counts what is known at the moment of the scrape, and reads nothing.
func (w *waiverWatch) Collect(ch chan<- prometheus.Metric) {
	var all []policy.Waiver
	if known := w.all.Load(); known != nil {
		all = *known
	}
	now := w.now()
	counts := map[policy.WaiverStanding]float64{}
	var ends []time.Time
	for i := range all {
		counts[all[i].Standing(now, expiringFor)]++
		if all[i].InForce(now) {
			ends = append(ends, all[i].Expires)
		}
	}
	for _, state := range policy.WaiverStandings() {
		ch <- prometheus.MustNewConstMetric(waiversDesc, prometheus.GaugeValue, counts[state], string(state))
	}
	if len(ends) > 0 {
		next := slices.MinFunc(ends, time.Time.Compare)
		ch <- prometheus.MustNewConstMetric(nextExpiryDesc, prometheus.GaugeValue, float64(next.Unix()))
	}
}
