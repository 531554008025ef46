package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// told is an explanation in words. Everything in it is one line without control
// characters, however it came into the record.
type told struct {
	ID, Verdict, What, Bundle string
	Notes                     []string
	Reasons                   []toldReason
}

type toldReason struct {
	Effect, Code, Term, Message, Remediation string
	Title, Description, Owner, Place         string
	Links                                    []string
	Facts                                    []toldFact
	// Ways are the sets of changes that turn it, the easiest first.
	Ways [][]string
	// Waiver is the command that asks for the rule to be lifted; empty where no
	// waiver lifts it.
	Waiver string
}

type toldFact struct{ Path, Value string }

// mostShown is how long a text of somebody else is at most.
const mostShown = 400

func line(s string) string { return errcode.Line(s, mostShown) }

// tell puts an explanation into words.
func tell(e *ExplainedDecision) told {
	d := &e.Decision
	out := told{ID: d.ID, Verdict: verdictWords(e), What: line(whatWasAsked(e)), Bundle: line(d.Revision)}
	if e.Unexplained != "" {
		out.Notes = append(out.Notes, "This decision cannot be explained in full: "+e.Unexplained+".")
	}
	if x := e.Explanation; x != nil && !e.SameBundle {
		out.Notes = append(out.Notes, fmt.Sprintf("The bundle %s decided; what follows is by the bundle %s, which is in force now.", line(d.Revision), line(x.Revision)))
	}
	for _, difference := range e.Differences {
		out.Notes = append(out.Notes, "Something is different now: "+line(difference)+".")
	}
	if e.Explanation != nil && e.Explanation.Partial {
		out.Notes = append(out.Notes, "The search for facts and changes came to its limits; there may be more of them.")
	}
	if len(e.Decision.Deny) > 1 {
		out.Notes = append(out.Notes, "Each rule that denies has to pass.")
	}
	for _, note := range e.Notes {
		out.Notes = append(out.Notes, "Note: "+line(note)+".")
	}
	for _, r := range reasonsIn(e) {
		out.Reasons = append(out.Reasons, tellReason(e, &r))
	}
	return out
}

// reasonsIn are the reasons as they are explained, or as they were recorded.
func reasonsIn(e *ExplainedDecision) []policy.ExplainedReason {
	if e.Explanation != nil {
		return e.Explanation.Reasons
	}
	var out []policy.ExplainedReason
	for i, list := range [][]policy.Reason{e.Decision.Deny, e.Decision.Warn, e.Decision.Dryrun} {
		for _, r := range list {
			out = append(out, policy.ExplainedReason{Reason: r, Effect: []string{"deny", "warn", "dryrun"}[i]})
		}
	}
	for _, w := range e.Decision.Waived {
		out = append(out, policy.ExplainedReason{Reason: policy.Reason{Code: w.Code, Term: w.Term}, Effect: "waived", Waiver: w.Waiver})
	}
	return out
}

func verdictWords(e *ExplainedDecision) string {
	switch {
	case e.Decision.Verdict == outageVerdict:
		return "No decision was possible"
	case e.Decision.BreakGlass != "" && e.Supposed:
		return "It would be allowed under broken glass only"
	case e.Decision.BreakGlass != "":
		return "It was allowed under broken glass only"
	case e.Decision.Verdict == policy.Allow.String() && e.Supposed:
		return "It would be allowed"
	case e.Supposed:
		return "It would be denied"
	case e.Decision.Verdict == policy.Allow.String() && e.Decision.BreakGlass != "":
		return "It was allowed because glass was broken (" + line(e.Decision.BreakGlass) + ")"
	case e.Decision.Verdict == policy.Allow.String():
		return "It was allowed"
	default:
		return "It was denied"
	}
}

// doing says what an action does, for a person.
var doing = map[policy.Action]string{
	policy.ManifestPull: "pull", policy.ManifestPush: "push", policy.ManifestDelete: "delete", policy.TagDelete: "delete the tag",
	policy.BlobPull: "pull a layer of", policy.BlobPush: "push a layer to", policy.BlobMount: "mount a layer into", policy.BlobDelete: "delete a layer of",
	policy.TagsList: "list the tags of", policy.ReferrersList: "list what refers to", policy.CatalogList: "list the repositories",
	policy.TokenIssue: "get a token", policy.RegistryPing: "reach the registry", policy.SessionLogin: "log in",
	policy.UploadStatus: "go on with an upload to", policy.UploadCancel: "cancel an upload to",
	policy.DecisionRead: "read a decision of", policy.AdminAPI: "do",
}

func whatWasAsked(e *ExplainedDecision) string {
	d := &e.Decision
	who := "an anonymous client"
	if d.Subject != "" {
		who = d.Subject
		if d.Issuer != "" && d.Issuer != policy.LocalIssuer {
			who += " (" + d.Issuer + ")"
		}
	}
	verb := doing[d.Action]
	if verb == "" {
		verb = string(d.Action)
	}
	about := d.Repository
	switch {
	case d.Action == policy.AdminAPI || d.Action == policy.DecisionRead:
		about = d.Reference
		if d.Project != "" {
			about += " in " + d.Project
		}
	case strings.Contains(d.Reference, ":"):
		about += "@" + d.Reference
	case d.Reference != "":
		about += ":" + d.Reference
	}
	said := who + " asked to " + verb
	if about != "" {
		said += " " + about
	}
	if d.Digest != "" && !strings.Contains(about, d.Digest) {
		said += " (" + d.Digest + ")"
	}
	return said + " at " + d.At.UTC().Format(time.RFC3339)
}

