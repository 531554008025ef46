// Command decisions writes records of mixed traffic into a log of its own and
// tells what they cost: bytes and time for each, and how long pages of searches
// take, with the files out of the page cache and in it.
//
// It refuses to judge: no test depends on a time. Nobody imports it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/decisionlog"
)

type options struct {
	dir, dsn string
	records  int
	days     int
	alone    int
	seed     uint64
	searches bool
	verify   bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "the folder of the log; what is in it is searched and added to (a folder that is removed again when empty)")
	flag.StringVar(&o.dsn, "dsn", "", "a PostgreSQL URL, for a log in a database")
	flag.IntVar(&o.records, "records", 1_000_000, "how many records to write")
	flag.IntVar(&o.days, "days", 7, "over how many days they are spread")
	flag.IntVar(&o.alone, "alone", 0, "how many of 100 records are written alone, as when little happens")
	flag.Uint64Var(&o.seed, "seed", 1, "what the traffic follows from")
	flag.BoolVar(&o.searches, "searches", true, "measure searches")
	flag.BoolVar(&o.verify, "verify", false, "verify the chain at the end")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "decisions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "bondgate-decisions-*")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		o.dir = dir
	}
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now := atomic.Int64{}
	now.Store(start.UnixNano())
	open := func() (*decisionlog.Log, error) {
		return decisionlog.Open(ctx, decisionlog.Config{
			Dir: o.dir, DSN: o.dsn, RetentionDays: -1, Now: func() time.Time { return time.Unix(0, now.Load()) },
		})
	}
	log, err := open()
	if err != nil {
		return err
	}
	if o.records > 0 {
		t := newTraffic(o.seed, start, time.Duration(o.days)*24*time.Hour/time.Duration(max(o.records, 1)))
		if err := write(ctx, log, t, &now, o); err != nil {
			return err
		}
	}
	if err := log.Close(ctx); err != nil {
		return err
	}
	if o.dsn == "" {
		size, err := sizeOf(o.dir)
		if err != nil {
			return err
		}
		fmt.Printf("%d bytes on disk", size)
		if o.records > 0 {
			fmt.Printf(", %.1f a record", float64(size)/float64(o.records))
		}
		fmt.Println()
	}
	if log, err = open(); err != nil {
		return err
	}
	defer func() { _ = log.Close(ctx) }()
	if o.searches {
		if err := searches(ctx, log, o); err != nil {
			return err
		}
	}
	if o.verify {
		began := time.Now()
		r, err := log.Verify(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("verified %d records in %s: intact %v\n", r.Records, time.Since(began).Round(time.Millisecond), r.Intact())
	}
	return nil
}

func write(ctx context.Context, log *decisionlog.Log, t *traffic, now *atomic.Int64, o options) error {
	began := time.Now()
	for i := range o.records {
		r := t.next()
		now.Store(t.at.UnixNano())
		var err error
		if i%100 < o.alone {
			err = log.Write(ctx, r)
		} else {
			for err = log.Open(r); errors.Is(err, policy.ErrUnavailable) && log.Ready() == nil; err = log.Open(r) {
				time.Sleep(time.Millisecond) // the flusher sets the pace
			}
		}
		if err != nil {
			return err
		}
		if i%1_000_000 == 999_999 {
			fmt.Printf("%d records in %s\n", i+1, time.Since(began).Round(time.Second))
		}
	}
	took := time.Since(began)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("%d records in %s, %.0f/s, with the making of the documents; %d MB of heap\n",
		o.records, took.Round(time.Millisecond), float64(o.records)/took.Seconds(), m.HeapSys>>20)
	return nil
}

func sizeOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// forget takes the files of a folder out of the page cache.
func forget(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, f := range files {
		out, err := exec.Command("dd", "if="+f, "iflag=nocache", "count=0").CombinedOutput()
		if err != nil {
			return fmt.Errorf("dd: %w: %s", err, out)
		}
	}
	return nil
}

type named struct {
	name string
	q    decisionlog.Query
}

