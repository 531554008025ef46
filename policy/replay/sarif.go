package replay

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"
)

// The shapes of SARIF that a report needs: OASIS, Static Analysis Results
// Interchange Format 2.1.0 with errata 1.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool              sarifTool         `json:"tool"`
		AutomationDetails sarifID           `json:"automationDetails"`
		Invocations       []sarifInvocation `json:"invocations"`
		Results           []sarifResult     `json:"results"`
		Properties        map[string]any    `json:"properties"`
	}
	sarifID struct {
		ID string `json:"id"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifTool struct {
		Driver struct {
			Name    string      `json:"name"`
			Version string      `json:"version,omitempty"`
			Rules   []sarifRule `json:"rules"`
		} `json:"driver"`
	}
	sarifRule struct {
		ID               string         `json:"id"`
		ShortDescription sarifText      `json:"shortDescription"`
		Properties       map[string]any `json:"properties,omitempty"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool `json:"executionSuccessful"`
		ExitCode            int  `json:"exitCode"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations,omitempty"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   map[string]any    `json:"properties,omitempty"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region struct {
			StartLine int `json:"startLine"`
		} `json:"region"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

// WriteSARIF writes a report for what shows the findings of code reviews: one
// result for each way in which a rule changes what happens, an error when it was not
// expected and a note when it was. program and version name the tool.
func WriteSARIF(w io.Writer, r *Report, program, version string) error {
	run := sarifRun{
		AutomationDetails: sarifID{ID: program + "/"},
		Invocations:       []sarifInvocation{{ExecutionSuccessful: true}},
		Results:           []sarifResult{},
		Properties:        map[string]any{"revision": r.Revision, "totals": r.Totals, "idle": r.Idle},
	}
	if !r.OK() {
		run.Invocations[0].ExitCode = 1
	}
	run.Tool.Driver.Name, run.Tool.Driver.Version = program, version
	run.Tool.Driver.Rules = []sarifRule{}
	add := func(id, title, level, text, kind string, at []sarifLocation, more map[string]any) {
		rules := &run.Tool.Driver.Rules
		if n := len(*rules); n == 0 || (*rules)[n-1].ID != id {
			*rules = append(*rules, sarifRule{ID: id, ShortDescription: sarifText{Text: title}})
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: id, RuleIndex: len(*rules) - 1, Level: level, Message: sarifText{Text: text}, Locations: at,
			Fingerprints: map[string]string{"change/v1": id + "/" + kind}, Properties: more,
		})
	}
	for _, f := range r.Findings {
		if f.Rule == "" {
			samples := r.UnequalSamples
			if f.Kind == Undecided {
				samples = r.UndecidedSamples
			}
			add("("+f.Kind+")", f.Kind, "error", f.String(), f.Kind, nil, map[string]any{"samples": samples})
		}
	}
	for i := range r.Rules {
		rule := &r.Rules[i]
		for _, kind := range kinds {
			if rule.Of(kind) == 0 {
				continue
			}
			level, text := "note", rule.say(kind)
			for _, f := range r.findings(rule.Code, kind) {
				level, text = "error", text+" Not expected: "+f.String()+"."
			}
			var samples []Sample
			for _, s := range rule.Samples {
				if s.Kind == kind {
					samples = append(samples, s)
				}
			}
			add(rule.Code, titleOf(rule), level, text, kind, locations(rule, samples), map[string]any{
				"was": rule.Was, "now": rule.Now, "requests": rule.Of(kind), "samples": samples,
			})
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0", Runs: []sarifRun{run},
	})
}

func titleOf(r *Rule) string {
	if r.Title != "" {
		return r.Title
	}
	return r.Code
}

// locations are where the rule is written, and what the samples are about.
func locations(r *Rule, samples []Sample) []sarifLocation {
	var at sarifLocation
	if r.File != "" && r.Line > 0 {
		at.Physical = &sarifPhysical{}
		at.Physical.Artifact.URI = escapeURI(r.File)
		at.Physical.Region.StartLine = r.Line
	}
	for i := range samples {
		if about := samples[i].About(); about != "" {
			at.Logical = append(at.Logical, sarifLogical{Name: about, Kind: "resource"})
		}
	}
	if at.Physical == nil && at.Logical == nil {
		return nil
	}
	return []sarifLocation{at}
}

// escapeURI makes a relative reference of a file's name.
func escapeURI(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	// A first part with a colon would read as a scheme.
	return strings.ReplaceAll(strings.Join(parts, "/"), ":", "%3A")
}
