package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// decisionFilter are the flags that say which decisions are meant.
type decisionFilter struct {
	values       map[string]*string
	since, until string
}

func (f *decisionFilter) flags(set *pflag.FlagSet) {
	f.values = map[string]*string{}
	for name, help := range map[string]string{
		"project": "only about this project", "rule": "only where this rule denied, warned, would have denied or was waived",
		"subject": "only of this person", "issuer": "only of people that this one vouches for",
		"action": "only this action, such as manifest.pull", "verdict": "only allow, deny or outage",
	} {
		f.values[name] = set.String(name, "", help)
	}
	set.StringVar(&f.since, "since", "", "only made since: a time (2026-11-21T10:00:00Z), a day, or how long ago (90m, 24h, 7d)")
	set.StringVar(&f.until, "until", "", "only made before: a time, a day, or how long ago")
}

// query is the filter as the API takes it.
func (f *decisionFilter) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	for name, value := range f.values {
		if *value != "" {
			q.Set(name, *value)
		}
	}
	for name, value := range map[string]string{"since": f.since, "until": f.until} {
		if value == "" {
			continue
		}
		at, err := pointInTime(value, now)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", name, err)
		}
		q.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
	return q, nil
}

// pointInTime reads a time as people write it: whole, a day (in UTC), or how long ago.
func pointInTime(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	text, days := strings.CutSuffix(s, "d")
	if days {
		text += "h"
	}
	ago, err := time.ParseDuration(text)
	if days {
		ago *= 24
	}
	if err != nil || ago < 0 || ago > 100*366*24*time.Hour {
		return time.Time{}, fmt.Errorf("%q is no time such as 2026-11-21T10:00:00Z, 2026-11-21, 90m or 7d", s)
	}
	return now.Add(-ago), nil
}

func (r *operator) decisionsExport() *cobra.Command {
	var filter decisionFilter
	var file string
	cmd := &cobra.Command{
		Use: "export", Short: "Write decisions with all that they were judged on, one JSON object a line", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := filter.query(time.Now())
			if err != nil {
				return err
			}
			body, err := r.stream(cmd.Context(), "/decisions/export?"+q.Encode())
			if err != nil {
				return err
			}
			defer func() { _ = body.Close() }()
			if file == "" || file == "-" {
				return copyLines(cmd.OutOrStdout(), body)
			}
			return writeWhole(file, body)
		},
	}
	filter.flags(cmd.Flags())
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this file, which is there when all was written")
	return cmd
}

// errNotWhole is an export whose last line does not say that it is all.
var errNotWhole = errors.New("the server could not send all of it: what was written is a part")

// copyLines copies a stream of lines, made plain, and fails when it has no end.
func copyLines(out io.Writer, body io.Reader) error {
	lines := bufio.NewReaderSize(body, 64<<10)
	last := ""
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if _, err := out.Write(plainJSON(line)); err != nil {
				return err
			}
			last = string(line[:min(len(line), len(`{"kind":"end"`))])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the server's answer: %w", err)
		}
	}
	if last != `{"kind":"end"` {
		return errNotWhole
	}
	return nil
}

// writeWhole writes a file that is there with all of it or not at all. What is in
// it is for whoever may read all decisions: nobody else on the machine reads it.
func writeWhole(file string, body io.Reader) error {
	aside, err := os.CreateTemp(filepath.Dir(file), ".export-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, errors.Unwrap(err))
	}
	defer os.Remove(aside.Name())
	err = copyLines(aside, body)
	if err = errors.Join(err, aside.Close()); err != nil {
		return err
	}
	return os.Rename(aside.Name(), file)
}
