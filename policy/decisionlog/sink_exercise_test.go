package decisionlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

func TestSQLiteFeedsSinks(t *testing.T) { exerciseSinks(t, sqliteSite) }

func TestPostgreSQLFeedsSinks(t *testing.T) {
	server := startPostgres(t)
	exerciseSinks(t, postgresSite(server))
	t.Run("of replicas one ships at a time, and another goes on when it dies", func(t *testing.T) {
		oneShips(t, postgresSite(server)(t))
	})
	t.Run("no replica asks a receiver that another one was told to leave alone", func(t *testing.T) {
		leftAlone(t, postgresSite(server)(t))
	})
}

// exerciseSinks is what sinks have to do on every backend.
func exerciseSinks(t *testing.T, newSite func(t *testing.T) site) {
	tests := []struct {
		name string
		run  func(t *testing.T, s site)
	}{
		{"every record of every workspace arrives, in order, in OPA's format", allArrive},
		{"a delivery holds no more than it may", deliveriesAreBounded},
		{"an event that is too large goes without its input and says so", tooLargeGoesBare},
		{"a receiver that takes less is given less", receiverTakesLess},
		{"a receiver that goes wrong in every way gets everything in the end", everyTrouble},
		{"what was delivered and not remembered is delivered again", deliveredAgain},
		{"a sink goes on where it was after a restart in the middle", goesOn},
		{"what retention drops before it was delivered is counted, once", lossIsCounted},
		{"a clock that jumps loses nothing", clockJumps},
		{"a sink that hangs holds up neither the log nor another sink", nobodyWaits},
		{"a new sink may begin with what comes from now on", beginsNow},
		{"a masked value arrives masked", masksArrive},
		{"what somebody did to a record is told", meddlingIsTold},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, newSite(t)) })
	}
}

func writeMany(t *testing.T, l *Log, prefix string, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s%03d", prefix, i)
		ids = append(ids, id)
		mustWrite(t, l, record(id))
	}
	return ids
}

func arrived(t *testing.T, s *logService, want []string) {
	t.Helper()
	eventually(t, "all arrive", func() bool { first, _ := s.got(); return len(first) >= len(want) })
	if first, _ := s.got(); strings.Join(first, " ") != strings.Join(want, " ") {
		t.Errorf("arrived %v, want %v", first, want)
	}
}

func allArrive(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, nil)
	want := writeMany(t, l, "before", 5)
	mustWrite(t, l, record("large", denied, func(r *policy.Record) {
		r.Workspace = "other"
		r.Input = func() map[string]any {
			in := artifact(7)
			in["request"] = map[string]any{"client_ip": "10.1.2.3"}
			return in
		}
	}), record("outage", func(r *policy.Record) { r.Outage, r.Decision = "deadline", policy.Decision{} }),
		record("nothing", func(r *policy.Record) { r.Input = nil }))
	want = append(want, "large", "outage", "nothing")
	shipTo(t, l, sinkTo(t, service, func(c *Sink) { c.Labels = map[string]string{"site": "fra"} }))
	want = append(want, writeMany(t, l, "after", 5)...)
	arrived(t, service, want)
	if _, again := service.got(); again != 0 {
		t.Errorf("%d came twice though nothing went wrong", again)
	}
	large := service.event("large")
	got, _ := json.Marshal(large["input"])
	shown, err := l.Show(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	if in, _ := decode(shown.Input); !sameJSON(t, got, in) || large["requested_by"] != "10.1.2.3" || large["labels"].(map[string]any)["site"] != "fra" {
		t.Errorf("the large one arrived as %.400s", got)
	}
	if r := large["result"].(map[string]any); r["allow"] != false || len(r["deny"].([]any)) != 1 {
		t.Errorf("its result is %v", r)
	}
	if ours(large)["workspace"] != "other" || ours(service.event("outage"))["outage"] != "deadline" || service.event("outage")["result"] != nil {
		t.Error("what is ours is not there")
	}
	status := l.Sinks()[0]
	eventually(t, "the sink has no lag", func() bool {
		status = l.Sinks()[0]
		return status.LagRecords == 0 && status.Shipped == int64(len(want))
	})
	if status.Failures != 0 || status.Lost != 0 || status.Bare != 0 || status.Err != "" {
		t.Errorf("status %+v", status)
	}
}

