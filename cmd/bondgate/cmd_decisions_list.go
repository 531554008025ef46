package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
)

// pageOfDecisions is how many decisions one call asks for.
const pageOfDecisions = 1000

func (r *operator) decisionsList() *cobra.Command {
	var filter decisionFilter
	var n int
	cmd := &cobra.Command{
		Use: "list", Short: "List decisions that match, the newest first (--json: one JSON object a line)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 0 {
				return fmt.Errorf("%w: --number is 0 for all, or how many, not %d", policy.ErrInvalid, n)
			}
			q, err := filter.query(time.Now())
			if err != nil {
				return err
			}
			for left := n; left > 0 || n == 0; {
				want := pageOfDecisions
				if n > 0 {
					want = min(left, want)
				}
				q.Set("limit", strconv.Itoa(want))
				page, err := r.somePage(cmd, q)
				if err != nil {
					return err
				}
				if len(page) < want {
					return nil
				}
				left -= len(page)
				q.Set("before", strconv.FormatInt(page[len(page)-1].Cursor, 10))
			}
			return nil
		},
	}
	filter.flags(cmd.Flags())
	cmd.Flags().IntVarP(&n, "number", "n", 50, "how many decisions at most; 0 for all")
	return cmd
}

func (r *operator) somePage(cmd *cobra.Command, q url.Values) ([]api.DecisionRecord, error) {
	var page []api.DecisionRecord
	if err := r.call(cmd.Context(), http.MethodGet, "/decisions?"+q.Encode(), nil, &page); err != nil {
		return nil, err
	}
	for i := range page {
		if err := r.printDecision(cmd, &page[i]); err != nil {
			return nil, err
		}
	}
	return page, nil
}

func (r *operator) decisionsVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Recompute every hash of the record of decisions; 1 when something was changed, removed or inserted", Args: cobra.NoArgs,
		Long: "Recompute every hash of the record of decisions and tell where it is not as it was written.\n\n" +
			"The exit code is 0 when all is as it was written, 1 when something was changed, removed\n" +
			"or inserted, and 2 when it could not be verified. Keep the heads elsewhere from time to\n" +
			"time: they also show that the whole record was written anew.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v api.Verification
			if err := r.call(cmd.Context(), http.MethodGet, "/decisions/verification", nil, &v); err != nil {
				return comparing(err)
			}
			if err := r.printVerification(cmd, &v); err != nil {
				return comparing(err)
			}
			if !v.Intact {
				return &exit{code: exitDiffers}
			}
			return nil
		},
	}
}

func (r *operator) printVerification(cmd *cobra.Command, v *api.Verification) error {
	if r.json {
		return printJSON(cmd, v)
	}
	word := "intact"
	if !v.Intact {
		word = "NOT as it was written"
	}
	if err := say(cmd, "%d records and %d facts of %d days: %s", v.Records, v.Facts, v.Days, word); err != nil {
		return err
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	if len(v.Findings) > 0 {
		var rows [][]string
		for _, f := range v.Findings {
			records := number(f.First)
			if f.Last > f.First {
				records += "-" + number(f.Last)
			}
			rows = append(rows, []string{f.Kind, orDash(f.Writer), records, orDash(f.Day), number(f.Block), f.What})
		}
		if err := table(cmd, []string{"FOUND", "WRITER", "RECORDS", "DAY", "BLOCK", "WHAT"}, rows); err != nil {
			return err
		}
		if v.More > 0 {
			if err := say(cmd, "and %d more", v.More); err != nil {
				return err
			}
		}
	}
	var rows [][]string
	for _, h := range v.Heads {
		rows = append(rows, []string{h.Writer, number(h.Seq), number(h.Dropped), h.Hash})
	}
	return table(cmd, []string{"CHAIN", "RECORDS", "DROPPED", "HEAD"}, rows)
}
