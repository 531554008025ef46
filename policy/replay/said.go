package replay

import (
	"bytes"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// said is what one rule said to one request.
type said struct {
	pack                       string
	deny, warn, dryrun, waived bool
	// text is all of it, to compare and to read.
	text string
}

// saidBy files a decision by the code of its rules.
func saidBy(d *policy.Decision) map[string]said {
	out := map[string]said{}
	for i := range d.Deny {
		s := out[d.Deny[i].Code].with("deny", &d.Deny[i])
		s.deny = true
		out[d.Deny[i].Code] = s
	}
	for i := range d.Warn {
		s := out[d.Warn[i].Code].with("warn", &d.Warn[i])
		s.warn = true
		out[d.Warn[i].Code] = s
	}
	for i := range d.Dryrun {
		s := out[d.Dryrun[i].Code].with("dryrun", &d.Dryrun[i])
		s.dryrun = true
		out[d.Dryrun[i].Code] = s
	}
	for i := range d.Waived {
		w := &d.Waived[i]
		s := out[w.Code]
		s.text = line(s.text, strings.TrimRight("waived by "+w.Waiver+" "+w.Term, " "))
		s.waived = true
		out[w.Code] = s
	}
	return out
}

func (s said) with(effect string, r *policy.Reason) said {
	s.pack = r.Pack
	text := effect + ": " + r.Message
	for _, more := range [][2]string{
		{"term", r.Term}, {"severity", r.Severity}, {"from", r.EffectiveOn}, {"pack", r.Pack}, {"mode", r.Mode}, {"fix", r.Remediation},
	} {
		if more[1] != "" {
			text += ", " + more[0] + " " + more[1]
		}
	}
	s.text = line(s.text, text)
	return s
}

// orElse is what a rule said or, where it was silent, what became of the request.
func (s said) orElse(d *policy.Decision) string {
	switch {
	case s.text != "":
		return s.text
	case d.Allowed():
		return "allow"
	}
	return "deny, by another rule"
}

func line(text, more string) string {
	if text == "" {
		return more
	}
	return text + "; " + more
}

func (e *Effects) add(s said, n int64) {
	for _, k := range []struct {
		yes bool
		at  *int64
	}{{s.deny, &e.Deny}, {s.warn, &e.Warn}, {s.dryrun, &e.Dryrun}, {s.waived, &e.Waived}} {
		if k.yes {
			*k.at += n
		}
	}
}

// beside names the parts of two answers that differ and that no rule answers for.
// What a token may carry follows from the verdict, where that changed.
func beside(was, now *policy.Decision) []string {
	var out []string
	for _, part := range []struct {
		name    string
		differs bool
	}{
		{"breakglass", was.BreakGlass != now.BreakGlass},
		{"granted", was.Verdict == now.Verdict && unlike(was.Granted, now.Granted, appendScope)},
		{"obligations", unlike(was.Obligations, now.Obligations, appendObligation)},
		{"visible", was.Visible != now.Visible},
	} {
		if part.differs {
			out = append(out, part.name)
		}
	}
	return out
}

// remaining names a difference that nothing else accounts for.
func remaining(was, now *policy.Decision) string {
	switch {
	case was.Verdict != now.Verdict:
		return "verdict"
	case was.Message != now.Message:
		return "message"
	case was.RetryAfter != now.RetryAfter:
		return "retry_after"
	default:
		return "order"
	}
}

func unlike[T any](was, now []T, one func([]byte, *T) []byte) bool {
	return !bytes.Equal(appendList(nil, was, one), appendList(nil, now, one))
}

// sayDecision is a decision in a few words.
func sayDecision(d *policy.Decision) string {
	if d.Message != "" {
		return d.Verdict.String() + " " + d.Message
	}
	return d.Verdict.String()
}
