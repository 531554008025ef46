package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

func TestAPanicIsAnAnswerWithoutInternals(t *testing.T) {
	h := newHouse(t)
	cases := []struct {
		sentence string
		value    any
		status   int
	}{
		{"any panic is 500", "secret dsn", 500},
		{"an outage is 503", fmt.Errorf("secret: %w", policy.ErrUnavailable), 503},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			h.protocol.serve = func(http.ResponseWriter, *http.Request, authn.Caller) error { panic(c.value) }
			h.api.serve = h.protocol.serve
			for _, path := range []string{"/v2/", "/api/v1/users"} {
				w := h.do(request("GET", path))
				if w.Code != c.status || strings.Contains(w.Body.String(), "secret") || !strings.Contains(h.log.String(), "secret") {
					t.Fatalf("%s: %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
	t.Run("a body that has begun is cut, not ended", func(t *testing.T) {
		for _, serve := range []func(http.ResponseWriter, *http.Request, authn.Caller) error{
			func(w http.ResponseWriter, _ *http.Request, _ authn.Caller) error {
				_, _ = io.WriteString(w, strings.Repeat("x", 10000))
				panic("late")
			},
			func(w http.ResponseWriter, _ *http.Request, _ authn.Caller) error {
				_, _ = io.WriteString(w, strings.Repeat("x", 10000))
				return policy.ErrUnavailable
			},
		} {
			h.protocol.serve, h.api.serve = serve, serve
			srv := httptest.NewServer(h.edge)
			for _, path := range []string{"/v2/", "/api/v1/x"} {
				res, err := http.Get(srv.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if err == nil || strings.Contains(string(body), "UNAVAILABLE") {
					t.Fatalf("%s: a cut body of %d bytes looks whole", path, len(body))
				}
				_ = res.Body.Close()
			}
			srv.Close()
		}
	})
}

func TestTheLogHasNoSecretsAndNoForgedLines(t *testing.T) {
	h := newHouse(t)
	h.do(request("GET", "/token?password=sesame&account=a", basic("alice"), with("User-Agent", "x\x1b[31m\"y"), with("Cookie", "sesame")))
	h.do(request("GET", "/v2/a%0Ab/manifests/sesame-not-secret", with("Authorization", "Bearer sesame")))
	if strings.Contains(h.log.String(), "sesame\"") || strings.Contains(h.log.String(), "password") || strings.Contains(h.log.String(), "\x1b") ||
		strings.Contains(h.log.String(), "YWxpY2U6cmlnaHQ=") {
		t.Fatal(h.log.String())
	}
	for line := range strings.Lines(h.log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if entry["msg"] == "request" && (entry["request_id"] == "" || strings.Contains(entry["path"].(string), "\n")) {
			t.Fatal(line)
		}
	}
}
