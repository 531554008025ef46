package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/storage/metadata"
)

func newRobot(d deps) *cobra.Command {
	group, r := d.group("robot", "Accounts of machines, in a project or of the system")
	group.AddCommand(r.robotCreate(), r.robotList(), r.robotRotate(),
		r.robotState("disable", "Lock a robot out, from the next request on", true),
		r.robotState("enable", "Let a robot in again", false), r.robotDelete())
	return group
}

// robotAccess is what the words of --permissions mean in Harbor's.
var robotAccess = map[string][]api.HarborAccess{
	"read":   {{Resource: "repository", Action: "pull"}, {Resource: "repository", Action: "list"}},
	"pull":   {{Resource: "repository", Action: "pull"}},
	"write":  {{Resource: "repository", Action: "push"}, {Resource: "repository", Action: "pull"}},
	"push":   {{Resource: "repository", Action: "push"}},
	"list":   {{Resource: "repository", Action: "list"}},
	"delete": {{Resource: "repository", Action: "delete"}},
}

func robotPermission(project string, words []string) (api.HarborPermission, error) {
	p := api.HarborPermission{Kind: "project", Namespace: project}
	for _, w := range words {
		access, ok := robotAccess[w]
		if !ok {
			return p, fmt.Errorf("a permission is read, write, pull, push, list or delete, not %q", w)
		}
		p.Access = append(p.Access, access...)
	}
	return p, nil
}

func (r *operator) robotCreate() *cobra.Command {
	var name, project, description string
	var words, projects []string
	var days int64
	cmd := &cobra.Command{
		Use: "create [NAME]", Short: "Make a robot; its secret is printed once",
		Long: "Make a robot of a project (--project), or one of the system for several (--for NAME) or, with neither, for all.\n" +
			"Its secret is printed once. It has no permission that its maker has not.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				name = args[0]
			}
			body := api.HarborRobotRequest{Name: name, Description: description, Level: "project", Duration: days}
			if project != "" {
				projects = []string{project}
			} else if body.Level = "system"; len(projects) == 0 {
				projects = []string{metadata.AnyProject}
			}
			for _, p := range projects {
				permission, err := robotPermission(p, words)
				if err != nil {
					return err
				}
				body.Permissions = append(body.Permissions, permission)
			}
			var made api.HarborRobotCreated
			if err := r.call(cmd.Context(), http.MethodPost, api.HarborPrefix+"/robots", body, &made); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, made)
			}
			return say(cmd, "made robot %s (%d)\nsecret: %s", clean(made.Name), made.ID, clean(made.Secret))
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "its name, in place of the argument")
	f.StringVar(&project, "project", "", "the project that it is of")
	f.StringSliceVar(&projects, "for", nil, "the projects that a robot of the system reaches; all when neither is given")
	f.StringSliceVar(&words, "permissions", []string{"read"}, "read, write, pull, push, list, delete")
	f.StringVar(&description, "description", "", "what it is for")
	f.Int64Var(&days, "days", 30, "how long it lives; -1 for ever")
	cmd.MarkFlagsMutuallyExclusive("project", "for")
	return cmd
}

// robots reads all robots of a project, or those of the system.
func (r *operator) robots(cmd *cobra.Command, project string) ([]api.HarborRobot, error) {
	path := api.HarborPrefix + "/robots"
	if project != "" {
		path = api.HarborPrefix + "/projects/" + url.PathEscape(project) + "/robots"
	}
	var all []api.HarborRobot
	for page := 1; ; page++ {
		var some []api.HarborRobot
		if err := r.call(cmd.Context(), http.MethodGet, path+"?page_size=100&page="+strconv.Itoa(page), nil, &some); err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < 100 {
			return all, nil
		}
	}
}

// robotCalled finds a robot by its number, its name, or its whole name.
func (r *operator) robotCalled(cmd *cobra.Command, project, name string) (api.HarborRobot, error) {
	all, err := r.robots(cmd, project)
	if err != nil {
		return api.HarborRobot{}, err
	}
	for _, x := range all {
		if strconv.FormatInt(x.ID, 10) == name || x.Name == name || strings.HasSuffix(x.Name, "+"+name) ||
			project == "" && strings.HasSuffix(x.Name, "$"+name) {
			return x, nil
		}
	}
	return api.HarborRobot{}, fmt.Errorf("no robot is called %s here; see bondgate robot list", name)
}

func (r *operator) robotList() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "list", Short: "List the robots of the system, or of a project", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := r.robots(cmd, project)
			if err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, x := range all {
				rows = append(rows, []string{strconv.FormatInt(x.ID, 10), x.Name, robotRights(x), robotEnd(x), yes(x.Disable), orDash(x.Description)})
			}
			return table(cmd, []string{"ID", "NAME", "PERMISSIONS", "EXPIRES", "DISABLED", "DESCRIPTION"}, rows)
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "the project")
	return cmd
}

func robotRights(x api.HarborRobot) string {
	var words []string
	for _, p := range x.Permissions {
		for _, access := range p.Access {
			words = append(words, p.Namespace+":"+access.Resource+":"+access.Action)
		}
	}
	return strings.Join(words, " ")
}

func robotEnd(x api.HarborRobot) string {
	if x.ExpiresAt < 0 {
		return "never"
	}
	return stampUnix(x.ExpiresAt)
}

func (r *operator) robotRotate() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Make a new secret; the one before stays good for the configured overlap", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := r.robotCalled(cmd, project, args[0])
			if err != nil {
				return err
			}
			var secret api.HarborSecret
			if err := r.call(cmd.Context(), http.MethodPatch, robotPath(x), api.HarborSecret{}, &secret); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, secret)
			}
			return say(cmd, "secret of %s: %s", clean(x.Name), clean(secret.Secret))
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "the project that it is of")
	return cmd
}

func robotPath(x api.HarborRobot) string {
	return api.HarborPrefix + "/robots/" + strconv.FormatInt(x.ID, 10)
}

func (r *operator) robotState(use, short string, disabled bool) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: use + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := r.robotCalled(cmd, project, args[0])
			if err != nil {
				return err
			}
			body := api.HarborRobotRequest{Description: x.Description, Disable: disabled, Duration: x.Duration, Permissions: x.Permissions}
			if err := r.call(cmd.Context(), http.MethodPut, robotPath(x), body, nil); err != nil {
				return err
			}
			x.Disable = disabled
			return r.done(cmd, x, "%sd %s", use, clean(x.Name))
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "the project that it is of")
	return cmd
}

func (r *operator) robotDelete() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a robot", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := r.robotCalled(cmd, project, args[0])
			if err != nil {
				return err
			}
			if err := r.call(cmd.Context(), http.MethodDelete, robotPath(x), nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{Name: x.Name}, "deleted %s", clean(x.Name))
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "the project that it is of")
	return cmd
}
