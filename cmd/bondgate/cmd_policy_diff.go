package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
	"github.com/bondgate/bondgate/policy/replay"
)

// policyDifference is what policy diff answers as JSON.
type policyDifference struct {
	Was         string           `json:"was"`
	Now         string           `json:"now"`
	Differences []opa.Difference `json:"differences"`
}

func (r *operator) policyDiff() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say in rules how the bundle in folder B differs from the one in folder A",
		Long: `Say in rules how the bundle in folder B differs from the one in folder A: rules,
packs and waivers that are added, removed or changed, and what of them. Comments
and layout make no difference. An empty folder is the shipped bundle.

It ends with 0 when they say the same, with 1 when they differ, and with 2 when
they could not be compared.`,
		Args: func(cmd *cobra.Command, args []string) error { return comparing(cobra.ExactArgs(2)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return comparing(r.diffPolicies(cmd, args[0], args[1], format))
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return comparing(err) })
	cmd.Flags().StringVar(&format, "format", "table", "how to write the answer: table, json")
	return cmd
}

func (r *operator) diffPolicies(cmd *cobra.Command, was, now, format string) error {
	if !slices.Contains([]string{"table", "json"}, format) {
		return fmt.Errorf("--format is table or json, not %q", format)
	}
	before, rulesBefore, err := rulesIn(was)
	if err != nil {
		return err
	}
	after, rulesAfter, err := rulesIn(now)
	if err != nil {
		return err
	}
	answer := policyDifference{Was: before, Now: after, Differences: rulesBefore.Diff(rulesAfter)}
	if r.json || format == "json" {
		if answer.Differences == nil {
			answer.Differences = []opa.Difference{}
		}
		err = printJSON(cmd, answer)
	} else {
		err = diffTable(cmd, answer.Differences)
	}
	if err != nil {
		return err
	}
	if len(answer.Differences) > 0 {
		return &exit{code: exitDiffers}
	}
	return nil
}

// rulesIn are the rules of a bundle's folder, and its revision.
func rulesIn(dir string) (string, opa.Ruleset, error) {
	src, err := bundle.Load(dir, opa.Limits{})
	if err != nil {
		return "", opa.Ruleset{}, err
	}
	rules, err := opa.Rules(src)
	return src.Revision, rules, err
}

func diffTable(cmd *cobra.Command, all []opa.Difference) error {
	var out bytes.Buffer
	if len(all) == 0 {
		out.WriteString("the rules are the same\n")
	}
	marks := map[string]string{opa.DiffAdded: "+", opa.DiffRemoved: "-", opa.DiffChanged: "~"}
	for i := range all {
		d := &all[i]
		line := []string{marks[d.Change], d.What, d.Name}
		if d.Pack != "" {
			line = append(line, "of pack "+d.Pack)
		}
		if len(d.Actions) > 0 {
			line = append(line, "about "+strings.ReplaceAll(strings.Join(d.Actions, ", "), "*", "any action"))
		}
		if d.File != "" {
			line = append(line, fmt.Sprintf("(%s:%d)", d.File, d.Line))
		}
		fmt.Fprintf(&out, "%s\n", clean(strings.Join(line, " ")))
		if d.Title != "" {
			fmt.Fprintf(&out, "    %s\n", clean(d.Title))
		}
		for _, f := range d.Fields {
			// Of a rule that is new its own file says more.
			if d.Change == opa.DiffChanged || d.What == "waiver" || f.Field == "mode" || f.Field == "severity" {
				diffField(&out, f)
			}
		}
	}
	_, err := cmd.OutOrStdout().Write(out.Bytes())
	return err
}

// diffField shows a field: a condition by those of its texts that are not in both.
func diffField(out *bytes.Buffer, f opa.FieldDifference) {
	if f.Field != "condition" {
		fmt.Fprintf(out, "    %s: %s -> %s\n", clean(f.Field), clean(orDash(f.Was)), clean(orDash(f.Now)))
		return
	}
	was, now := strings.Split(f.Was, "\n"), strings.Split(f.Now, "\n")
	for _, side := range []struct {
		mark       string
		lines, not []string
	}{{"-", was, now}, {"+", now, was}} {
		for _, line := range side.lines {
			if !slices.Contains(side.not, line) {
				fmt.Fprintf(out, "    %s %s\n", side.mark, clean(line))
			}
		}
	}
}

// placeRules tells of the rules of a report what they are called, and of those in
// the folder of the bundle where they are written.
func placeRules(r *replay.Report, dir string) error {
	_, rules, err := rulesIn(dir)
	if err != nil {
		return err
	}
	at := map[[2]string]*opa.Rule{}
	for i := range rules.Rules {
		if rule := &rules.Rules[i]; rule.Kind != opa.KindHelper {
			at[[2]string{rule.Pack, rule.Code}] = rule
		}
	}
	for i := range r.Rules {
		if rule := at[[2]string{r.Rules[i].Pack, r.Rules[i].Code}]; rule != nil {
			r.Rules[i].Title = rule.Title
			if !rule.Shipped {
				r.Rules[i].File, r.Rules[i].Line = filepath.ToSlash(filepath.Join(dir, rule.File)), rule.Line
			}
		}
	}
	return nil
}
