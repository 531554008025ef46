package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/shadow"
)

// shadowMetrics shows what a shadow counted; they only grow, whatever is reset.
type shadowMetrics struct{ shadow *shadow.Shadow }

var (
	shadowDecisions = prometheus.NewDesc("bondgate_shadow_decisions_total",
		"Decisions that the shadow policy made too, off the path of requests.", nil, nil)
	shadowDifferences = prometheus.NewDesc("bondgate_shadow_differences_total",
		"Decisions that the shadow policy would have made otherwise, by kind.", []string{"kind"}, nil)
	shadowSkipped = prometheus.NewDesc("bondgate_shadow_skipped_total",
		"Decisions that the shadow policy did not look at: too many waited (full), or it has no bundle that compiles (broken).", []string{"reason"}, nil)
	shadowErrors = prometheus.NewDesc("bondgate_shadow_errors_total",
		"Decisions that the shadow policy failed to make: cut short, or a panic.", nil, nil)
)

// Describe tells the names.
func (m shadowMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{shadowDecisions, shadowDifferences, shadowSkipped, shadowErrors} {
		ch <- d
	}
}

// Collect reads the counters.
func (m shadowMetrics) Collect(ch chan<- prometheus.Metric) {
	c := m.shadow.Counts()
	send := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	send(shadowDecisions, c.Decisions)
	send(shadowErrors, c.Failed)
	send(shadowSkipped, c.Full, "full")
	send(shadowSkipped, c.Broken, "broken")
	send(shadowDifferences, c.Denied, string(policy.NewlyDenied))
	send(shadowDifferences, c.Allowed, string(policy.NewlyAllowed))
	send(shadowDifferences, c.Granted, string(policy.GrantedOther))
	send(shadowDifferences, c.Reasons, string(policy.OtherReasons))
}
