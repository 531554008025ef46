package kill_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// clients is how many work side by side.
const clients = 4

// tooMany findings end a campaign: what comes after them says nothing new.
const tooMany = 3

// trouble is what makes storage fail for a while. off makes it whole.
type trouble interface {
	on(rnd *rand.Rand)
	off()
}

// campaign is rounds of work, a kill and a judgement.
type campaign struct {
	t       *testing.T
	g       *harness.Gateway
	rnd     *rand.Rand
	trouble trouble // nil for none
	// troubled says that outages are no finding at the moment.
	troubled atomic.Bool
	workers  []*worker
	racer    *racer

	// cut are the reindexes that a kill ended.
	kills, reindexes, cut, losses int
	findings                      map[string]int
	ready                         []time.Duration
	// wrong is what a reindex was answered beside pushes.
	wrong error
}

// kills are few in the ordinary tests; the campaign sets BONDGATE_KILL_ROUNDS.
func kills(share int) int {
	n, err := strconv.Atoi(os.Getenv("BONDGATE_KILL_ROUNDS"))
	if err != nil {
		return 4
	}
	return n / share
}

func newCampaign(t *testing.T, o harness.Options) *campaign {
	seed, err := strconv.ParseUint(os.Getenv("BONDGATE_KILL_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("BONDGATE_KILL_SEED=%d", seed)
	c := &campaign{t: t, g: harness.StartGateway(t, o), rnd: rand.New(rand.NewPCG(seed, 1)), findings: map[string]int{}}
	for i := range clients {
		c.workers = append(c.workers, newWorker(newClient(c.g), i, c.rnd.Uint64(), &c.troubled))
	}
	c.racer = newRacer(newClient(c.g), c.rnd.Uint64(), &c.troubled)
	// Public, so that it shows when a project comes back as somebody else's.
	c.g.CLI("project", "create", "kill", "--public").OK(t)
	return c
}

// find counts what was found and fails the test.
func (c *campaign) find(round int, err error) {
	if err == nil {
		return
	}
	sort := "wrong"
	var f finding
	if errors.As(err, &f) {
		sort = f.sort
	}
	c.findings[sort]++
	c.t.Errorf("round %d: %s: %v", round, sort, err)
	total := 0
	for _, n := range c.findings {
		total += n
	}
	if total >= tooMany {
		c.t.Fatalf("%d findings are enough", total)
	}
}

// run goes on until so many kills, then looks at everything once more: what
// survived one crash must survive all that came after it.
func (c *campaign) run(kills int) {
	rounds := 0
	for c.kills < kills {
		c.round(rounds)
		rounds++
	}
	for _, w := range c.workers {
		for _, r := range w.repos {
			c.find(rounds, r.served(w.client, true))
			c.find(rounds, r.stored(storageOf(c.g), true))
		}
	}
	c.find(rounds, c.racer.judge(storageOf(c.g), true))
	c.report(rounds)
}

func (c *campaign) round(round int) {
	kind := c.rnd.IntN(100)
	lost := kind < 12
	reindex := kind >= 12 && kind < 40 || c.trouble != nil && kind >= 80
	twice := kind >= 40 && kind < 55
	c.workUntilKilled(round, reindex)
	if lost {
		c.loseDatabase(round)
	} else {
		c.restart(twice)
	}
	var all sync.WaitGroup
	found := make([]error, len(c.workers))
	for i, w := range c.workers {
		w.lenient = lost || c.trouble != nil
		all.Go(func() { found[i] = w.judge(storageOf(c.g), lost) })
	}
	all.Wait()
	for _, err := range found {
		c.find(round, err)
	}
	c.find(round, c.racer.judge(storageOf(c.g), false))
}

func (c *campaign) workUntilKilled(round int, reindex bool) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for _, w := range c.workers {
		all.Go(func() { w.work(stop) })
	}
	all.Go(func() { c.racer.work(stop) })
	if reindex {
		all.Go(func() { c.reindexUntil(stop) })
	}
	c.workFor(time.Duration(20+c.rnd.IntN(400)) * time.Millisecond)
	c.kill()
	close(stop)
	all.Wait()
	for _, w := range c.workers {
		c.find(round, w.wrong)
		w.wrong = nil
	}
	c.find(round, c.racer.wrong)
	c.find(round, c.wrong)
	c.racer.wrong, c.wrong = nil, nil
}

// workFor lets the clients work; storage fails in some of that time, and may be
// left failing.
func (c *campaign) workFor(d time.Duration) {
	if c.trouble == nil {
		time.Sleep(d)
		return
	}
	// Clients that have begun in trouble have all the trouble that there is.
	c.troubled.Store(true)
	d += 200 * time.Millisecond
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(time.Duration(c.rnd.IntN(100)) * time.Millisecond)
		c.trouble.on(c.rnd)
		time.Sleep(time.Duration(c.rnd.IntN(150)) * time.Millisecond)
		if c.rnd.IntN(4) > 0 {
			c.trouble.off()
		}
	}
}

func (c *campaign) kill() {
	c.g.Kill()
	c.kills++
}

