package e2e

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// collector is a service that takes decision logs as OPA sends them, and not always.
type collector struct {
	mu    sync.Mutex
	met   int
	order []string
	times map[string]int
	wrong string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.met++; c.met%4 == 0 {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/logs/registry" || r.Header.Get("Authorization") != "Bearer collector-token" {
		c.wrong = fmt.Sprintf("%s %s", r.Method, r.URL.Path)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		c.wrong = err.Error()
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var events []decisionEvent
	if err := json.NewDecoder(z).Decode(&events); err != nil {
		c.wrong = err.Error()
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, e := range events {
		if e.ID == "" || e.Path != "bondgate/decision" || e.Labels["site"] != "fra" || e.Timestamp.IsZero() {
			c.wrong = fmt.Sprintf("%+v", e)
		}
		if c.times[e.ID]++; c.times[e.ID] == 1 {
			c.order = append(c.order, e.ID)
		}
	}
}

type decisionEvent struct {
	ID        string            `json:"decision_id"`
	Path      string            `json:"path"`
	Labels    map[string]string `json:"labels"`
	Timestamp time.Time         `json:"timestamp"`
}

// The server is killed again and again while a service that is not always well
// takes its decisions: each of them arrives, in the order in which it was kept.
func TestEveryDecisionReachesTheSinksThroughKills(t *testing.T) {
	service := &collector{times: map[string]int{}}
	server := httptest.NewServer(service)
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("collector-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := staffed(t, harness.Options{Config: fmt.Sprintf(`decisions:
  sinks:
    - name: central
      type: http
      url: %s
      insecure_plain_http: true
      partition: registry
      labels: {site: fra}
      bearer_token_file: %s
      batch_records: 3
    - name: console
      type: stdout
      labels: {site: fra}
`, server.URL, token)})
	printed := map[string]bool{}
	read := func() {
		lines := bufio.NewScanner(strings.NewReader(g.Log()))
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			var e decisionEvent
			if json.Unmarshal(lines.Bytes(), &e) == nil && e.ID != "" {
				printed[e.ID] = true
			}
		}
	}
	for round := range 4 {
		for i := range 12 {
			// Denials are written before the answer: they survive a kill.
			who, word := alice, password
			if i%2 == 0 {
				who, word = "", ""
			}
			g.Do(http.MethodGet, fmt.Sprintf("/v2/%s/round-%d-%d/tags/list", team, round, i), who, word, nil, nil)
		}
		g.Kill()
		read()
		g.Start()
	}
	var kept []string
	out := g.CLI("decisions", "tail", "-n", "1000", "--json").OK(t)
	for line := range strings.Lines(out) {
		var d struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		kept = append(kept, d.ID)
	}
	if len(kept) < 4*6 {
		t.Fatalf("%d decisions were kept", len(kept))
	}
	harness.Eventually(t, "every decision that is kept has arrived", func() error {
		service.mu.Lock()
		defer service.mu.Unlock()
		for i, id := range kept {
			if i >= len(service.order) {
				return fmt.Errorf("%d of %d have arrived", len(service.order), len(kept))
			}
			if service.order[i] != id {
				t.Fatalf("decision %d is %s, and arrived was %s", i, id, service.order[i])
			}
		}
		return nil
	})
	harness.Eventually(t, "every decision that is kept was printed", func() error {
		read()
		for _, id := range kept {
			if !printed[id] {
				return fmt.Errorf("%s was not", id)
			}
		}
		return nil
	})
	service.mu.Lock()
	defer service.mu.Unlock()
	if service.wrong != "" {
		t.Errorf("the service was sent %s", service.wrong)
	}
	again := 0
	for _, n := range service.times {
		again += n - 1
	}
	t.Logf("%d decisions were kept, %d of those that arrived came again", len(kept), again)
	if status := g.CLI("status").OK(t); !strings.Contains(status, "sink central") {
		t.Errorf("the status says nothing of it:\n%s", status)
	}
}

// A collector that crashes takes the end of the pipe with it. A program that
// writes to its standard output then is ended by the system, unless it takes care.
func TestARegistryOutlivesWhoReadsItsStandardOutput(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	g := harness.StartGateway(t, harness.Options{Stdout: writer, Config: `decisions:
  sinks:
    - {name: console, type: stdout}
`})
	lines := bufio.NewReader(reader)
	ask := func() {
		t.Helper()
		if r := g.Do(http.MethodGet, "/v2/", harness.AdminUser, harness.AdminPassword, nil, nil); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
	}
	ask()
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var e decisionEvent
		if json.Unmarshal(line, &e) == nil && e.Path == "bondgate/decision" {
			break
		}
	}
	reader.Close()
	harness.Eventually(t, "the status says that decisions wait", func() error {
		ask()
		if said := g.CLI("status").OK(t); !strings.Contains(said, "broken pipe") || !strings.Contains(said, "not delivered") {
			return fmt.Errorf("it says %s", said)
		}
		return nil
	})
	ask()
}
