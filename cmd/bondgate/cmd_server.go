package main

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
)

func newReindex(d deps) *cobra.Command {
	cmd := &cobra.Command{Use: "reindex", Short: "Rebuild the index from storage alone, while serving", Args: cobra.NoArgs}
	r := d.operator(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var out api.ReindexReport
		if err := r.call(cmd.Context(), http.MethodPost, "/reindex", nil, &out); err != nil {
			return err
		}
		if r.json {
			return printJSON(cmd, out)
		}
		for _, s := range out.Skipped {
			if err := say(cmd, "skipped %s", clean(s)); err != nil {
				return err
			}
		}
		return say(cmd, "indexed %d repositories: %d manifests, %d tags, %d blobs", out.Repositories, out.Manifests, out.Tags, out.Blobs)
	}
	return cmd
}

func newStatus(d deps) *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Show what the running server says of itself", Args: cobra.NoArgs}
	r := d.operator(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s api.Status
		if err := r.call(cmd.Context(), http.MethodGet, "/status", nil, &s); err != nil {
			return err
		}
		if r.json {
			return printJSON(cmd, s)
		}
		rows := [][]string{{"started", stamp(s.Started)}, {"listen", s.Listen}, {"bundle", orDash(s.Revision)}, {"pid", strconv.Itoa(s.PID)}}
		for _, name := range slices.Sorted(maps.Keys(s.Parts)) {
			rows = append(rows, []string{name, s.Parts[name]})
		}
		return table(cmd, []string{"bondgate", s.Version}, rows)
	}
	return cmd
}
