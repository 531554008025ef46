package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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

// serveFile lets an edge answer with send, which is given a file of content, and
// answers each source that the connection was asked to read from.
func serveFile(t *testing.T, content []byte, send func(w io.Writer, f *os.File) error) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layer")
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
		return send(w, f)
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
		defer mu.Unlock()
		if limited, ok := r.(*io.LimitedReader); ok {
			seen = append(seen, fmt.Sprintf("%d of %T", limited.N, limited.R))
			return
		}
		seen = append(seen, fmt.Sprintf("all of %T", r))
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
		t.Fatalf("%d bytes of %d, %v", len(got), len(content), err)
	}
	mu.Lock()
	defer mu.Unlock()
	return seen
}

// A layer must go from the file to the connection without passing through this
// process: net/http's connection has to be asked to read from the file itself.
func TestFilesReachTheConnection(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	seen := serveFile(t, content, func(w io.Writer, f *os.File) error {
		_, err := io.Copy(w, f)
		return err
	})
	if len(seen) == 0 || !strings.HasPrefix(seen[0], "all of os.") {
		t.Fatalf("the connection read from %v, not from a file", seen)
	}
}

// A blob is sent by its length: net/http finds the file within that limit, and
// would not find it within two of them.
func TestFilesOfALengthReachTheConnection(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	seen := serveFile(t, content, func(w io.Writer, f *os.File) error {
		n, err := io.CopyN(w, f, int64(len(content)))
		if err == nil && n != int64(len(content)) {
			err = fmt.Errorf("%d bytes are said to be written", n)
		}
		return err
	})
	want := []string{"1048064 of *os.File"} // net/http looks at 512 bytes first
	if !slices.Equal(seen, want) {
		t.Fatalf("the connection read %q, want %q", seen, want)
	}
}

// What is shorter than was said must end the answer rather than go round for ever.
func TestAFileThatEndsTooEarly(t *testing.T) {
	for _, size := range []int{0, 100, 1 << 20, 3 << 19} {
		content := bytes.Repeat([]byte("x"), size)
		serveFile(t, content, func(w io.Writer, f *os.File) error {
			n, err := io.CopyN(w, f, int64(size)+5<<20)
			if !errors.Is(err, io.EOF) || n != int64(size) {
				t.Errorf("of %d bytes %d are said to be written: %v", size, n, err)
			}
			return nil
		})
	}
}
