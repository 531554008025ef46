package decisionlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bondgate/bondgate/policy"
)

// The example is what a reader of the documentation is shown, and what a change
// of the format has to change with it.
func TestAnEventIsInTheFormatOfOPAsDecisionLogs(t *testing.T) {
	e := Entry{
		ID: "d-2026-1", At: time.Date(2026, 11, 21, 10, 0, 0, 123456000, time.UTC), Count: 3, RequestID: "req-1",
		Workspace: "default", Action: "manifest.pull", Purpose: "use", Subject: "alice", Issuer: "https://sso.acme",
		Project: "payments", Repository: "payments/api", Reference: "1.4.2", Digest: "sha256:aa", Verdict: verdictDeny,
		Deny: []policy.Reason{{
			Code: "vuln.critical_fixable", Pack: "vuln", Mode: "deny", Severity: "critical", Term: "CVE-2024-1234",
			Message: "CVE-2024-1234 in openssl <3.0.14", Remediation: "Rebuild on a base image that carries the fixed version.",
		}},
		Waived:  []policy.Waived{{Code: "vuln.critical_fixable", Term: "CVE-2023-9", Waiver: "W-2026-014"}},
		Visible: true, Message: "[vuln.critical_fixable] CVE-2024-1234 in openssl <3.0.14", Revision: "git:9f1c",
		Replayable: true, Masked: []string{"subject.claims.e/mail", "record.message"},
		InputDigest: "sha256:bb", Writer: "replica-1", Seq: 42, Hash: "sha256:" + strings.Repeat("0c", 32),
	}
	in := eventInput{
		doc:     json.RawMessage(`{"action":"manifest.pull","request":{"client_ip":"10.1.2.3"},"subject":{"claims":{"e/mail":"hmac:0011223344556677"},"name":"alice"}}`),
		address: "10.1.2.3",
	}
	got, err := eventOf(e, in, map[string]string{"site": "fra", "id": "another"})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, want); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, compact.Bytes()) {
		t.Errorf("the event is\n%s\nwant\n%s", got, compact.Bytes())
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(got))
	if err == nil {
		err = eventSchema(t).Validate(doc)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestASinkThatMakesNoSenseIsRefused(t *testing.T) {
	l := openIn(t, t.TempDir())
	ok := receiverFunc(func(context.Context, []json.RawMessage) error { return nil })
	for name, sinks := range map[string][]Sink{
		"no name":           {{To: ok}},
		"an odd name":       {{Name: "a b", To: ok}},
		"no receiver":       {{Name: "a"}},
		"no records":        {{Name: "a", To: ok, Records: -1}},
		"too few bytes":     {{Name: "a", To: ok, Bytes: 100}},
		"too long a wait":   {{Name: "a", To: ok, Timeout: time.Minute}},
		"two with one name": {{Name: "a", To: ok}, {Name: "a", To: ok}},
	} {
		if err := l.Ship(sinks...); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Ship(Sink{Name: "a", To: ok}); err != nil {
		t.Fatal(err)
	}
	if err := l.Ship(Sink{Name: "b", To: ok}); !errors.Is(err, policy.ErrConflict) {
		t.Errorf("sinks twice: %v", err)
	}
}

func TestAnAddressOfASinkIsNoSecretAndHoldsNone(t *testing.T) {
	const secret = "hunter2"
	for _, cfg := range []HTTPConfig{
		{URL: "https://u:" + secret + "@logs.example"},
		{URL: "https://logs.example/?key=" + secret},
		{URL: "https://u:" + secret + "%zz@logs.example"},
		{URL: "ftp://logs.example"},
		{URL: "logs.example"},
		{URL: "https://logs.example", Partition: "a/b"},
		{URL: "https://logs.example", Partition: ".."},
		{URL: "https://logs.example"}, // without a client
	} {
		if cfg.Partition != "" {
			cfg.Client = http.DefaultClient
		}
		if _, err := NewHTTP(cfg); !errors.Is(err, policy.ErrInvalid) || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	// What the client says of an address that cannot be reached stays out too.
	h, err := NewHTTP(HTTPConfig{URL: "http://127.0.0.1:1/private-path", Client: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Send(t.Context(), nil); err == nil || strings.Contains(err.Error(), "private-path") {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestWaitingIsBoundedAndAsLongAsTheReceiverWants(t *testing.T) {
	l := openIn(t, t.TempDir())
	s, err := newSink(l, Sink{Name: "a", To: receiverFunc(nil)}, usualPace, "holder")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if wait := s.failed(errors.New("away")); wait < usualPace.least/2 || wait > usualPace.most {
			t.Fatalf("after %d failures it waits %s", i+1, wait)
		}
	}
	s.tries = 0
	for asked, least := range map[time.Duration]time.Duration{
		0: 0, 5 * time.Second: 5 * time.Second, 100 * time.Hour: usualPace.patience, math.MaxInt64: usualPace.patience,
	} {
		if wait := s.failed(&Refusal{Status: 429, RetryAfter: asked}); wait < least || wait > usualPace.patience {
			t.Errorf("asked for %s it waits %s", asked, wait)
		}
	}
	h := &HTTP{now: func() time.Time { return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }}
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "99999999999999999999": 0, "soon": 0,
		"Sat, 21 Nov 2026 10:00:30 GMT": 30 * time.Second, "Sat, 21 Nov 2026 09:00:00 GMT": 0,
	} {
		if got := h.retryAfter(text); got != want {
			t.Errorf("Retry-After: %q is %s, want %s", text, got, want)
		}
	}
}

func TestLessAtATimeIsNotForEver(t *testing.T) {
	l := openIn(t, t.TempDir())
	tooMuch := true
	s, err := newSink(l, Sink{Name: "a", To: receiverFunc(func(context.Context, []json.RawMessage) error {
		if tooMuch {
			return &Refusal{Status: http.StatusRequestEntityTooLarge}
		}
		return nil
	})}, usualPace, "holder")
	if err != nil {
		t.Fatal(err)
	}
	two := load{events: make([]json.RawMessage, 2), ids: []string{"a", "b"}, bytes: 100_000}
	for range 10 {
		if again, err := s.send(t.Context(), two); !again || err != nil {
			t.Fatalf("too much: %v, %v", again, err)
		}
	}
	if s.bytes != 50_000 {
		t.Errorf("after a delivery of 100000 bytes that was too large, %d are sent", s.bytes)
	}
	tooMuch = false
	for range 10 * calmAfter {
		if again, err := s.send(t.Context(), two); again || err != nil {
			t.Fatalf("enough: %v, %v", again, err)
		}
	}
	if s.bytes != DefaultSinkBytes {
		t.Errorf("%d bytes are sent for ever", s.bytes)
	}
}

func TestLinesGoOnAfterAWriteThatWasCutShort(t *testing.T) {
	var out bytes.Buffer
	room := 12
	l := NewLines(writerFunc(func(p []byte) (int, error) {
		n := min(room, len(p))
		room -= n
		out.Write(p[:n])
		if n < len(p) {
			return n, io.ErrShortWrite
		}
		return n, nil
	}))
	events := []json.RawMessage{json.RawMessage(`{"n":1}`), json.RawMessage(`{"n":2}`)}
	for range 2 { // the second time nothing at all is taken
		if err := l.Send(t.Context(), events); !errors.Is(err, io.ErrShortWrite) {
			t.Fatalf("a write that was cut short: %v", err)
		}
	}
	room = 1000
	if err := l.Send(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "{\"n\":1}\n{\"n\"\n{\"n\":1}\n{\"n\":2}\n"; got != want {
		t.Errorf("written %q, want %q", got, want)
	}
}

func TestAPipeThatNobodyReadsHoldsUpNothing(t *testing.T) {
	r, w := io.Pipe()
	l := NewLines(w)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := l.Send(ctx, []json.RawMessage{json.RawMessage(`{}`)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody reads: %v", err)
		}
		cancel()
	}
	r.Close()
	if err := l.Send(t.Context(), []json.RawMessage{json.RawMessage(`{}`)}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the reader has gone: %v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
