package egress

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

var loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestAClientIsClosedByDefault(t *testing.T) {
	var met atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { met.Add(1) }))
	defer srv.Close()
	open := newGuard(t, Config{Allow: loopbacks})
	for _, c := range []struct {
		sentence string
		guard    *Guard
		cfg      ClientConfig
		url      string
	}{
		{"an inner address", newGuard(t, Config{}), ClientConfig{InsecurePlaintext: true}, srv.URL},
		{"plain HTTP without saying so", open, ClientConfig{}, srv.URL},
		{"a file", open, ClientConfig{InsecurePlaintext: true}, "file:///etc/passwd"},
		{"gopher", open, ClientConfig{InsecurePlaintext: true}, "gopher://127.0.0.1/"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if _, err := get(t, c.guard.Client(c.cfg), c.url); !errors.Is(err, ErrRefused) {
				t.Fatal(err)
			}
		})
	}
	if met.Load() != 0 {
		t.Fatal("a request arrived")
	}
	if _, err := get(t, open.Client(ClientConfig{InsecurePlaintext: true}), srv.URL); err != nil || met.Load() != 1 {
		t.Fatal(err)
	}
}

func TestRedirects(t *testing.T) {
	var secret atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { secret.Add(1) }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch to := r.URL.Query().Get("to"); {
		case to != "":
			http.Redirect(w, r, to, http.StatusFound)
		default:
			_, _ = io.WriteString(w, "arrived")
		}
	}))
	defer srv.Close()
	g := newGuard(t, Config{Allow: loopbacks})
	named, err := newGuard(t, Config{}).Naming("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sentence string
		guard    *Guard
		follow   Redirects
		to       string
		ok       bool
	}{
		{"none is followed by default", g, RedirectsRefused, "/", false},
		{"on the same host, when asked", g, RedirectsSameHost, "/", true},
		{"on the same host, never to another port", g, RedirectsSameHost, other.URL, false},
		{"on the same host, never to another name for it", g, RedirectsSameHost, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), false},
		{"anywhere permitted, when asked", g, RedirectsGuarded, other.URL, true},
		{"never to an address that is not permitted", named, RedirectsGuarded, "http://169.254.169.254/latest/meta-data/", false},
		{"never to another scheme", g, RedirectsGuarded, "file:///etc/passwd", false},
		{"never for ever", g, RedirectsSameHost, "/?to=%2F%3Fto%3D%252F%253Fto%253D%25252F", true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			client := c.guard.Client(ClientConfig{Redirects: c.follow, InsecurePlaintext: true})
			_, err := get(t, client, srv.URL+"/?to="+url.QueryEscape(c.to))
			if c.ok != (err == nil) || (err != nil && !errors.Is(err, ErrRefused)) {
				t.Fatal(err)
			}
		})
	}
	if secret.Load() != 1 {
		t.Fatalf("the other host was met %d times, once was permitted", secret.Load())
	}
	t.Run("a circle ends", func(t *testing.T) {
		circle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/", http.StatusFound)
		}))
		defer circle.Close()
		if _, err := get(t, g.Client(ClientConfig{Redirects: RedirectsGuarded, InsecurePlaintext: true}), circle.URL); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	})
	t.Run("never from https to http", func(t *testing.T) {
		secure := httptest.NewTLSServer(http.RedirectHandler(other.URL, http.StatusFound))
		defer secure.Close()
		client := g.Client(ClientConfig{Redirects: RedirectsGuarded, InsecurePlaintext: true, RootCAs: roots(secure)})
		if _, err := get(t, client, secure.URL); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	})
}

func roots(srv *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}

func TestTLS(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	srv := httptest.NewTLSServer(ok)
	defer srv.Close()
	g := newGuard(t, Config{Allow: loopbacks})
	if _, err := get(t, g.Client(ClientConfig{RootCAs: roots(srv)}), srv.URL); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, g.Client(ClientConfig{}), srv.URL); err == nil {
		t.Fatal("an authority that nobody named was believed")
	}
	old := httptest.NewUnstartedServer(ok)
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	defer old.Close()
	if _, err := get(t, g.Client(ClientConfig{RootCAs: roots(old)}), old.URL); err == nil {
		t.Fatal("TLS 1.1 was spoken")
	}
}

