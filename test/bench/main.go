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
	bondgate, registry string
	rounds             int
	duration           time.Duration
	conns              int
	only               string
}

func main() {
	var o options
	flag.StringVar(&o.bondgate, "bondgate", "bin/bondgate", "our binary")
	flag.StringVar(&o.registry, "registry", ".cache/bin/registry", "distribution's binary")
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
	theirs *target
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
	if b.theirs, err = startDistribution(abs(o.registry), dir); err != nil {
		b.theirs.stop()
		return err
	}
	defer func() { b.theirs.stop() }()

	fmt.Printf("%-42s %12s %12s %8s\n", "", "bondgate", "distribution", "ratio")
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
	theirs, err := b.theirs.rss()
	if err != nil {
		return err
	}
	fmt.Printf("%-42s %10.0fMB %10.0fMB %8.2f\n", "resident set, idle", mb(ours), mb(theirs), float64(ours)/float64(theirs))
	fmt.Printf("%-42s %10dms %10dms\n", "ready after", b.ours.ready.Milliseconds(), b.theirs.ready.Milliseconds())
	return nil
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// both runs one measurement on both servers, alternating, and prints medians.
func (b *bench) both(name, unit string, measure func(*target) (float64, error)) error {
	var ours, theirs, ratios []float64
	for range b.o.rounds {
		x, err := measure(b.ours)
		if err != nil {
			return fmt.Errorf("%s, bondgate: %w", name, err)
		}
		y, err := measure(b.theirs)
		if err != nil {
			return fmt.Errorf("%s, distribution: %w", name, err)
		}
		ours, theirs, ratios = append(ours, x), append(theirs, y), append(ratios, x/y)
	}
	fmt.Printf("%-42s %10.0f%s %10.0f%s %8.2f\n", name, median(ours), unit, median(theirs), unit, median(ratios))
	return nil
}

func median(in []float64) float64 {
	s := slices.Sorted(slices.Values(in))
	return s[len(s)/2]
}
