package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// bound says how much a line through the samples may rise from the first third's
// end to the last sample and still be no growth: a share of the mean, or as much
// as floor where that is more (a collector's tide, requests
// that happen to run, a file's highest water).
//
// The first third is left out: caches, pools and write-ahead logs fill up to
// where they are bounded. In 24 minutes at a thousand operations a second a leak
// of forty bytes an operation is growth, and so is one goroutine in ten seconds.
type bound struct {
	name, unit   string
	scale        float64 // of the unit
	share, floor float64
	of           func(sample) float64
}

func bounds() []bound {
	const mb = 1 << 20
	return []bound{
		{"resident set", "MB", mb, 0.08, 8 * mb, func(s sample) float64 { return float64(s.resident) }},
		{"goroutines", "", 1, 0.05, workers, func(s sample) float64 { return s.goroutines }},
		{"descriptors", "", 1, 0.05, 10, func(s sample) float64 { return float64(s.descriptors) }},
		{"write-ahead logs", "MB", mb, 0.10, 4 * mb, func(s sample) float64 { return float64(s.wal) }},
	}
}

// trend is what became of one bound.
type trend struct {
	bound
	values                   []float64
	first, lowest, mean, top float64
	last, growth, allowed    float64
}

func (t trend) grows() bool { return t.growth > t.allowed }

// heldAtLeast is the share of the load without which nothing was shown.
const heldAtLeast = 0.9

// judge looks at the last two thirds of the samples.
func judge(b bound, samples []sample) trend {
	t := trend{bound: b}
	for _, s := range samples {
		t.values = append(t.values, b.of(s))
	}
	settled := samples[len(samples)/3:]
	values := t.values[len(samples)/3:]
	at := make([]float64, len(settled))
	for i, s := range settled {
		at[i] = s.at.Seconds()
		t.mean += values[i] / float64(len(values))
	}
	t.first, t.last = t.values[0], t.values[len(t.values)-1]
	t.lowest, t.top = slices.Min(t.values), slices.Max(t.values)
	t.growth = slope(at, values) * (at[len(at)-1] - at[0])
	t.allowed = max(b.share*t.mean, b.floor)
	return t
}

// slope is that of the least-squares line through the points.
func slope(x, y []float64) float64 {
	var mx, my, xy, xx float64
	for i := range x {
		mx += x[i] / float64(len(x))
		my += y[i] / float64(len(y))
	}
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	if xx == 0 {
		return 0
	}
	return xy / xx
}

// curve draws values from zero to the highest, in at most width columns.
func curve(values []float64, width int) string {
	const steps = "▁▂▃▄▅▆▇█"
	width = min(width, len(values))
	top := slices.Max(values)
	var out strings.Builder
	for i := range width {
		part := values[i*len(values)/width : (i+1)*len(values)/width]
		step := 0
		if top > 0 {
			step = int(math.Round(slices.Max(part) / top * 7))
		}
		out.WriteRune([]rune(steps)[step])
	}
	return out.String()
}

// report prints how the samples went, and fails when something grew or an answer
// was not the one that was due.
func report(samples []sample, l *load, rate float64, took time.Duration) error {
	fmt.Printf("\n%-28s %10s %10s %10s\n", "operation", "times", "p50", "p99")
	for i, o := range l.operations {
		t := &l.tallies[i]
		fmt.Printf("%-28s %10d %10s %10s\n", o.name, t.count(), short(t.quantile(0.5)), short(t.quantile(0.99)))
	}
	done := l.done()
	fmt.Printf("\nin %s: %d operations (%d more were due and left out), %d requests, %d errors\n\n",
		took.Round(time.Second), done, l.leftOut.Load(), l.w.c.requests.Load(), l.errors.Load())
	fmt.Printf("%-18s %8s %8s %8s %8s %10s %10s\n", "", "first", "lowest", "highest", "last", "growth", "allowed")
	var grew []string
	for _, b := range bounds() {
		t := judge(b, samples)
		name := strings.TrimSpace(t.name + " " + t.unit)
		fmt.Printf("%-18s %8.1f %8.1f %8.1f %8.1f %+10.1f %10.1f\n  %s\n", name, t.first/t.scale, t.lowest/t.scale,
			t.top/t.scale, t.last/t.scale, t.growth/t.scale, t.allowed/t.scale, curve(t.values, 72))
		if t.grows() {
			grew = append(grew, name)
		}
	}
	if len(grew) > 0 {
		return fmt.Errorf("it grows: %s", strings.Join(grew, ", "))
	}
	if n := l.errors.Load(); n > 0 {
		return fmt.Errorf("%d errors", n)
	}
	if held := float64(done) / took.Seconds() / rate; held < heldAtLeast {
		return fmt.Errorf("only %.0f %% of the load was held", 100*held)
	}
	return nil
}

func short(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
