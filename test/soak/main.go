// Command soak holds the built server under load and looks at what it costs:
//
//	soak mixed    everything that clients do at once, for long, at a share of the
//	              most that the machine does; what grows meanwhile is a leak
//	soak memory   many large pulls and pushes at a time; the peak of the resident set
//
// Either fails when what it measures is beyond what it allows. It refuses to say
// how fast the server is: that is test/bench. Nobody imports it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	binary, dir string
	keep        bool
	// mixed
	duration, calibrate, every time.Duration
	share, rate                float64
	// memory
	pulls, pushes         int
	pullBytes, pushBytes  int64
	most                  int64
	skipPulls, skipPushes bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("which one: mixed or memory?")
	}
	var o options
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&o.binary, "bondgate", "bin/bondgate", "the server's binary")
	f.StringVar(&o.dir, "dir", "", "folder to keep the server's data in; a temporary one when empty")
	f.BoolVar(&o.keep, "keep", false, "leave the server's data there, for a look at what was recorded")
	run := mixed
	switch args[0] {
	case "mixed":
		f.DurationVar(&o.duration, "duration", 24*time.Minute, "how long")
		f.DurationVar(&o.calibrate, "calibrate", 20*time.Second, "how long to look for the most that is possible")
		f.DurationVar(&o.every, "every", 10*time.Second, "how often to take a sample")
		f.Float64Var(&o.share, "share", 0.7, "load as a share of the most that is possible")
		f.Float64Var(&o.rate, "rate", 0, "operations a second, instead of a share of the most")
	case "memory":
		run = memory
		f.IntVar(&o.pulls, "pulls", 1000, "pulls at a time")
		f.Int64Var(&o.pullBytes, "pull-bytes", 100<<20, "size of what is pulled")
		f.IntVar(&o.pushes, "pushes", 100, "pushes at a time")
		f.Int64Var(&o.pushBytes, "push-bytes", 1<<30, "size of what is pushed, each with content of its own")
		f.Int64Var(&o.most, "most", 200<<20, "largest resident set that is allowed, in bytes")
		f.BoolVar(&o.skipPulls, "skip-pulls", false, "pushes only")
		f.BoolVar(&o.skipPushes, "skip-pushes", false, "pulls only")
	default:
		return fmt.Errorf("%q is neither mixed nor memory", args[0])
	}
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "soak-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Println("the server's data stay in", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	o.dir = dir
	return run(ctx, o)
}
