package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// mixedConfig is the default but for three things. Uploads that are left expire
// within a minute, and the memory for manifests is full before the samples count,
// so that the run sees as much go as come. A decision may take longer: on a machine
// that does other things a process may not run for 50 ms, and the answer would be a
// correct 503 that says nothing about growth.
const mixedConfig = "limits:\n  upload_expiry: 1m\n  manifest_cache_bytes: 4194304\npolicy:\n  deadline: 1s\n"

// sample is what the server takes at a moment.
type sample struct {
	at               time.Duration
	resident         int64
	heap, goroutines float64
	descriptors      int
	wal, database    int64
}

// mixed runs the load and judges what it left.
func mixed(ctx context.Context, o options) error {
	s, err := start(ctx, o.binary, o.dir, mixedConfig)
	if err != nil {
		return err
	}
	defer s.stop()
	w, err := build(ctx, newClient(s.addr, workers+4))
	if err != nil {
		return fmt.Errorf("build the world: %w\n%s", err, s.complaints())
	}
	rate := o.rate
	if rate == 0 {
		l := newLoad(w)
		most := l.closed(ctx, o.calibrate)
		if n := l.errors.Load(); n > 0 {
			return fmt.Errorf("%d errors while looking for the most that is possible\n%s", n, s.complaints())
		}
		rate = most * o.share
		fmt.Printf("at most %.0f operations a second with %d clients at a time; the load is %.0f\n", most, workers, rate)
	}
	w.c.requests.Store(0)
	l := newLoad(w)
	began := time.Now()
	samples, err := observe(ctx, o, s, l, rate)
	if len(samples) < 6 {
		return errors.Join(err, fmt.Errorf("%d samples are too few to judge", len(samples)))
	}
	err = errors.Join(err, report(samples, l, rate, time.Since(began)))
	if text := s.complaints(); text != "" {
		fmt.Printf("\nthe server said:\n%s", text)
	}
	return err
}

// observe keeps the load up for the duration, with a sample now and then.
func observe(ctx context.Context, o options, s *server, l *load, rate float64) ([]sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.paced(ctx, rate, o.duration)
	}()
	defer func() {
		cancel()
		<-done
	}()
	fmt.Printf("%8s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n",
		"time", "rss MB", "heap MB", "gorout.", "fds", "wal MB", "db MB", "op/s", "p50", "p99", "errors")
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	var samples []sample
	began, last := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return samples, ctx.Err()
		case <-done:
			return samples, nil
		case <-tick.C:
		}
		one, err := s.sample(ctx)
		if err != nil {
			return samples, fmt.Errorf("take a sample: %w\n%s", err, s.complaints())
		}
		one.at = time.Since(began)
		samples = append(samples, one)
		window := l.all.take()
		const mb = 1 << 20
		fmt.Printf("%8s %8.1f %8.1f %8.0f %8d %8.1f %8.1f %8.0f %8s %8s %8d\n", one.at.Round(time.Second),
			float64(one.resident)/mb, one.heap/mb, one.goroutines, one.descriptors, float64(one.wal)/mb, float64(one.database)/mb,
			float64(window.count())/time.Since(last).Seconds(), short(window.quantile(0.5)), short(window.quantile(0.99)), l.errors.Load())
		last = time.Now()
	}
}

func (s *server) sample(ctx context.Context) (one sample, err error) {
	var errs [5]error
	one.resident, errs[0] = s.memory("VmRSS")
	one.descriptors, errs[1] = s.descriptors()
	one.wal, errs[2] = s.files("-wal")
	one.database, errs[3] = s.files(".db")
	const heap, goroutines = "go_memstats_heap_inuse_bytes", "go_goroutines"
	gauges, err := s.gauges(ctx, heap, goroutines)
	errs[4] = err
	one.heap, one.goroutines = gauges[heap], gauges[goroutines]
	return one, errors.Join(errs[:]...)
}
