package decisionlog

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bondgate/bondgate/policy"
)

// The words of the verdict column.
const (
	verdictAllow  = "allow"
	verdictDeny   = "deny"
	verdictOutage = "outage"
)

// encoder turns records into rows of one writer's chain. Only the flusher uses it.
type encoder struct {
	writer string
	mask   *mask
	key    []byte
	doc    canonical // the input
	hidden []string  // the paths of the input that the masks hid
	line   canonical // the record
}

func newEncoder(writer string, m *mask, key []byte) *encoder {
	return &encoder{writer: writer, mask: m, key: key, doc: canonical{split: true, key: key}, line: canonical{plain: true}}
}

// encode closes a record and makes it the row after the head. An input that
// cannot be written as JSON is left out and named as the record's input_error:
// one bad document must not stop all others.
func (e *encoder) encode(r *policy.Record, count int64, at head) (row, []fact) {
	inputErr := e.input(r)
	out := row{
		writer: e.writer, seq: at.seq + 1, id: clean(r.ID), at: r.At.UnixMicro(),
		workspace: clean(workspaceOf(r.Workspace)), action: clean(string(r.Action)), verdict: verdictOf(r),
		subject: e.shown(clean(r.Subject), "subject", "name"), issuer: e.shown(clean(r.Issuer), "subject", "issuer"), project: e.shown(clean(r.Project), "project", "name"),
		input: append([]byte(nil), e.doc.buf...),
	}
	l := &e.line
	l.reset()
	w := lineWriter{l}
	w.text("action", out.action)
	w.text("at", r.At.UTC().Format(time.RFC3339Nano))
	w.text("breakglass", r.Decision.BreakGlass)
	w.number("count", count)
	w.reasons("deny", r.Decision.Deny)
	digest := e.shown(r.Digest, "artifact", "digest")
	if digest == r.Digest {
		digest = e.shown(r.Digest, "blob", "digest")
	}
	w.text("digest", digest)
	w.reasons("dryrun", r.Decision.Dryrun)
	w.facts("facts", e.doc.facts)
	w.scopes("granted", r.Decision.Granted)
	w.text("id", out.id)
	if len(out.input) > 0 {
		w.digest("input_digest", sha256.Sum256(out.input))
	}
	w.text("input_error", inputErr)
	w.text("issuer", out.issuer)
	w.texts("masked", e.hidden)
	w.text("message", r.Decision.Message)
	w.obligations("obligations", r.Decision.Obligations)
	w.text("outage", r.Outage)
	w.packs("packs", r.Packs)
	w.text("project", out.project)
	w.text("purpose", string(r.Purpose))
	w.text("reference", e.shown(r.Reference, referencePath(r.Action)...))
	w.text("repeats", r.Repeats)
	w.flag("replayable", !e.doc.masked && inputErr == "" && len(out.input) > 0)
	w.text("repository", e.shown(r.Repository, "repository", "name"))
	w.text("request_id", r.RequestID)
	w.number("retry_after_ms", r.Decision.RetryAfter.Milliseconds())
	w.text("revision", r.Decision.Revision)
	w.number("seq", out.seq)
	w.text("subject", out.subject)
	w.text("verdict", out.verdict)
	w.flag("visible", r.Decision.Visible)
	w.waived("waived", r.Decision.Waived)
	w.reasons("warn", r.Decision.Warn)
	w.text("workspace", out.workspace)
	w.text("writer", e.writer)
	l.buf = append(l.buf, '}')
	out.body = append([]byte(nil), l.buf...)
	out.hash = chain(at.hash, out.body)
	return out, e.doc.facts
}

// chain is the hash of a record after another one's.
func chain(prev hash, body []byte) hash {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(body)
	return hash(h.Sum(nil))
}

// input writes the record's document and answers why that was not possible.
func (e *encoder) input(r *policy.Record) (failure string) {
	e.doc.reset()
	defer func() {
		if p := recover(); p != nil {
			failure = fmt.Sprint("panic: ", p)
		}
		if failure != "" {
			e.doc.reset()
		}
	}()
	if r.Input == nil {
		return ""
	}
	doc := r.Input()
	if doc == nil {
		return ""
	}
	if err := e.doc.root(doc, e.mask); err != nil {
		return err.Error()
	}
	return ""
}

// shown is a field of the record that is also at a path of the input: it is
// hidden in both places or in none.
func (e *encoder) shown(v string, path ...string) string {
	if v == "" || !e.mask.covers(path...) {
		return v
	}
	e.doc.masked = true
	return hidden(e.key, appendString(nil, v))
}