func ours(event map[string]any) map[string]any {
	return event["custom"].(map[string]any)["bondgate"].(map[string]any)
}

func deliveriesAreBounded(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, nil)
	want := writeMany(t, l, "d", 40)
	shipTo(t, l, sinkTo(t, service, func(c *Sink) { c.Records, c.Bytes = 7, MinSinkBytes }))
	arrived(t, service, want)
	for i, n := range service.sizes {
		if n > 7 || service.bodies[i] > MinSinkBytes+2 {
			t.Errorf("a delivery of %d events in %d bytes", n, service.bodies[i])
		}
	}
}

// sized is a record whose input has about n bytes that are all different.
func sized(id string, n int) *policy.Record {
	return record(id, func(r *policy.Record) {
		r.Input = func() map[string]any {
			return map[string]any{"request": map[string]any{"client_ip": "10.0.0.9"}, "text": strings.Repeat(id+" ", n/(len(id)+1))}
		}
	})
}

func tooLargeGoesBare(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, nil)
	mustWrite(t, l, record("a"), sized("huge", 20<<10), record("b"))
	shipTo(t, l, sinkTo(t, service, func(c *Sink) { c.Bytes = 8 << 10 }))
	arrived(t, service, []string{"a", "huge", "b"})
	huge := service.event("huge")
	bytes, _ := ours(huge)["input_left_out_bytes"].(json.Number)
	if n, _ := bytes.Int64(); huge["input"] != nil || fmt.Sprint(huge["erased"]) != "[/input]" || n < 20<<10 || huge["requested_by"] != "10.0.0.9" {
		t.Errorf("it arrived as %.500v", huge)
	}
	eventually(t, "it is counted", func() bool { return l.Sinks()[0].Bare == 1 })
	if e, err := l.Show(t.Context(), "huge"); err != nil || len(e.Input) < 20<<10 {
		t.Errorf("the log itself shows %d bytes, %v", len(e.Input), err)
	}
}

func receiverTakesLess(t *testing.T, s site) {
	service := newLogService(t)
	service.limit = 5 << 10
	l := s.open(t, nil)
	want := writeMany(t, l, "d", 20)
	mustWrite(t, l, sized("huge", 20<<10))
	want = append(append(want, "huge"), writeMany(t, l, "e", 3)...)
	shipTo(t, l, sinkTo(t, service))
	arrived(t, service, want)
	if service.event("huge")["input"] != nil || service.event("d000")["input"] == nil {
		t.Error("not the input that was too large was left out")
	}
}

