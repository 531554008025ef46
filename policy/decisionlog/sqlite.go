package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bondgate/bondgate/policy"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	dayPrefix = "decisions-"
	daySuffix = ".db"
	// knownFacts bounds the digests remembered as stored in today's file.
	knownFacts = 50_000
)

// days is the backend of one SQLite file a day. The ends of all chains are in
// heads.db, which is held locked: one process has the folder.
type days struct {
	dir   string
	heads *headFile

	// dropping is held for writing while files are removed.
	dropping sync.RWMutex

	mu      sync.RWMutex
	current *dayFile // nil until the first batch, and after a failure

	// appending is held from the first row of a batch to its heads.
	appending sync.Mutex
	writer    string
	last      head
	lastN     int64
	settled   head // what heads.db says
	doubt     bool // whether the batch that failed is there
}

// dayFile is the file that is written now.
type dayFile struct {
	day   string
	path  string
	stat  os.FileInfo
	write *sql.DB
	read  *sql.DB
	facts map[hash]bool
	// The statements of write's one connection.
	insert, insertMany, end *sql.Stmt
	// readers are the reads under way; the file is closed after the last.
	readers sync.WaitGroup
}

// daySchema is one transaction: a file has all of it or nothing.
const daySchema = `BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS records (
	n INTEGER PRIMARY KEY, writer TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
	id TEXT NOT NULL, at INTEGER NOT NULL, workspace TEXT NOT NULL, project TEXT NOT NULL,
	subject TEXT NOT NULL, action TEXT NOT NULL, verdict TEXT NOT NULL, body BLOB NOT NULL, input BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS records_id ON records (id);
CREATE INDEX IF NOT EXISTS records_project ON records (workspace, project);
CREATE INDEX IF NOT EXISTS records_subject ON records (workspace, subject);
CREATE INDEX IF NOT EXISTS records_deny ON records (workspace) WHERE verdict = 'deny';
CREATE TABLE IF NOT EXISTS ends (writer TEXT PRIMARY KEY, n INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS facts (digest BLOB PRIMARY KEY, body BLOB NOT NULL);
COMMIT;`

// openFile opens an SQLite file. NORMAL keeps what is committed when the process
// is killed; a loss of power may take the last moments.
func openFile(path string, connections int, options ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(2000)"}, options...)}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func openDays(ctx context.Context, dir string) (*days, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("decision log: %w", err)
	}
	heads, err := openHeads(ctx, filepath.Join(dir, "heads.db"))
	if err != nil {
		return nil, fmt.Errorf("decision log: open the ends of the chains in %s: %w", dir, err)
	}
	return &days{dir: dir, heads: heads}, nil
}

func (d *days) path(day string) string { return filepath.Join(d.dir, dayPrefix+day+daySuffix) }

// list answers the days that have a file, oldest first.
func (d *days) list() ([]string, error) {
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, f := range files {
		if day, ok := strings.CutPrefix(f.Name(), dayPrefix); ok {
			if day, ok = strings.CutSuffix(day, daySuffix); ok && len(day) == len("2006-01-02") {
				all = append(all, day)
			}
		}
	}
	return all, nil
}

func (d *days) begin(ctx context.Context, writer string) (head, string, error) {
	all, err := d.list()
	if err != nil {
		return head{}, "", err
	}
	known, lastN, err := d.heads.of(ctx, writer)
	if err != nil {
		return head{}, "", err
	}
	d.writer, d.last, d.lastN = writer, known.last, lastN
	if len(all) == 0 {
		return d.last, "", d.heads.set(ctx, writer, d.last, d.lastN)
	}
	newest := all[len(all)-1]
	// The file may be ahead of the heads by the batch that was written when the
	// process was killed.
	f, err := d.today(ctx, newest)
	if err != nil {
		return head{}, "", err
	}
	ends, n, err := endsOf(ctx, f.write)
	if err != nil {
		return head{}, "", fmt.Errorf("%s: %w", newest, err)
	}
	d.lastN = max(d.lastN, n)
	if ends[writer].seq > d.last.seq {
		d.last = ends[writer]
	}
	return d.last, newest, d.heads.set(ctx, writer, d.last, d.lastN)
}

// today answers the open file of a day and closes that of another.
func (d *days) today(ctx context.Context, day string) (*dayFile, error) {
	d.mu.RLock()
	f := d.current
	d.mu.RUnlock()
	if f != nil && f.day == day {
		// A file that somebody removed still takes records, into nothing.
		now, err := os.Stat(f.path)
		if err == nil && os.SameFile(now, f.stat) {
			return f, nil
		}
	}
	d.shut()
	f = &dayFile{day: day, path: d.path(day), facts: map[hash]bool{}}
	var err error
	if f.write, err = openFile(f.path, 1, "journal_mode(WAL)", "synchronous(NORMAL)"); err != nil {
		return nil, err
	}
	_, err = f.write.ExecContext(ctx, daySchema)
	if err == nil {
		f.stat, err = os.Stat(f.path)
	}
	for _, made := range []struct {
		stmt **sql.Stmt
		text string
	}{{&f.insert, insertText(1)}, {&f.insertMany, insertText(many)}, {&f.end, endText}} {
		if err == nil {
			*made.stmt, err = f.write.PrepareContext(ctx, made.text)
		}
	}
	if err == nil {
		f.read, err = openFile(f.path, 4, "query_only(1)")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Base(f.path), err), f.write.Close())
	}
	d.mu.Lock()
	d.current = f
	d.mu.Unlock()
	return f, nil
}

