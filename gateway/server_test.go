package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/policy"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })

func TestPlainHTTPStaysOnLoopback(t *testing.T) {
	cases := []struct {
		address string
		behind  bool
		ok      bool
	}{
		{"localhost:5000", false, true}, {"127.0.0.1:0", false, true}, {"127.9.9.9:1", false, true}, {"[::1]:5000", false, true},
		{":5000", false, false}, {"0.0.0.0:5000", false, false}, {"[::]:5000", false, false}, {"192.0.2.1:5000", false, false},
		{"reg.example:5000", false, false}, {"localhost.evil.example:5000", false, false}, {"127.0.0.1.example:5000", false, false},
		{"0.0.0.0:5000", true, true}, {"no port", true, false}, {"", false, false},
	}
	for _, c := range cases {
		_, err := gateway.NewServer(gateway.ServerConfig{Address: c.address, Handler: hello, BehindTLSProxy: c.behind})
		if (err == nil) != c.ok || (err != nil && !errors.Is(err, policy.ErrInvalid)) {
			t.Errorf("%q: %v", c.address, err)
		}
	}
	if _, err := gateway.NewServer(gateway.ServerConfig{Address: "0.0.0.0:0", Handler: hello, TLS: &tls.Config{}}); err != nil {
		t.Error(err)
	}
}

// run serves until the test ends and answers the address.
func run(t *testing.T, s *gateway.Server) string {
	t.Helper()
	addr, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return addr.String()
}

func TestServe(t *testing.T) {
	s, err := gateway.NewServer(gateway.ServerConfig{Address: "localhost:0", Handler: hello})
	if err != nil {
		t.Fatal(err)
	}
	addr := run(t, s)
	res, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if string(body) != "HTTP/1.1" {
		t.Fatalf("%s", body)
	}
	t.Run("a header of a mebibyte is refused", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("x", 1<<20))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return // the connection was cut while the client still wrote
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Fatal(res.Status)
		}
	})
}

func TestServeByTLS(t *testing.T) {
	stand := httptest.NewTLSServer(hello) // for its certificate
	defer stand.Close()
	cert := stand.TLS.Certificates[0]
	s, err := gateway.NewServer(gateway.ServerConfig{Address: "127.0.0.1:0", Handler: hello, TLS: &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	addr := run(t, s)
	pool := x509.NewCertPool()
	pool.AddCert(stand.Certificate())
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: h2, TLSClientConfig: &tls.Config{RootCAs: pool}}}
		res, err := client.Get("https://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		client.CloseIdleConnections()
		if string(body) != proto {
			t.Fatalf("%s for %s", body, proto)
		}
	}
	if _, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Fatal("TLS 1.1 is spoken")
	}
}

func TestServeASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	run(t, gateway.NewSocketServer(l, newHouse(t).edge.Operator(), nil))
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://bondgate/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.Contains(string(body), "storage") {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
}
