package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/storage/registry"
)

// deps is what commands take from the world, so that a test can give another one.
type deps struct {
	environ []string
	// storage wraps the storage driver of a server; nil but in tests.
	storage registry.Middleware
}

// getenv answers a variable of the environment that the command was given.
func (d deps) getenv(name string) string {
	out := ""
	for _, kv := range d.environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			out = v
		}
	}
	return out
}

func newRoot(d deps) *cobra.Command {
	root := &cobra.Command{
		Use:           "bondgate",
		Short:         "A registry gateway that judges every request by Rego",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newServe(d), newConfig(d), newReindex(d), newStatus(d),
		newUser(d), newGroup(d), newProject(d), newMember(d), newRobot(d), newToken(d), newRole(d), newWorkspace(d), newAuth(d), newWaiver(d), newBreakGlass(d), newDecisions(d), newPolicy(d), newLogin(d), newLogout(d), newVersion(),
	)
	return root
}

// operator is a command that speaks to the running server.
type operator struct {
	deps
	dataDir string
	// server is a gateway on the network; empty for the one on this machine.
	server    string
	workspace string
	json      bool
}

// group makes a command that only holds others, with the flags that they share.
func (d deps) group(use, short string) (*cobra.Command, *operator) {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return cmd.Help()
	}}
	return cmd, d.operator(cmd)
}

func (d deps) operator(cmd *cobra.Command) *operator {
	r := &operator{deps: d}
	dir := d.getenv("BONDGATE_DATA_DIR")
	if dir == "" {
		dir = "data"
	}
	cmd.PersistentFlags().StringVar(&r.dataDir, "data-dir", dir, "the data folder of the running server")
	cmd.PersistentFlags().StringVar(&r.server, "server", d.getenv("BONDGATE_SERVER"),
		"ask the gateway at this address, as bondgate login or docker login left the credential, or BONDGATE_USERNAME and BONDGATE_PASSWORD")
	cmd.PersistentFlags().StringVar(&r.workspace, "workspace", d.getenv("BONDGATE_WORKSPACE"),
		"the workspace that is meant; with --server it is the address that says so")
	cmd.PersistentFlags().BoolVar(&r.json, "json", false, "print JSON")
	return r
}