func everyTrouble(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, nil)
	service.behave(
		answers(500), answers(503, "Retry-After", "1"), answers(429, "Retry-After", "3600"),
		answers(429, "Retry-After", time.Now().Add(time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")), answers(429, "Retry-After", "soon"),
		answers(401), answers(404), answers(400), answers(302, "Location", "/"), hangs, closesHalf, service.takesAndForgets, trickles,
	)
	want := writeMany(t, l, "d", 10)
	shipTo(t, l, sinkTo(t, service, func(c *Sink) { c.Records, c.Timeout = 3, 200*time.Millisecond }))
	eventually(t, "the sink says why it lags", func() bool { one := l.Sinks()[0]; return one.Err != "" && one.LagRecords == 10 })
	arrived(t, service, want)
	eventually(t, "all that can go wrong did", service.untroubled)
	more := writeMany(t, l, "e", 10)
	arrived(t, service, append(want, more...))
	if _, again := service.got(); again == 0 {
		t.Error("what was taken without an answer did not come again")
	}
	eventually(t, "it says that it is well", func() bool { one := l.Sinks()[0]; return one.Err == "" && one.LagRecords == 0 })
	if one := l.Sinks()[0]; one.Failures < 10 || one.Lost != 0 {
		t.Errorf("status %+v", one)
	}
	// Nobody listens, and later somebody does.
	address := service.server.Listener.Addr().String()
	service.server.Close()
	more = append(more, writeMany(t, l, "f", 3)...)
	eventually(t, "a refused connection is told", func() bool { return strings.Contains(l.Sinks()[0].Err, "refused") })
	service.listenAt(address)
	arrived(t, service, append(want, more...))
}

func deliveredAgain(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, nil)
	f := &forgetful{backend: l.store}
	want := writeMany(t, l, "d", 12)
	f.refuse.Store(3)
	one, err := newSink(l, sinkTo(t, service, func(c *Sink) { c.Records = 4 }), brisk, "holder")
	if err != nil {
		t.Fatal(err)
	}
	one.store = f
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { one.run(ctx) })
	defer running.Wait()
	defer cancel()
	arrived(t, service, want)
	eventually(t, "the place is remembered in the end", func() bool { return one.status().LagRecords == 0 && one.status().Err == "" })
	if _, again := service.got(); again == 0 || f.refuse.Load() > 0 {
		t.Error("nothing came again")
	}
}

// forgetful cannot remember where a sink is for a while, as when the process is
// killed between a delivery and that.
type forgetful struct {
	backend
	refuse atomic.Int64
}

func (f *forgetful) keep(ctx context.Context, sink, holder string, p position) error {
	if p.N > 0 && f.refuse.Add(-1) >= 0 {
		return errors.New("disk full")
	}
	return f.backend.keep(ctx, sink, holder, p)
}

