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

func newWaiver(d deps) *cobra.Command {
	group, r := d.group("waiver", "Rules that are lifted for a while")
	group.AddCommand(r.waiverRequest(), r.waiverAdd(), r.waiverApprove(), r.waiverReject(), r.waiverUpdate(),
		r.waiverRemove(), r.waiverList(), r.waiverShow())
	return group
}

func waiverPath(id string) string { return "/waivers/" + url.PathEscape(id) }

func (r *operator) waiverRequest() *cobra.Command {
	cmd := r.newWaiverCommand(policy.WaiverPending, "asked for")
	cmd.Use, cmd.Short = "request RULE --expires WHEN", "Ask for a rule to be lifted until a moment; another person approves it"
	return cmd
}

func (r *operator) waiverAdd() *cobra.Command {
	cmd := r.newWaiverCommand(policy.WaiverApproved, "made")
	cmd.Use, cmd.Short = "add RULE --expires WHEN", "Lift a rule, such as image.root_user, until a moment"
	return cmd
}

// newWaiverCommand makes a waiver, approved or not.
func (r *operator) newWaiverCommand(state policy.WaiverState, done string) *cobra.Command {
	body := api.NewWaiver{State: state}
	var expires string
	cmd := &cobra.Command{
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := moment(expires, time.Now())
			if err != nil {
				return fmt.Errorf("--expires: %w", err)
			}
			body.Rule, body.Expires = args[0], at
			var w api.Waiver
			if err := r.call(cmd.Context(), http.MethodPost, "/waivers", body, &w); err != nil {
				return err
			}
			return r.done(cmd, w, "%s waiver %s of %s until %s", done, clean(w.ID), clean(w.Rule), stamp(w.Expires))
		},
	}
	f := cmd.Flags()
	f.StringVar(&expires, "expires", "", "when it ends: 2027-01-31, 2027-01-31T12:00:00Z, or from now on as 72h or 30d")
	f.StringVar(&body.ID, "id", "", "its id; made up when it is not given")
	f.StringArrayVar(&body.Terms, "term", nil, "only this term of the rule, such as a CVE; may be repeated")
	f.StringArrayVar(&body.Projects, "project", nil, "only in this project; may be repeated")
	f.StringArrayVar(&body.Repositories, "repository", nil, "only in these repositories; may be repeated")
	f.StringArrayVar(&body.Digests, "digest", nil, "only for this digest; may be repeated")
	f.StringVar(&body.Owner, "owner", "", "who answers for it; the caller when it is not given")
	f.StringVar(&body.Reason, "reason", "", "why")
	f.StringVar(&body.Ticket, "ticket", "", "where it is discussed")
	_ = cmd.MarkFlagRequired("expires")
	return cmd
}

func (r *operator) waiverApprove() *cobra.Command {
	return r.waiverDecision("approve ID", "Lift the rule of a waiver that somebody asked for, as it is shown now", "approved", true)
}

func (r *operator) waiverReject() *cobra.Command {
	return r.waiverDecision("reject ID", "Refuse a waiver that somebody asked for", "rejected", false)
}

func (r *operator) waiverDecision(use, short, done string, approve bool) *cobra.Command {
	var body api.WaiverApproval
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var w api.Waiver
			if body.Version == "" {
				if err := r.call(cmd.Context(), http.MethodGet, waiverPath(args[0])+"?origin=api", nil, &w); err != nil {
					return err
				}
				body.Version = w.Version
			}
			body.Approve = &approve
			if err := r.call(cmd.Context(), http.MethodPut, waiverPath(args[0])+"/approval", body, &w); err != nil {
				return err
			}
			return r.done(cmd, w, "%s waiver %s: %s in %s until %s, asked for by %s", done, clean(w.ID),
				clean(strings.Join(append([]string{w.Rule}, w.Terms...), " ")), clean(everywhereOr(waivedWhere(w.Waiver))),
				stamp(w.Expires), clean(orDash(w.Requester)))
		},
	}
	cmd.Flags().StringVar(&body.Version, "version", "", "the version that was read; the present one when it is not given")
	cmd.Flags().StringVar(&body.Reason, "reason", "", "what to say with it")
	return cmd
}

func (r *operator) waiverUpdate() *cobra.Command {
	var expires, reason, ticket, owner string
	var terms, projects, repositories, digests []string
	var body api.WaiverChange
	cmd := &cobra.Command{
		Use: "update ID", Short: "Change a waiver; it has to be approved again, unless all it does is end earlier", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for name, set := range map[string]func(){
				"reason": func() { body.Reason = &reason }, "ticket": func() { body.Ticket = &ticket }, "owner": func() { body.Owner = &owner },
				"term": func() { body.Terms = &terms }, "project": func() { body.Projects = &projects },
				"repository": func() { body.Repositories = &repositories }, "digest": func() { body.Digests = &digests },
			} {
				if cmd.Flags().Changed(name) {
					set()
				}
			}
			if expires != "" {
				at, err := moment(expires, time.Now())
				if err != nil {
					return fmt.Errorf("--expires: %w", err)
				}
				body.Expires = &at
			}
			var w api.Waiver
			if err := r.call(cmd.Context(), http.MethodPatch, waiverPath(args[0]), body, &w); err != nil {
				return err
			}
			return r.done(cmd, w, "changed waiver %s: %s, until %s", clean(w.ID), w.Standing, stamp(w.Expires))
		},
	}
	f := cmd.Flags()
	f.StringVar(&expires, "expires", "", "when it ends: 2027-01-31, 2027-01-31T12:00:00Z, or from now on as 72h or 30d")
	f.StringArrayVar(&terms, "term", nil, "these terms of the rule in place of those that it names")
	f.StringArrayVar(&projects, "project", nil, "these projects in place of its own")
	f.StringArrayVar(&repositories, "repository", nil, "these repositories in place of its own")
	f.StringArrayVar(&digests, "digest", nil, "these digests in place of its own")
	f.StringVar(&owner, "owner", "", "who answers for it")
	f.StringVar(&reason, "reason", "", "why")
	f.StringVar(&ticket, "ticket", "", "where it is discussed")
	return cmd
}

func (r *operator) waiverRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Put a rule in force again, from the next request on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.call(cmd.Context(), http.MethodDelete, waiverPath(args[0]), nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{Name: args[0]}, "removed waiver %s", clean(args[0]))
		},
	}
}

// moment reads a date, a time or a span from now on.
func moment(s string, now time.Time) (time.Time, error) {
	if span, err := span(s); err == nil && span > 0 {
		return now.Add(span), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a moment such as 2027-01-31, 2027-01-31T12:00:00Z, 72h or 30d", s)
}

// span reads a span of time, in days too. A day is 24 hours.
func span(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && fmt.Sprint(n) == days && n >= 0 && n < 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(s)
}
