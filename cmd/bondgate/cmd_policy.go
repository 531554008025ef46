package main

import "github.com/spf13/cobra"

func newPolicy(d deps) *cobra.Command {
	group, _ := d.group("policy", "What the rules decide, would decide, and why")
	return group
}