func goesOn(t *testing.T, s site) {
	service := newLogService(t)
	var want []string
	for round := range 4 {
		l := s.open(t, nil)
		want = append(want, writeMany(t, l, fmt.Sprint("r", round), 25)...)
		slow := sinkTo(t, service, func(c *Sink) { c.Records = 3 })
		to, n := slow.To, 0
		slow.To = receiverFunc(func(ctx context.Context, events []json.RawMessage) error {
			if n++; n > 4 && round < 3 {
				return errors.New("away")
			}
			return to.Send(ctx, events)
		})
		shipTo(t, l, slow)
		eventually(t, "the receiver is away", func() bool { return round == 3 || l.Sinks()[0].Err != "" })
		if round == 3 {
			arrived(t, service, want)
			eventually(t, "the place is remembered", func() bool { return l.Sinks()[0].LagRecords == 0 })
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, again := service.got(); again != 0 {
		t.Errorf("%d came twice though every place was remembered", again)
	}
}

func lossIsCounted(t *testing.T, s site) {
	service := newLogService(t)
	var logged lockedBuffer
	c := newClock()
	open := func() *Log {
		return s.open(t, func(cfg *Config) {
			cfg.Now, cfg.RetentionDays, cfg.Logger = c.now, 2, slog.New(slog.NewTextHandler(&logged, nil))
		})
	}
	l := open()
	mustWrite(t, l, record("gone-before-there-was-a-sink"))
	c.move(4 * 24 * time.Hour)
	// Who reads records could keep a drop waiting, so the heads are asked.
	eventually(t, "it is dropped", func() bool {
		all, err := l.store.ends(t.Context())
		return err == nil && all[l.cfg.Writer].dropped.seq == 1
	})
	away := sinkTo(t, service)
	away.To = receiverFunc(func(context.Context, []json.RawMessage) error { return errors.New("away") })
	calm := brisk
	calm.least, calm.most = 100*time.Millisecond, 200*time.Millisecond
	if err := l.ship(calm, []Sink{away}); err != nil {
		t.Fatal(err)
	}
	writeMany(t, l, "x", 7)
	eventually(t, "seven wait", func() bool { return l.Sinks()[0].LagRecords == 7 })
	if one := l.Sinks()[0]; one.Lost != 0 {
		t.Errorf("what was dropped before there was a sink is lost to it: %+v", one)
	}
	c.move(4 * 24 * time.Hour)
	left := writeMany(t, l, "y", 3)
	eventually(t, "seven are lost", func() bool { one := l.Sinks()[0]; return one.Lost == 7 && one.LagRecords == 3 })
	if text := logged.String(); strings.Count(text, "decisions are lost to a sink") != 1 || !strings.Contains(text, "sink=central records=7 total=7") {
		t.Errorf("logged:\n%s", text)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = open()
	shipTo(t, l, sinkTo(t, service))
	arrived(t, service, left)
	eventually(t, "it is told after a restart too", func() bool { one := l.Sinks()[0]; return one.Lost == 7 && one.LagRecords == 0 })
}

func clockJumps(t *testing.T, s site) {
	service := newLogService(t)
	c := newClock()
	l := s.open(t, func(cfg *Config) { cfg.Now, cfg.RetentionDays = c.now, -1 })
	shipTo(t, l, sinkTo(t, service))
	var want []string
	for i, jump := range []time.Duration{0, 72 * time.Hour, -96 * time.Hour, 1000 * 24 * time.Hour, -2000 * 24 * time.Hour, time.Hour} {
		c.move(jump)
		for k := range 3 {
			id := fmt.Sprintf("d%d-%d", i, k)
			want = append(want, id)
			mustWrite(t, l, record(id, func(r *policy.Record) { r.At = c.now() }))
		}
		if one := l.Sinks()[0]; one.LagSeconds < 0 {
			t.Errorf("a lag of %f seconds", one.LagSeconds)
		}
	}
	arrived(t, service, want)
	eventually(t, "the sink has no lag", func() bool { return l.Sinks()[0].LagRecords == 0 })
	if one := l.Sinks()[0]; one.Lost != 0 || one.LagSeconds != 0 {
		t.Errorf("status %+v", one)
	}
}

func nobodyWaits(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, nil)
	entered := make(chan struct{}, 100)
	stuck := Sink{Name: "stuck", To: receiverFunc(func(ctx context.Context, _ []json.RawMessage) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}), Timeout: 40 * time.Second}
	shipTo(t, l, stuck, sinkTo(t, service))
	mustWrite(t, l, record("first"))
	<-entered
	want := append([]string{"first"}, writeMany(t, l, "d", 30)...)
	arrived(t, service, want)
	if one := l.Sinks()[0]; one.Name != "stuck" || one.Shipped != 0 {
		t.Errorf("status %+v", one)
	}
}

func beginsNow(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, nil)
	writeMany(t, l, "old", 5)
	shipTo(t, l, sinkTo(t, service, func(c *Sink) { c.FromNow = true }))
	// A sink begins when it has looked for the first time.
	eventually(t, "the sink has begun", func() bool {
		p, _, err := l.store.hold(t.Context(), "central", l.shipping.sinks[0].holder, time.Minute)
		return err == nil && p != nil
	})
	arrived(t, service, writeMany(t, l, "new", 5))
	if one := l.Sinks()[0]; one.Lost != 0 {
		t.Errorf("what was there before is lost: %+v", one)
	}
}

func masksArrive(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, func(c *Config) { c.Masks = []string{"subject.claims.email", "subject.name"} })
	mustWrite(t, l, record("d1", denied))
	shipTo(t, l, sinkTo(t, service))
	arrived(t, service, []string{"d1"})
	text, _ := json.Marshal(service.event("d1"))
	if bytes.Contains(text, []byte("alice")) || bytes.Count(text, []byte(`"hmac:`)) != 3 {
		t.Errorf("arrived as %s", text)
	}
}

