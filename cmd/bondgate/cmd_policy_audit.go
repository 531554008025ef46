package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
	"github.com/bondgate/bondgate/policy/replay"
)

func (r *operator) policyAudit() *cobra.Command {
	var dir, project string
	var form reportFlags
	cmd := &cobra.Command{
		Use: "audit --bundle DIR", Short: "Judge every stored image by another bundle: what would stop being pullable",
		Long: `Judge every stored image by the bundle in a folder, on this machine, and say what
would stop being pullable: by project and owner, and rule by rule. Only rules about
content run, for nobody in particular; an image counts once for each of its tags.

It ends with 0 when nothing would stop, with 1 when something would, and with 2 when
it could not be run.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return comparing(r.audit(cmd, dir, project, &form)) },
	}
	cmd.Flags().StringVar(&dir, "bundle", "", "the folder of the bundle to try")
	cmd.Flags().StringVar(&project, "project", "", "only what is in this project")
	form.flags(cmd.Flags())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return comparing(err) })
	return cmd
}

func (r *operator) audit(cmd *cobra.Command, dir, project string, form *reportFlags) error {
	ctx := cmd.Context()
	if dir == "" {
		return errors.New("--bundle is needed: the folder of the bundle to try (an empty folder is the shipped bundle)")
	}
	if err := form.check(); err != nil {
		return err
	}
	judge, err := bundle.Compile(ctx, dir, opa.Limits{})
	if err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(replayGC))
	path := "/policy/inventory"
	if project != "" {
		path += "?" + url.Values{"project": {project}}.Encode()
	}
	stream, err := r.stream(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	a := newAuditing()
	found, err := replay.Run(ctx, a.cases(stream), judge, replay.Options{Each: a.each})
	if err != nil {
		return err
	}
	if err := placeRules(&found, dir); err != nil {
		return err
	}
	report := a.report(found)
	if err := report.write(cmd, r.json, form); err != nil {
		return err
	}
	if report.Stopped+report.Undecided > 0 {
		return &exit{code: exitDiffers}
	}
	return nil
}

// write writes the report of an audit in the form that the flags say.
func (a *auditReport) write(cmd *cobra.Command, asJSON bool, f *reportFlags) error {
	if f.format == "sarif" || f.format == "junit" {
		return f.write(cmd, asJSON, &a.Report)
	}
	encode := a.table
	if asJSON || f.format == "json" {
		encode = func(w io.Writer) error { return encodeJSON(w, a) }
	}
	if f.file == "" || f.file == "-" {
		return encode(cmd.OutOrStdout())
	}
	var out bytes.Buffer
	if err := encode(&out); err != nil {
		return err
	}
	return os.WriteFile(f.file, out.Bytes(), 0o644)
}

// someProjects and someImages are how many are printed; --format json has all
// projects, and five images of each rule.
const (
	someProjects = 50
	someImages   = 30
)

// table writes an audit for people: what would stop, where, by which rule, and some
// of the images.
func (a *auditReport) table(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d names of images before %s: %d would stop being pullable", a.Images, clean(a.Report.Revision), a.Stopped)
	for _, more := range []struct {
		n    int64
		what string
	}{{a.Freed, "would be pullable again"}, {a.Undecided, "have no answer"}, {a.Skipped, "have none by the policy in force, and were left out"}} {
		if more.n > 0 {
			fmt.Fprintf(&out, ", %d %s", more.n, more.what)
		}
	}
	out.WriteString(".\n")
	var rows [][]string
	for _, p := range a.Projects[:min(len(a.Projects), someProjects)] {
		var rules []string
		for _, code := range slices.Sorted(maps.Keys(p.Rules)) {
			rules = append(rules, fmt.Sprintf("%s %d", code, p.Rules[code]))
		}
		rows = append(rows, []string{
			p.Project, orDash(p.Owner), fmt.Sprint(p.Images), fmt.Sprint(p.Stopped + p.Undecided), fmt.Sprint(p.Freed), orDash(strings.Join(rules, ", ")),
		})
	}
	section(&out, []string{"PROJECT", "OWNER", "IMAGES", "WOULD STOP", "WOULD START", "BY RULE"}, rows)
	if n := len(a.Projects) - someProjects; n > 0 {
		fmt.Fprintf(&out, "and %d more projects\n", n)
	}
	section(&out, []string{"RULE", "WOULD STOP", "WOULD START", "OTHER", "PROJECTS", "OWNERS"}, a.rules())
	section(&out, []string{"IMAGE", "RULE", "WHAT IT SAYS"}, a.images())
	_, err := w.Write(out.Bytes())
	return err
}

func (a *auditReport) rules() (rows [][]string) {
	for i := range a.Report.Rules {
		if r := &a.Report.Rules[i]; r.Requests > 0 {
			rows = append(rows, []string{
				r.Code, fmt.Sprint(r.NewlyDenied), fmt.Sprint(r.NewlyAllowed), fmt.Sprint(r.Changed), fmt.Sprint(r.Projects.Count), r.Owners.String(),
			})
		}
	}
	return rows
}

func (a *auditReport) images() (rows [][]string) {
	for i := range a.Report.Rules {
		r := &a.Report.Rules[i]
		for j := range r.Samples {
			if s := &r.Samples[j]; s.Kind == replay.NewlyDenied && len(rows) < someImages {
				rows = append(rows, []string{s.ID, r.Code, s.Now})
			}
		}
	}
	for i := range a.Report.UndecidedSamples {
		s := &a.Report.UndecidedSamples[i]
		rows = append(rows, []string{s.ID, "-", s.Now})
	}
	return rows
}

// section writes a table after an empty line; nothing for no rows.
func section(out *bytes.Buffer, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	out.WriteByte('\n')
	_ = tableTo(out, head, rows) // a buffer takes all of it
}
