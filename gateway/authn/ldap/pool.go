package ldap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bondgate/bondgate/policy"
)

const (
	// keepIdle is how long a connection may lie unused, and keepOpen how long it
	// lives at all, so that a server that came back is used again.
	keepIdle = time.Minute
	keepOpen = 5 * time.Minute
	// pause is how long nobody tries anew after every server has failed: a
	// thousand clients that wait for a dead directory hold a thousand requests.
	pause = time.Second
)

// pool holds the connections to the servers of one directory, a bounded number.
type pool struct {
	cfg     *Config
	servers []server
	slots   chan struct{} // one is taken for each connection that is in use

	mu     sync.Mutex
	idle   []idleConn  // the one that was used last is last
	bad    []time.Time // for each server, until when it is asked last
	down   error       // what the last of all failed with
	again  time.Time   // when to try after that
	closed bool
}

type idleConn struct {
	*conn
	since time.Time
}

func newPool(cfg *Config, servers []server) *pool {
	return &pool{cfg: cfg, servers: servers, slots: make(chan struct{}, cfg.Connections), bad: make([]time.Time, len(servers))}
}

// do runs work on a connection. A connection that turns out to be dead, or a
// server that cannot answer, is replaced, and work runs anew: it must not mind,
// and its error is the directory's, never a judgement of its own. The error here
// is [policy.ErrLimited], [policy.ErrUnavailable] or what work said.
func (p *pool) do(ctx context.Context, work func(context.Context, *conn) error) error {
	if err := p.silent(); err != nil {
		return err
	}
	if err := p.turn(ctx); err != nil {
		return err
	}
	defer func() { <-p.slots }()
	var last error
	// Each server once, and once more for a connection that had died of itself.
	for range len(p.servers) + 1 {
		c, err := p.take(ctx)
		if err != nil {
			return err
		}
		err = work(ctx, c)
		if !broken(err) {
			p.put(c)
			return err
		}
		c.close()
		last = fmt.Errorf("%s: %w", p.servers[c.server].address, err)
		if ctx.Err() != nil {
			break
		}
		if !c.reused {
			p.failed(c.server)
		}
		p.forget(c.server)
	}
	return p.gone(last)
}

// gone notes that no server answers.
func (p *pool) gone(why error) error {
	err := fmt.Errorf("%w: %w", policy.ErrUnavailable, why)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.again = err, p.cfg.Now().Add(pause)
	return err
}

// answers reports whether the directory answered when it was asked last.
func (p *pool) answers() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down == nil
}

// turn waits for one of the connections to be free.
func (p *pool) turn(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(p.cfg.Wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for a connection: %w", policy.ErrUnavailable, ctx.Err())
	case <-timer.C:
		if err := p.silent(); err != nil {
			return err
		}
		return fmt.Errorf("too many logins at once: %w", policy.ErrLimited)
	}
}

// silent is why the directory does not answer at the moment, or nil.
func (p *pool) silent() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down != nil && p.cfg.Now().Before(p.again) {
		return p.down
	}
	return nil
}

// take answers an idle connection or makes one.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if c := p.rest(); c != nil {
		return c, nil
	}
	if err := p.silent(); err != nil {
		return nil, err
	}
	var failures []error
	for _, number := range p.order() {
		c, err := p.cfg.connect(ctx, p.servers[number], number)
		if err == nil {
			return c, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", p.servers[number].address, err))
		if ctx.Err() != nil {
			break
		}
		p.failed(number)
	}
	return nil, p.gone(errors.Join(failures...))
}

// rest is an idle connection that is not too old, or nil.
func (p *pool) rest() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if now.Sub(c.since) < keepIdle && now.Sub(c.born) < keepOpen && !c.ldap.IsClosing() {
			c.reused = true
			return c.conn
		}
		c.close()
	}
	return nil
}

// put takes a connection back, on which the directory has answered.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = nil
	if p.closed || c.spent || c.ldap.IsClosing() {
		c.close()
		return
	}
	p.idle = append(p.idle, idleConn{c, p.cfg.Now()})
}

// order is the order in which servers are asked: as configured, those that failed
// a while ago last.
func (p *pool) order() (out []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	for _, failed := range []bool{false, true} {
		for i := range p.servers {
			if now.Before(p.bad[i]) == failed {
				out = append(out, i)
			}
		}
	}
	return out
}

func (p *pool) failed(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad[number] = p.cfg.Now().Add(p.cfg.Retry)
}

// forget closes the idle connections to a server.
func (p *pool) forget(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, c := range p.idle {
		if c.server == number {
			c.close()
			continue
		}
		kept = append(kept, c)
	}
	p.idle = kept
}

// close ends the idle connections; those in use end when they are put back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}
