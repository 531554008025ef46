package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
)

func newProject(d deps) *cobra.Command {
	group, r := d.group("project", "The projects that repositories live in")
	group.AddCommand(r.projectCreate(), r.projectList(), r.projectShow(), r.projectSet(), r.projectApply())
	return group
}

func projectPath(name string) string { return "/projects/" + url.PathEscape(name) }

func (r *operator) projectCreate() *cobra.Command {
	var body api.NewProject
	var visibility, description string
	cmd := &cobra.Command{
		Use: "create [NAME]", Short: "Make a project; it is private unless --public is given", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				body.Name = args[0]
			}
			switch visibility {
			case "", "private":
			case "public":
				body.Public = true
			default:
				return fmt.Errorf("--visibility is private or public, not %q", visibility)
			}
			var p api.Project
			if err := r.call(cmd.Context(), http.MethodPost, "/projects", body, &p); err != nil {
				return err
			}
			if description != "" {
				change := api.ProjectChange{Description: &description}
				if err := r.call(cmd.Context(), http.MethodPatch, projectPath(p.Name), change, &p); err != nil {
					return err
				}
			}
			if r.json {
				return printJSON(cmd, p)
			}
			return say(cmd, "made %s project %s", publicity(p.Public), p.Name)
		},
	}
	cmd.Flags().StringVar(&body.Name, "name", "", "its name, in place of the argument")
	cmd.Flags().StringVar(&visibility, "visibility", "", "private or public")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().BoolVar(&body.Public, "public", false, "everybody may pull, without an account")
	cmd.Flags().StringVar(&body.Owner, "owner", "", "person or team to ask about it")
	cmd.Flags().StringToStringVar(&body.Labels, "label", nil, "label as NAME=VALUE")
	return cmd
}

func (r *operator) projectList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the projects", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []api.Project
			if err := r.call(cmd.Context(), http.MethodGet, "/projects", nil, &all); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, p := range all {
				rows = append(rows, []string{p.Name, publicity(p.Public), orDash(p.Owner), orDash(packsLine(p.Packs))})
			}
			return table(cmd, []string{"NAME", "ACCESS", "OWNER", "PACKS"}, rows)
		},
	}
}

func (r *operator) projectShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a project, its packs of rules and its members", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out struct {
				api.Project
				Members []api.Member `json:"members"`
			}
			if err := r.call(cmd.Context(), http.MethodGet, projectPath(args[0]), nil, &out.Project); err != nil {
				return err
			}
			if err := r.call(cmd.Context(), http.MethodGet, projectPath(args[0])+"/members", nil, &out.Members); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, out)
			}
			rows := [][]string{{"access", publicity(out.Public)}, {"owner", orDash(out.Owner)}}
			for k, v := range out.Labels {
				rows = append(rows, []string{"label", k + "=" + v})
			}
			for _, p := range out.Packs {
				rows = append(rows, []string{"pack", strings.TrimSpace(p.Name + "=" + string(p.Mode) + " " + string(p.Config))})
			}
			for _, m := range out.Members {
				role := m.Role
				if m.Repositories != "" {
					role += " of " + m.Repositories
				}
				rows = append(rows, []string{"member", m.Name + " (" + m.Kind + ", " + m.Issuer + "): " + role})
			}
			slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
			return table(cmd, []string{"project", out.Name}, rows)
		},
	}
}

func (r *operator) projectSet() *cobra.Command {
	var public, private bool
	var owner string
	var labels, packs, configs map[string]string
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change a project: who may see it, its owner, labels and packs of rules", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var was, now api.Project
			if err := r.call(cmd.Context(), http.MethodGet, projectPath(args[0]), nil, &was); err != nil {
				return err
			}
			var change api.ProjectChange
			if public || private {
				change.Public = &public
			}
			if cmd.Flags().Changed("owner") {
				change.Owner = &owner
			}
			if cmd.Flags().Changed("label") {
				change.Labels = &labels
			}
			if len(packs)+len(configs) > 0 {
				next, err := mergePacks(was.Packs, packs, configs)
				if err != nil {
					return err
				}
				change.Packs = &next
			}
			if err := r.call(cmd.Context(), http.MethodPatch, projectPath(args[0]), change, &now); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, now)
			}
			return say(cmd, "changed project %s: %s", now.Name, publicity(now.Public))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&public, "public", false, "everybody may pull, without an account")
	f.BoolVar(&private, "private", false, "only members may see it")
	f.StringVar(&owner, "owner", "", "person or team to ask about it")
	f.StringToStringVar(&labels, "label", nil, "labels as NAME=VALUE, in place of all there are")
	f.StringToStringVar(&packs, "pack", nil, "mode of a pack as NAME=off|dryrun|warn|deny; NAME=default takes the project's own mode away")
	f.StringToStringVar(&configs, "pack-config", nil, "configuration of a pack as NAME=FILE, a JSON object")
	cmd.MarkFlagsMutuallyExclusive("public", "private")
	return cmd
}

// mergePacks changes the modes and configurations that are named.
func mergePacks(was []policy.Pack, modes, configs map[string]string) ([]policy.Pack, error) {
	out := slices.Clone(was)
	at := func(name string) int {
		i := slices.IndexFunc(out, func(p policy.Pack) bool { return p.Name == name })
		if i < 0 {
			out = append(out, policy.Pack{Name: name, Mode: policy.ModeDeny})
			i = len(out) - 1
		}
		return i
	}
	for name, file := range configs {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the configuration of pack %s: %w", name, err)
		}
		var config json.RawMessage
		if err := json.Unmarshal(raw, &config); err != nil {
			return nil, fmt.Errorf("the configuration of pack %s is not JSON: %w", name, err)
		}
		out[at(name)].Config = config
	}
	for name, mode := range modes {
		if mode == "default" {
			out = slices.DeleteFunc(out, func(p policy.Pack) bool { return p.Name == name })
			continue
		}
		out[at(name)].Mode = policy.Mode(mode)
	}
	slices.SortFunc(out, func(a, b policy.Pack) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func publicity(public bool) string {
	if public {
		return "public"
	}
	return "private"
}

func packsLine(packs []policy.Pack) string {
	words := make([]string, 0, len(packs))
	for _, p := range packs {
		words = append(words, p.Name+"="+string(p.Mode))
	}
	return strings.Join(words, " ")
}
