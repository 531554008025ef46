package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bondgate/bondgate/policy/decisionlog"
	"github.com/bondgate/bondgate/policy/opa"
)

// recordRules are what the policy in force says about records (package
// system.log); nil for nothing. The log was opened before the policy was, and has
// no record before there is a gate.
func (a *App) recordRules() decisionlog.Rules {
	if a.bundle == nil {
		return nil
	}
	ev, err := a.bundle.Current()
	if err != nil {
		return nil
	}
	author, ok := ev.(interface{ LogRules() *opa.LogRules })
	if !ok {
		return nil
	}
	// A nil of a type in an interface would be asked.
	if rules := author.LogRules(); rules != nil {
		return rules
	}
	return nil
}

// droppedCounter shows how much was allowed without a record, as the policy wanted.
func droppedCounter(dropped func() int64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "bondgate_decisions_dropped_total",
		Help: "Requests that were allowed without a record, because package system.log of the policy says so.",
	}, func() float64 { return float64(dropped()) })
}
