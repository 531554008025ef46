package replay

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The shapes of JUnit's reports, as Jenkins reads them.
type (
	junitSuites struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Suite    junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Timestamp  string          `xml:"timestamp,attr,omitempty"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name     string         `xml:"name,attr"`
		Class    string         `xml:"classname,attr"`
		Skipped  string         `xml:"skipped,omitempty"`
		Failures []junitFailure `xml:"failure"`
		Out      string         `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes a report for what shows the results of tests: one test for each
// rule, failed when it changes what was not expected, and skipped when a change
// was expected that did not come. program names the suite.
func WriteJUnit(w io.Writer, r *Report, program string) error {
	s := junitSuite{Name: program, Properties: []junitProperty{
		{"revision", r.Revision},
		{"recorded", fmt.Sprintf("%d decisions, %s", r.Recorded.Decisions, requests(r.Recorded.Requests))},
		{"replayed", fmt.Sprintf("%d decisions, %s", r.Replayed.Decisions, requests(r.Replayed.Requests))},
	}}
	if !r.To.IsZero() {
		s.Timestamp = r.To.UTC().Format(time.RFC3339)
	}
	s.add(junitCase{Name: "what the same bundle decided comes out again", Class: program}, r.findings("", Unequal), r.UnequalSamples)
	s.add(junitCase{Name: "every request gets an answer", Class: program}, r.findings("", Undecided), r.UndecidedSamples)
	for i := range r.Rules {
		rule := &r.Rules[i]
		var found []Finding
		for _, kind := range kinds {
			found = append(found, r.findings(rule.Code, kind)...)
		}
		c := junitCase{Name: rule.Code, Class: program}
		if rule.Pack != "" {
			c.Class += "." + rule.Pack
		}
		s.add(c, found, rule.Samples)
	}
	for _, code := range r.Idle {
		s.Skipped++
		s.add(junitCase{Name: code + " changes something", Class: program, Skipped: "it was expected to change something, and changes nothing"}, nil, nil)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Name: program, Tests: s.Tests, Failures: s.Failures, Suite: s}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase, found []Finding, samples []Sample) {
	s.Tests++
	var text strings.Builder
	for i := range samples {
		x := &samples[i]
		fmt.Fprintf(&text, "%s %s %s %s %s: was %s; now %s\n", x.ID, x.At.UTC().Format(time.RFC3339), x.Who(), x.Action, x.About(), x.Was, x.Now)
	}
	for _, f := range found {
		c.Failures = append(c.Failures, junitFailure{Type: f.Kind, Message: f.String(), Text: text.String()})
	}
	if len(found) > 0 {
		s.Failures++
	} else {
		c.Out = text.String()
	}
	s.Cases = append(s.Cases, c)
}
