package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// wire is one keep-alive connection that writes prepared requests and reads
// answers with as little work as possible: on two cores whatever the client
// spends is missing from the server, and flattens every ratio.
type wire struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
	body []byte
}

func dial(addr string) (*wire, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &wire{addr: addr, conn: c, r: bufio.NewReaderSize(c, 64<<10), body: make([]byte, 256<<10)}, nil
}

func (w *wire) close() { _ = w.conn.Close() }

// answer is what a scenario needs to know of a response.
type answer struct {
	status   int
	length   int64
	location string
	body     []byte // only when it was asked for
}

// request prepares the bytes of a request once, to be sent many times.
func request(method, addr, path, auth string, header map[string]string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, addr)
	if auth != "" {
		fmt.Fprintf(&b, "Authorization: %s\r\n", auth)
	}
	for k, v := range header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	if body != nil || method == "POST" || method == "PUT" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// do sends a prepared request and reads the whole answer.
func (w *wire) do(req []byte, keep bool) (answer, error) {
	if _, err := w.conn.Write(req); err != nil {
		return answer{}, err
	}
	a, err := w.head()
	if err != nil {
		return a, err
	}
	if keep {
		a.body = make([]byte, a.length)
		_, err = io.ReadFull(w.r, a.body)
		return a, err
	}
	return a, w.discard(a.length)
}

func (w *wire) head() (answer, error) {
	var a answer
	line, err := w.r.ReadSlice('\n')
	if err != nil {
		return a, err
	}
	if len(line) < 12 {
		return a, fmt.Errorf("status line %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	chunked := false
	for {
		line, err = w.r.ReadSlice('\n')
		if err != nil {
			return a, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(name) == 14 && strings.EqualFold(string(name), "Content-Length"):
			a.length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			if err != nil {
				return a, err
			}
		case len(name) == 8 && strings.EqualFold(string(name), "Location"):
			a.location = string(bytes.TrimSpace(value))
		case len(name) == 17 && strings.EqualFold(string(name), "Transfer-Encoding"):
			chunked = true
		}
	}
	if chunked {
		return a, fmt.Errorf("status %d: a chunked answer is not for this client", a.status)
	}
	return a, nil
}

// discard reads past the reader's buffer straight from the connection for large
// bodies, as a client that writes to disk would.
func (w *wire) discard(n int64) error {
	if have := int64(w.r.Buffered()); have > 0 {
		take := min(have, n)
		if _, err := w.r.Discard(int(take)); err != nil {
			return err
		}
		n -= take
	}
	for n > 0 {
		m, err := w.conn.Read(w.body[:min(n, int64(len(w.body)))])
		n -= int64(m)
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// path turns an absolute or relative Location into a request target.
func path(location string) string {
	if i := strings.Index(location, "://"); i >= 0 {
		rest := location[i+3:]
		if j := strings.IndexByte(rest, '/'); j >= 0 {
			return rest[j:]
		}
	}
	return location
}

// hammer sends what next makes over conns connections for d and answers how
// many were answered a second.
func hammer(addr string, conns int, d time.Duration, next func(conn, i int) []byte) (float64, error) {
	return together(addr, conns, d, func(w *wire, c, i int) error {
		a, err := w.do(next(c, i), false)
		if err == nil && a.status != 200 {
			err = fmt.Errorf("status %d", a.status)
		}
		return err
	})
}

// together lets conns connections each do one thing after the other for d, and
// answers how many were done a second. The first failure of anybody's is the answer.
func together(addr string, conns int, d time.Duration, do func(w *wire, conn, i int) error) (float64, error) {
	type result struct {
		n   int
		err error
	}
	results := make(chan result, conns)
	start := time.Now()
	end := start.Add(d)
	for c := range conns {
		go func() {
			w, err := dial(addr)
			if err != nil {
				results <- result{err: err}
				return
			}
			defer w.close()
			n := 0
			for time.Now().Before(end) {
				if err := do(w, c, n); err != nil {
					results <- result{n, err}
					return
				}
				n++
			}
			results <- result{n: n}
		}()
	}
	total := 0
	for range conns {
		r := <-results
		if r.err != nil {
			return 0, r.err
		}
		total += r.n
	}
	return float64(total) / time.Since(start).Seconds(), nil
}