// reindexUntil rebuilds the index again and again; the last time is cut. It asks
// the socket as the command does, without a process for each time.
func (c *campaign) reindexUntil(stop <-chan struct{}) {
	socket := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(c.g.DataDir, "bondgate.sock"))
	}}}
	defer socket.CloseIdleConnections()
	for {
		select {
		case <-stop:
			return
		default:
		}
		req, err := http.NewRequest(http.MethodPost, "http://socket/api/v1/reindex", nil)
		if err != nil {
			c.wrong = err
			return
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := socket.Do(req)
		if err != nil {
			c.cut++ // the server is gone
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			c.reindexes++
		} else if !c.troubled.Load() {
			c.wrong = fmt.Errorf("reindex is answered %s", resp.Status)
			return
		}
	}
}

// restart starts the server, in trouble first where there is some, and may end it
// once more while it starts.
func (c *campaign) restart(twice bool) {
	if twice || c.trouble != nil && c.rnd.IntN(3) == 0 {
		c.g.Launch()
		time.Sleep(time.Duration(c.rnd.IntN(150)) * time.Millisecond)
		if twice {
			c.kill()
			c.g.Launch()
		}
		c.calm()
		c.g.Await()
		return
	}
	c.calm()
	began := time.Now()
	c.g.Start()
	c.ready = append(c.ready, time.Since(began))
}

func (c *campaign) calm() {
	if c.trouble != nil {
		c.trouble.off()
	}
	c.troubled.Store(false)
}

// loseDatabase takes the database away; every other time the server is killed
// while it rebuilds the index.
func (c *campaign) loseDatabase(round int) {
	c.calm()
	if err := losesDatabase(c.g); err != nil {
		c.t.Fatal(err)
	}
	c.losses++
	c.g.Start()
	if c.rnd.IntN(2) == 0 {
		var cutOff sync.WaitGroup
		cutOff.Go(func() { c.g.CLI("reindex") })
		time.Sleep(time.Duration(c.rnd.IntN(120)) * time.Millisecond)
		c.kill()
		cutOff.Wait()
		c.g.Start()
	}
	if said := c.g.CLI("reindex").OK(c.t); strings.Contains(said, "skipped") {
		c.find(round, fmt.Errorf("reindex leaves something out: %s", said))
	}
	c.reindexes++
	for _, w := range c.workers {
		c.find(round, w.repos[0].hidden(w.client))
	}
	// The command makes it public again, where anything brought the project back.
	if r := c.g.CLI("project", "set", "kill", "--public"); r.Err != nil {
		c.g.CLI("project", "create", "kill", "--public").OK(c.t)
	}
}

// judge settles what had no answer, tries it again mostly, and holds what is
// there against the promises of this round.
func (w *worker) judge(f folder, lost bool) error {
	if o := w.pending; o != nil {
		whole, err := o.change.settle(w.client, lost)
		if err != nil {
			return err
		}
		if whole {
			w.whole++
		} else {
			w.absent++
		}
		if w.rnd.IntN(4) > 0 {
			if err := o.send(true); err != nil {
				return found("blocked", "%s is blocked after the crash: %w", o.kind, err)
			}
			w.retried++
			w.done(o)
		} else {
			w.abandoned++
		}
		w.pending = nil
	}
	for _, r := range w.repos {
		for _, check := range []func() error{
			func() error { return r.see(w.client) },
			func() error { return r.served(w.client, false) },
			func() error { return r.stored(f, false) },
		} {
			if err := check(); err != nil {
				return err
			}
		}
		clear(r.touched)
	}
	return nil
}

// outages is how often a client was told to try again.
func (c *campaign) outages() (n int) {
	for _, w := range c.workers {
		n += w.outages
	}
	return n
}

func (c *campaign) report(rounds int) {
	acknowledged := map[string]int{}
	total := 0
	var sum worker
	for _, w := range c.workers {
		for kind, n := range w.acknowledged {
			acknowledged[kind] += n
			total += n
		}
		sum.continued += w.continued
		sum.whole += w.whole
		sum.absent += w.absent
		sum.retried += w.retried
		sum.abandoned += w.abandoned
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(acknowledged)) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, acknowledged[kind]))
	}
	c.t.Logf("%d rounds, %d kills, the database lost %d times, %d reindexes and %d that a kill ended", rounds, c.kills, c.losses, c.reindexes, c.cut)
	c.t.Logf("acknowledged %d: %s", total, strings.Join(parts, ", "))
	c.t.Logf("races of a delete with a push: %d, manifests there %d, blobs withdrawn %d", c.racer.next, c.racer.pushed, c.racer.withdrawn)
	c.t.Logf("in flight %d: whole %d, absent %d; tried again %d, given up %d, uploads continued %d; outages answered %d",
		sum.whole+sum.absent, sum.whole, sum.absent, sum.retried, sum.abandoned, sum.continued, c.outages())
	c.t.Logf("lost %d, resurrected %d, half %d, retries blocked %d, wrong answers %d", c.findings["lost"],
		c.findings["resurrected"], c.findings["half"], c.findings["blocked"], c.findings["wrong"])
	if len(c.ready) > 0 {
		c.t.Logf("ready again in at most %v", slices.Max(c.ready))
	}
	if total == 0 {
		c.t.Fatal("nothing was acknowledged: the campaign showed nothing")
	}
}
