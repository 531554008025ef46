// Package kill_test ends the server as kill -9 does, in the middle of pushes,
// and holds what is there afterwards against what was promised: a push that was
// acknowledged is pullable bit for bit, one that was not is wholly there or
// wholly absent, and nothing blocks a retry.
package kill_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

const clients = 4

// rounds are few in the ordinary tests; the campaign sets BONDGATE_KILL_ROUNDS.
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("BONDGATE_KILL_ROUNDS"))
	if err != nil {
		return 3
	}
	t.Logf("%d rounds", n)
	return n
}

func seed(t *testing.T) uint64 {
	s, err := strconv.ParseUint(os.Getenv("BONDGATE_KILL_SEED"), 10, 64)
	if err != nil {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("BONDGATE_KILL_SEED=%d", s)
	return s
}

// totals are what the campaign prints.
type totals struct {
	acknowledged, whole, absent, lost int
	ready                             []time.Duration
}

func TestWhatWasAcknowledgedSurvivesKillNine(t *testing.T) {
	g := harness.StartGateway(t, harness.Options{})
	rnd := rand.New(rand.NewPCG(seed(t), 1))
	pushers := make([]*pusher, clients)
	for i := range pushers {
		pushers[i] = newPusher(g, i, rnd.Uint64())
	}
	var sum totals
	for round := range rounds(t) {
		pushUntilKilled(t, g, pushers, time.Duration(20+rnd.IntN(400))*time.Millisecond)
		began := time.Now()
		g.Start()
		sum.ready = append(sum.ready, time.Since(began))
		for _, p := range pushers {
			if err := p.judge(&sum, false); err != nil {
				t.Fatalf("round %d: %v\n%s", round, err, g.Log())
			}
		}
	}
	// What survived one crash must survive all that came after it.
	for _, p := range pushers {
		if err := p.judge(&sum, true); err != nil {
			t.Fatalf("at the end: %v", err)
		}
	}
	t.Logf("acknowledged %d, in flight %d (whole %d, absent %d), lost %d, ready again in at most %v",
		sum.acknowledged, sum.whole+sum.absent, sum.whole, sum.absent, sum.lost, longest(sum.ready))
	if sum.acknowledged == 0 {
		t.Fatal("nothing was pushed: the campaign showed nothing")
	}
}

func pushUntilKilled(t *testing.T, g *harness.Gateway, pushers []*pusher, after time.Duration) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, p := range pushers {
		wg.Go(func() { p.pushUntil(stop) })
	}
	time.Sleep(after)
	g.Kill()
	close(stop)
	wg.Wait()
	for i, p := range pushers {
		if p.refused != nil {
			t.Fatalf("client %d: %v", i, p.refused)
		}
	}
}

func longest(in []time.Duration) time.Duration {
	var out time.Duration
	for _, d := range in {
		out = max(out, d)
	}
	return out
}

// judge holds the repository against what this client knows. A full judgement
// reads everything again; otherwise only what this round touched.
func (p *pusher) judge(sum *totals, full bool) error {
	if p.inFlight != nil {
		whole, err := p.wholeOrAbsent(p.inFlight)
		if err != nil {
			return fmt.Errorf("%s in flight: %w", p.inFlight.tag, err)
		}
		if whole {
			sum.whole++
		} else {
			sum.absent++
		}
		if err := p.push(p.inFlight); err != nil {
			return fmt.Errorf("%s is blocked after the crash: %w", p.inFlight.tag, err)
		}
		p.acknowledged = append(p.acknowledged, p.inFlight)
		p.inFlight = nil
	}
	from := p.judged
	if full {
		from = 0
	} else {
		sum.acknowledged += len(p.acknowledged) - p.judged
		p.judged = len(p.acknowledged)
	}
	for _, im := range p.acknowledged[from:] {
		if err := p.pull(im); err != nil {
			sum.lost++
			return fmt.Errorf("%s was acknowledged: %w", im.tag, err)
		}
	}
	if last := p.acknowledged; len(last) > 0 {
		if err := p.tagIs("latest", last[len(last)-1]); err != nil {
			sum.lost++
			return err
		}
	}
	return nil
}
