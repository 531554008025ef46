package decisionlog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// maxFindings bounds a report; Report.Findings says when there is more.
const maxFindings = 100

// The kinds of finding.
const (
	Changed  = "changed"  // a record, its input or a fact is not what was written
	Removed  = "removed"  // records or a fact are missing
	Inserted = "inserted" // a record that the writer did not write there
)

// Finding is one place where the log is not as it was written.
type Finding struct {
	Kind   string `json:"kind"`
	Writer string `json:"writer,omitempty"`
	// First and Last are the sequence numbers of the records in question.
	First int64  `json:"first,omitempty"`
	Last  int64  `json:"last,omitempty"`
	Day   string `json:"day,omitempty"`
	What  string `json:"what"`
}

// Head is the end of a writer's chain. Kept elsewhere, it also shows that the
// whole log was written anew.
type Head struct {
	Writer string `json:"writer"`
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`
	// Dropped is the sequence number up to which retention dropped records.
	Dropped int64 `json:"dropped,omitempty"`
}

// Report is the outcome of [Log.Verify].
type Report struct {
	Records  int64     `json:"records"`
	Facts    int64     `json:"facts"`
	Days     int       `json:"days"`
	Heads    []Head    `json:"heads"`
	Findings []Finding `json:"findings"`
	// More is how many findings did not fit.
	More int64 `json:"more,omitempty"`
}

// Intact reports whether nothing was found.
func (r Report) Intact() bool { return len(r.Findings) == 0 }

// Verify walks all that is kept and recomputes every hash. It fails only when
// the log cannot be read; what it finds is in the report.
func (l *Log) Verify(ctx context.Context) (Report, error) {
	w := &walker{chains: map[string]*walked{}, report: Report{Findings: []Finding{}, Heads: []Head{}}}
	if err := l.store.walk(ctx, w); err != nil {
		return Report{}, fmt.Errorf("decision log: verify: %w", err)
	}
	slices.SortFunc(w.report.Heads, func(a, b Head) int { return strings.Compare(a.Writer, b.Writer) })
	return w.report, nil
}

// walker follows the chains through the rows that a backend shows it.
type walker struct {
	report Report
	chains map[string]*walked
	day    string
	facts  map[string]bool
}

// walked is how far a chain was followed.
type walked struct {
	known bool // to the heads
	from  heads
	at    head
}

// start tells where the chains are expected to begin and, at least, to end.
func (w *walker) start(all map[string]heads) {
	for writer, h := range all {
		w.chains[writer] = &walked{known: true, from: h, at: h.dropped}
	}
}

func (w *walker) found(f Finding) {
	if len(w.report.Findings) >= maxFindings {
		w.report.More++
		return
	}
	w.report.Findings = append(w.report.Findings, f)
}

// segment begins a day. Facts are shown before the rows that name them.
func (w *walker) segment(day string) {
	w.day, w.facts = day, map[string]bool{}
	w.report.Days++
}

func (w *walker) fact(digest, body []byte) {
	w.report.Facts++
	sum := sha256.Sum256(body)
	if string(sum[:]) != string(digest) {
		w.found(Finding{Kind: Changed, Day: w.day, What: fmt.Sprintf("fact sha256:%x holds something else", digest)})
	}
	w.facts[string(digest)] = true
}

func (w *walker) row(r row, sum []byte) {
	w.report.Records++
	c := w.chains[r.writer]
	if c == nil {
		c = &walked{}
		w.chains[r.writer] = c
		w.found(Finding{Kind: Inserted, Writer: r.writer, First: r.seq, Last: r.seq, Day: w.day, What: "this writer never wrote here"})
	}
	one := Finding{Writer: r.writer, First: r.seq, Last: r.seq, Day: w.day}
	linked := true
	switch {
	case r.seq <= c.at.seq:
		one.Kind, one.What = Inserted, fmt.Sprintf("follows record %d of its writer", c.at.seq)
		w.found(one)
		return
	case r.seq > c.at.seq+1:
		w.found(Finding{Kind: Removed, Writer: r.writer, First: c.at.seq + 1, Last: r.seq - 1, Day: w.day, What: "these records are missing"})
		linked = false
	}
	// After a gap the record before is not there to link to: its own content is
	// then compared by what it says of itself.
	if linked && chain(c.at.hash, r.body) != hash(pad(sum)) {
		one.Kind, one.What = Changed, "the hash of the record or of the one before is another"
		w.found(one)
	} else if what := w.inconsistent(r); what != "" {
		one.Kind, one.What = Changed, what
		w.found(one)
	}
	c.at = head{r.seq, hash(pad(sum))}
	if c.known && r.seq == c.from.last.seq && c.at.hash != c.from.last.hash {
		one.Kind, one.What = Changed, "the chain ended with another hash"
		w.found(one)
	}
}

func pad(sum []byte) []byte { return append(sum, make([]byte, max(0, len(hash{})-len(sum)))...) }

// inconsistent compares a record with the columns that it is found by, with its
// input and with its facts.
func (w *walker) inconsistent(r row) string {
	e, err := entryOf(r)
	if err != nil {
		return "the record is no JSON"
	}
	type columns struct {
		writer                                           string
		seq                                              int64
		id                                               string
		at                                               int64
		workspace, project, subject, action, verdictWord string
	}
	if (columns{e.Writer, e.Seq, e.ID, e.At.UnixMicro(), e.Workspace, e.Project, e.Subject, string(e.Action), e.Verdict}) !=
		(columns{r.writer, r.seq, r.id, r.at, r.workspace, r.project, r.subject, r.action, r.verdict}) {
		return "the columns are not those of the record"
	}
	digest := ""
	if len(r.input) > 0 {
		digest = string(appendDigest(nil, sha256.Sum256(r.input)))
	}
	if digest != e.InputDigest {
		return "the input is another one"
	}
	for _, name := range e.Facts {
		digest, err := parseDigest(name)
		if err != nil || !w.facts[string(digest[:])] {
			return "its fact " + name + " is missing"
		}
	}
	return ""
}

// end tells where the chains ended after everything was shown.
func (w *walker) end(all map[string]heads) {
	for writer, h := range all {
		c := w.chains[writer]
		if c == nil { // it began meanwhile
			c = &walked{from: h, at: h.last}
			w.chains[writer] = c
		}
		if c.at.seq < c.from.last.seq {
			w.found(Finding{Kind: Removed, Writer: writer, First: c.at.seq + 1, Last: c.from.last.seq, What: "the chain ends before its head"})
		}
		if c.at.seq > h.last.seq {
			w.found(Finding{Kind: Inserted, Writer: writer, First: h.last.seq + 1, Last: c.at.seq, What: "the chain goes on after its head"})
		}
		w.report.Heads = append(w.report.Heads, Head{
			Writer: writer, Seq: h.last.seq, Hash: string(appendDigest(nil, h.last.hash)), Dropped: h.dropped.seq,
		})
	}
}

func (w *walker) readFacts(rows *sql.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var digest, body []byte
		if err := rows.Scan(&digest, &body); err != nil {
			return err
		}
		w.fact(digest, body)
	}
	return rows.Err()
}

func (w *walker) readRows(rows *sql.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var r row
		var sum []byte
		err := rows.Scan(&r.n, &r.writer, &r.seq, &sum, &r.id, &r.at, &r.workspace, &r.project, &r.subject, &r.action, &r.verdict, &r.body, &r.input)
		if err != nil {
			return err
		}
		w.row(r, sum)
	}
	return rows.Err()
}
