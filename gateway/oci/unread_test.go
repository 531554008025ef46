package oci

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestARefusalIsReadByAClientThatSendsEverythingFirst(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		readOut(w, r)
		w.WriteHeader(http.StatusInsufficientStorage)
		_, _ = io.WriteString(w, "no space left")
	}))
	defer server.Close()
	const size = 8 << 20
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for range 2 { // the connection is as good as before
		if _, err := fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)); err != nil {
			t.Fatalf("the body could not be sent: %v", err)
		}
		answer := make([]byte, 4096)
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatalf("the refusal could not be read: %v", err)
		}
		if !strings.Contains(string(answer[:n]), "507") {
			t.Errorf("read %q", answer[:n])
		}
	}
}

func TestAClientThatWaitsToBeAskedForABodyIsNotAsked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		readOut(w, r)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(answer[:n]), "403") {
		t.Errorf("read %q, want the refusal and no 100 Continue", answer[:n])
	}
}
