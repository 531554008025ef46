package errcode

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bondgate/bondgate/policy"
)

type away struct{ error }

func (away) Away() string    { return "corp" }
func (a away) Unwrap() error { return a.error }

func TestAnOutageSaysWhoIsAwayAndNotWhy(t *testing.T) {
	err := fmt.Errorf("log in: %w", away{fmt.Errorf("dial 10.0.0.1: %w", policy.ErrUnavailable)})
	e := From(err)
	if e.Status != 503 || !strings.Contains(e.Message, "corp") || strings.Contains(e.Message, "10.0.0.1") || e.Header.Get("Retry-After") == "" {
		t.Fatalf("%d %q %v", e.Status, e.Message, e.Header)
	}
}

func TestFrom(t *testing.T) {
	cases := []struct {
		sentence string
		err      error
		status   int
		code     Code
	}{
		{"a class of policy becomes its code", fmt.Errorf("stat: %w", policy.ErrNoSpace), 507, NoSpace},
		{"an outage is 503", policy.ErrUnavailable, 503, Unavailable},
		{"a limit is 429", policy.ErrLimited, 429, TooManyRequests},
		{"not found is 404", policy.ErrNotFound, 404, NotFound},
		{"a range is 416", policy.ErrRange, 416, RangeInvalid},
		{"too large is 413", policy.ErrTooLarge, 413, TooLarge},
		{"the standard library's body limit is 413", &http.MaxBytesError{Limit: 1}, 413, TooLarge},
		{"a mismatch is the client's", policy.ErrDigestMismatch, 400, DigestInvalid},
		{"an error keeps its own code", fmt.Errorf("x: %w", New(ManifestUnknown, "m")), 404, ManifestUnknown},
		{"an unknown error is internal", errors.New("secret dsn"), 500, Unknown},
		{"space wins over unavailable when both are wrapped", errors.Join(policy.ErrUnavailable, policy.ErrNoSpace), 507, NoSpace},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			e := From(c.err)
			if e.Status != c.status || e.Code != c.code {
				t.Fatalf("got %d %s", e.Status, e.Code)
			}
			if strings.Contains(e.Message, "secret") {
				t.Fatalf("the cause leaks: %q", e.Message)
			}
		})
	}
}

func TestDenied(t *testing.T) {
	d := policy.Decision{ID: "01JC", Visible: true, RetryAfter: 1500 * time.Millisecond, Deny: []policy.Reason{
		{Code: "vuln.critical_fixable", Message: "CVE-2024-1234 in openssl 3.0.1.", Remediation: "Rebuild."},
		{Code: "b"}, {Code: "c"},
	}}
	e := Denied(d, New(NameUnknown, "x"))
	want := "[vuln.critical_fixable] CVE-2024-1234 in openssl 3.0.1 (+2 more). Fix: Rebuild. Decision: 01JC"
	if e.Message != want || e.Status != 403 || e.Header.Get("Retry-After") != "2" {
		t.Fatalf("got %d %q %v", e.Status, e.Message, e.Header)
	}
	d.Visible = false
	if e := Denied(d, New(NameUnknown, "x")); e.Code != NameUnknown {
		t.Fatalf("an invisible repository is told as %s", e.Code)
	}
	d.Visible, d.Deny[0].Message = true, strings.Repeat("long ", 400)
	e = Denied(d, nil)
	if n := utf8.RuneCountInString(e.Message); n > 400 || !strings.HasSuffix(e.Message, "Decision: 01JC") {
		t.Fatalf("%d runes: %q", n, e.Message)
	}
	host := "https://" + strings.Repeat("a", 250) + ".test"
	linked := e.Linked(host)
	if n := utf8.RuneCountInString(linked.Message); n > 400 || !strings.HasSuffix(linked.Message, " Decision: 01JC "+host+"/d/01JC") {
		t.Fatalf("%d runes: %q", n, linked.Message)
	}
	if strings.Contains(e.Message, host) {
		t.Fatal("an answer was changed that others may hold")
	}
	d.ID = "x/../y"
	if e := Denied(d, nil).Linked(host); strings.Contains(e.Message, host) {
		t.Fatalf("an id that is none has a link: %q", e.Message)
	}
	if e := New(NotFound, "x").Linked(host); e.Message != "x" {
		t.Fatalf("what tells of no decision has a link: %q", e.Message)
	}
	if e := Denied(policy.Decision{}, nil); e.Status != 403 || e.Message == "" {
		t.Fatalf("the zero decision: %d %q", e.Status, e.Message)
	}
}

func TestWrite(t *testing.T) {
	cases := []struct {
		sentence, message, want string
	}{
		{"a line break cannot forge a log line", "a\r\nb", "a  b"},
		{"an escape sequence cannot paint a terminal", "\x1b[31mred", `\x1b[31mred`},
		{"a right-to-left override is shown", "a\u202eb", `a\u202eb`},
		{"invalid UTF-8 is shown", "a\xffb", `a\ufffdb`},
		{"a plain message stays", "héllo", "héllo"},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("Docker-Content-Digest", "sha256:x")
			Write(w, httptest.NewRequest("GET", "/v2/", nil), New(DeniedCode, c.message).With("Retry-After", "3"))
			var got answer
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Errors) != 1 || got.Errors[0].Message != c.want || w.Code != 403 {
				t.Fatalf("got %d %+v", w.Code, got)
			}
			if w.Header().Get("Retry-After") != "3" || w.Header().Get("Docker-Content-Digest") != "" || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("headers %v", w.Header())
			}
		})
	}
	w := httptest.NewRecorder()
	granted := New(BadRequest, "the token is not accepted")
	granted.OAuth = "invalid_grant"
	Write(w, httptest.NewRequest("POST", "/token", nil), granted)
	want := `{"errors":[{"code":"BAD_REQUEST","message":"the token is not accepted"}],"error":"invalid_grant","error_description":"the token is not accepted"}`
	if w.Body.String() != want {
		t.Fatalf("an OAuth2 client reads %s", w.Body)
	}
	w = httptest.NewRecorder()
	Write(w, httptest.NewRequest("HEAD", "/v2/", nil), policy.ErrNotFound)
	if w.Body.Len() != 0 || w.Code != 404 {
		t.Fatalf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}
