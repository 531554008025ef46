package decisionlog

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// behaviour answers a delivery instead of the receiver, and reports whether it did.
type behaviour func(w http.ResponseWriter, r *http.Request) bool

// logService is a service that takes decision logs: it speaks gzip, has a limit
// for a body and can go wrong in every way that there is. It reads events by
// OPA's documentation and knows nothing of how they are written.
type logService struct {
	t      *testing.T
	server *httptest.Server
	schema *jsonschema.Schema

	mu sync.Mutex
	// trouble is what happens to the next deliveries; a behaviour that answers
	// false lets one pass.
	trouble []behaviour
	limit   int // of a body, unpacked; 0 for none
	events  []map[string]any
	sizes   []int // events of each delivery
	bodies  []int // bytes of each delivery, unpacked
	met     int
	header  http.Header
	path    string
}

func newLogService(t *testing.T) *logService {
	s := &logService{t: t, schema: eventSchema(t)}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func eventSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("testdata/opa-decision-log.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func (s *logService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.met++
	var do behaviour
	if len(s.trouble) > 0 {
		do, s.trouble = s.trouble[0], s.trouble[1:]
	}
	s.mu.Unlock()
	if do != nil && do(w, r) {
		return
	}
	body, err := unpacked(r)
	if err != nil {
		s.t.Errorf("a delivery that cannot be read: %v", err)
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit > 0 && len(body) > s.limit {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	if err := s.take(body); err != nil {
		s.t.Errorf("a delivery that is none: %v: %.400s", err, body)
	}
	s.header, s.path = r.Header.Clone(), r.URL.Path
	w.WriteHeader(http.StatusOK)
}

func unpacked(r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Content-Encoding") != "gzip" {
		return nil, fmt.Errorf("%s with %v", r.Method, r.Header)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func (s *logService) take(body []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var events []map[string]any
	if err := dec.Decode(&events); err != nil {
		return err
	}
	if len(events) == 0 {
		return fmt.Errorf("nothing was sent")
	}
	for _, e := range events {
		if err := s.schema.Validate(e); err != nil {
			return err
		}
	}
	s.events = append(s.events, events...)
	s.sizes, s.bodies = append(s.sizes, len(events)), append(s.bodies, len(body))
	return nil
}

// got are the ids of the decisions in the order in which they came first, and
// how many came again.
func (s *logService) got() (first []string, again int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range s.events {
		id := e["decision_id"].(string)
		if seen[id] {
			again++
			continue
		}
		seen[id] = true
		first = append(first, id)
	}
	return first, again
}

func (s *logService) event(id string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.events, func(e map[string]any) bool { return e["decision_id"] == id })
	if i < 0 {
		s.t.Fatalf("%s did not arrive", id)
	}
	return s.events[i]
}

func (s *logService) behave(next ...behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = append(s.trouble, next...)
}

// untroubled reports whether all that was to go wrong did.
func (s *logService) untroubled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.trouble) == 0
}

func answers(status int, header ...string) behaviour {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		return true
	}
}

// hangs answers nothing until the client has gone.
func hangs(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return true
}

// closesHalf takes some of the body, ends its side of the connection and stays.
func closesHalf(w http.ResponseWriter, r *http.Request) bool {
	_, _ = io.ReadFull(r.Body, make([]byte, 10))
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return true
	}
	defer c.Close()
	half(c, buf)
	return true
}

func half(c net.Conn, buf *bufio.ReadWriter) {
	_ = c.(*net.TCPConn).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.Copy(io.Discard, buf)
}

// takesAndForgets reads all and closes without an answer, so that nobody knows
// whether it arrived; keep says whether it did.
func (s *logService) takesAndForgets(w http.ResponseWriter, r *http.Request) bool {
	body, err := unpacked(r)
	if err == nil {
		s.mu.Lock()
		err = s.take(body)
		s.mu.Unlock()
	}
	if err != nil {
		s.t.Error(err)
	}
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
	return true
}

// trickles takes the body slowly, and then like any other.
func trickles(_ http.ResponseWriter, r *http.Request) bool {
	var body strings.Builder
	piece := make([]byte, 64)
	for {
		n, err := r.Body.Read(piece)
		body.Write(piece[:n])
		time.Sleep(time.Millisecond)
		if err != nil {
			break
		}
	}
	r.Body = io.NopCloser(strings.NewReader(body.String()))
	return false
}

// sinkTo is a sink that leads to the service.
func sinkTo(t *testing.T, s *logService, change ...func(*Sink)) Sink {
	t.Helper()
	to, err := NewHTTP(HTTPConfig{URL: s.server.URL, Client: s.server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	out := Sink{Name: "central", To: to, Timeout: 2 * time.Second}
	for _, f := range change {
		f(&out)
	}
	return out
}

// brisk is a pace at which nobody falls asleep.
var brisk = pace{
	poll: 5 * time.Millisecond, lease: 10 * time.Second,
	least: time.Millisecond, most: 20 * time.Millisecond, patience: 50 * time.Millisecond,
}

func shipTo(t *testing.T, l *Log, sinks ...Sink) {
	t.Helper()
	if err := l.ship(brisk, sinks); err != nil {
		t.Fatal(err)
	}
}

// receiverFunc is a receiver of a test's own.
type receiverFunc func(ctx context.Context, events []json.RawMessage) error

func (f receiverFunc) Send(ctx context.Context, events []json.RawMessage) error {
	return f(ctx, events)
}

// lockedBuffer is what several write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// listenAt is the service again, at an address that it had before.
func (s *logService) listenAt(address string) {
	s.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	again := &http.Server{Handler: s}
	go func() { _ = again.Serve(l) }()
	s.t.Cleanup(func() { again.Close() })
}
