package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bondgate/bondgate/gateway/authn"
)

// recordingConn remembers what kinds of source it was asked to read from.
type recordingConn struct {
	*net.TCPConn
	seen func(io.Reader)
}

func (c *recordingConn) ReadFrom(r io.Reader) (int64, error) {
	c.seen(r)
	return c.TCPConn.ReadFrom(r)
}

type recordingListener struct {
	net.Listener
	seen func(io.Reader)
}

func (l recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recordingConn{c.(*net.TCPConn), l.seen}, nil
}

// A layer must go from the file to the connection without passing through this
// process: net/http's connection has to be asked to read from the file itself.
func TestFilesReachTheConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layer")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	h.protocol.serve = func(w http.ResponseWriter, _ *http.Request, _ authn.Caller) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, err = io.Copy(w, f)
		return err
	}
	var mu sync.Mutex
	var seen []string
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h.edge)
	srv.Listener = recordingListener{l, func(r io.Reader) {
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%T", r))
		mu.Unlock()
	}}
	srv.Start()
	defer srv.Close()
	res, err := http.Get(srv.URL + "/v2/a/blobs/sha256:" + strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) == 0 || !strings.Contains(seen[0], "os.") {
		t.Fatalf("the connection read from %v, not from a file", seen)
	}
}
