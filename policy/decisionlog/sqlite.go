package decisionlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/bondgate/bondgate/policy"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	dayPrefix = "decisions-"
	daySuffix = ".db"
)

// days is the backend of one SQLite file a day. The ends of all chains are in
// heads.db, which is held locked: one process has the folder.
type days struct {
	dir   string
	heads *headFile
	codec *codec

	// dropping is held for writing while files are removed.
	dropping sync.RWMutex

	mu      sync.RWMutex
	current *dayFile // nil until the first batch, and after a failure
	// firsts are the first order numbers of days.
	firsts map[string]int64

	// appending is held from the first row of a batch to its heads.
	appending sync.Mutex
	writer    string
	last      head
	lastN     int64
	settled   head // what heads.db says
	doubt     bool // whether the batch that failed is there

	sealer *sealer
}

// dayFile is the file that is written now.
type dayFile struct {
	day   string
	path  string
	stat  os.FileInfo
	write *sql.DB
	read  *sql.DB
	shelf *shelf
	// readers are the reads under way; the file is closed after the last.
	readers sync.WaitGroup
}

// dayTables are the tables of a day's file.
var dayTables = tablesOf("", "")

// daySchema is one transaction: a file has all of it or nothing.
func daySchema() string {
	return "BEGIN IMMEDIATE;" + dayTables.schema("INTEGER", "BLOB", "TEXT") + "COMMIT;"
}

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

func openDays(ctx context.Context, dir string, log *slog.Logger) (*days, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("decision log: %w", err)
	}
	heads, err := openHeads(ctx, filepath.Join(dir, "heads.db"))
	if err != nil {
		return nil, fmt.Errorf("decision log: open the ends of the chains in %s: %w", dir, err)
	}
	c, err := newCodec()
	if err != nil {
		return nil, errors.Join(err, heads.close())
	}
	d := &days{dir: dir, heads: heads, codec: c, sealer: newSealer(ctx, log), firsts: map[string]int64{}}
	return d, nil
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
	if _, err := d.today(ctx, newest); err != nil {
		return head{}, "", err
	}
	if err := d.catchUp(ctx, all); err != nil {
		return head{}, "", err
	}
	return d.last, newest, d.heads.set(ctx, writer, d.last, d.lastN)
}

// catchUp brings the heads up to the records: a process that was killed wrote
// batches, whoever it was, and not where its chain ended. They are in the last day
// that has any; a file may be newer that was just made when it was killed.
func (d *days) catchUp(ctx context.Context, all []string) error {
	for _, day := range slices.Backward(all) {
		var ends map[string]head
		var n int64
		err := d.inDay(ctx, day, func(v *view) (err error) {
			ends, n, err = endsOf(ctx, v.tx)
			return err
		})
		if err != nil && !errors.Is(err, errNoDay) {
			return fmt.Errorf("%s: %w", day, err)
		}
		if len(ends) == 0 {
			continue
		}
		d.lastN = max(d.lastN, n)
		if ends[d.writer].seq > d.last.seq {
			d.last = ends[d.writer]
		}
		return d.heads.advance(ctx, ends)
	}
	return nil
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
	if f != nil && f.day != day {
		d.sealer.seal(f.day, true, d.sealSome)
	}
	f = &dayFile{day: day, path: d.path(day)}
	if err := f.open(ctx, d.codec, d.writer); err != nil {
		err = fmt.Errorf("open %s: %w", filepath.Base(f.path), err)
		if f.write != nil {
			err = errors.Join(err, f.write.Close())
		}
		return nil, err
	}
	d.mu.Lock()
	d.current = f
	d.mu.Unlock()
	return f, nil
}

func (f *dayFile) open(ctx context.Context, c *codec, writer string) (err error) {
	if f.write, err = openFile(f.path, 1, "journal_mode(WAL)", "synchronous(NORMAL)"); err != nil {
		return err
	}
	if _, err = f.write.ExecContext(ctx, daySchema()); err != nil {
		return err
	}
	if f.stat, err = os.Stat(f.path); err != nil {
		return err
	}
	if f.shelf, err = openShelf(ctx, f.write, dayTables, c, writer); err != nil {
		return err
	}
	f.shelf.prepared = map[string]*sql.Stmt{}
	for _, text := range []string{dayTables.insertBlock(), dayTables.setEnd(), dayTables.insertName(), dayTables.insertFact()} {
		if f.shelf.prepared[text], err = f.write.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	f.read, err = openFile(f.path, 4, "query_only(1)")
	return err
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
	if err := f.shelf.put(ctx, tx, d.lastN+1, b); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if f.shelf.due() {
		d.sealer.seal(f.day, false, d.sealSome)
	}
	return nil
}

func (d *days) open() *dayFile {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.current
}

func (d *days) close() error {
	d.sealer.close()
	d.shut()
	d.codec.close()
	return d.heads.close()
}

// endsOf answers where the chains end in a day's file, and its last order number.
func endsOf(ctx context.Context, db reader) (map[string]head, int64, error) {
	all, err := (&view{tx: db, t: dayTables}).ends(ctx)
	ends := map[string]head{}
	var last int64
	for _, e := range all {
		ends[e.writer], last = e.head, max(last, e.n)
	}
	return ends, last, err
}

// errReading: a day cannot be dropped while somebody reads.
var errReading = errors.New("decisions are being read")

var (
	// errNoDay: nothing was written in a day, or retention dropped it.
	errNoDay    = fmt.Errorf("the day is not there: %w", policy.ErrNotFound)
	errNoRecord = fmt.Errorf("no such record: %w", policy.ErrNotFound)
	errNoFact   = fmt.Errorf("no such fact: %w", policy.ErrNotFound)
)
