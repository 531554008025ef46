package main

import (
	"math"
	"testing"
	"time"
)

// series are samples ten seconds apart for 24 minutes, whose resident set is what
// f says at that second.
func series(f func(second float64) float64) []sample {
	var out []sample
	for s := 10; s <= 24*60; s += 10 {
		out = append(out, sample{at: time.Duration(s) * time.Second, resident: int64(f(float64(s))), goroutines: 60})
	}
	return out
}

func TestWhatGrowsIsToldFromWhatDoesNot(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name  string
		at    func(second float64) float64
		grows bool
	}{
		{"what stays", func(float64) float64 { return 200 * mb }, false},
		{"a leak of 32 bytes a request at 1,000 a second", func(s float64) float64 { return 200*mb + 32*1000*s }, true},
		{"caches that fill in the first third", func(s float64) float64 { return 200*mb + mb*min(s, 480)/4 }, false},
		{"caches that fill all the time", func(s float64) float64 { return 200*mb + mb*s/4 }, true},
		{"the collector's tide", func(s float64) float64 { return 200*mb + 60*mb*math.Mod(s, 70)/70 }, false},
		{"a tide over a leak", func(s float64) float64 { return 200*mb + 60*mb*math.Mod(s, 70)/70 + 40*1000*s }, true},
		{"what shrinks", func(s float64) float64 { return 400*mb - mb*s/10 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := judge(bounds()[0], series(c.at)); got.grows() != c.grows {
				t.Errorf("growth %.1f MB, allowed %.1f MB", got.growth/mb, got.allowed/mb)
			}
		})
	}
}

func TestAGoroutineThatIsLeftBehindNowAndThenIsGrowth(t *testing.T) {
	samples := series(func(float64) float64 { return 1 << 27 })
	for i := range samples {
		samples[i].goroutines += float64(i) // one in ten seconds
	}
	if got := judge(bounds()[1], samples); !got.grows() {
		t.Errorf("growth %.1f, allowed %.1f", got.growth, got.allowed)
	}
}

func TestCurve(t *testing.T) {
	if got := curve([]float64{0, 1, 2, 3, 4, 5, 6, 7}, 8); got != "▁▂▃▄▅▆▇█" {
		t.Error(got)
	}
	if got := curve([]float64{0, 0, 0}, 8); got != "▁▁▁" {
		t.Error(got)
	}
	if got := curve([]float64{5, 1, 1, 9}, 2); got != "▅█" {
		t.Error(got)
	}
}

func TestAQuantileIsRightToNinePerCent(t *testing.T) {
	var all tally
	for ms := 1; ms <= 1000; ms++ {
		all.add(time.Duration(ms) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond} {
		if got := all.quantile(q); got < want || float64(got) > 1.1*float64(want) {
			t.Errorf("the quantile %v is %s", q, got)
		}
	}
	if taken := all.take(); taken.count() != 1000 || all.count() != 0 {
		t.Error("what was taken is not all, or is still there")
	}
}
