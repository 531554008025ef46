package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How those are told that nobody listens to them: only so many at a time, and
// for no longer than that.
const (
	refusals    = 256
	refusalTime = time.Second
)

// crowded is the whole answer to a connection that is one too many.
const crowded = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n" +
	"Connection: close\r\nContent-Length: 78\r\n\r\n" +
	`{"errors":[{"code":"UNAVAILABLE","message":"too many connections are open"}]}` + "\n"

// crowd is a listener with only so many connections open at a time. When there is
// no room the connection that has been idle longest makes some: whoever holds
// many and asks for nothing keeps nobody out. When none is idle the newcomer is
// told to come again.
type crowd struct {
	net.Listener
	most    int
	stalled time.Duration
	// plain says that an answer can be written before anything is agreed upon.
	plain    bool
	refusing chan struct{}

	mu     sync.Mutex
	guests map[*guest]struct{}
}

// guest is one connection. It stays a TCP connection to those who look for the
// kernel's ways of copying.
type guest struct {
	*net.TCPConn
	crowd *crowd
	// idle is since when it asks for nothing, in nanoseconds; 0 while it is answered.
	idle atomic.Int64
}

func newCrowd(l net.Listener, limits ConnectionLimits, plain bool) *crowd {
	return &crowd{
		Listener: l, most: limits.Connections, stalled: limits.Stalled, plain: plain,
		refusing: make(chan struct{}, refusals), guests: map[*guest]struct{}{},
	}
}

// Accept waits for a connection that there is room for.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return conn, nil
		}
		if g := c.admit(tcp); g != nil {
			return g, nil
		}
		c.refuse(tcp)
	}
}

// admit answers nil when there is no room.
func (c *crowd) admit(conn *net.TCPConn) *guest {
	g := &guest{TCPConn: conn, crowd: c}
	g.idle.Store(time.Now().UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.guests) >= c.most {
		longest := c.longestIdle()
		if longest == nil {
			return nil
		}
		delete(c.guests, longest)
		_ = longest.TCPConn.Close() // who waited for the next request sees its end
	}
	c.guests[g] = struct{}{}
	setStalled(conn, c.stalled)
	return g
}

func (c *crowd) longestIdle() *guest {
	var (
		found *guest
		since int64
	)
	for g := range c.guests {
		if idle := g.idle.Load(); idle != 0 && (found == nil || idle < since) {
			found, since = g, idle
		}
	}
	return found
}

// refuse says 503 and closes. What the client has sent is read, or its kernel
// would throw the answer away.
func (c *crowd) refuse(conn *net.TCPConn) {
	select {
	case c.refusing <- struct{}{}:
	default:
		_ = conn.Close()
		return
	}
	go func() {
		defer func() { <-c.refusing }()
		defer func() { _ = conn.Close() }()
		if !c.plain || conn.SetDeadline(time.Now().Add(refusalTime)) != nil {
			return
		}
		if _, err := io.WriteString(conn, crowded); err == nil && conn.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, conn, 64<<10)
		}
	}()
}

// Close is told of each connection that ends, by either side.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	delete(g.crowd.guests, g)
	g.crowd.mu.Unlock()
	return g.TCPConn.Close()
}

// watch is the server's [http.Server.ConnState].
func watch(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	g, ok := conn.(*guest)
	if !ok {
		return
	}
	switch state {
	case http.StateIdle:
		g.idle.Store(time.Now().UnixNano())
	case http.StateActive:
		g.idle.Store(0)
	}
}
