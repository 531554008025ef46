package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
)

func (r *operator) waiverList() *cobra.Command {
	var project, state, within string
	cmd := &cobra.Command{
		Use: "list", Short: "List the waivers of the server and of its bundle", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, value := range map[string]string{"project": project, "state": state} {
				if value != "" {
					q.Set(name, value)
				}
			}
			soon, err := span(within)
			if err != nil {
				return fmt.Errorf("--within: %q is no span of time such as 36h or 7d", within)
			}
			q.Set("within", soon.String())
			var all []api.Waiver
			if err := r.call(cmd.Context(), http.MethodGet, "/waivers?"+q.Encode(), nil, &all); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, w := range all {
				rows = append(rows, []string{
					w.ID, w.Rule, orDash(strings.Join(w.Terms, " ")), orDash(strings.Join(waivedWhere(w.Waiver), " ")),
					w.Owner, orDash(w.Approver), string(w.Standing), w.Origin, stamp(w.Expires),
				})
			}
			return table(cmd, []string{"ID", "RULE", "TERMS", "WHERE", "OWNER", "APPROVER", "STATE", "ORIGIN", "EXPIRES"}, rows)
		},
	}
	f := cmd.Flags()
	f.StringVar(&project, "project", "", "only those that are for this project alone")
	f.StringVar(&state, "state", "", "only those that are pending, active, expiring, expired or rejected")
	f.StringVar(&within, "within", "7d", "how long before its end a waiver is expiring, as 36h or 7d")
	return cmd
}

func (r *operator) waiverShow() *cobra.Command {
	var origin string
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a waiver with who asked for it and who approved it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := waiverPath(args[0])
			if origin != "" {
				path += "?origin=" + url.QueryEscape(origin)
			}
			var w api.Waiver
			if err := r.call(cmd.Context(), http.MethodGet, path, nil, &w); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, w)
			}
			return table(cmd, []string{"WAIVER", w.ID}, [][]string{
				{"state", string(w.Standing)},
				{"rule", w.Rule},
				{"terms", orDash(strings.Join(w.Terms, " "))},
				{"where", everywhereOr(waivedWhere(w.Waiver))},
				{"reason", orDash(w.Reason)},
				{"ticket", orDash(w.Ticket)},
				{"owner", w.Owner},
				{"asked for by", orDash(w.Requester)},
				{"decided by", orDash(strings.TrimSuffix(w.Approver+": "+w.Remark, ": "))},
				{"created", stamp(w.Created)},
				{"decided", stamp(w.Decided)},
				{"expires", stamp(w.Expires)},
				{"origin", w.Origin},
				{"version", orDash(w.Version)},
			})
		},
	}
	cmd.Flags().StringVar(&origin, "origin", "", "api or bundle, where an id stands in both")
	return cmd
}

// waivedWhere is what a waiver is for.
func waivedWhere(w policy.Waiver) []string {
	return slices.Concat(w.Projects, w.Repositories, w.Digests)
}

// everywhereOr is where a waiver holds, in words.
func everywhereOr(where []string) string {
	if len(where) == 0 {
		return "every project"
	}
	return strings.Join(where, " ")
}
