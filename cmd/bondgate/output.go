package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// printJSON writes a value as a person would want to read it.
func printJSON(cmd *cobra.Command, v any) error { return encodeJSON(cmd.OutOrStdout(), v) }

func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(plainWriter{w})
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// done says what was done: in words, or what it was done to where JSON is asked for.
func (r *operator) done(cmd *cobra.Command, what any, format string, args ...any) error {
	if r.json {
		return printJSON(cmd, what)
	}
	return say(cmd, format, args...)
}

// named is what is left of something that was removed.
type named struct {
	Name    string `json:"name"`
	Project string `json:"project,omitempty"`
}

// say writes one line.
func say(cmd *cobra.Command, format string, args ...any) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

// table writes rows in columns. Cells come from people and clients, so nothing
// in them may steer a terminal.
func table(cmd *cobra.Command, head []string, rows [][]string) error {
	return tableTo(cmd.OutOrStdout(), head, rows)
}

func tableTo(out io.Writer, head []string, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(cells []string) {
		for i, c := range cells {
			if i > 0 {
				_, _ = io.WriteString(w, "\t")
			}
			_, _ = io.WriteString(w, clean(c))
		}
		_, _ = io.WriteString(w, "\n")
	}
	line(head)
	for _, r := range rows {
		line(r)
	}
	return w.Flush()
}

// clean takes out what would steer a terminal or break a line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unseen(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// cleanLines is clean for text of several lines, such as what a compiler says.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
