package main

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWhatIsWrongWithASinkIsTold(t *testing.T) {
	const secret = "hunter2"
	for name, c := range map[string]struct{ yaml, want string }{
		"no name":                  {"type: stdout", "name: \"\" is not 1 to 32"},
		"a name with a slash":      {"{name: a/b, type: stdout}", "name: \"a/b\" is not"},
		"no such type":             {"{name: a, type: kafka}", `type: "kafka" is not one of http, stdout`},
		"no address":               {"{name: a, type: http}", "url: it is not http(s)://"},
		"another scheme":           {"{name: a, type: http, url: 'ftp://logs'}", "url: it is not http(s)://"},
		"credentials in the url":   {"{name: a, type: http, url: 'https://u:" + secret + "@logs'}", "credentials belong into files"},
		"a key in the url":         {"{name: a, type: http, url: 'https://logs?key=" + secret + "'}", "credentials belong into files"},
		"an address that is none":  {"{name: a, type: http, url: 'https://u:" + secret + "%zz@logs'}", "url: it is not http(s)://"},
		"plain HTTP unsaid":        {"{name: a, type: http, url: 'http://logs'}", "insecure_plain_http"},
		"token and password":       {"{name: a, type: http, url: 'https://logs', bearer_token_file: x, username: u, password_file: y}", "exclude each other"},
		"a name without password":  {"{name: a, type: http, url: 'https://logs', username: u}", "go together"},
		"a certificate without it": {"{name: a, type: http, url: 'https://logs', cert_file: u}", "go together"},
		"stdout with an address":   {"{name: a, type: stdout, url: 'https://logs'}", "standard output has no address"},
		"nowhere to begin":         {"{name: a, type: stdout, from: yesterday}", `from: "yesterday" is not one of`},
		"too little at a time":     {"{name: a, type: stdout, batch_bytes: 10}", "batch_bytes: 10 is not between"},
		"too many at a time":       {"{name: a, type: stdout, batch_records: 10001}", "batch_records: 10001 is not between"},
		"too long a wait":          {"{name: a, type: stdout, timeout: 1h}", "timeout: 1h0m0s is not between"},
		"two of one name":          {"{name: a, type: stdout}\n  - {name: a, type: stdout}", "is the name of another sink"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "bondgate.yaml")
			if err := os.WriteFile(file, []byte("decisions:\n  sinks:\n  - "+c.yaml+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadConfig(file, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "bondgate.yaml:") {
				t.Errorf("told %v, want %q", err, c.want)
			}
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("the secret is told: %v", err)
			}
		})
	}
}

// logService takes decision logs over TLS from who shows a certificate.
type logService struct {
	*httptest.Server
	mu      sync.Mutex
	refuse  http.HandlerFunc // answers instead, while there is one
	ids     map[string]bool
	tokens  map[string]bool
	serials map[int64]bool
	path    string
}

func newLogService(t *testing.T) *logService {
	s := &logService{ids: map[string]bool{}, tokens: map[string]bool{}, serials: map[int64]bool{}}
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *logService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		s.refuse(w, r)
		return
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var events []struct {
		ID string `json:"decision_id"`
	}
	if err := json.NewDecoder(z).Decode(&events); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, e := range events {
		s.ids[e.ID] = true
	}
	s.tokens[r.Header.Get("Authorization")] = true
	s.serials[r.TLS.PeerCertificates[0].SerialNumber.Int64()] = true
	s.path = r.URL.Path
}

func (s *logService) see(f func() bool) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return f()
	}
}

func (s *logService) answer(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func TestASinkShowsWhoItIsAndSaysHowItIsDoing(t *testing.T) {
	dir := t.TempDir()
	service := newLogService(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw}))
	write("token", []byte("first-token\n"))
	own := TLSConfig{CertFile: path("client.pem"), KeyFile: path("client.key")}
	writeCertificate(t, own, 71)
	var logged syncBuffer
	s := start(t, path("data"), withConfig(func(c *Config) {
		sink := SinkConfig{
			Name: "central", Type: sinkHTTP, URL: service.URL + "/opa/", Partition: "registry", CAFile: path("ca.pem"),
			CertFile: own.CertFile, KeyFile: own.KeyFile, BearerTokenFile: path("token"),
		}
		sink.complete()
		c.Decisions.Sinks = []SinkConfig{sink}
	}), func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&logged, nil)) })
	ask := func() {
		t.Helper()
		if status, body := s.get("/v2/", "admin", adminPassword); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	shows := func(text string) func() bool {
		return func() bool {
			_, body := s.get("/metrics", "admin", adminPassword)
			return strings.Contains(body, text)
		}
	}
	ask()
	soon(t, "a decision arrives", service.see(func() bool {
		return len(service.ids) > 0 && service.tokens["Bearer first-token"] && service.serials[71] && service.path == "/opa/logs/registry"
	}))
	soon(t, "the metrics say that nothing waits", shows(`bondgate_decision_sink_lag_records{sink="central"} 0`))
	if !shows(`bondgate_decision_sink_shipped_total{sink="central"}`)() || !shows(`bondgate_decision_sink_lost_total{sink="central"} 0`)() {
		t.Error("metrics are missing")
	}

	// The other side moves, and wants us to come along.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	service.answer(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/?first-token", http.StatusTemporaryRedirect)
	})
	ask()
	note := func() string { return s.app.Status(t.Context()).Parts["sink central"] }
	soon(t, "the status says why decisions wait", func() bool {
		return strings.Contains(note(), "decisions are not delivered") && strings.Contains(note(), "redirect")
	})
	soon(t, "the metrics say that one waits", func() bool {
		return !shows(`bondgate_decision_sink_lag_records{sink="central"} 0`)() && !shows(`bondgate_decision_sink_failures_total{sink="central"} 0`)()
	})
	if status, body := s.get("/readyz", "admin", adminPassword); status != http.StatusOK || !strings.Contains(body, "not delivered") {
		t.Errorf("a receiver that is away: %d %s", status, body)
	}

	// Credentials change while the server runs.
	write("token", []byte("second-token"))
	writeCertificate(t, own, 72)
	service.CloseClientConnections()
	service.answer(nil)
	soon(t, "what waited arrives with the new credentials", service.see(func() bool {
		return service.tokens["Bearer second-token"] && service.serials[72]
	}))
	soon(t, "the status is clean", func() bool { return note() == "ok" })
	for _, text := range []string{logged.String(), note()} {
		if strings.Contains(text, "-token") {
			t.Errorf("a secret is told: %s", text)
		}
	}
	var listed []struct {
		ID string `json:"id"`
	}
	_, body := s.get("/api/v1/decisions?limit=1000", "admin", adminPassword)
	if err := json.Unmarshal([]byte(body), &listed); err != nil || len(listed) == 0 {
		t.Fatalf("%v %.300s", err, body)
	}
	soon(t, "every decision that is listed arrives", service.see(func() bool {
		for _, d := range listed {
			if !service.ids[d.ID] {
				return false
			}
		}
		return true
	}))
}

func TestASinkWithoutItsSecretKeepsTheServerFromStarting(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"nothing": "", "two lines": "a\nb\n"} {
		file := filepath.Join(dir, "token")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(t.Context(), options(t, filepath.Join(dir, "data"), withConfig(func(c *Config) {
			sink := SinkConfig{Name: "central", Type: sinkHTTP, URL: "https://logs.example", BearerTokenFile: file}
			sink.complete()
			c.Decisions.Sinks = []SinkConfig{sink}
		})))
		if err == nil || !strings.Contains(err.Error(), "decisions.sinks[0]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// syncBuffer is what several write to.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
