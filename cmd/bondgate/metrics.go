package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/bondgate/bondgate/policy"
)

// decisionMetrics count what the gate answers. The labels are closed lists, so
// every series is made beforehand and counting one is an addition.
type decisionMetrics struct {
	answers map[answerKey]prometheus.Counter
	took    prometheus.Histogram
}

type answerKey struct {
	action  policy.Action
	outcome string
	cached  bool
}

func newMetrics() (*prometheus.Registry, *decisionMetrics) {
	registry := prometheus.NewRegistry()
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bondgate_decisions_total", Help: "Decisions, by action and outcome; cached ones were given before within the second.",
	}, []string{"action", "outcome", "cached"})
	m := &decisionMetrics{
		answers: map[answerKey]prometheus.Counter{},
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bondgate_decision_duration_seconds", Help: "Time to decide and record what was not cached.",
			Buckets: []float64{.0001, .0002, .0003, .0005, .001, .002, .005, .01, .025, .05, .1, 1},
		}),
	}
	for _, action := range policy.Actions() {
		for _, outcome := range []string{"allow", "deny", "unavailable"} {
			for _, cached := range []bool{true, false} {
				m.answers[answerKey{action, outcome, cached}] = answers.WithLabelValues(string(action), outcome, strconv.FormatBool(cached))
			}
		}
	}
	registry.MustRegister(answers, m.took, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry, m
}

func (m *decisionMetrics) observe(o policy.Observation) {
	if c, ok := m.answers[answerKey{o.Action, o.Outcome, o.Cached}]; ok {
		c.Inc()
	}
	if !o.Cached && o.Took > 0 {
		m.took.Observe(o.Took.Seconds())
	}
}

// policyGauge says whether the last edit of the policy is in force.
func policyGauge(refused func() bool) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bondgate_policy_refused", Help: "1 while the last edit of the policy was refused and an older revision is in force.",
	}, func() float64 {
		if refused() {
			return 1
		}
		return 0
	})
}
