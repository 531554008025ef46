package oci

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/errcode"
)

// A client that begins a push and then says nothing does not keep its connection,
// and one that is slow gets to the end.
func TestAPushThatSaysNothingEnds(t *testing.T) {
	b := newBench(t, Limits{Idle: 300 * time.Millisecond})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := b.Serve(w, r, alice); err != nil {
			errcode.Write(w, r, err)
		}
	}))
	defer srv.Close()
	content := strings.Repeat("x", 20)
	blob := "POST /v2/p/a/blobs/uploads/?digest=" + string(digest.FromString(content))
	for _, c := range []struct {
		name, request string
		send          int
		status        string
	}{
		{"a blob that never comes", blob, 0, " 408"},
		{"a blob that stops", blob, 5, " 408"},
		{"a manifest that stops", "PUT /v2/p/a/manifests/v1", 5, " 408"},
		{"a blob that comes slowly", blob, 20, " 201"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", c.request, len(content))
			for range c.send {
				time.Sleep(20 * time.Millisecond)
				_, _ = conn.Write([]byte("x"))
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.Contains(line, c.status) {
				t.Fatalf("answered %q, %v", line, err)
			}
		})
	}
}
