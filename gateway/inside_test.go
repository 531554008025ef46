package gateway_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/policy"
)

func TestWhoSeesInside(t *testing.T) {
	behind := func(c *gateway.Config) { c.BehindTLSProxy = true }
	cases := []struct {
		sentence string
		config   func(*gateway.Config)
		r        []func(*http.Request)
		metrics  int
		detail   bool
	}{
		{"somebody on the same machine", nil, []func(*http.Request){loopback}, 200, true},
		{"a stranger", nil, nil, 401, false},
		{"an administrator", nil, []func(*http.Request){basic("admin")}, 200, true},
		{"somebody else with a password", nil, []func(*http.Request){basic("alice")}, 403, false},
		{"an administrator's registry token", nil, []func(*http.Request){with("Authorization", "Bearer tok")}, 401, false},
		{"loopback, but passed on by a proxy", nil, []func(*http.Request){loopback, with("X-Forwarded-For", "203.0.113.9")}, 401, false},
		{"loopback behind a proxy that says nothing", behind, []func(*http.Request){loopback}, 401, false},
		{"a page whose name was pointed at loopback", nil, []func(*http.Request){loopback, func(r *http.Request) { r.Host = "evil.example" }}, 401, false},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			var changes []func(*gateway.Config)
			if c.config != nil {
				changes = append(changes, c.config)
			}
			h := newHouse(t, changes...)
			if w := h.do(request("GET", "/metrics", c.r...)); w.Code != c.metrics || (w.Code == 200) != strings.Contains(w.Body.String(), "bondgate_http_requests_total") {
				t.Fatalf("metrics: %d", w.Code)
			}
			h.note = "the last edit of the policy was refused"
			w := h.do(request("GET", "/readyz", c.r...))
			if w.Code != 200 || strings.Contains(w.Body.String(), h.note) != c.detail {
				t.Fatalf("readyz: %d %s", w.Code, w.Body)
			}
		})
	}
	h := newHouse(t)
	h.do(request("GET", "/metrics", basic("admin")))
	if a := h.gate.asked; len(a) != 1 || a[0].Action != policy.AdminAPI || a[0].Admin.Resource != "metrics" || a[0].Admin.Verb != "read" {
		t.Fatalf("%+v", a)
	}
}

func TestHealth(t *testing.T) {
	now := time.Now()
	h := newHouse(t, func(c *gateway.Config) { c.Now = func() time.Time { return now } })
	if w := h.do(request("GET", "/livez")); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Fatal(w.Code)
	}
	h.broken = errors.New("disk\nis gone")
	if w := h.do(request("GET", "/readyz")); w.Code != 503 || w.Body.String() != "not ready\n" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w := h.do(request("GET", "/readyz", loopback))
	var detail struct {
		Ready bool
		Parts []struct {
			Name, Error string
			Ready       bool
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &detail); err != nil || w.Code != 503 || detail.Ready || len(detail.Parts) != 2 ||
		detail.Parts[0].Name != "storage" || detail.Parts[0].Error != "disk is gone" || !detail.Parts[1].Ready {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	if w := h.do(request("HEAD", "/livez")); w.Code != 200 {
		t.Fatal("livez depends on the parts")
	}
	h.broken = nil
	if w := h.do(request("GET", "/readyz")); w.Code != 503 {
		t.Fatal("each question costs a check")
	}
	now = now.Add(time.Second)
	if w := h.do(request("GET", "/readyz")); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := h.do(request("GET", "/readyz", func(r *http.Request) { r.SetBasicAuth("admin", "wrong") })); w.Code != 401 {
		t.Fatalf("a wrong password: %d", w.Code)
	}
}
