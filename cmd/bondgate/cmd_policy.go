package main

import "github.com/spf13/cobra"

func newPolicy(d deps) *cobra.Command {
	group, r := d.group("policy", "What the rules decide, would decide, and why")
	group.AddCommand(
		r.policyShadow(),
		r.policyReplay(),
		r.policyDiff(),
		r.policyExplain(),
		r.policyAudit(),
	)
	return group
}