func meddlingIsTold(t *testing.T, s site) {
	service := newLogService(t)
	l := s.open(t, nil)
	writeMany(t, l, "d", 3)
	mustWrite(t, l, record("f", func(r *policy.Record) { r.Input = func() map[string]any { return artifact(1) } }), record("last"))
	s.exec(t, "DELETE FROM "+s.tables().blocks+" WHERE seq = 1")
	s.exec(t, "UPDATE "+s.tables().blocks+" SET bodies = '' WHERE seq = 2")
	s.exec(t, "UPDATE "+s.tables().blocks+" SET inputs = 'no JSON' WHERE seq = 3")
	s.exec(t, "DELETE FROM "+s.tables().facts)
	shipTo(t, l, sinkTo(t, service))
	arrived(t, service, []string{"d002", "f", "last"})
	for _, id := range []string{"d002", "f"} {
		if e := service.event(id); e["input"] != nil || ours(e)["input_error"] == nil {
			t.Errorf("%s arrived as %v", id, e)
		}
	}
	eventually(t, "two are lost", func() bool { return l.Sinks()[0].Lost == 2 })
}

func oneShips(t *testing.T, s site) {
	service := newLogService(t)
	var logs []*Log
	p := brisk
	p.lease = time.Second
	for i := range 3 {
		l := s.open(t, func(c *Config) { c.Writer = fmt.Sprint("replica-", i) })
		shipMortal(t, l, p, sinkTo(t, service, func(c *Sink) { c.Records, c.Timeout = 5, 200*time.Millisecond }))
		logs = append(logs, l)
	}
	shippers := func() (n int) {
		for _, l := range logs {
			if one := l.Sinks()[0]; one.Shipped > 0 {
				n++
			}
		}
		return n
	}
	for i := range 30 {
		mustWrite(t, logs[i%3], record(fmt.Sprintf("d%03d", i)))
	}
	order := func() (want []string) {
		all := tail(t, logs[0], Query{Limit: 1000})
		for i := range all {
			want = append(want, all[len(all)-1-i].ID)
		}
		return want
	}
	arrived(t, service, order())
	if n := shippers(); n != 1 {
		t.Errorf("%d replicas shipped", n)
	}
	// The one that ships dies without a word.
	dead := 0
	for logs[dead].Sinks()[0].Shipped == 0 {
		dead++
	}
	logs[dead].shipping.end()
	for i := range 30 {
		mustWrite(t, logs[(dead+1+i%2)%3], record(fmt.Sprintf("e%03d", i)))
	}
	arrived(t, service, order())
	eventually(t, "all replicas that live know that nothing waits", func() bool {
		for i, l := range logs {
			if i != dead && l.Sinks()[0].LagRecords != 0 {
				return false
			}
		}
		return true
	})
}

func leftAlone(t *testing.T, s site) {
	service := newLogService(t)
	service.behave(answers(429, "Retry-After", "1"))
	p := brisk
	// It has to wait longer than half of a lease, and a busy machine has a lease to answer.
	p.lease, p.patience = 1500*time.Millisecond, time.Second
	var logs []*Log
	for i := range 3 {
		l := s.open(t, func(c *Config) { c.Writer = fmt.Sprint("replica-", i) })
		if err := l.ship(p, []Sink{sinkTo(t, service)}); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	mustWrite(t, logs[0], record("d"))
	arrived(t, service, []string{"d"})
	eventually(t, "it is counted", func() bool {
		for _, l := range logs {
			if one := l.Sinks()[0]; one.Shipped == 1 {
				if one.Failures != 1 {
					t.Errorf("another replica did not wait: %+v", one)
				}
				return true
			}
		}
		return false
	})
}

// shipMortal ships as a process does that is killed in the end: it lets go of nothing.
func shipMortal(t *testing.T, l *Log, p pace, cfg Sink) {
	t.Helper()
	one, err := newSink(l, cfg, p, l.cfg.Writer)
	if err != nil {
		t.Fatal(err)
	}
	one.store = clinging{one.store}
	ctx, cancel := context.WithCancel(context.Background())
	s := &shipping{sinks: []*sink{one}, cancel: cancel}
	s.done.Go(func() { one.run(ctx) })
	l.mu.Lock()
	l.shipping = s
	l.mu.Unlock()
}

type clinging struct{ backend }

func (clinging) release(context.Context, string, string) error { return nil }
