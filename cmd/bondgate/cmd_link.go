package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
)

func linkPath(name string) string { return "/people/" + url.PathEscape(name) + "/link" }

func (r *operator) userLink() *cobra.Command {
	var body api.NewLink
	cmd := &cobra.Command{
		Use: "link NAME --to MAIN", Short: "Make two people one: whoever logs in as either has what both have",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var p api.KnownPerson
			if err := r.call(cmd.Context(), http.MethodPut, linkPath(args[0]), body, &p); err != nil {
				return err
			}
			return r.done(cmd, p, "linked %s to %s", clean(p.Name), clean(body.Main))
		},
	}
	cmd.Flags().StringVar(&body.Main, "to", "", "the main person, by name")
	_ = cmd.MarkFlagRequired("to") // the flag is there
	return cmd
}

func (r *operator) userUnlink() *cobra.Command {
	return &cobra.Command{
		Use: "unlink NAME", Short: "Part a person from the one that it is linked to", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.call(cmd.Context(), http.MethodDelete, linkPath(args[0]), nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{Name: args[0]}, "unlinked %s", clean(args[0]))
		},
	}
}

func (r *operator) userPeople() *cobra.Command {
	return &cobra.Command{
		Use: "people", Short: "List everybody who is known, those of directories and identity providers included", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []api.KnownPerson
			if err := r.call(cmd.Context(), http.MethodGet, "/people", nil, &all); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, p := range all {
				main := "-"
				if p.LinkedTo != nil {
					main = *p.LinkedTo
				}
				rows = append(rows, []string{p.Name, p.Issuer, p.Subject, main, yes(p.Admin), yes(p.Disabled), stampOf(p.Seen)})
			}
			return table(cmd, []string{"NAME", "ISSUER", "SUBJECT", "LINKED TO", "ADMIN", "DISABLED", "SEEN"}, rows)
		},
	}
}
