package decisionlog

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
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
	ruler  ruler     // the policy's own rules about records
	doc    canonical // the input
	line   canonical // the record
}

func newEncoder(writer string, m *mask, key []byte) *encoder {
	return &encoder{
		writer: writer, mask: m, key: key,
		doc: canonical{split: true, key: key}, line: canonical{plain: true, key: key},
	}
}

// encode closes a record and makes it the row after the head. An input that
// cannot be written as JSON is left out and named as the record's input_error:
// one bad document must not stop all others.
func (e *encoder) encode(r *policy.Record, count int64, at head) (row, []fact) {
	said := e.ruler.about(r)
	c := closing{encoder: e, record: r, count: count, mask: e.mask.with(said.masks), inputErr: said.failure}
	c.input(said)
	c.row = row{
		writer: e.writer, seq: at.seq + 1, id: clean(r.ID), at: r.At.UnixMicro(),
		workspace: clean(workspaceOf(r.Workspace)), action: clean(string(r.Action)), verdict: verdictOf(r),
		subject: c.column(r.Subject, "subject", "subject", "name"), issuer: c.column(r.Issuer, "issuer", "subject", "issuer"), project: c.column(r.Project, "project", "project", "name"),
		input: append([]byte(nil), e.doc.buf...),
	}
	c.row.rules = rulesOf(r.Decision.Deny, r.Decision.Warn, r.Decision.Dryrun, r.Decision.Waived)
	for i, code := range c.row.rules {
		c.row.rules[i] = stored(nil, e.key, code)
	}
	c.write()
	if len(e.line.hits) > 0 {
		// The record itself has a secret, which is known only now that it is written.
		c.own = append(c.own, e.line.hits...)
		c.write()
	}
	c.row.body = append([]byte(nil), e.line.buf...)
	c.row.hash = chain(at.hash, c.row.body)
	return c.row, e.doc.facts
}

// closing is one record on its way into the log.
type closing struct {
	*encoder
	row      row
	record   *policy.Record
	count    int64
	mask     *mask
	inputErr string
	// own are the fields of the record that a secret was taken out of.
	own []string
}

// write writes the line of the record.
func (c *closing) write() {
	r := c.record
	l := &c.line
	l.reset()
	w := lineWriter{l}
	w.text("action", c.row.action)
	w.text("at", r.At.UTC().Format(time.RFC3339Nano))
	w.text("breakglass", r.Decision.BreakGlass)
	w.number("count", c.count)
	w.reasons("deny", r.Decision.Deny)
	digest := c.shown(r.Digest, "artifact", "digest")
	if digest == r.Digest {
		digest = c.shown(r.Digest, "blob", "digest")
	}
	w.text("digest", digest)
	w.reasons("dryrun", r.Decision.Dryrun)
	w.facts("facts", c.doc.facts)
	w.scopes("granted", r.Decision.Granted)
	w.text("id", c.row.id)
	if len(c.row.input) > 0 {
		w.digest("input_digest", sha256.Sum256(c.row.input))
	}
	w.text("input_error", c.inputErr)
	w.text("issuer", c.row.issuer)
	masked, replayable := c.masked()
	w.texts("masked", masked)
	w.text("message", r.Decision.Message)
	w.obligations("obligations", r.Decision.Obligations)
	w.text("outage", r.Outage)
	w.packs("packs", r.Packs)
	w.text("project", c.row.project)
	w.text("purpose", string(r.Purpose))
	w.text("reference", c.shown(r.Reference, referencePath(r.Action)...))
	w.text("repeats", r.Repeats)
	w.flag("replayable", replayable)
	w.text("repository", c.shown(r.Repository, "repository", "name"))
	w.text("request_id", r.RequestID)
	w.number("retry_after_ms", r.Decision.RetryAfter.Milliseconds())
	w.text("revision", r.Decision.Revision)
	w.number("seq", c.row.seq)
	w.text("subject", c.row.subject)
	w.text("verdict", c.row.verdict)
	w.flag("visible", r.Decision.Visible)
	w.waived("waived", r.Decision.Waived)
	w.reasons("warn", r.Decision.Warn)
	w.text("workspace", c.row.workspace)
	w.text("writer", c.writer)
	l.buf = append(l.buf, '}')
}

// chain is the hash of a record after another one's.
func chain(prev hash, body []byte) hash {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(body)
	return hash(h.Sum(nil))
}

// input writes the record's document. What cannot be written, and what may not
// be seen and is not known well enough, is left out with the reason.
func (c *closing) input(said said) {
	c.doc.reset()
	if said.doc == nil || c.mask.replaces() {
		return
	}
	if err := c.doc.root(said.doc, c.mask); err != nil {
		c.inputErr = err.Error()
		c.doc.reset()
	}
	if len(c.doc.buf) > maxInput {
		c.inputErr = fmt.Sprintf("larger than %d bytes", maxInput)
		c.doc.reset()
	}
}

// wholeInput is the path of everything.
const wholeInput = "input"

// ownField is before the names of the record's own fields among what is masked.
const ownField = "record."

// masked are the paths of what is hidden, and whether the record can be judged
// again all the same: its input is there, and no rule reads what is not.
func (c *closing) masked() (paths []string, replayable bool) {
	replayable = c.inputErr == "" && len(c.row.input) > 0
	if c.mask.replaces() {
		paths = append(paths, wholeInput)
	}
	for _, hit := range c.doc.hits {
		if hit == "" {
			hit = wholeInput
		}
		paths = append(paths, hit)
	}
	for _, hit := range paths {
		replayable = replayable && !c.read(hit)
	}
	for _, field := range c.own {
		paths = append(paths, ownField+field)
		replayable = replayable && !slices.Contains(replayedFields, field)
	}
	slices.Sort(paths)
	return slices.Compact(paths), replayable
}

// replayedFields are those that a replay reads or compares with its own answer.
var replayedFields = []string{"deny", "dryrun", "granted", "message", "obligations", "packs", "waived", "warn"}

// read reports whether the policy can read what is hidden at a path.
func (c *closing) read(path string) bool {
	if c.record.Reads == nil {
		return true
	}
	return slices.ContainsFunc(c.record.Reads, func(p string) bool { return policy.PathsOverlap(p, path) })
}

// shown is a field of the record that is also at a path of the input.
func (c *closing) shown(v string, path ...string) string { return c.mask.shown(c.key, v, path...) }

// column is a field that is searched by.
func (c *closing) column(v, field string, path ...string) string {
	out := stored(c.mask, c.key, v, path...)
	if out != c.shown(clean(v), path...) {
		c.own = append(c.own, field)
	}
	return out
}

// stored is a text as the columns have it, in every backend: as the line has it,
// without what is hidden and without secrets.
func stored(m *mask, key []byte, v string, path ...string) string {
	v = m.shown(key, clean(v), path...)
	if len(key) == 0 {
		return v
	}
	if _, from, to := survey(v); to > 0 {
		return redacted(key, v, from, to)
	}
	return v
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
		before := len(w.hits)
		w.canonical.text(v)
		w.named(key, before)
	}
}

// named puts the field's name to the secrets that were found in it.
func (w lineWriter) named(key string, before int) {
	if len(w.hits) > before {
		w.hits = append(w.hits[:before], key)
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
	mark, before := len(w.buf), len(w.hits)
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
	w.named(key, before)
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