// referencePath is where the input has what the reference was made of.
func referencePath(a policy.Action) []string {
	if a == policy.AdminAPI || a == policy.DecisionRead {
		return []string{"admin", "id"}
	}
	return []string{"reference", "value"}
}

func verdictOf(r *policy.Record) string {
	switch {
	case r.Outage != "":
		return verdictOutage
	case r.Decision.Verdict == policy.Allow:
		return verdictAllow
	}
	return verdictDeny
}

func workspaceOf(name string) string {
	if name == "" {
		return policy.DefaultWorkspace
	}
	return name
}

// clean is a column as every backend takes it: PostgreSQL knows no NUL.
func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\ufffd"), "\ufffd")
}

// lineWriter appends members in the order in which it is called, which has to be
// that of the keys; what is empty is left out.
type lineWriter struct{ *canonical }

func (w lineWriter) member(key string) {
	open := byte(',')
	if len(w.buf) == 0 {
		open = '{'
	}
	w.buf = appendString(append(w.buf, open), key)
	w.buf = append(w.buf, ':')
}

func (w lineWriter) text(key, v string) {
	if v != "" {
		w.member(key)
		w.buf = appendString(w.buf, v)
	}
}

func (w lineWriter) number(key string, v int64) {
	if v != 0 {
		w.member(key)
		w.buf = strconv.AppendInt(w.buf, v, 10)
	}
}

func (w lineWriter) flag(key string, v bool) {
	w.member(key)
	w.buf = strconv.AppendBool(w.buf, v)
}

func (w lineWriter) digest(key string, d hash) {
	w.member(key)
	w.buf = append(appendDigest(append(w.buf, '"'), d), '"')
}

func (w lineWriter) facts(key string, facts []fact) {
	if len(facts) == 0 {
		return
	}
	w.member(key)
	w.buf = append(w.buf, '[')
	for i, f := range facts {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(appendDigest(append(w.buf, '"'), f.digest), '"')
	}
	w.buf = append(w.buf, ']')
}

func (w lineWriter) texts(key string, all []string) {
	for i, text := range all {
		if i == 0 {
			w.member(key)
			w.buf = append(w.buf, '[')
		} else {
			w.buf = append(w.buf, ',')
		}
		w.buf = appendString(w.buf, text)
	}
	if len(all) > 0 {
		w.buf = append(w.buf, ']')
	}
}

func (w lineWriter) packs(key string, all []policy.Pack) {
	w.objects(key, len(all), func(i int) map[string]any {
		pack := map[string]any{"name": all[i].Name, "mode": string(all[i].Mode)}
		if len(all[i].Config) > 0 {
			pack["config"] = all[i].Config
		}
		return pack
	})
}

// objects writes objects, keys sorted and empty values left out.
func (w lineWriter) objects(key string, n int, object func(i int) map[string]any) {
	if n == 0 {
		return
	}
	w.member(key)
	mark := len(w.buf)
	w.buf = append(w.buf, '[')
	for i := range n {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		o := object(i)
		maps.DeleteFunc(o, func(_ string, v any) bool { return v == "" })
		if err := w.value(o, nil, 1); err != nil {
			// An obligation may hold anything; what is no JSON is named, not dropped.
			w.buf = append(w.buf[:mark], '[')
			w.buf = appendString(w.buf, "no JSON: "+err.Error())
			break
		}
	}
	w.buf = append(w.buf, ']')
}

func (w lineWriter) reasons(key string, all []policy.Reason) {
	w.objects(key, len(all), func(i int) map[string]any {
		r := all[i]
		return map[string]any{
			"code": r.Code, "pack": r.Pack, "mode": r.Mode, "severity": r.Severity, "term": r.Term,
			"msg": r.Message, "remediation": r.Remediation, "effective_on": r.EffectiveOn,
		}
	})
}

func (w lineWriter) waived(key string, all []policy.Waived) {
	w.objects(key, len(all), func(i int) map[string]any {
		return map[string]any{"code": all[i].Code, "term": all[i].Term, "waiver": all[i].Waiver}
	})
}

func (w lineWriter) scopes(key string, all []policy.Scope) {
	w.objects(key, len(all), func(i int) map[string]any {
		return map[string]any{"type": all[i].Type, "name": all[i].Name, "actions": all[i].Actions}
	})
}

func (w lineWriter) obligations(key string, all []policy.Obligation) {
	w.objects(key, len(all), func(i int) map[string]any {
		if len(all[i].Fields) == 0 {
			return map[string]any{"type": all[i].Type}
		}
		return map[string]any{"type": all[i].Type, "fields": all[i].Fields}
	})
}
