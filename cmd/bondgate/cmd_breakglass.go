package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
)

func newBreakGlass(d deps) *cobra.Command {
	group, r := d.group("breakglass", "Emergencies: for a short time somebody uses images that rules of content deny")
	group.AddCommand(r.breakglassOpen(), r.breakglassApprove(), r.breakglassList(), r.breakglassShow(), r.breakglassEnd())
	return group
}

func glassPath(id string, more ...string) string {
	return "/breakglass/" + url.PathEscape(id) + strings.Join(more, "")
}

func (r *operator) breakglassOpen() *cobra.Command {
	var body api.NewBreakGlass
	var expires string
	var robot, workload bool
	cmd := &cobra.Command{
		Use:   "open PROJECT... --justification TEXT --ticket TICKET",
		Short: "Let somebody use images of projects that rules of content deny; all of it is written down", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Projects = args
			switch {
			case robot:
				body.Kind = string(policy.KindRobot)
			case workload:
				body.Kind = string(policy.KindWorkload)
			}
			if expires != "" {
				at, err := moment(expires, time.Now())
				if err != nil {
					return fmt.Errorf("--expires: %w", err)
				}
				body.Expires = at
			}
			var b policy.BreakGlass
			if err := r.call(cmd.Context(), http.MethodPost, "/breakglass", body, &b); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, b)
			}
			if b.State == policy.WaiverPending {
				return say(cmd, "asked for %s for %s until %s: another person approves it with bondgate breakglass approve %s", b.ID, clean(b.Subject), stamp(b.Expires), b.ID)
			}
			return say(cmd, "opened %s for %s until %s", b.ID, clean(b.Subject), stamp(b.Expires))
		},
	}
	f := cmd.Flags()
	f.StringVar(&body.Subject, "for", "", "whom it is for; the caller when it is not given")
	f.StringVar(&body.Issuer, "issuer", "", "who vouches for the name; the gateway itself where none is given")
	f.BoolVar(&robot, "robot", false, "the name is a robot's: a robot has no grant that does not name it")
	f.BoolVar(&workload, "workload", false, "the name is a workload's")
	f.StringVar(&body.Justification, "justification", "", "why")
	f.StringVar(&body.Ticket, "ticket", "", "where it is dealt with")
	f.StringVar(&expires, "expires", "", "when it ends: from now on as 30m, or 2027-01-31T12:00:00Z; in an hour when it is not given")
	f.BoolVar(&body.Pending, "request", false, "ask another person to approve it")
	cmd.MarkFlagsMutuallyExclusive("robot", "workload")
	_ = cmd.MarkFlagRequired("justification")
	_ = cmd.MarkFlagRequired("ticket")
	return cmd
}

func (r *operator) breakglassApprove() *cobra.Command {
	var reject bool
	cmd := &cobra.Command{
		Use: "approve ID", Short: "Say yes, or no, to a grant that somebody else asked for", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b policy.BreakGlass
			body := api.BreakGlassApproval{Approve: !reject}
			if err := r.call(cmd.Context(), http.MethodPut, glassPath(args[0], "/approval"), body, &b); err != nil {
				return err
			}
			return r.done(cmd, b, "%s %s for %s until %s", b.State, b.ID, clean(b.Subject), stamp(b.Expires))
		},
	}
	cmd.Flags().BoolVar(&reject, "reject", false, "say no")
	return cmd
}

func (r *operator) breakglassList() *cobra.Command {
	var project string
	var own, all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the grants that are in force or wait to be approved", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if project != "" {
				q.Set("project", project)
			}
			for name, set := range map[string]bool{"own": own, "all": all} {
				if set {
					q.Set(name, "true")
				}
			}
			var grants []policy.BreakGlass
			if err := r.call(cmd.Context(), http.MethodGet, "/breakglass?"+q.Encode(), nil, &grants); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, grants)
			}
			rows := make([][]string, 0, len(grants))
			for i := range grants {
				b := &grants[i]
				rows = append(rows, []string{
					b.ID, glassState(b, time.Now()), b.Subject, strings.Join(b.Projects, " "), b.Ticket, orDash(b.Approver), stamp(b.Expires), b.Justification,
				})
			}
			return table(cmd, []string{"ID", "STATE", "SUBJECT", "PROJECTS", "TICKET", "APPROVER", "EXPIRES", "JUSTIFICATION"}, rows)
		},
	}
	f := cmd.Flags()
	f.StringVar(&project, "project", "", "those of one project")
	f.BoolVar(&own, "own", false, "the caller's own")
	f.BoolVar(&all, "all", false, "those that are over too")
	return cmd
}

// glassState is how a grant stands in a word.
func glassState(b *policy.BreakGlass, now time.Time) string {
	switch {
	case b.State == policy.WaiverRejected:
		return "rejected"
	case !b.Ended.IsZero():
		return "ended"
	case b.Over(now):
		return "expired"
	case b.InForce(now):
		return "open"
	default:
		return string(b.State)
	}
}

func (r *operator) breakglassShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a grant", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b policy.BreakGlass
			if err := r.call(cmd.Context(), http.MethodGet, glassPath(args[0]), nil, &b); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, b)
			}
			rows := [][]string{
				{"state", glassState(&b, time.Now())},
				{"subject", string(b.Kind) + " " + b.Subject + " of " + b.Issuer},
				{"projects", strings.Join(b.Projects, " ")},
				{"justification", b.Justification},
				{"ticket", b.Ticket},
				{"requester", orDash(b.Requester)},
				{"approver", orDash(b.Approver)},
				{"created", stamp(b.Created)},
				{"expires", stamp(b.Expires)},
			}
			if !b.Ended.IsZero() {
				rows = append(rows, []string{"ended", stamp(b.Ended) + " by " + orDash(b.EndedBy)})
			}
			return table(cmd, []string{"GRANT", b.ID}, rows)
		},
	}
}

func (r *operator) breakglassEnd() *cobra.Command {
	return &cobra.Command{
		Use: "end ID", Short: "End a grant now, from the next request on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b policy.BreakGlass
			if err := r.call(cmd.Context(), http.MethodDelete, glassPath(args[0]), nil, &b); err != nil {
				return err
			}
			return r.done(cmd, b, "ended %s", b.ID)
		},
	}
}