func TestBodiesAndTimesAreBounded(t *testing.T) {
	zeros := make([]byte, 1<<20)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			_, _ = w.Write(zeros)
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(zeros)
			_ = z.Close()
		case "/never":
			<-r.Context().Done()
		case "/exact":
			_, _ = w.Write(zeros[:1000])
		}
	}))
	defer srv.Close()
	g := newGuard(t, Config{Allow: loopbacks})
	client := g.Client(ClientConfig{MaxBody: 1000, InsecurePlaintext: true})
	for _, path := range []string{"/long", "/bomb"} {
		if body, err := get(t, client, srv.URL+path); !errors.Is(err, policy.ErrTooLarge) || len(body) > 1000 {
			t.Fatalf("%s: %d bytes, %v", path, len(body), err)
		}
	}
	if body, err := get(t, client, srv.URL+"/exact"); err != nil || len(body) != 1000 {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	hurried := g.Client(ClientConfig{Timeout: 50 * time.Millisecond, InsecurePlaintext: true})
	if _, err := get(t, hurried, srv.URL+"/never"); err == nil {
		t.Fatal("a server that never answers was waited for")
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		length, limit int
		ok            bool
	}{{0, 0, true}, {1, 0, false}, {10, 10, true}, {11, 10, false}, {5000, 4999, false}, {5000, 1 << 62, true}} {
		got, err := io.ReadAll(Limit(bytes.NewReader(make([]byte, c.length)), int64(c.limit)))
		if c.ok != (err == nil) || (err != nil && !errors.Is(err, policy.ErrTooLarge)) || len(got) > c.limit {
			t.Fatalf("%+v: %d, %v", c, len(got), err)
		}
	}
}

func TestTheProxyIsTheOneThatIsConfigured(t *testing.T) {
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.String())
		_, _ = io.WriteString(w, "through the proxy")
	}))
	defer proxy.Close()
	plaintext := ClientConfig{InsecurePlaintext: true}

	t.Run("the environment's is not asked", func(t *testing.T) {
		for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
			t.Setenv(name, proxy.URL)
		}
		g := newGuard(t, Config{Resolver: nameserver(t, func() netip.Addr { return netip.MustParseAddr("10.0.0.1") })})
		if _, err := get(t, g.Client(plaintext), "http://service.example.com/"); !errors.Is(err, ErrRefused) || asked.Load() != nil {
			t.Fatal(err, asked.Load())
		}
	})

	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := newGuard(t, Config{Proxy: at}).Client(plaintext)
	t.Run("the configured one is reached without another permission", func(t *testing.T) {
		if body, err := get(t, client, "http://service.example.com/x"); err != nil || body != "through the proxy" || asked.Load() != "http://service.example.com/x" {
			t.Fatal(body, err, asked.Load())
		}
	})
	for _, to := range []string{"http://127.0.0.1/", "http://localhost/", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/"} {
		t.Run("an inner address is not asked of it: "+to, func(t *testing.T) {
			if _, err := get(t, client, to); !errors.Is(err, ErrRefused) {
				t.Fatal(err)
			}
		})
	}
}

func TestACertificateThatChangesIsShownToTheNextConnection(t *testing.T) {
	var shown []int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.TLS.PeerCertificates[0].SerialNumber.Int64())
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	current := selfSigned(t, 1)
	client := newGuard(t, Config{Allow: loopbacks}).Client(ClientConfig{
		RootCAs: roots(srv), Certificate: func() *tls.Certificate { return current },
	})
	for serial := range int64(3) {
		current = selfSigned(t, serial)
		if _, err := get(t, client, srv.URL); err != nil {
			t.Fatal(err)
		}
		client.CloseIdleConnections()
	}
	if !slices.Equal(shown, []int64{0, 1, 2}) {
		t.Errorf("shown were %v", shown)
	}
}

func selfSigned(t *testing.T, serial int64) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
