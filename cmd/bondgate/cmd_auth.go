package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
)

func newAuth(d deps) *cobra.Command {
	group, r := d.group("auth", "What the configured directories say")
	group.AddCommand(r.authTest())
	return group
}

func (r *operator) authTest() *cobra.Command {
	var provider, user string
	cmd := &cobra.Command{
		Use: "test", Short: "Show what a directory has of somebody: the entry, the groups, the roles that follow", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p api.DirectoryPerson
			path := "/directories/" + url.PathEscape(provider) + "/people/" + url.PathEscape(user)
			if err := r.call(cmd.Context(), http.MethodGet, path, nil, &p); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, p)
			}
			rows := [][]string{
				{"entry", p.DN}, {"id", p.ID}, {"e-mail", orDash(p.Email)}, {"real name", orDash(p.RealName)},
				{"closed", orDash(p.Disabled)}, {"groups", orDash(strings.Join(p.Groups, "; "))},
			}
			if !p.Known {
				rows = append(rows, []string{"role", "none before the first login"})
			}
			for _, in := range p.Roles {
				rows = append(rows, []string{"role", in.Project + ": " + strings.Join(in.Roles, ", ")})
			}
			return table(cmd, []string{"name", p.Login}, rows)
		},
	}
	cmd.Flags().StringVar(&provider, "provider", "", "the name of the directory in the configuration")
	cmd.Flags().StringVar(&user, "user", "", "the name that the person types")
	_ = cmd.MarkFlagRequired("provider") // the flags are there
	_ = cmd.MarkFlagRequired("user")
	return cmd
}
