package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
)

func newMember(d deps) *cobra.Command {
	group, r := d.group("member", "The roles of people, groups and machines in a project")
	group.AddCommand(r.memberAdd(), r.memberRemove(), r.memberList())
	return group
}

// memberFlags say which member is meant beyond the name.
type memberFlags struct {
	group, robot, workload bool
	issuer, repositories   string
}

func (m *memberFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&m.group, "group", false, "the name is a group's")
	f.BoolVar(&m.robot, "robot", false, "the name is a robot's, without the prefix")
	f.BoolVar(&m.workload, "workload", false, "the name is a workload's")
	f.StringVar(&m.issuer, "issuer", "", "who vouches for the name; the gateway itself where none is given")
	f.StringVar(&m.repositories, "repositories", "", "a pattern of the repositories that are meant, such as 'team/web-*'; without it the whole project")
	cmd.MarkFlagsMutuallyExclusive("group", "robot", "workload")
}

func (m *memberFlags) path(project, name string) string {
	kind := "user"
	switch {
	case m.group:
		kind = "group"
	case m.robot:
		kind = "robot"
	case m.workload:
		kind = "workload"
	}
	return memberPath(project, kind, name, m.issuer, m.repositories)
}

// memberPath is where a member is; an empty issuer is the one of its kind.
func memberPath(project, kind, name, issuer, repositories string) string {
	q := url.Values{}
	if issuer != "" {
		q.Set("issuer", issuer)
	}
	if repositories != "" {
		q.Set("repositories", repositories)
	}
	return projectPath(project) + "/members/" + kind + "/" + url.PathEscape(name) + "?" + q.Encode()
}

func (r *operator) memberAdd() *cobra.Command {
	var who memberFlags
	var role string
	var claims map[string]string
	cmd := &cobra.Command{
		Use:   "add PROJECT NAME ROLE",
		Short: "Give a user, a group, a robot or a workload a role: " + strings.Join(api.Roles(), ", "),
		Args:  cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				role = args[2]
			}
			if role == "" {
				return errors.New("a role is needed: " + strings.Join(api.Roles(), ", "))
			}
			var m api.Member
			if err := r.call(cmd.Context(), http.MethodPut, who.path(args[0], args[1]), api.NewMember{Role: roleAsWritten(role), Claims: claims}, &m); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, m)
			}
			return say(cmd, "%s is %s in %s", clean(m.Name), m.Role, m.Project)
		},
	}
	who.add(cmd)
	cmd.Flags().StringVar(&role, "role", "", "the role, in place of the third argument")
	cmd.Flags().StringToStringVar(&claims, "claim", nil, "what a workload's token has to say, as NAME=VALUE")
	return cmd
}

func (r *operator) memberRemove() *cobra.Command {
	var who memberFlags
	cmd := &cobra.Command{
		Use: "remove PROJECT NAME", Short: "Take a role away, from the next request on", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.call(cmd.Context(), http.MethodDelete, who.path(args[0], args[1]), nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{args[1], args[0]}, "removed %s from %s", clean(args[1]), clean(args[0]))
		},
	}
	who.add(cmd)
	return cmd
}

func (r *operator) memberList() *cobra.Command {
	return &cobra.Command{
		Use: "list PROJECT", Short: "List the members of a project", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []api.Member
			if err := r.call(cmd.Context(), http.MethodGet, projectPath(args[0])+"/members", nil, &all); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, m := range all {
				rows = append(rows, []string{m.Name, m.Kind, m.Issuer, m.Role, orDash(m.Repositories)})
			}
			return table(cmd, []string{"NAME", "KIND", "ISSUER", "ROLE", "REPOSITORIES"}, rows)
		},
	}
}
