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

func (r *operator) policyShadow() *cobra.Command {
	group := &cobra.Command{Use: "shadow", Short: "What the bundle of serve --shadow would have decided otherwise", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return cmd.Help()
	}}
	group.AddCommand(r.policyShadowStatus(), r.policyShadowReset())
	return group
}

func (r *operator) policyShadowStatus() *cobra.Command {
	var project, format string
	cmd := &cobra.Command{
		Use: "status", Short: "Count the differences by rule, and show some of them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("%w: --format is table or json, not %q", policy.ErrInvalid, format)
			}
			path := "/policy/shadow"
			if project != "" {
				path += "?" + url.Values{"project": {project}}.Encode()
			}
			var report policy.ShadowReport
			if err := r.call(cmd.Context(), http.MethodGet, path, nil, &report); err != nil {
				return err
			}
			if r.json || format == "json" {
				return printJSON(cmd, report)
			}
			return printShadow(cmd, &report)
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only what is in this project")
	cmd.Flags().StringVar(&format, "format", "table", "table or json")
	return cmd
}

func (r *operator) policyShadowReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset", Short: "Forget what was found, and count anew", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.call(cmd.Context(), http.MethodDelete, "/policy/shadow", nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{Name: "shadow"}, "Counting begins anew.")
		},
	}
}

func printShadow(cmd *cobra.Command, s *policy.ShadowReport) error {
	if !s.Enabled {
		return say(cmd, "No bundle runs in the shadow: start the server with --shadow DIR.")
	}
	rows := [][]string{
		{"bundle", orDash(s.Revision)}, {"since", stamp(s.Since)}, {"share", fmt.Sprintf("%g", s.Share)},
		{"judged", fmt.Sprint(s.Decisions)},
		{"newly denied", fmt.Sprint(s.Denied)}, {"newly allowed", fmt.Sprint(s.Allowed)},
		{"other scopes", fmt.Sprint(s.Granted)}, {"other reasons", fmt.Sprint(s.Reasons)},
		{"not looked at", fmt.Sprint(s.Skipped)}, {"failed", fmt.Sprint(s.Failed)},
	}
	if s.LastFailure != "" {
		rows = append(rows, []string{"last failure", s.LastFailure})
	}
	state := "judges and decides nothing"
	switch {
	case s.Broken && s.Revision == "":
		state = strings.TrimSpace("broken, nothing is judged by it " + s.Error)
	case s.Broken:
		state = strings.TrimSpace("the last edit is broken, the bundle before it is judged by " + s.Error)
	}
	if err := table(cmd, []string{"shadow", state}, rows); err != nil {
		return err
	}
	if len(s.Rules) > 0 {
		rows = nil
		for _, x := range s.Rules {
			rows = append(rows, []string{
				x.Code, fmt.Sprint(x.Denied), fmt.Sprint(x.Allowed), fmt.Sprint(x.Granted + x.Reasons), fmt.Sprint(x.Projects),
			})
		}
		if err := say(cmd, ""); err != nil {
			return err
		}
		if err := table(cmd, []string{"RULE", "NEWLY DENIED", "NEWLY ALLOWED", "OTHER", "PROJECTS"}, rows); err != nil {
			return err
		}
	}
	return printDifferences(cmd, s.Samples)
}

// someDifferences is how many differences are printed; --format json has all that are kept.
const someDifferences = 20

func printDifferences(cmd *cobra.Command, all []policy.Difference) error {
	if len(all) == 0 {
		return nil
	}
	var rows [][]string
	for _, d := range all[:min(len(all), someDifferences)] {
		what := shortDigests(whatOf(&api.DecisionRecord{Action: d.Action, Project: d.Project, Repository: d.Repository, Reference: d.Reference}))
		subject := d.Subject
		if subject == "" {
			subject = "anonymous"
		}
		rows = append(rows, []string{stamp(d.At), wouldBe(d.Kind), string(d.Action), subject, what, differing(&d), d.Decision})
	}
	if err := say(cmd, ""); err != nil {
		return err
	}
	return table(cmd, []string{"AT", "WOULD BE", "ACTION", "SUBJECT", "ABOUT", "BECAUSE", "DECISION"}, rows)
}

// wouldBe is in words how the other bundle's answer differs.
func wouldBe(kind policy.DifferenceKind) string {
	switch kind {
	case policy.GrantedOther:
		return "other scopes"
	case policy.OtherReasons:
		return "other reasons"
	default:
		return string(kind)
	}
}

// differing is the reasons that came and, with a minus, those that went.
func differing(d *policy.Difference) string {
	var out []string
	for _, x := range d.Now {
		out = append(out, strings.TrimSpace(x.Effect+" "+x.Code+" "+x.Term))
	}
	for _, x := range d.Was {
		out = append(out, "-"+strings.TrimSpace(x.Effect+" "+x.Code+" "+x.Term))
	}
	return orDash(strings.Join(slices.Compact(out), ", "))
}
