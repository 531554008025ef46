package decisionlog

import (
	"context"
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
	First int64 `json:"first,omitempty"`
	Last  int64 `json:"last,omitempty"`
	// Day is the segment, and Block the number of the block in it, that they are in.
	Day   string `json:"day,omitempty"`
	Block int64  `json:"block,omitempty"`
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
	w := &walker{}
	if err := l.store.walk(ctx, w); err != nil {
		return Report{}, fmt.Errorf("decision log: verify: %w", err)
	}
	slices.SortFunc(w.report.Heads, func(a, b Head) int { return strings.Compare(a.Writer, b.Writer) })
	return w.report, nil
}

// walker follows the chains through the blocks that a backend shows it.
type walker struct {
	report Report
	chains map[string]*walked
	// Of the day that is shown.
	day   string
	facts map[hash]bool
	lastN int64
	ends  map[string]end
}

// walked is how far a chain was followed.
type walked struct {
	known bool // to the heads
	from  heads
	at    head
}

// start tells where the chains are expected to begin and, at least, to end. What
// was shown before counts no more: a backend may have to begin again.
func (w *walker) start(all map[string]heads) {
	*w = walker{chains: map[string]*walked{}, report: Report{Findings: []Finding{}, Heads: []Head{}}}
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

// segment begins a day. Facts are shown before the records that name them.
func (w *walker) segment(day string) {
	w.day, w.facts, w.lastN, w.ends = day, map[hash]bool{}, 0, map[string]end{}
	w.report.Days++
}

func (w *walker) fact(digest, body []byte, err error) {
	w.report.Facts++
	if err != nil || string(digest) != string(sumOf(body)) {
		w.found(Finding{Kind: Changed, Day: w.day, What: fmt.Sprintf("fact sha256:%x holds something else", digest)})
	}
	w.facts[hash(pad(digest))] = true
}

func sumOf(text []byte) []byte {
	d := sum(text)
	return d[:]
}

func pad(sum []byte) []byte {
	return append(sum[:min(len(sum), len(hash{})):len(sum)], make([]byte, max(0, len(hash{})-len(sum)))...)
}

// shown is a block with what is in it, as far as it can be unpacked.
type shown struct {
	block
	bodies, inputs []frame
	err            error
	// found is what the tables of searching say of its records, or why they say
	// nothing that could be compared.
	found    []place
	foundErr error
	// bounds are what is stored of its records' times and ids, and met what they are.
	bounds, met bounds
}

// place is what one record is found by.
type place struct {
	n, at int64
	facet facet
}

// block follows a chain through a block.
func (w *walker) block(b *shown) {
	one := Finding{Kind: Changed, Writer: b.writer, First: b.seq, Last: b.seq + max(b.count, 1) - 1, Day: w.day, Block: b.n}
	c := w.chains[b.writer]
	if c == nil {
		c = &walked{}
		w.chains[b.writer] = c
		strange := one
		strange.Kind, strange.What = Inserted, "this writer never wrote here"
		w.found(strange)
	}
	if b.n <= w.lastN {
		one.What = "its place is within the block before"
		w.found(one)
	}
	w.lastN = b.n + max(b.count, 1) - 1
	if b.seq <= c.at.seq {
		one.Kind, one.What = Inserted, fmt.Sprintf("follows record %d of its writer", c.at.seq)
		w.found(one)
		return
	}
	linked := true
	if b.seq > c.at.seq+1 {
		w.found(Finding{Kind: Removed, Writer: b.writer, First: c.at.seq + 1, Last: b.seq - 1, Day: w.day, What: "these records are missing"})
		linked = false
	}
	if b.err != nil {
		one.What = "the block cannot be unpacked: " + b.err.Error()
		w.found(one)
	}
	met := w.frames(b, c, linked)
	w.report.Records += met
	if b.err == nil && met == b.count && b.met != b.bounds {
		one.What = "a search by time or id does not know what is in it"
		w.found(one)
	}
	c.at = head{b.seq + b.count - 1, b.last}
	w.ends[b.writer] = end{n: w.lastN, head: c.at}
	if c.known && c.at.seq == c.from.last.seq && c.at.hash != c.from.last.hash {
		one.What = "the chain ended with another hash"
		w.found(one)
	}
}

// frames compares the records of a block, frame by frame: a chain that breaks
// breaks in one of them.
func (w *walker) frames(b *shown, c *walked, linked bool) (records int64) {
	inputs := map[int64][]byte{}
	for _, f := range b.inputs {
		for i, text := range f.texts {
			inputs[f.first+int64(i)] = text
		}
	}
	for i, f := range b.bodies {
		n := int64(len(f.texts))
		records += n
		one := Finding{Kind: Changed, Writer: b.writer, First: b.seq + f.first, Last: b.seq + f.first + n - 1, Day: w.day, Block: b.n}
		at := f.prev
		what := ""
		if linked && f.first == 0 && at != c.at.hash {
			what = "the hash of the record before is another"
		}
		for k, body := range f.texts {
			at = chain(at, body)
			r := row{writer: b.writer, seq: b.seq + f.first + int64(k), n: b.n + f.first + int64(k), body: body, input: inputs[f.first+int64(k)]}
			if problem := w.inconsistent(r, b); problem != "" {
				w.found(Finding{Kind: Changed, Writer: b.writer, First: r.seq, Last: r.seq, Day: w.day, Block: b.n, What: problem})
				what = "" // said better
				one.What = ""
			}
		}
		next := b.last
		if i+1 < len(b.bodies) {
			next = b.bodies[i+1].prev
		}
		if at != next && (b.err == nil || i+1 < len(b.bodies)) {
			what = "the hash of the records is another"
		}
		if what != "" {
			one.What = what
			w.found(one)
		}
	}
	return records
}

// inconsistent compares a record with the place that it is found by, with its
// input and with its facts.
func (w *walker) inconsistent(r row, b *shown) string {
	e, err := entryOf(r)
	if err != nil {
		return "the record is no JSON"
	}
	if e.Writer != r.writer || e.Seq != r.seq {
		return fmt.Sprintf("it is record %d of writer %s", e.Seq, e.Writer)
	}
	digest := ""
	if len(r.input) > 0 {
		digest = string(appendDigest(nil, sum(r.input)))
	}
	if digest != e.InputDigest {
		return "the input is another one"
	}
	for _, name := range e.Facts {
		digest, err := parseDigest(name)
		if err != nil || !w.facts[digest] {
			return "its fact " + name + " is missing"
		}
	}
	return foundBy(e, r.n, b)
}

// foundBy compares a record with what it is searched by.
func foundBy(e Entry, n int64, b *shown) string {
	i := n - b.n
	one := bounds{e.At.UnixMicro(), e.At.UnixMicro(), e.ID, e.ID}
	if i == 0 {
		b.met = one
	}
	b.met.add(one)
	if b.foundErr != nil || i >= int64(len(b.found)) {
		return "it cannot be found by a search"
	}
	want := place{n, e.At.UnixMicro(), facet{
		e.Workspace, e.Project, e.Subject, e.Issuer, string(e.Action), e.Verdict, rulesText(rulesOf(e.Deny, e.Warn, e.Dryrun, e.Waived)),
	}}
	if b.found[i] != want {
		return "a search finds it as something else"
	}
	return ""
}

// ended tells where a writer's day ends, after its blocks.
func (w *walker) ended(e end) {
	c, met := w.chains[e.writer], w.ends[e.writer]
	if c == nil {
		w.found(Finding{Kind: Inserted, Writer: e.writer, Day: w.day, What: "this writer never wrote here"})
		return
	}
	one := Finding{Kind: Changed, Writer: e.writer, First: c.at.seq, Last: c.at.seq, Day: w.day, What: "the day ends with another record"}
	switch {
	case e.head.seq > c.at.seq:
		one.Kind, one.First, one.Last, one.What = Removed, c.at.seq+1, e.head.seq, "the day ends before its last record"
		w.found(one)
		c.at = e.head // it is not missed once more
	case e.head != met.head || e.n != met.n:
		w.found(one)
	}
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
