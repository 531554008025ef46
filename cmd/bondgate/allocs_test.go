package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// A time on somebody's machine is no test; how often a request asks the allocator
// is the same everywhere, and what made the warm paths slower so far showed there
// first. A request is counted from the connection to the answer, with
// authentication, decision, record, metrics and the log's line, and with what
// net/http itself needs. In Go 1.26 that is 17 of the 25 for a manifest: 14 to read
// the request, 3 to copy the answer's header. A blob also opens its file.
//
// Whoever adds something that every request needs raises the number beside it and
// says in the commit what it is for.
func TestAllocationsOfWarmRequests(t *testing.T) {
	s := start(t, t.TempDir(), withPassword(adminPassword), func(o *Options) {
		o.Log = newLogger(io.Discard, LogConfig{Level: "info"})
	})
	layer := s.pushSmall("warm/app:v1")
	token := s.token("repository:warm/app:pull")
	for _, test := range []struct {
		name, method, path string
		most               float64
	}{
		{"a manifest by tag", http.MethodGet, "/v2/warm/app/manifests/v1", 25},
		{"a HEAD of a manifest by tag", http.MethodHead, "/v2/warm/app/manifests/v1", 25},
		{"a blob of 20 KB", http.MethodGet, "/v2/warm/app/blobs/" + layer, 44},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := s.wire(test.method, test.path, token)
			got := w.allocations()
			t.Logf("%.0f allocations, %.0f allowed", got, test.most)
			if got > test.most {
				t.Errorf("%.0f allocations a request, more than %.0f", got, test.most)
			}
		})
	}
}

// pushSmall pushes an image with one layer of 20 KB, and answers the layer's digest.
func (s *server) pushSmall(image string) string {
	s.t.Helper()
	img, err := random.Image(20<<10, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	ref, err := name.ParseReference(s.host()+"/"+image, name.Insecure)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.Write(ref, img, asAdmin); err != nil {
		s.t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := layers[0].Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return d.String()
}

// token is the administrator's for a scope.
func (s *server) token(scope string) string {
	s.t.Helper()
	q := url.Values{"service": {s.host()}, "scope": {scope}}
	status, body := s.get("/token?"+q.Encode(), "admin", adminPassword)
	var out struct{ Token string }
	if err := json.Unmarshal([]byte(body), &out); err != nil || out.Token == "" {
		s.t.Fatalf("a token: %d %s", status, body)
	}
	return out.Token
}

// wire is a connection with a client that allocates nothing for a request.
type wire struct {
	t       *testing.T
	conn    net.Conn
	request []byte
	// answer is as long as the answer is, body and all.
	answer []byte
}

// wire asks once to learn how long the answer is: it is always the same but for
// the request's id and the date.
func (s *server) wire(method, path, token string) *wire {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.host())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	w := &wire{t: s.t, conn: conn}
	w.request = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", method, path, s.host(), token)
	if _, err := conn.Write(w.request); err != nil {
		s.t.Fatal(err)
	}
	var whole bytes.Buffer
	req, err := http.NewRequestWithContext(s.t.Context(), method, path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &whole)), req)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s, %v", method, path, resp.Status, err)
	}
	w.answer = make([]byte, whole.Len())
	return w
}

// ask sends the request and reads the answer.
func (w *wire) ask() {
	if _, err := w.conn.Write(w.request); err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.ReadFull(w.conn, w.answer); err != nil {
		w.t.Fatal(err)
	}
	if !bytes.HasPrefix(w.answer, []byte("HTTP/1.1 200 OK\r\n")) {
		w.t.Fatalf("the answer is %.100q", w.answer)
	}
}

// allocations is how many a request costs: the least of several counts, since
// the second that ends, a garbage collection and the server's other work add to
// some of them.
func (w *wire) allocations() float64 {
	least := testing.AllocsPerRun(100, w.ask)
	for range 20 {
		least = min(least, testing.AllocsPerRun(100, w.ask))
	}
	return least
}
