package decisionlog

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is a backend behind which somebody always waits: whenever a batch is
// written, so many have begun to wait for another.
type crowd struct {
	backend
	size int
	log  atomic.Pointer[Log]
	gone atomic.Bool
	n    atomic.Int64
}

func (c *crowd) append(ctx context.Context, b *batch) error {
	err := c.backend.append(ctx, b)
	l := c.log.Load()
	if l == nil || c.gone.Load() {
		return err
	}
	for range c.size {
		go func() { _ = l.Write(context.Background(), record(fmt.Sprint("w", c.n.Add(1)), denied)) }()
	}
	for waiting := 0; waiting < c.size && !c.gone.Load(); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		waiting = len(l.writes)
		l.mu.Unlock()
	}
	return err
}

func TestARecordThatIsOpenIsWrittenHoweverManyWait(t *testing.T) {
	for _, size := range []int{1, 2 * chunk} {
		l := openIn(t, t.TempDir())
		close(l.stop)
		<-l.stopped
		c := &crowd{backend: l.store, size: size}
		again, err := start(t.Context(), l.cfg, l.mask, c)
		if err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		c.log.Store(again)
		mustOpen(t, again, record("first"))
		mustWrite(t, again, record("w0", denied))
		mustOpen(t, again, record("open"))
		eventually(t, "the open record is written", func() bool {
			_, err := again.Show(t.Context(), "open")
			return err == nil
		})
		c.gone.Store(true)
		if err := again.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
