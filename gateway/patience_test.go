package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
)

// Nobody holds a connection to the token service, or to the management API, by
// sending nothing; and what takes long after the body has come is not cut.
func TestABodyComesInTime(t *testing.T) {
	const patience = 300 * time.Millisecond
	read := func(_ http.ResponseWriter, r *http.Request, _ authn.Caller) error {
		if _, err := io.ReadAll(r.Body); err != nil {
			return errcode.New(errcode.BadRequest, "the body did not come").Because(err)
		}
		select {
		case <-r.Context().Done():
			return errcode.New(errcode.Unknown, "cut").Because(r.Context().Err())
		case <-time.After(2 * patience):
			return nil
		}
	}
	h := newHouse(t, func(c *gateway.Config) {
		c.Patience = patience
		c.Token, c.API = &handler{serve: read}, &handler{serve: read}
	})
	srv := httptest.NewServer(h.edge)
	defer srv.Close()
	for _, c := range []struct{ name, path, body, status string }{
		{"a form that never comes", "/token", "", " 408"},
		{"half a call", "/api/v1/users", "12345", " 408"},
		{"a form that is there", "/token", "1234567890", " 200"},
		{"a call that takes its time", "/api/v1/reindex", "1234567890", " 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n%s", c.path, c.body)
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.Contains(line, c.status) {
				t.Fatalf("answered %q, %v", line, err)
			}
		})
	}
}