// table is the searches: each filter alone, many together, some that match all,
// little and nothing, and pages in the middle.
func table(all []decisionlog.Entry) []named {
	first, last := all[0], all[len(all)-1]
	mid := first.At.Add(last.At.Sub(first.At) / 2)
	someone, some := first, first
	for _, e := range all {
		if e.Subject != "" && e.Project != "" {
			someone, some = e, e
		}
	}
	base := []named{
		{"everything", decisionlog.Query{}},
		{"a project", decisionlog.Query{Project: some.Project}},
		{"the project that is asked for most", decisionlog.Query{Project: "payments-0"}},
		{"a project that is asked for seldom", decisionlog.Query{Project: "ledger-398"}},
		{"a project that nobody asked for", decisionlog.Query{Project: "none"}},
		{"a person", decisionlog.Query{Subject: someone.Subject}},
		{"a person with the issuer", decisionlog.Query{Subject: someone.Subject, Issuer: someone.Issuer}},
		{"nobody's name", decisionlog.Query{Subject: "nobody"}},
		{"an issuer", decisionlog.Query{Issuer: "local"}},
		{"denials", decisionlog.Query{Verdict: "deny"}},
		{"outages, which are few", decisionlog.Query{Verdict: "outage"}},
		{"allows", decisionlog.Query{Verdict: "allow"}},
		{"an action", decisionlog.Query{Action: policy.ManifestPush}},
		{"an action that nobody made", decisionlog.Query{Action: policy.TagDelete}},
		{"a rule that denied", decisionlog.Query{Rule: "rbac.right"}},
		{"a rule that warned", decisionlog.Query{Rule: "image.root_user"}},
		{"a rule that never fired", decisionlog.Query{Rule: "vuln.none"}},
		{"a rule in a project", decisionlog.Query{Rule: "rbac.right", Project: some.Project}},
		{"a rule against a person", decisionlog.Query{Rule: "rbac.right", Subject: someone.Subject}},
		{"pushes that were denied in a project", decisionlog.Query{Action: policy.ManifestPush, Verdict: "deny", Project: some.Project}},
		{"all filters at once", decisionlog.Query{Action: policy.ManifestPull, Verdict: "allow", Project: some.Project, Subject: someone.Subject, Issuer: someone.Issuer, Since: first.At, Until: last.At}},
		{"logins of a project, of which there are none", decisionlog.Query{Action: policy.SessionLogin, Project: some.Project}},
		{"since the middle", decisionlog.Query{Since: mid}},
		{"until the middle", decisionlog.Query{Until: mid}},
		{"a minute in the middle", decisionlog.Query{Since: mid, Until: mid.Add(time.Minute)}},
		{"denials of an hour in the middle", decisionlog.Query{Since: mid, Until: mid.Add(time.Hour), Verdict: "deny"}},
		{"a person until the middle", decisionlog.Query{Subject: someone.Subject, Until: mid}},
		{"a rule until soon after the beginning", decisionlog.Query{Rule: "rbac.right", Until: first.At.Add(time.Minute)}},
		{"a time without records", decisionlog.Query{Since: first.At.Add(-48 * time.Hour), Until: first.At.Add(-time.Hour)}},
		{"a page in the middle", decisionlog.Query{Before: last.Cursor / 2}},
		{"a page of a person in the middle", decisionlog.Query{Before: last.Cursor / 2, Subject: someone.Subject}},
		{"the oldest denials", decisionlog.Query{After: 1, Verdict: "deny"}},
		{"another workspace", decisionlog.Query{Workspace: "other"}},
	}
	return base
}

func searches(ctx context.Context, log *decisionlog.Log, o options) error {
	newest, err := log.Tail(ctx, decisionlog.Query{Limit: 300})
	if err != nil {
		return err
	}
	oldest, err := log.Tail(ctx, decisionlog.Query{After: 1, Limit: 300})
	if err != nil || len(newest) == 0 {
		return err
	}
	slices.Reverse(newest)
	out := bufio.NewWriter(os.Stdout)
	defer func() { _ = out.Flush() }()
	fmt.Fprintf(out, "%-50s %8s %12s %12s\n", "a page of 50", "records", "cold ms", "warm ms")
	var slowestCold, slowestWarm time.Duration
	for _, one := range append(table(append(oldest, newest...)), named{"show by id", decisionlog.Query{}}) {
		ask := func() (int, time.Duration, error) {
			began := time.Now()
			if one.name == "show by id" {
				_, err := log.Show(ctx, oldest[len(oldest)/2].ID)
				return 1, time.Since(began), err
			}
			all, err := log.Tail(ctx, one.q)
			return len(all), time.Since(began), err
		}
		if o.dsn == "" {
			if err := forget(o.dir); err != nil {
				return err
			}
		}
		n, cold, err := ask()
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		var warm []time.Duration
		for range 5 {
			_, took, err := ask()
			if err != nil {
				return err
			}
			warm = append(warm, took)
		}
		slices.Sort(warm)
		slowestCold, slowestWarm = max(slowestCold, cold), max(slowestWarm, warm[2])
		fmt.Fprintf(out, "%-50s %8d %12.1f %12.1f\n", one.name, n, ms(cold), ms(warm[2]))
	}
	fmt.Fprintf(out, "%-50s %8s %12.1f %12.1f\n", "the slowest", "", ms(slowestCold), ms(slowestWarm))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
