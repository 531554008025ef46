package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// memoryConfig is the default but for the deadline of a decision: a hundred
// streams on two cores may keep a process from running for 50 ms.
const memoryConfig = "policy:\n  deadline: 5s\n"

const (
	// distinct is how many blobs the pulls share among them.
	distinct = 10
	// lull is how long nobody goes on while everybody is midway: the
	// garbage collector and the kernel settle, and what is held is held.
	lull = 5 * time.Second
	// midway is how far into a body the clients meet: the server is in the middle of
	// it, and nobody who came first keeps the processors from those who come.
	midway = 1 << 20
	// chatter is how much a client reads or writes at a time.
	chatter = 64 << 10
)

// memory lets many pull and then many push, all at a time, and looks at the peak
// of the resident set.
func memory(ctx context.Context, o options) error {
	s, err := start(ctx, o.binary, o.dir, memoryConfig)
	if err != nil {
		return err
	}
	defer s.stop()
	c := newClient(s.addr, 4)
	p := &person{name: "builder", scopes: []string{"repository:p/app:pull,push"}}
	for path, body := range map[string]any{"/projects": map[string]any{"name": "p"}, "/users": map[string]any{"name": p.name, "password": password}} {
		if err := c.api(ctx, http.MethodPost, path, body); err != nil {
			return err
		}
	}
	if err := c.api(ctx, http.MethodPut, "/projects/p/members/user/"+p.name, map[string]any{"role": "maintainer"}); err != nil {
		return err
	}
	m := &throng{s: s, c: c, p: p}
	if err := m.peak("after the start", func() error { return nil }); err != nil {
		return err
	}
	if !o.skipPulls {
		blobs, err := m.prepare(ctx, o.pullBytes)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%d pulls of %d MiB at a time", o.pulls, o.pullBytes>>20)
		if err := m.peak(name, func() error { return m.all(ctx, o.pulls, m.pull(blobs, o.pullBytes)) }); err != nil {
			return errors.Join(err, errors.New(s.complaints()))
		}
	}
	if !o.skipPushes {
		name := fmt.Sprintf("%d pushes of %d MiB at a time", o.pushes, o.pushBytes>>20)
		if err := m.peak(name, func() error { return m.all(ctx, o.pushes, m.push(o.pushBytes)) }); err != nil {
			return errors.Join(err, errors.New(s.complaints()))
		}
	}
	if m.highest > o.most {
		return fmt.Errorf("the resident set was %d MB, and %d are allowed", m.highest>>20, o.most>>20)
	}
	return nil
}

// throng are the clients of one server.
type throng struct {
	s       *server
	c       *client
	p       *person
	highest int64
}

// peak does something and prints the peak of the resident set meanwhile.
func (m *throng) peak(name string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	top, err := m.s.memory("VmHWM")
	if err != nil {
		return err
	}
	now, err := m.s.memory("VmRSS")
	if err != nil {
		return err
	}
	fmt.Printf("%-40s peak of the resident set %6.1f MB, then %6.1f MB; took %s\n",
		name, float64(top)/(1<<20), float64(now)/(1<<20), time.Since(began).Round(time.Second))
	m.highest = max(m.highest, top)
	return m.s.forgetPeak()
}

// prepare pushes what is to be pulled and answers the digests.
func (m *throng) prepare(ctx context.Context, size int64) ([]string, error) {
	var digests []string
	for n := range distinct {
		auth, err := m.p.auth(ctx, m.c)
		if err != nil {
			return nil, err
		}
		d, err := m.stream(ctx, auth, content(n, size), func() {})
		if err != nil {
			return nil, err
		}
		digests = append(digests, d)
	}
	return digests, nil
}

// all lets n clients do one thing each. They meet midway and wait there: only
// then have they been there all at a time.
func (m *throng) all(ctx context.Context, n int, one func(ctx context.Context, i int, meet func()) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var here, done sync.WaitGroup
	here.Add(n)
	errs := make([]error, n)
	for i := range n {
		done.Go(func() {
			var once sync.Once
			arrive := func() { once.Do(here.Done) }
			defer arrive() // who fails is not waited for
			errs[i] = one(ctx, i, func() {
				arrive()
				here.Wait()
				time.Sleep(lull)
			})
			if errs[i] != nil {
				cancel()
			}
		})
	}
	done.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err // one for all: the others failed because of it
		}
	}
	return ctx.Err()
}

