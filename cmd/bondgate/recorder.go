//go:build !bondgate_unrecorded

package main

import (
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/decisionlog"
)

// recorder is what the gate tells every decision.
func recorder(log *decisionlog.Log) policy.Recorder { return log }
