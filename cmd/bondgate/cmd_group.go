package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
)

func newGroup(d deps) *cobra.Command {
	group, r := d.group("group", "Groups of directories and identity providers")
	group.AddCommand(r.groupList(), r.groupAdmin())
	return group
}

func (r *operator) groups(ctx context.Context) ([]api.KnownGroup, error) {
	var all []api.KnownGroup
	err := r.call(ctx, http.MethodGet, "/groups", nil, &all)
	return all, err
}

func (r *operator) groupList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the groups that are known", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := r.groups(cmd.Context())
			if err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, g := range all {
				rows = append(rows, []string{g.Name, g.Issuer, orDash(g.DN), yes(g.Admin)})
			}
			return table(cmd, []string{"NAME", "ISSUER", "DN", "ADMIN"}, rows)
		},
	}
}

func (r *operator) groupAdmin() *cobra.Command {
	var issuer string
	var off bool
	cmd := &cobra.Command{
		Use: "admin NAME --issuer ISSUER", Short: "Make whoever is in a group an administrator, from the next request on",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := r.groups(cmd.Context())
			if err != nil {
				return err
			}
			for _, g := range all {
				if g.Name != args[0] || g.Issuer != issuer {
					continue
				}
				path := "/groups/" + strconv.FormatInt(g.ID, 10) + "/admin"
				if err := r.call(cmd.Context(), http.MethodPut, path, api.GroupState{Admin: !off}, &g); err != nil {
					return err
				}
				are := "are"
				if off {
					are = "are not"
				}
				return r.done(cmd, g, "those of %s of %s %s administrators by it", clean(g.Name), clean(g.Issuer), are)
			}
			return fmt.Errorf("group %s of %s: not found", clean(args[0]), clean(issuer))
		},
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "who vouches for the group: ldap:NAME, or the URL of an identity provider")
	cmd.Flags().BoolVar(&off, "off", false, "take it back")
	_ = cmd.MarkFlagRequired("issuer") // the flag is there
	return cmd
}
