package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
)

// followEvery is how often decisions tail -f asks; records are written within a second.
const followEvery = time.Second

func newDecisions(d deps) *cobra.Command {
	group, r := d.group("decisions", "What was decided, and why")
	group.AddCommand(r.decisionsTail(), r.decisionsList(), r.decisionsShow(), r.decisionsExport(), r.decisionsVerify())
	return group
}

func (r *operator) decisionsTail() *cobra.Command {
	var n int
	var follow bool
	var filter decisionFilter
	cmd := &cobra.Command{
		Use: "tail", Short: "List the newest decisions, oldest of them first (--json: one JSON object a line)", Args: cobra.NoArgs,
		Long: "List the newest decisions, oldest of them first (--json: one JSON object a line).\n\n" +
			"With --follow it asks once a second. That somebody listed decisions is a decision too, and on\n" +
			"record; as it goes on, those are shown with --action decision.read only.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := filter.query(time.Now())
			if err != nil {
				return err
			}
			q.Set("limit", strconv.Itoa(n))
			var page []api.DecisionRecord
			if err := r.call(cmd.Context(), http.MethodGet, "/decisions?"+q.Encode(), nil, &page); err != nil {
				return err
			}
			slices.Reverse(page)
			last := int64(1)
			for following := false; ; following = true {
				for i := range page {
					last = max(last, page[i].Cursor)
					if following && q.Get("action") == "" && isListing(&page[i]) {
						continue
					}
					if err := r.printDecision(cmd, &page[i]); err != nil {
						return err
					}
				}
				if !follow {
					return nil
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(followEvery):
				}
				q.Set("after", strconv.FormatInt(last, 10))
				q.Set("limit", "1000")
				page = nil
				err := r.call(cmd.Context(), http.MethodGet, "/decisions?"+q.Encode(), nil, &page)
				if cmd.Context().Err() != nil {
					return nil //nolint:nilerr // who interrupts a tail has seen enough
				}
				if err != nil {
					return err
				}
			}
		},
	}
	f := cmd.Flags()
	f.IntVarP(&n, "lines", "n", 20, "how many decisions")
	f.BoolVarP(&follow, "follow", "f", false, "go on as decisions are made")
	filter.flags(f)
	return cmd
}

// isListing reports a decision that lets somebody list decisions, as who follows them
// does each second.
func isListing(d *api.DecisionRecord) bool {
	return d.Action == policy.DecisionRead && d.Verdict == policy.Allow.String() && d.Reference == "decision:list"
}

func (r *operator) printDecision(cmd *cobra.Command, d *api.DecisionRecord) error {
	if r.json {
		raw, err := json.Marshal(d)
		if err != nil {
			return err
		}
		return say(cmd, "%s", plainJSON(raw))
	}
	line := []string{stamp(d.At), d.Verdict, string(d.Action), nameOf(d), shortDigests(whatOf(d))}
	if d.Count > 1 {
		line = append(line, "x"+strconv.FormatInt(d.Count, 10))
	}
	if why := whyOf(d); why != "" {
		line = append(line, why)
	}
	return say(cmd, "%s", clean(strings.Join(append(line, d.ID), "  ")))
}

func (r *operator) decisionsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a decision and the reasons for it; --json with the input that was judged", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var raw json.RawMessage
			if err := r.call(cmd.Context(), http.MethodGet, "/decisions/"+url.PathEscape(args[0]), nil, &raw); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, raw)
			}
			var d api.DecisionRecord
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			rows := [][]string{
				{"verdict", d.Verdict}, {"action", string(d.Action)}, {"purpose", orDash(string(d.Purpose))},
				{"subject", nameOf(&d)}, {"about", whatOf(&d)}, {"digest", orDash(d.Digest)},
				{"at", stamp(d.At)}, {"requests", strconv.FormatInt(d.Count, 10)}, {"bundle", orDash(d.Revision)},
				{"request id", orDash(d.RequestID)}, {"record", fmt.Sprintf("%s/%d %s", d.Writer, d.Seq, d.Hash)},
			}
			if d.Outage != "" {
				rows = append(rows, []string{"outage", d.Outage})
			}
			if d.BreakGlass != "" {
				rows = append(rows, []string{"broken glass", strings.TrimSuffix(d.BreakGlass+": "+d.Justification, ": ")})
			}
			if len(d.Masked) > 0 {
				rows = append(rows, []string{"masked", strings.Join(d.Masked, " ")})
			}
			if !d.Replayable {
				rows = append(rows, []string{"replayable", "no: what was hidden of the input is read by the rules"})
			}
			rows = append(rows, reasonRows("deny", d.Deny)...)
			rows = append(rows, reasonRows("warn", d.Warn)...)
			rows = append(rows, reasonRows("dryrun", d.Dryrun)...)
			for _, w := range d.Waived {
				rows = append(rows, []string{"waived", strings.TrimSpace(w.Code+" "+w.Term) + " by " + w.Waiver})
			}
			return table(cmd, []string{"decision", d.ID}, rows)
		},
	}
}

func reasonRows(kind string, reasons []policy.Reason) [][]string {
	var rows [][]string
	for _, x := range reasons {
		text := "[" + x.Code + "] " + x.Message
		if x.Remediation != "" {
			text += ". Fix: " + x.Remediation
		}
		rows = append(rows, []string{kind, text})
	}
	return rows
}

// longDigest is a digest that a line of many columns has no room for.
var longDigest = regexp.MustCompile(`(sha(?:256|512):[0-9a-f]{12})[0-9a-f]{52,}`)

// shortDigests shortens digests as far as people compare them; JSON and what shows
// one thing alone have them whole.
func shortDigests(s string) string { return longDigest.ReplaceAllString(s, "$1…") }

func nameOf(d *api.DecisionRecord) string {
	if d.Subject == "" {
		return "anonymous"
	}
	return d.Subject
}

func whatOf(d *api.DecisionRecord) string {
	switch {
	case d.Action == policy.AdminAPI || d.Action == policy.DecisionRead:
		if d.Project != "" && !strings.HasSuffix(d.Reference, " "+d.Project) {
			return d.Reference + " in " + d.Project
		}
		return orDash(d.Reference)
	case d.Repository == "":
		return orDash(d.Project)
	case d.Reference == "":
		return d.Repository
	case strings.Contains(d.Reference, ":"):
		return d.Repository + "@" + d.Reference
	default:
		return d.Repository + ":" + d.Reference
	}
}

func whyOf(d *api.DecisionRecord) string {
	switch {
	case d.Outage != "":
		return d.Outage
	case d.Message != "":
		return d.Message
	case len(d.Deny) > 0:
		return "[" + d.Deny[0].Code + "] " + d.Deny[0].Message
	case d.BreakGlass != "":
		return strings.TrimSuffix("glass broken by "+d.BreakGlass+": "+d.Justification, ": ")
	case len(d.Waived) > 0:
		return "[" + d.Waived[0].Code + "] waived by " + d.Waived[0].Waiver
	default:
		return ""
	}
}
