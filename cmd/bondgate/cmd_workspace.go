package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
)

func newWorkspace(d deps) *cobra.Command {
	group, r := d.group("workspace", "Tenants: people, projects and policies of their own behind host names of their own")
	group.AddCommand(r.workspaceCreate(), r.workspaceList(), r.workspaceSet(), r.workspaceDelete())
	return group
}

func (r *operator) workspaceCreate() *cobra.Command {
	var body api.NewWorkspace
	var fromStdin bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a workspace with its first administrator, whose password is printed once",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := newPassword(cmd, fromStdin)
			if err != nil {
				return err
			}
			body.Name, body.AdminPassword = args[0], password
			if body.Hosts == nil {
				body.Hosts = []string{}
			}
			var w api.Workspace
			if err := r.call(cmd.Context(), http.MethodPost, "/workspaces", body, &w); err != nil {
				return err
			}
			if r.json {
				out := struct {
					api.Workspace
					Admin    string `json:"admin"`
					Password string `json:"password,omitempty"`
				}{Workspace: w, Admin: body.Admin}
				if !fromStdin {
					out.Password = password
				}
				return printJSON(cmd, out)
			}
			if err := say(cmd, "made workspace %s at %s", w.Name, orDash(strings.Join(w.Hosts, " "))); err != nil {
				return err
			}
			return r.showPassword(cmd, "made", body.Admin, password, fromStdin)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&body.Hosts, "host", nil, "host names that it is reached at")
	f.StringVar(&body.Description, "description", "", "what it is for")
	f.StringVar(&body.Admin, "admin", "admin", "its first administrator")
	f.BoolVar(&fromStdin, "password-stdin", false, "read the administrator's password from standard input")
	return cmd
}

func (r *operator) workspaceList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the workspaces", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []api.Workspace
			if err := r.call(cmd.Context(), http.MethodGet, "/workspaces", nil, &all); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, w := range all {
				rows = append(rows, []string{w.Name, orDash(strings.Join(w.Hosts, " ")), orDash(w.Description)})
			}
			return table(cmd, []string{"NAME", "HOSTS", "DESCRIPTION"}, rows)
		},
	}
}

func (r *operator) workspaceSet() *cobra.Command {
	var hosts []string
	var description string
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change the hosts or the description of a workspace", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var change api.WorkspaceChange
			if cmd.Flags().Changed("host") {
				change.Hosts = &hosts
			}
			if cmd.Flags().Changed("description") {
				change.Description = &description
			}
			var w api.Workspace
			if err := r.call(cmd.Context(), http.MethodPatch, "/workspaces/"+url.PathEscape(args[0]), change, &w); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, w)
			}
			return say(cmd, "changed workspace %s", w.Name)
		},
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "host names, in place of all there are")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}

func (r *operator) workspaceDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a workspace that has no projects", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.call(cmd.Context(), http.MethodDelete, "/workspaces/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{Name: args[0]}, "deleted workspace %s", clean(args[0]))
		},
	}
}

func newRole(d deps) *cobra.Command {
	group, r := d.group("role", "Roles beside the shipped ones: names for some of the rights in a project")
	group.AddCommand(r.roleSet(), r.roleList(), r.roleDelete())
	return group
}

func (r *operator) roleSet() *cobra.Command {
	var body api.NewRole
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Make a role, or change what it gives", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var role api.Role
			if err := r.call(cmd.Context(), http.MethodPut, "/roles/"+url.PathEscape(args[0]), body, &role); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, role)
			}
			return say(cmd, "%s gives %s", role.Name, strings.Join(role.Rights, ", "))
		},
	}
	cmd.Flags().StringSliceVar(&body.Rights, "rights", nil, "pull, list, push, delete, members, manage")
	cmd.Flags().StringVar(&body.Description, "description", "", "what it is for")
	_ = cmd.MarkFlagRequired("rights") // the flag is there
	return cmd
}

func (r *operator) roleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the roles that somebody made", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []api.Role
			if err := r.call(cmd.Context(), http.MethodGet, "/roles", nil, &all); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, x := range all {
				rows = append(rows, []string{x.Name, strings.Join(x.Rights, ","), orDash(x.Description)})
			}
			return table(cmd, []string{"NAME", "RIGHTS", "DESCRIPTION"}, rows)
		},
	}
}

func (r *operator) roleDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a role that nobody has", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.call(cmd.Context(), http.MethodDelete, "/roles/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{Name: args[0]}, "deleted role %s", clean(args[0]))
		},
	}
}
