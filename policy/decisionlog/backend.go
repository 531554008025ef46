package decisionlog

import (
	"context"
	"crypto/sha256"
)

type hash = [sha256.Size]byte

func sum(text []byte) hash { return sha256.Sum256(text) }

// hashOf is a stored hash; one of another length is no hash at all.
func hashOf(stored []byte) (h hash) {
	if len(stored) == len(h) {
		copy(h[:], stored)
	}
	return h
}

// head is the end of a chain: the last sequence number and its hash.
type head struct {
	seq  int64
	hash hash
}

// heads are the two ends of what is kept of a writer's chain: the last record
// that retention dropped, and the last record written.
type heads struct{ dropped, last head }

// row is one record. Body is the canonical record and the truth, input the
// canonical input that body names by digest; the rest is for searching, and only
// a row that is to be written has it.
type row struct {
	n         int64 // the order of all records of all writers; given by the backend
	writer    string
	seq       int64
	hash      hash
	id        string
	at        int64 // microseconds since 1970
	workspace string
	project   string
	subject   string
	issuer    string
	action    string
	verdict   string
	rules     []string // the codes that fired or were waived, sorted
	body      []byte
	input     []byte
	day       string
}

// fact is a part of an input that is stored once a day.
type fact struct {
	digest hash
	body   []byte
}

// batch is what one transaction writes: the rows that lead a writer's chain
// from prev to next, and the facts that they name.
type batch struct {
	day        string // 2026-11-21; never before the day of an earlier batch
	writer     string
	prev, next head
	rows       []row
	facts      []fact
}

// backend is a place for rows, cut in days.
type backend interface {
	source
	// begin answers where the writer's chain ended, and the newest day there is.
	begin(ctx context.Context, writer string) (head, string, error)
	// append writes a batch in one transaction. A batch that is there already,
	// because an answer was lost, is a success.
	append(ctx context.Context, b *batch) error
	// settle writes down where the chain ends, if append left that for later.
	settle(ctx context.Context) error
	// tail answers matching rows without their inputs: newest first, or oldest
	// first when the search asks for what came after a row.
	tail(ctx context.Context, s search) ([]row, error)
	// fact answers a fact of a day's records.
	fact(ctx context.Context, day string, digest hash) ([]byte, error)
	// show answers a row with its input and a way to read its facts, valid
	// until release is called.
	show(ctx context.Context, id string) (r row, facts factReader, release func(), err error)
	// newest is the order number of the last row; 0 without rows.
	newest(ctx context.Context) (int64, error)
	// walk shows everything to a walker, days and rows in their order.
	walk(ctx context.Context, w *walker) error
	// expire drops the days before the given one and keeps the heads of what it drops.
	expire(ctx context.Context, before string) error
	close() error
}

type factReader func(ctx context.Context, digest hash) ([]byte, error)

// search is a query as a backend understands it. Only sinks have no workspace:
// they are for whoever runs all of them.
type search struct {
	workspace, project, subject, action, verdict string
	issuer, rule                                 string
	since, until                                 int64 // microseconds; 0 for ever
	inputs                                       bool  // whether the rows are wanted with their inputs
	sinceDay                                     string
	before, after                                int64
	forward                                      bool
	limit                                        int
}