// shut closes the current file; the next batch opens it anew.
func (d *days) shut() {
	d.mu.Lock()
	f := d.current
	d.current = nil
	d.mu.Unlock()
	if f != nil {
		f.write.Close()
		go func() {
			f.readers.Wait()
			f.read.Close()
		}()
	}
}

func (d *days) append(ctx context.Context, b *batch) error {
	d.appending.Lock()
	defer d.appending.Unlock()
	switch d.last {
	case b.prev:
	case b.next:
		return nil
	default:
		return fmt.Errorf("the chain of %s ends at %d, not at %d", b.writer, d.last.seq, b.prev.seq)
	}
	if err := d.insert(ctx, b); err != nil {
		// Some failures leave a connection of no use; a new one knows nothing of them.
		d.shut()
		d.doubt = true
		return err
	}
	d.last, d.lastN, d.doubt = b.next, d.lastN+int64(len(b.rows)), false
	return nil
}

// settle keeps the end of the chain beside the day files, so that it is missed
// when records at the end are removed.
func (d *days) settle(ctx context.Context) error {
	d.appending.Lock()
	defer d.appending.Unlock()
	if d.settled == d.last {
		return nil
	}
	err := d.heads.set(ctx, d.writer, d.last, d.lastN)
	if err == nil {
		d.settled = d.last
	}
	return err
}

const (
	rowColumns = "n, writer, seq, hash, id, at, workspace, project, subject, action, verdict, body, input"
	columns    = 13
	many       = 40 // rows of one statement

	endText = `INSERT INTO ends (writer, n, seq, hash) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (writer) DO UPDATE SET n = ?2, seq = ?3, hash = ?4`
)

func insertText(rows int) string {
	one := "(?" + strings.Repeat(",?", columns-1) + ")"
	return "INSERT INTO records (" + rowColumns + ") VALUES " + one + strings.Repeat(","+one, rows-1)
}

func (d *days) insert(ctx context.Context, b *batch) error {
	f, err := d.today(ctx, b.day)
	if err != nil {
		return err
	}
	tx, err := f.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if d.doubt {
		ends, _, err := endsOf(ctx, tx)
		if err != nil || ends[b.writer] == b.next {
			return err // the commit's answer was lost: the rows are there
		}
	}
	var added []hash
	for _, fact := range b.facts {
		if f.facts[fact.digest] {
			continue
		}
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO facts (digest, body) VALUES (?, ?)", fact.digest[:], fact.body); err != nil {
			return fmt.Errorf("store a fact: %w", err)
		}
		added = append(added, fact.digest)
	}
	if err := f.insertRows(ctx, tx, d.lastN, b.rows); err != nil {
		return fmt.Errorf("store records: %w", err)
	}
	_, err = tx.StmtContext(ctx, f.end).ExecContext(ctx, b.writer, d.lastN+int64(len(b.rows)), b.next.seq, b.next.hash[:])
	if err != nil {
		return fmt.Errorf("store the end of the chain: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if len(f.facts)+len(added) > knownFacts {
		clear(f.facts)
	}
	for _, digest := range added {
		f.facts[digest] = true
	}
	return nil
}

// insertRows writes many rows with one statement: half of the cost of a row is its call.
func (f *dayFile) insertRows(ctx context.Context, tx *sql.Tx, n int64, rows []row) error {
	args := make([]any, 0, columns*min(many, len(rows)))
	for len(rows) > 0 {
		stmt, take := f.insert, 1
		if len(rows) >= many {
			stmt, take = f.insertMany, many
		}
		args = args[:0]
		for i := range rows[:take] {
			r := &rows[i]
			n++
			args = append(args, n, r.writer, r.seq, r.hash[:], r.id, r.at, r.workspace, r.project, r.subject, r.action, r.verdict, r.body, notNil(r.input))
		}
		if _, err := tx.StmtContext(ctx, stmt).ExecContext(ctx, args...); err != nil {
			return err
		}
		rows = rows[take:]
	}
	return nil
}

func (d *days) open() *dayFile {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.current
}

func (d *days) close() error {
	d.shut()
	return d.heads.close()
}

// endsOf answers where the chains end in a day's file, and its last order number.
func endsOf(ctx context.Context, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}) (map[string]head, int64, error) {
	rows, err := db.QueryContext(ctx, "SELECT writer, n, seq, hash FROM ends")
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	ends := map[string]head{}
	var last int64
	for rows.Next() {
		var writer string
		var n int64
		var end head
		var sum []byte
		if err := rows.Scan(&writer, &n, &end.seq, &sum); err != nil {
			return nil, 0, err
		}
		copy(end.hash[:], sum)
		ends[writer], last = end, max(last, n)
	}
	return ends, last, rows.Err()
}

// errReading: a day cannot be dropped while somebody reads.
var errReading = errors.New("decisions are being read")

var errNoRecord = fmt.Errorf("no such record: %w", policy.ErrNotFound)
