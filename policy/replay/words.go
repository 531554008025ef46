package replay

import (
	"fmt"
	"strings"
)

// kinds are the ways in which a rule can turn a request, the worst first.
var kinds = []string{NewlyDenied, NewlyAllowed, Changed}

// findings are those of a rule and a kind.
func (r *Report) findings(rule, kind string) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.Rule == rule && f.Kind == kind {
			out = append(out, f)
		}
	}
	return out
}

// String is a finding as people read it.
func (f Finding) String() string {
	what := f.Kind
	if f.Rule != "" {
		what = f.Rule + ": " + what
	}
	if f.Project != "" {
		what += " in project " + f.Project
	}
	return fmt.Sprintf("%s: %s, expected at most %d", what, requests(f.Requests), f.Expected)
}

func requests(n int64) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}

// String is names as people read them.
func (n Names) String() string {
	if n.Count == 0 {
		return "-"
	}
	count := fmt.Sprint(n.Count)
	if n.AtLeast {
		count += " or more"
	}
	text := count + ": " + strings.Join(n.First, ", ")
	if int64(len(n.First)) < n.Count {
		text += ", …"
	}
	return text
}

// About is what a sample is about, as people write it.
func (s *Sample) About() string {
	at := s.Repository
	if at == "" {
		at = s.Project
	}
	switch {
	case s.Reference == "":
	case at == "":
		at = s.Reference
	case s.Repository == "":
		at = s.Reference + " in " + at
	case strings.Contains(s.Reference, ":"):
		at += "@" + s.Reference
	default:
		at += ":" + s.Reference
	}
	return at
}

// Who is whose request it was.
func (s *Sample) Who() string {
	if s.Subject == "" {
		return "anonymous"
	}
	return s.Subject
}

// say tells the change of a rule in one sentence.
func (r *Rule) say(kind string) string {
	text := fmt.Sprintf("%s %s by %s", requests(r.Of(kind)), map[string]string{
		NewlyDenied: "that passed would be denied", NewlyAllowed: "that were denied would pass",
		Changed: "would be told something else",
	}[kind], r.Code)
	if r.Title != "" {
		text += " (" + r.Title + ")"
	}
	var touched []string
	for _, t := range []struct {
		what  string
		names Names
	}{{"projects", r.Projects}, {"owners", r.Owners}, {"people", r.Subjects}} {
		if t.names.Count > 0 {
			touched = append(touched, t.what+" "+t.names.String())
		}
	}
	if len(touched) > 0 {
		text += ". Touched: " + strings.Join(touched, "; ")
	}
	return text + "."
}
