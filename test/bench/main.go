// Command bench compares Bondgate, with token authentication, a full decision
// and a record for every request, with distribution without any of it: side by
// side, alternating, in one run. It prints ratios; the figures themselves are
// the machine's.
//
// It refuses to judge: no test depends on a time. Nobody imports it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type options struct {
	bondgate, registry, zot string
	rounds                  int
	duration                time.Duration
	conns                   int
	only                    string
}

func main() {
	var o options
	flag.StringVar(&o.bondgate, "bondgate", "bin/bondgate", "our binary")
	flag.StringVar(&o.registry, "registry", ".cache/bin/registry", "distribution's binary")
	flag.StringVar(&o.zot, "zot", "", "zot's minimal binary, built from its own checkout; compared too when given")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each pair; the median counts")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "length of one round")
	flag.IntVar(&o.conns, "conns", 16, "connections for small answers")
	flag.StringVar(&o.only, "only", "", "comma-separated scenarios; all when empty")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run with both servers up.
type bench struct {
	o      options
	ours   *target
	others []*target
	small  *image
	large  *image
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "bondgate-bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{o: o, small: newImage(20 << 10), large: newImage(100 << 20)}
	if b.ours, err = startBondgate(abs(o.bondgate), dir); err != nil {
		b.ours.stop()
		return err
	}
	defer func() { b.ours.stop() }()
	starts := []func() (*target, error){func() (*target, error) { return startDistribution(abs(o.registry), dir) }}
	if o.zot != "" {
		starts = append(starts, func() (*target, error) { return startZot(abs(o.zot), dir) })
	}
	for _, start := range starts {
		t, err := start()
		b.others = append(b.others, t)
		if err != nil {
			t.stop()
			return err
		}
		defer t.stop()
	}

	fmt.Printf("%-42s %12s", "", "bondgate")
	for _, t := range b.others {
		fmt.Printf(" %12s %8s", t.name, "ratio")
	}
	fmt.Println()
	scenarios := []struct {
		name string
		run  func() error
	}{
		{"idle", b.idle}, {"pull", b.pulls}, {"push", b.pushing}, {"zipf", b.zipf}, {"tags", b.tags},
	}
	for _, s := range scenarios {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), s.name) {
			continue
		}
		if err := s.run(); err != nil {
			return fmt.Errorf("%s: %w\n%s", s.name, err, b.ours.complaints())
		}
	}
	return nil
}

func abs(p string) string {
	a, err := filepath.Abs(p)
	if err != nil {
		return p
	}
	return a
}

// idle tells what the servers cost before anybody asks.
func (b *bench) idle() error {
	time.Sleep(2 * time.Second)
	ours, err := b.ours.rss()
	if err != nil {
		return err
	}
	fmt.Printf("%-42s %10.0fMB", "resident set, idle", mb(ours))
	for _, t := range b.others {
		theirs, err := t.rss()
		if err != nil {
			return err
		}
		fmt.Printf(" %10.0fMB %8.2f", mb(theirs), float64(ours)/float64(theirs))
	}
	fmt.Printf("\n%-42s %10dms", "ready after", b.ours.ready.Milliseconds())
	for _, t := range b.others {
		fmt.Printf(" %10dms %8.2f", t.ready.Milliseconds(), float64(b.ours.ready)/float64(t.ready))
	}
	fmt.Println()
	return nil
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// compare runs one measurement on all servers, alternating, and prints medians:
// the ratio is the median of the rounds' ratios.
func (b *bench) compare(name, unit string, measure func(*target) (float64, error)) error {
	var ours []float64
	theirs, ratios := make([][]float64, len(b.others)), make([][]float64, len(b.others))
	for range b.o.rounds {
		x, err := measure(b.ours)
		if err != nil {
			return fmt.Errorf("%s, bondgate: %w", name, err)
		}
		ours = append(ours, x)
		for i, t := range b.others {
			y, err := measure(t)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, t.name, err)
			}
			theirs[i], ratios[i] = append(theirs[i], y), append(ratios[i], x/y)
		}
	}
	fmt.Printf("%-42s %10.0f%s", name, median(ours), unit)
	for i := range b.others {
		fmt.Printf(" %10.0f%s %8.2f", median(theirs[i]), unit, median(ratios[i]))
	}
	fmt.Println()
	return nil
}

// all are the servers of this run.
func (b *bench) all() []*target { return append([]*target{b.ours}, b.others...) }

func median(in []float64) float64 {
	s := slices.Sorted(slices.Values(in))
	return s[len(s)/2]
}
