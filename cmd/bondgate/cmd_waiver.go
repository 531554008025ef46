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
	group.AddCommand(r.waiverAdd(), r.waiverList(), r.waiverRemove())
	return group
}

func (r *operator) waiverAdd() *cobra.Command {
	var body api.NewWaiver
	var expires string
	cmd := &cobra.Command{
		Use: "add RULE --expires WHEN", Short: "Lift a rule, such as image.root_user, until a moment", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := moment(expires, time.Now())
			if err != nil {
				return err
			}
			body.Rule, body.Expires = args[0], at
			var w policy.Waiver
			if err := r.call(cmd.Context(), http.MethodPost, "/waivers", body, &w); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, w)
			}
			return say(cmd, "made waiver %s of %s until %s", w.ID, w.Rule, stamp(w.Expires))
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
	f.StringVar(&body.Approver, "approver", "", "who approved it")
	f.StringVar(&body.Reason, "reason", "", "why")
	f.StringVar(&body.Ticket, "ticket", "", "where it is discussed")
	_ = cmd.MarkFlagRequired("expires")
	return cmd
}

func (r *operator) waiverList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the waivers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []policy.Waiver
			if err := r.call(cmd.Context(), http.MethodGet, "/waivers", nil, &all); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, w := range all {
				where := append(append(append([]string{}, w.Projects...), w.Repositories...), w.Digests...)
				rows = append(rows, []string{
					w.ID, w.Rule, orDash(strings.Join(w.Terms, " ")), orDash(strings.Join(where, " ")), w.Owner, stamp(w.Expires),
				})
			}
			return table(cmd, []string{"ID", "RULE", "TERMS", "WHERE", "OWNER", "EXPIRES"}, rows)
		},
	}
}

func (r *operator) waiverRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Put a rule in force again, from the next request on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.call(cmd.Context(), http.MethodDelete, "/waivers/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{Name: args[0]}, "removed waiver %s", clean(args[0]))
		},
	}
}

// moment reads a date, a time or a span from now on.
func moment(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && fmt.Sprint(n) == days && n > 0 {
			return now.AddDate(0, 0, n), nil
		}
	}
	if span, err := time.ParseDuration(s); err == nil && span > 0 {
		return now.Add(span), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a moment such as 2027-01-31, 2027-01-31T12:00:00Z, 72h or 30d", s)
}
