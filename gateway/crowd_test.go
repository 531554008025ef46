package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway"
)

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// get answers what was got, or why nothing was.
func get(conn net.Conn, path string) string {
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return resp.Status + " " + resp.Header.Get("Retry-After") + " " + string(body)
}

// Whoever holds connections and asks for nothing keeps nobody out; when all are
// busy the answer says so.
func TestACrowdLeavesRoom(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	s, err := gateway.NewServer(gateway.ServerConfig{
		Address: "127.0.0.1:0", Limits: gateway.ConnectionLimits{Connections: 3},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/long" {
				entered <- struct{}{}
				<-release
			}
			_, _ = io.WriteString(w, "done")
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	address := run(t, s)
	var idle []net.Conn
	for range 10 {
		idle = append(idle, dial(t, address))
	}
	if got := get(dial(t, address), "/"); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	if _, err := idle[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the longest idle: %v", err)
	}
	busy := make(chan string, 100)
	for n := 0; n < 3; {
		conn := dial(t, address)
		go func() { busy <- get(conn, "/long") }()
		select {
		case <-entered:
			n++
		case got := <-busy:
			// The server may not know yet that it is done with the request before.
			if !strings.HasPrefix(got, "503") {
				t.Fatal(got)
			}
			time.Sleep(10 * time.Millisecond)
		case <-time.After(time.Minute):
			t.Fatal("no room")
		}
	}
	if got := get(dial(t, address), "/"); !strings.HasPrefix(got, "503 Service Unavailable 5 ") || !strings.Contains(got, "UNAVAILABLE") {
		t.Fatal(got)
	}
	close(release)
	for range 3 {
		if got := <-busy; !strings.HasPrefix(got, "200") {
			t.Fatal(got)
		}
	}
}
