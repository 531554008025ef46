package decisionlog

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Defaults of a [Sink], and the least that its bounds may be.
const (
	DefaultSinkRecords = 1000
	DefaultSinkBytes   = 1 << 20
	MinSinkBytes       = 4 << 10
	MaxSinkBytes       = 64 << 20
)

// Receiver takes events to where they are wanted.
type Receiver interface {
	// Send delivers events, JSON objects all, in their order. When it fails, all
	// of them are sent again later: the receiver may see an event more than once
	// and tells repeats by the decision's id. A [*Refusal] says what was answered.
	Send(ctx context.Context, events []json.RawMessage) error
}

// Sink is a copy of every record to another place, in the order in which they
// were written, at least once. The store stays the truth: a sink reads from it,
// in the background, and remembers in it how far it is, so that it goes on there
// after a restart. One that is slow or down lags; what retention drops meanwhile
// is counted as lost.
type Sink struct {
	// Name is what the sink's place in the log is remembered by: a sink with
	// another name starts anew.
	Name string
	To   Receiver
	// Records and Bytes (of JSON, before compression) bound what is sent at a
	// time; 0 is [DefaultSinkRecords] and [DefaultSinkBytes]. An event that is
	// larger than Bytes is sent without its input, and says so.
	Records, Bytes int
	// Labels are added to every event.
	Labels map[string]string
	// FromNow starts a new sink with what is written from now on, and not with
	// the oldest record that there is.
	FromNow bool
	// Timeout bounds one delivery, 45 seconds at most; 0 is 30 seconds.
	Timeout time.Duration
}

// SinkStatus is how a sink is doing.
type SinkStatus struct {
	Name string
	// LagRecords is how many records are in the log and not delivered yet, and
	// LagSeconds how long ago the oldest of them was made.
	LagRecords int64
	LagSeconds float64
	// Shipped, Bare and Failures count since this process started: records that
	// were delivered, those of them that went without their input because they
	// were too large, and deliveries that failed.
	Shipped, Bare, Failures int64
	// Lost counts records that were gone from the log before they were
	// delivered, since the sink exists.
	Lost int64
	// Err is why the last delivery failed; empty when it did not.
	Err string
	// Elsewhere is true while another replica ships.
	Elsewhere bool
}

// pace is how a sink waits.
type pace struct {
	poll        time.Duration // between two looks for records
	lease       time.Duration // how long a replica ships without saying so again
	least, most time.Duration // between two tries
	patience    time.Duration // how long a receiver may ask us to wait
}

var usualPace = pace{
	poll: time.Second, lease: time.Minute,
	least: time.Second, most: time.Minute, patience: 10 * time.Minute,
}

var sinkName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?$`)

// shipping is all sinks of a log.
type shipping struct {
	sinks  []*sink
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Ship starts to copy records to sinks, until Close. It is called once.
func (l *Log) Ship(sinks ...Sink) error { return l.ship(usualPace, sinks) }

func (l *Log) ship(p pace, all []Sink) error {
	ctx, cancel := context.WithCancel(context.Background())
	s := &shipping{cancel: cancel}
	names := map[string]bool{}
	// A process that died and its successor have one writer's name: what holds a
	// sink is the process.
	holder := l.cfg.Writer + "/" + rand.Text()
	for _, cfg := range all {
		one, err := newSink(l, cfg, p, holder)
		if err == nil && names[cfg.Name] {
			err = fmt.Errorf("decision log: two sinks are called %q: %w", cfg.Name, policy.ErrInvalid)
		}
		if err != nil {
			cancel()
			return err
		}
		names[cfg.Name] = true
		s.sinks = append(s.sinks, one)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.shipping != nil {
		cancel()
		return fmt.Errorf("decision log: sinks of a log that is closed or ships already: %w", policy.ErrConflict)
	}
	l.shipping = s
	for _, one := range s.sinks {
		s.done.Go(func() { one.run(ctx) })
	}
	return nil
}

// Sinks says how the sinks are doing.
func (l *Log) Sinks() []SinkStatus {
	l.mu.Lock()
	s := l.shipping
	l.mu.Unlock()
	if s == nil {
		return nil
	}
	all := make([]SinkStatus, 0, len(s.sinks))
	for _, one := range s.sinks {
		all = append(all, one.status())
	}
	return all
}

// end stops the sinks; what they have not delivered is for the next start.
func (s *shipping) end() {
	if s != nil {
		s.cancel()
		s.done.Wait()
	}
}

func newSink(l *Log, cfg Sink, p pace, holder string) (*sink, error) {
	cfg.Records = orDefault(cfg.Records, DefaultSinkRecords)
	cfg.Bytes = orDefault(cfg.Bytes, DefaultSinkBytes)
	cfg.Timeout = orDefault(cfg.Timeout, 30*time.Second)
	var wrong string
	switch {
	case !sinkName.MatchString(cfg.Name):
		wrong = "its name is not 1 to 32 of a-z 0-9 _ -"
	case cfg.To == nil:
		wrong = "it leads nowhere"
	case cfg.Records < 1:
		wrong = "less than one record at a time"
	case cfg.Bytes < MinSinkBytes || cfg.Bytes > MaxSinkBytes:
		wrong = fmt.Sprintf("%d bytes at a time are not between %d and %d", cfg.Bytes, MinSinkBytes, MaxSinkBytes)
	case cfg.Timeout < 0 || cfg.Timeout > 45*time.Second:
		wrong = fmt.Sprintf("a timeout of %s is not between 0 and 45s", cfg.Timeout)
	}
	if wrong != "" {
		return nil, fmt.Errorf("decision log: sink %q: %s: %w", cfg.Name, wrong, policy.ErrInvalid)
	}
	return &sink{
		cfg: cfg, pace: p, holder: holder, store: l.store, now: l.cfg.Now,
		log: l.cfg.Logger.With("sink", cfg.Name), bytes: cfg.Bytes,
	}, nil
}
