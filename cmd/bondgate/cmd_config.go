package main

import (
	"github.com/spf13/cobra"
)

func newConfig(d deps) *cobra.Command {
	group := &cobra.Command{
		Use: "config", Short: "Check a configuration file, or print its JSON Schema", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(
		&cobra.Command{
			Use: "check FILE", Short: "Say everything that is wrong with a configuration file", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if _, err := LoadConfig(args[0], d.environ); err != nil {
					return err
				}
				return say(cmd, "%s: ok", clean(args[0]))
			},
		},
		&cobra.Command{
			Use: "schema", Short: "Print the JSON Schema of the configuration file", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write(configSchema())
				return err
			},
		},
	)
	return group
}
