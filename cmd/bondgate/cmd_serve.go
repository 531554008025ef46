package main

import (
	"github.com/spf13/cobra"
)

func newServe(d deps) *cobra.Command {
	var file string
	var over Config
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the registry until a signal stops it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var given []Override
			for _, o := range []Override{
				{Key: "listen", Flag: "listen", Set: func(c *Config) { c.Listen = over.Listen }},
				{Key: "data_dir", Flag: "data-dir", Set: func(c *Config) { c.DataDir = over.DataDir }},
				{Key: "policy.dir", Flag: "policy", Set: func(c *Config) { c.Policy.Dir = over.Policy.Dir }},
				{Key: "policy.shadow.dir", Flag: "shadow", Set: func(c *Config) { c.Policy.Shadow.Dir = over.Policy.Shadow.Dir }},
			} {
				if cmd.Flags().Changed(o.Flag) {
					given = append(given, o)
				}
			}
			cfg, err := LoadConfig(file, d.environ, given...)
			if err != nil {
				return err
			}
			collectLater(d.getenv("GOGC"))
			app, err := New(cmd.Context(), Options{
				Config: cfg, Log: newLogger(cmd.ErrOrStderr(), cfg.Log), Out: cmd.OutOrStdout(),
				AdminPassword: d.getenv("BONDGATE_ADMIN_PASSWORD"), Version: buildInfo().Version,
				Storage: d.storage,
			})
			if err != nil {
				return err
			}
			return app.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration file (YAML)")
	f.StringVar(&over.Listen, "listen", "", "address as host:port (default localhost:5000)")
	f.StringVar(&over.DataDir, "data-dir", "", "folder for all that is kept (default data)")
	f.StringVar(&over.Policy.Dir, "policy", "", "folder with a bundle of your own rules, reloaded when a file changes")
	f.StringVar(&over.Policy.Shadow.Dir, "shadow", "", "folder with the bundle that would be next: what it would decide otherwise is counted, see bondgate policy shadow")
	return cmd
}