// pull is a GET of a blob that reads some of it, meets the others, and reads on.
func (m *throng) pull(blobs []string, size int64) func(context.Context, int, func()) error {
	lonely := &http.Transport{DisableKeepAlives: true, DisableCompression: true, ReadBufferSize: 4 << 10, DialContext: narrow}
	return func(ctx context.Context, i int, meet func()) error {
		auth, err := m.p.auth(ctx, m.c)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.s.addr+"/v2/p/app/blobs/"+blobs[i%len(blobs)], nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", auth)
		resp, err := lonely.RoundTrip(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK || resp.ContentLength != size {
			return fmt.Errorf("a pull answers %s and %d bytes", resp.Status, resp.ContentLength)
		}
		buffer, read := make([]byte, chatter), int64(0)
		sum := sha256.New()
		for met := false; ; {
			n, err := resp.Body.Read(buffer)
			read += int64(n)
			if i < len(blobs) {
				_, _ = sum.Write(buffer[:n])
			}
			if !met && read >= min(midway, size/2) {
				met = true
				meet()
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		if read != size {
			return fmt.Errorf("a pull ended after %d bytes", read)
		}
		// One client of each blob looks at the bytes as well.
		if i < len(blobs) && fmt.Sprintf("sha256:%x", sum.Sum(nil)) != blobs[i] {
			return fmt.Errorf("%s came as other bytes", blobs[i])
		}
		return nil
	}
}

// narrow makes a connection whose kernel buffer holds little: what the client
// has not read is the server's to send.
func narrow(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetReadBuffer(256 << 10)
}

func (m *throng) push(size int64) func(context.Context, int, func()) error {
	return func(ctx context.Context, i int, meet func()) error {
		auth, err := m.p.auth(ctx, m.c)
		if err == nil {
			_, err = m.stream(ctx, auth, content(distinct+i, size), meet)
		}
		return err
	}
}

// stream pushes a blob: POST, one PATCH of all of it, and PUT with the digest that
// is known by then.
func (m *throng) stream(ctx context.Context, auth string, body *body, meet func()) (string, error) {
	at, err := begin(ctx, m.c, auth, "p/app")
	if err != nil {
		return "", err
	}
	body.meet = meet
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, "http://"+m.s.addr+at, body)
	if err != nil {
		return "", err
	}
	req.ContentLength = body.size
	req.Header.Set("Authorization", auth)
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := m.c.http.Do(req)
	if err != nil {
		return "", err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("a chunk answers %s", resp.Status)
	}
	if at, err = target(resp.Header.Get("Location")); err != nil {
		return "", err
	}
	// The body took its time: a client with a token asks for a new one.
	if auth, err = m.p.auth(ctx, m.c); err != nil {
		return "", err
	}
	digest := fmt.Sprintf("sha256:%x", body.sum.Sum(nil))
	_, err = m.c.want(ctx, ask{method: http.MethodPut, path: withDigest(at, digest), auth: auth}, http.StatusCreated)
	return digest, err
}

// body is content that is made while it is read: blocks of one text that differ in
// their number, so that no two bodies are alike and a file system that compresses
// has room for many.
type body struct {
	size, at int64
	block    []byte
	sum      interface {
		io.Writer
		Sum([]byte) []byte
	}
	meet func()
}

func content(n int, size int64) *body {
	seed := make([]byte, 16)
	_, _ = rand.Read(seed) // never fails
	b := &body{size: size, sum: sha256.New(), meet: func() {}}
	b.block = []byte(strings.Repeat(fmt.Sprintf("%x %08d\n", seed, n), chatter/42+1))[:chatter]
	return b
}

// Read gives the next block, and meets the others midway.
func (b *body) Read(p []byte) (int, error) {
	if b.at == b.size {
		return 0, io.EOF
	}
	if b.at >= min(midway, b.size/2) && b.meet != nil {
		b.meet()
		b.meet = nil
	}
	off := b.at % int64(len(b.block))
	if off == 0 {
		copy(b.block, fmt.Sprintf("%020d", b.at))
	}
	n := copy(p, b.block[off:])
	n = int(min(int64(n), b.size-b.at))
	_, _ = b.sum.Write(p[:n])
	b.at += int64(n)
	return n, nil
}
