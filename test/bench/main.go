// Command bench compares Bondgate, with token authentication, a full decision
// and a record for every request, with distribution and zot without any of it and
// with nginx serving the same files: side by side, alternating, in one run. It
// prints ratios; the figures themselves are the machine's.
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
	bondgate, before, unrecorded, registry, zot, nginx string
	rounds                                             int
	duration                                           time.Duration
	conns                                              int
	only                                               string
}

func main() {
	var o options
	flag.StringVar(&o.bondgate, "bondgate", "bin/bondgate", "our binary")
	flag.StringVar(&o.before, "before", "", "our binary of before a change, to see what it gained; compared too when given")
	flag.StringVar(&o.unrecorded, "unrecorded", "", "our binary built with -tags bondgate_unrecorded, which tells what recording costs; compared too when given")
	flag.StringVar(&o.registry, "registry", ".cache/bin/registry", "distribution's binary; left out when empty")
	flag.StringVar(&o.zot, "zot", "", "zot's minimal binary, built from its own checkout; compared too when given")
	flag.StringVar(&o.nginx, "nginx", "", "nginx, which joins where a file is all that is asked for; compared too when given")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each pair; the median counts")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "length of one round")
	flag.IntVar(&o.conns, "conns", 16, "connections for small answers")
	flag.StringVar(&o.only, "only", "", "comma-separated scenarios of idle, pull (or of it manifest, small, large), push, zipf, tags; all when empty")
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
	if b.ours, err = startBondgate("bondgate", abs(o.bondgate), dir); err != nil {
		b.ours.stop()
		return err
	}
	defer func() { b.ours.stop() }()
	var starts []func() (*target, error)
	if o.before != "" {
		starts = append(starts, func() (*target, error) { return startBondgate(nameBefore, abs(o.before), dir) })
	}
	if o.unrecorded != "" {
		starts = append(starts, func() (*target, error) { return startBondgate(nameUnrecorded, abs(o.unrecorded), dir) })
	}
	if o.registry != "" {
		starts = append(starts, func() (*target, error) { return startDistribution(abs(o.registry), dir) })
	}
	if o.zot != "" {
		starts = append(starts, func() (*target, error) { return startZot(abs(o.zot), dir) })
	}
	if o.nginx != "" {
		starts = append(starts, func() (*target, error) { return startNginx(abs(o.nginx), dir) })
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
		names []string
		run   func() error
	}{
		{[]string{"idle"}, b.idle}, {[]string{"pull", "manifest", "small", "large"}, b.pulls},
		{[]string{"push"}, b.pushing}, {[]string{"zipf"}, b.zipf}, {[]string{"tags"}, b.tags},
	}
	for _, s := range scenarios {
		if !b.wanted(s.names...) {
			continue
		}
		if err := s.run(); err != nil {
			return fmt.Errorf("%s: %w\n%s", s.names[0], err, b.ours.complaints())
		}
	}
	return nil
}

// wanted reports whether a scenario that goes by any of these names is to run.
func (b *bench) wanted(names ...string) bool {
	return b.o.only == "" || slices.ContainsFunc(strings.Split(b.o.only, ","), func(n string) bool { return slices.Contains(names, n) })
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
	registries := b.registries()
	for _, t := range registries {
		theirs, err := t.rss()
		if err != nil {
			return err
		}
		fmt.Printf(" %10.0fMB %8.2f", mb(theirs), float64(ours)/float64(theirs))
	}
	fmt.Printf("\n%-42s %10dms", "ready after", b.ours.ready.Milliseconds())
	for _, t := range registries {
		fmt.Printf(" %10dms %8.2f", t.ready.Milliseconds(), float64(b.ours.ready)/float64(t.ready))
	}
	fmt.Println()
	return nil
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// compare runs one measurement on ours and the others, alternating, and prints
// medians: the ratio is the median of the rounds' ratios. Each round begins with
// another server, so that none always has the machine as the same one left it.
func (b *bench) compare(name, unit string, others []*target, measure func(*target) (float64, error)) error {
	servers := append([]*target{b.ours}, others...)
	rates := make([][]float64, len(servers))
	for round := range b.o.rounds {
		for n := range servers {
			i := (round + n) % len(servers)
			x, err := measure(servers[i])
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, servers[i].name, err)
			}
			rates[i] = append(rates[i], x)
		}
	}
	fmt.Printf("%-42s %10.0f%s", name, median(rates[0]), unit)
	for _, t := range b.others {
		i := slices.Index(servers, t)
		if i < 0 {
			fmt.Printf(" %12s %8s", "", "")
			continue
		}
		fmt.Printf(" %10.0f%s %8.2f", median(rates[i]), unit, median(ratios(rates[0], rates[i])))
	}
	fmt.Println()
	return nil
}

// ratios are those of the rounds.
func ratios(ours, theirs []float64) []float64 {
	out := make([]float64, len(ours))
	for i := range ours {
		out[i] = ours[i] / theirs[i]
	}
	return out
}

// registries are the others that know more than files.
func (b *bench) registries() []*target {
	return slices.DeleteFunc(slices.Clone(b.others), func(t *target) bool { return t.files != "" })
}

// strangers are the registries of somebody else, which know no people.
func (b *bench) strangers() []*target {
	return slices.DeleteFunc(b.registries(), func(t *target) bool { return t.name == nameBefore || t.name == nameUnrecorded })
}

// all are the registries of this run.
func (b *bench) all() []*target { return append([]*target{b.ours}, b.registries()...) }

func median(in []float64) float64 {
	s := slices.Sorted(slices.Values(in))
	return s[len(s)/2]
}
