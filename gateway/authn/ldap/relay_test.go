package ldap

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// relay stands between a provider and its directory: it counts connections, sees
// what crosses the wire, and can be cut, frozen or made to lie.
type relay struct {
	t       testing.TB
	to      string
	address string

	open, most, total atomic.Int64
	// answer, if not nil, is asked first what to say to a request instead of handing
	// it on; nil for handing it on.
	answer func(request []byte) []byte

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	seen     bytes.Buffer
	frozen   bool
}

func startRelay(t testing.TB, to string) *relay {
	t.Helper()
	r := &relay{t: t, to: to, conns: map[net.Conn]struct{}{}, address: "127.0.0.1:0"}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *relay) start() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.listener, r.address = l, l.Addr().String()
	r.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
}

// stop ends the listener and all connections: the server is down.
func (r *relay) stop() {
	r.mu.Lock()
	r.listener.Close()
	r.mu.Unlock()
	r.cut()
}

// cut ends all connections, as a server does that closes idle ones.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

// freeze lets nothing pass any more: the server hangs.
func (r *relay) freeze(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = on
}

func (r *relay) saw(secret string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.seen.Bytes(), []byte(secret))
}

func (r *relay) track(c net.Conn, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		r.conns[c] = struct{}{}
	} else {
		delete(r.conns, c)
	}
}

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	r.total.Add(1)
	now := r.open.Add(1)
	defer r.open.Add(-1)
	for most := r.most.Load(); now > most && !r.most.CompareAndSwap(most, now); most = r.most.Load() {
	}
	r.track(client, true)
	defer r.track(client, false)
	var server net.Conn
	if r.to != "" {
		var err error
		if server, err = net.Dial("tcp", r.to); err != nil {
			return
		}
		defer server.Close()
		go func() {
			_, _ = io.Copy(client, server)
			client.Close()
		}()
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.seen.Write(buf[:n])
		frozen := r.frozen
		r.mu.Unlock()
		switch {
		case frozen:
		case r.answer != nil:
			if said := r.answer(buf[:n]); said != nil {
				if _, err := client.Write(said); err != nil {
					return
				}
				continue
			}
			fallthrough
		case server != nil:
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}
