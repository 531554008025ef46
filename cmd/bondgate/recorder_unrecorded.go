//go:build bondgate_unrecorded

package main

import (
	"context"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/decisionlog"
)

// recorder forgets everything. A server that is built so answers for nothing: it is
// the other side of the comparison that tells what recording costs (make bench), and
// no flag, file or variable makes a server of it.
func recorder(*decisionlog.Log) policy.Recorder { return forgetful{} }

type forgetful struct{}

func (forgetful) Ready() error                                { return nil }
func (forgetful) Open(*policy.Record) error                   { return nil }
func (forgetful) Write(context.Context, *policy.Record) error { return nil }
