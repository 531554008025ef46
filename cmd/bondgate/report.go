package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bondgate/bondgate/policy/replay"
)

// reportFlags say in which form and where a report is written.
type reportFlags struct{ format, file string }

var reportFormats = []string{"table", "json", "sarif", "junit"}

func (f *reportFlags) flags(set *pflag.FlagSet) {
	set.StringVar(&f.format, "format", "table", "how to write the report: "+strings.Join(reportFormats, ", "))
	set.StringVarP(&f.file, "output", "o", "", "write the report to this file")
}

func (f *reportFlags) check() error {
	if !slices.Contains(reportFormats, f.format) {
		return fmt.Errorf("--format is one of %s, not %q", strings.Join(reportFormats, ", "), f.format)
	}
	return nil
}

// write writes the report of the command; asJSON is what --json says.
func (f *reportFlags) write(cmd *cobra.Command, asJSON bool, r *replay.Report) error {
	if f.file == "" || f.file == "-" {
		return f.encode(cmd.OutOrStdout(), cmd.CommandPath(), version, asJSON, r)
	}
	var out bytes.Buffer
	if err := f.encode(&out, cmd.CommandPath(), version, asJSON, r); err != nil {
		return err
	}
	return os.WriteFile(f.file, out.Bytes(), 0o644)
}

func (f *reportFlags) encode(w io.Writer, program, version string, asJSON bool, r *replay.Report) error {
	switch {
	case f.format == "sarif":
		return replay.WriteSARIF(plainWriter{w}, r, program, version)
	case f.format == "junit":
		return replay.WriteJUnit(w, r, program)
	case f.format == "json", asJSON:
		return encodeJSON(w, r)
	default:
		return reportTable(w, r)
	}
}

// reportTable writes a report for people: what was looked at, what would change and
// by which rule, a few cases of each, and what of it was not expected.
func reportTable(w io.Writer, r *replay.Report) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "replayed %s", numberOf(r.Replayed))
	if !r.From.IsZero() {
		fmt.Fprintf(&out, ", %s to %s,", stamp(r.From), stamp(r.To))
	}
	fmt.Fprintf(&out, " before %s\n", clean(r.Revision))
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		fmt.Fprintf(&out, "skipped %s: %s\n", numberOf(r.Skipped[why]), skippedFor(why))
	}
	fmt.Fprintf(&out, "the same answer: %s\n", numberOf(r.Same))
	if r.SameBundle.Decisions > 0 {
		fmt.Fprintf(&out, "decided by this very bundle: %s, %d of them not as recorded\n", numberOf(r.SameBundle), r.Unequal.Decisions)
	}
	var rows [][]string
	silent := 0
	for i := range r.Rules {
		rule := &r.Rules[i]
		if rule.Requests == 0 {
			silent++
			continue
		}
		rows = append(rows, []string{
			rule.Code, effects(rule.Was), effects(rule.Now), count(rule.NewlyDenied), count(rule.NewlyAllowed), count(rule.Changed),
			rule.Projects.String(), rule.Subjects.String(),
		})
	}
	if len(rows) > 0 {
		out.WriteByte('\n')
		if err := tableTo(&out, []string{"RULE", "WAS", "NOW", "NEWLY DENIED", "NEWLY ALLOWED", "CHANGED", "PROJECTS", "PEOPLE"}, rows); err != nil {
			return err
		}
	}
	if silent > 0 && len(rows) > 0 {
		fmt.Fprintf(&out, "and %d more that say what they said\n", silent)
	}
	reportSamples(&out, r)
	out.WriteByte('\n')
	for _, code := range r.Idle {
		fmt.Fprintf(&out, "%s was expected to change something, and changes nothing\n", clean(code))
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&out, "not expected: %s\n", clean(f.String()))
	}
	if r.OK() {
		out.WriteString("nothing changes that was not expected\n")
	}
	_, err := w.Write(out.Bytes())
	return err
}

// skippedFor is in words why records were not put before the bundle.
func skippedFor(why string) string {
	switch why {
	case replay.SkipMasked:
		return "masked, and the bundle reads what is hidden"
	case replay.SkipOutage:
		return "outages, in which nothing was decided"
	default:
		return clean(why)
	}
}

func reportSamples(out *bytes.Buffer, r *replay.Report) {
	show := func(title string, samples []replay.Sample) {
		if len(samples) == 0 {
			return
		}
		fmt.Fprintf(out, "\n%s\n", clean(title))
		for i := range samples {
			s := &samples[i]
			fmt.Fprintf(out, "  %s  %s  %s\n    was  %s\n    now  %s\n", s.Kind,
				clean(strings.TrimSpace(s.Who()+" "+s.Action+" "+s.About())), clean(s.ID), clean(orDash(s.Was)), clean(orDash(s.Now)))
		}
	}
	for i := range r.Rules {
		rule := &r.Rules[i]
		title := rule.Code
		if rule.File != "" {
			title += "  " + rule.File + ":" + strconv.Itoa(rule.Line)
		}
		show(title, rule.Samples)
	}
	show("not as recorded, by the same bundle", r.UnequalSamples)
	show("without an answer", r.UndecidedSamples)
}

func numberOf(n replay.Number) string {
	return fmt.Sprintf("%d decisions (%d requests)", n.Decisions, n.Requests)
}

// effects are what a rule did, in requests.
func effects(e replay.Effects) string {
	var out []string
	for _, k := range []struct {
		n    int64
		what string
	}{{e.Deny, "deny"}, {e.Warn, "warn"}, {e.Dryrun, "dryrun"}, {e.Waived, "waived"}} {
		if k.n > 0 {
			out = append(out, fmt.Sprintf("%s %d", k.what, k.n))
		}
	}
	return orDash(strings.Join(out, ", "))
}

func count(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}
