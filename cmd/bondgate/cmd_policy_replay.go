package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/decisionlog"
	"github.com/bondgate/bondgate/policy/opa"
	"github.com/bondgate/bondgate/policy/replay"
)

// replayGC is how much the heap may grow between two collections, in percent.
const replayGC = 400

// replaying is what the flags of policy replay say.
type replaying struct {
	since, until, project, bundle, from, expect string
	report                                      reportFlags
}

func (r *operator) policyReplay() *cobra.Command {
	var f replaying
	cmd := &cobra.Command{
		Use:   "replay --bundle DIR [--since 7d | --from FILE]",
		Short: "Put recorded decisions before another bundle and say what would change",
		Long: `Put recorded decisions before the bundle in a folder, on this machine, and say
rule by rule what would change: how often, for which projects and people.

It ends with 0 when nothing changes, or only what --expect lists, with 1 when
something else does, and with 2 when it could not be run. With the bundle that
decided, each answer has to come out again, byte for byte.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return comparing(r.replay(cmd, &f)) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return comparing(err) })
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "decisions made since: a time, a day, or how long ago (90m, 24h, 7d)")
	flags.StringVar(&f.until, "until", "", "decisions made before: a time, a day, or how long ago")
	flags.StringVar(&f.project, "project", "", "only about this project")
	flags.StringVar(&f.bundle, "bundle", "", "the folder of the bundle to try")
	flags.StringVar(&f.from, "from", "", "a file that bondgate decisions export wrote, - for the standard input, instead of asking the server")
	flags.StringVar(&f.expect, "expect", "", "a file that says which changes are expected")
	f.report.flags(flags)
	return cmd
}

// noArgs refuses arguments as what could not be run.
func noArgs(cmd *cobra.Command, args []string) error { return comparing(cobra.NoArgs(cmd, args)) }

func (r *operator) replay(cmd *cobra.Command, f *replaying) error {
	ctx := cmd.Context()
	if f.bundle == "" {
		return errors.New("--bundle is needed: the folder of the bundle to try (an empty folder is the shipped bundle)")
	}
	if err := f.report.check(); err != nil {
		return err
	}
	var opts replay.Options
	if f.expect != "" {
		expected, err := readExpectation(f.expect)
		if err != nil {
			return err
		}
		opts.Expect = expected
	}
	judge, err := bundle.Compile(ctx, f.bundle, opa.Limits{})
	if err != nil {
		return err
	}
	// Whoever replays has the machine: fewer collections are a quarter less work, and
	// what is held is small.
	defer debug.SetGCPercent(debug.SetGCPercent(replayGC))
	entries, done, err := r.recorded(cmd, f)
	if err != nil {
		return err
	}
	defer done()
	report, err := replay.Run(ctx, casesOf(entries, f), judge, opts)
	if err != nil {
		return err
	}
	if err := placeRules(&report, f.bundle); err != nil {
		return err
	}
	if err := f.report.write(cmd, r.json, &report); err != nil {
		return err
	}
	if !report.OK() {
		return &exit{code: exitDiffers}
	}
	return nil
}

// recorded are the records to replay: of a file, or of the server.
func (r *operator) recorded(cmd *cobra.Command, f *replaying) (iter.Seq2[decisionlog.Entry, error], func(), error) {
	switch f.from {
	case "":
	case "-":
		return decisionlog.ReadExport(cmd.InOrStdin()), func() {}, nil
	default:
		file, err := os.Open(f.from)
		if err != nil {
			return nil, nil, err
		}
		return decisionlog.ReadExport(file), func() { _ = file.Close() }, nil
	}
	q := url.Values{}
	for name, value := range map[string]string{"since": f.since, "until": f.until} {
		if value == "" {
			continue
		}
		at, err := pointInTime(value, time.Now())
		if err != nil {
			return nil, nil, fmt.Errorf("--%s: %w", name, err)
		}
		q.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
	if f.project != "" {
		q.Set("project", f.project)
	}
	body, err := r.stream(cmd.Context(), "/decisions/export?"+q.Encode())
	if err != nil {
		return nil, nil, err
	}
	return decisionlog.ReadExport(body), func() { _ = body.Close() }, nil
}

// casesOf makes cases of records. Records of a file are filtered here; the server
// did it for its own.
func casesOf(entries iter.Seq2[decisionlog.Entry, error], f *replaying) iter.Seq2[replay.Case, error] {
	return func(yield func(replay.Case, error) bool) {
		meant, err := f.filter(time.Now())
		if err != nil {
			yield(replay.Case{}, err)
			return
		}
		for e, err := range entries {
			if err != nil {
				yield(replay.Case{}, err)
				return
			}
			if meant(&e) && !yield(caseOf(&e), nil) {
				return
			}
		}
	}
}

// filter is what of a file is meant.
func (f *replaying) filter(now time.Time) (func(*decisionlog.Entry) bool, error) {
	var since, until time.Time
	for _, t := range []struct {
		flag, value string
		at          *time.Time
	}{{"since", f.since, &since}, {"until", f.until, &until}} {
		if t.value == "" {
			continue
		}
		at, err := pointInTime(t.value, now)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", t.flag, err)
		}
		*t.at = at
	}
	if f.from == "" {
		return func(*decisionlog.Entry) bool { return true }, nil
	}
	return func(e *decisionlog.Entry) bool {
		return (f.project == "" || e.Project == f.project) &&
			!e.At.Before(since) && (until.IsZero() || e.At.Before(until))
	}, nil
}

// caseOf is a record as a replay takes it.
func caseOf(e *decisionlog.Entry) replay.Case {
	c := replay.Case{
		ID: e.ID, At: e.At, Count: e.Count, Action: e.Action, Subject: e.Subject, Project: e.Project,
		Repository: e.Repository, Reference: e.Reference, Digest: e.Digest, Raw: e.Input, Packs: e.Packs, Masked: e.Masked,
		Was: policy.Decision{
			ID: e.ID, Deny: e.Deny, Warn: e.Warn, Dryrun: e.Dryrun, Waived: e.Waived, Obligations: e.Obligation,
			Visible: e.Visible, Granted: e.Granted, Message: e.Message, BreakGlass: e.BreakGlass,
			RetryAfter: time.Duration(e.RetryAfter) * time.Millisecond, Revision: e.Revision,
		},
	}
	switch e.Verdict {
	case policy.Allow.String():
		c.Was.Verdict = policy.Allow
	case policy.Deny.String():
	default:
		c.Skip = replay.SkipOutage
	}
	return c
}

// maxExpectation bounds the file of what is expected, in bytes.
const maxExpectation = 1 << 20

// readExpectation reads a file as docs/replay-expect.schema.json says it.
func readExpectation(name string) (*replay.Expectation, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	dec := json.NewDecoder(io.LimitReader(file, maxExpectation))
	dec.DisallowUnknownFields()
	var out replay.Expectation
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf(`read %s: %w; it is like {"rules": {"image.root_user": {"newly_denied": 5}}}`, name, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: one object is wanted, of at most %d bytes", name, maxExpectation)
	}
	if err := out.Check(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return &out, nil
}
