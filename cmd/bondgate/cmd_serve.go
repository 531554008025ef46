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
			cfg, err := LoadConfig(file, d.environ, func(c *Config) {
				for flag, set := range map[string]func(){
					"listen":   func() { c.Listen = over.Listen },
					"data-dir": func() { c.DataDir = over.DataDir },
					"policy":   func() { c.Policy.Dir = over.Policy.Dir },
				} {
					if cmd.Flags().Changed(flag) {
						set()
					}
				}
			})
			if err != nil {
				return err
			}
			app, err := New(cmd.Context(), Options{
				Config: cfg, Log: newLogger(cmd.ErrOrStderr(), cfg.Log), Out: cmd.OutOrStdout(),
				AdminPassword: d.getenv("BONDGATE_ADMIN_PASSWORD"), Version: buildInfo().Version,
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
	return cmd
}