func tellReason(e *ExplainedDecision, r *policy.ExplainedReason) toldReason {
	out := toldReason{
		Effect: line(r.Effect), Code: line(r.Code), Term: line(r.Term), Message: line(r.Message), Remediation: line(r.Remediation),
		Title: line(r.Title), Description: line(r.Description), Owner: line(r.Owner),
	}
	if r.Waiver != "" {
		out.Effect += " by " + line(r.Waiver)
	}
	if r.File != "" {
		out.Place = line(fmt.Sprintf("%s at %s:%d", r.Rule, r.File, r.Line))
	}
	for _, link := range r.Links {
		if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
			out.Links = append(out.Links, line(link))
		}
	}
	for _, f := range r.Facts {
		value := jsonText(f.Value)
		if f.Absent {
			value = "(not there)"
		}
		out.Facts = append(out.Facts, toldFact{Path: line(f.Path), Value: value})
	}
	for i, way := range append([][]policy.Change{r.Changes}, r.Others...) {
		if i == 0 && len(way) == 0 {
			continue
		}
		var said []string
		for _, c := range way {
			said = append(said, line(sayChange(r, c)))
		}
		out.Ways = append(out.Ways, said)
	}
	if r.Waivable && r.Effect == "deny" {
		out.Waiver = waiverCommand(&e.Decision, r)
	}
	return out
}

func jsonText(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "?"
	}
	return line(strings.TrimSpace(b.String()))
}

// sayChange says a change as something that could be otherwise.
func sayChange(r *policy.ExplainedReason, c policy.Change) string {
	switch {
	case c.Path == "subject.roles":
		if more := added(c.From, c.To); len(more) > 0 {
			return "with the role " + strings.Join(more, ", ") + " here"
		}
	case c.Path == "subject.anonymous":
		return "signed in"
	case c.Path == "admin.after.self_decided" && c.To == false:
		return "decided by another person"
	case c.Path == "project.public" && c.To == true:
		return "in a public project"
	case strings.HasPrefix(c.Path, "waivers["):
		return strings.TrimSpace("with a waiver of "+r.Code+" "+r.Term) + " in force"
	case c.Path == "breakglass":
		return "with broken glass (a grant for an emergency)"
	case strings.HasPrefix(c.Path, "project.packs["):
		_, key, _ := strings.Cut(c.Path, ".config.")
		if key != "" && c.Gone {
			return "without the setting " + key + " of the project's pack " + r.Pack
		}
		if key != "" {
			return "with the setting " + key + " of the project's pack " + r.Pack + " = " + jsonText(c.To)
		}
	}
	if c.Gone {
		return "without " + c.Path + " (it is " + jsonText(c.From) + ")"
	}
	if c.From == nil {
		return "with " + c.Path + " = " + jsonText(c.To)
	}
	return "with " + c.Path + " = " + jsonText(c.To) + " instead of " + jsonText(c.From)
}

// added are the texts of a list that were not in another.
func added(from, to any) []string {
	before, _ := from.([]any)
	after, _ := to.([]any)
	var out []string
	for _, item := range after {
		if s, ok := item.(string); ok && !slices.Contains(before, item) {
			out = append(out, s)
		}
	}
	return out
}

// waiverCommand asks for exactly what was denied to be lifted. What others wrote
// (a tag, a label's name) is quoted for a shell: people paste this line.
func waiverCommand(d *DecisionRecord, r *policy.ExplainedReason) string {
	parts := []string{"bondgate waiver request", quoted(r.Code)}
	for _, flag := range [][2]string{{"--term", r.Term}, {"--project", d.Project}, {"--repository", d.Repository}} {
		if flag[1] != "" {
			parts = append(parts, flag[0], quoted(flag[1]))
		}
	}
	return strings.Join(append(parts, "--expires 7d --reason '…' --ticket '…'"), " ")
}

// quoted is a word that a shell takes as it is.
func quoted(s string) string {
	s = line(s)
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._-/:@", r)
	}
	if s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// WriteExplanation writes an explanation for a terminal.
func WriteExplanation(w io.Writer, e ExplainedDecision) error {
	var b bytes.Buffer
	t := tell(&e)
	fmt.Fprintf(&b, "%s: %s.\n", t.Verdict, t.What)
	if t.ID != "" {
		fmt.Fprintf(&b, "Decision %s by bundle %s.\n", t.ID, t.Bundle)
	} else {
		fmt.Fprintf(&b, "By bundle %s; nothing was decided.\n", t.Bundle)
	}
	for _, note := range t.Notes {
		fmt.Fprintf(&b, "%s\n", note)
	}
	if len(t.Reasons) == 0 {
		fmt.Fprintf(&b, "\nNo rule had anything to say.\n")
	}
	for i := range t.Reasons {
		t.Reasons[i].write(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (r *toldReason) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n%s [%s] %s\n", r.Effect, strings.TrimSpace(r.Code+" "+r.Term), r.Message)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "  %-9s %s\n", name, value)
		}
	}
	row("rule", r.Title)
	row("", r.Description)
	row("at", r.Place)
	row("owner", r.Owner)
	for _, link := range r.Links {
		row("see", link)
	}
	row("fix", r.Remediation)
	for i, f := range r.Facts {
		name := ""
		if i == 0 {
			name = "facts"
		}
		row(name, f.Path+" = "+f.Value)
	}
	for i, way := range r.Ways {
		name := "or"
		if i == 0 {
			name = "passes"
		}
		row(name, strings.Join(way, ", and "))
	}
	if r.Waiver != "" {
		row("ask for", r.Waiver)
	}
}
