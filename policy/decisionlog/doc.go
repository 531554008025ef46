// Package decisionlog keeps the records of decisions: every answer that the gate
// gave, the document it was given on, and a hash chain that shows what was
// changed, removed or added afterwards. Records live in SQLite files of their
// own, one a UTC day, or in PostgreSQL, in tables of their own for each day;
// retention drops whole days. They are packed in blocks and found by what they
// have in common (docs/adr/0014).
//
// It refuses to lose a record quietly: while records cannot be kept,
// [Log.Ready] says so, and the gate that asks it stops to decide. It refuses to
// know what a decision means, and to change a record that is written.
//
// The composition root opens a [Log] and hands it to the gate as its
// [policy.Recorder] and to the management API as the place to search.
package decisionlog
