package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what this binary is made of.
type build struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OPA     string `json:"opa,omitempty"`
	Engine  string `json:"distribution,omitempty"`
}

func buildInfo() build {
	b := build{Version: version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && b.Version == "" {
			b.Version = s.Value
		}
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/open-policy-agent/opa":
			b.OPA = m.Version
		case "github.com/distribution/distribution/v3":
			b.Engine = m.Version
		}
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	return b
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := buildInfo()
			if asJSON {
				return printJSON(cmd, b)
			}
			return say(cmd, "bondgate %s (%s, opa %s, distribution %s)", b.Version, b.Go, orDash(b.OPA), orDash(b.Engine))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().String("data-dir", "", "accepted as everywhere; not used")
	_ = cmd.Flags().MarkHidden("data-dir")
	return cmd
}
