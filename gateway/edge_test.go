package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// handler is a part of the site that keeps what it was given.
type handler struct {
	mu    sync.Mutex
	last  authn.Caller
	calls int
	serve func(w http.ResponseWriter, r *http.Request, c authn.Caller) error
}

func (h *handler) Serve(w http.ResponseWriter, r *http.Request, c authn.Caller) error {
	h.mu.Lock()
	h.last, h.calls = c, h.calls+1
	serve := h.serve
	h.mu.Unlock()
	if serve != nil {
		return serve(w, r, c)
	}
	_, err := io.WriteString(w, "served")
	return err
}

type people struct{}

func (people) Authenticate(_ context.Context, workspace, name, password string) (policy.Principal, error) {
	switch {
	case name == "down":
		return policy.Principal{}, policy.ErrUnavailable
	case name == "busy":
		return policy.Principal{}, policy.ErrLimited
	case password != "right":
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	return policy.Principal{Workspace: workspace, Issuer: "local", ID: name, Kind: policy.KindUser, Auth: "basic"}, nil
}

type tokens struct{}

func (tokens) Verify(_ context.Context, workspace, raw string) (authn.Caller, error) {
	if raw != "tok" {
		return authn.Caller{}, policy.ErrUnauthenticated
	}
	return authn.Caller{Principal: policy.Principal{Workspace: workspace, Issuer: "local", ID: "admin"}, Scoped: true}, nil
}

type gate struct{ asked []policy.Request }

func (g *gate) Admit(_ context.Context, req policy.Request) (policy.Decision, error) {
	g.asked = append(g.asked, req)
	if req.Principal.ID == "admin" {
		return policy.Decision{Verdict: policy.Allow}, nil
	}
	return policy.Decision{ID: "d1", Visible: true}, nil
}

type keys struct{}

func (keys) JWKS() []byte { return []byte(`{"keys":[]}`) }
func (keys) Name() string { return "bondgate" }

// house is an edge with stand-ins behind it.
type house struct {
	edge                 *gateway.Edge
	protocol, token, api *handler
	gate                 *gate
	log                  *bytes.Buffer
	broken               error
	note                 string
}

func newHouse(t testing.TB, change ...func(*gateway.Config)) *house {
	t.Helper()
	h := &house{protocol: &handler{}, token: &handler{}, api: &handler{}, gate: &gate{}, log: &bytes.Buffer{}}
	a, err := authn.New(authn.Config{Passwords: []authn.Passwords{people{}}, Tokens: tokens{}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{
		Authn: a, Gate: h.gate, Protocol: h.protocol, Token: h.token, API: h.api, Keys: keys{}, Metrics: prometheus.NewRegistry(),
		Log: slog.New(slog.NewJSONHandler(h.log, nil)),
		Parts: []gateway.Part{
			{Name: "storage", Check: func(context.Context) error { return h.broken }, Note: func() string { return h.note }},
			{Name: "metadata", Check: func(context.Context) error { return nil }},
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	if h.edge, err = gateway.New(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.edge.ServeHTTP(w, r)
	return w
}

func recorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func request(method, target string, change ...func(*http.Request)) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for _, f := range change {
		f(r)
	}
	return r
}

func basic(name string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(name, "right") }
}

func with(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

func loopback(r *http.Request) { r.RemoteAddr, r.Host = "127.0.0.1:999", "localhost:5000" }

func TestTheRegistryIsServedWithWhoAsks(t *testing.T) {
	h := newHouse(t)
	w := h.do(request("GET", "/v2/team/app/manifests/v1", basic("alice"), with("X-Request-Id", "chosen"), with("X-Forwarded-For", "10.0.0.1")))
	if w.Code != 200 || w.Body.String() != "served" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	id := w.Header().Get("X-Request-Id")
	c := h.protocol.last
	if id == "" || id == "chosen" || c.RequestID != id || c.Principal.ID != "alice" || c.Scoped || c.ClientIP != "192.0.2.1" || c.Principal.Workspace != "default" {
		t.Fatalf("%q %+v", id, c)
	}
	h.do(request("GET", "/v2/", with("Authorization", "Bearer tok")))
	if c := h.protocol.last; !c.Scoped || c.Principal.ID != "admin" || c.RequestID == id {
		t.Fatalf("%+v", c)
	}
	h.do(request("GET", "/v2/"))
	if c := h.protocol.last; !c.Principal.Anonymous() || c.Principal.Workspace != "default" {
		t.Fatalf("%+v", c)
	}
}

func TestErrorsOfAuthentication(t *testing.T) {
	h := newHouse(t)
	for user, want := range map[string]int{"down": 503, "busy": 429} {
		if w := h.do(request("GET", "/v2/", basic(user))); w.Code != want || w.Header().Get("Retry-After") == "" {
			t.Fatalf("%s: %d", user, w.Code)
		}
	}
	if w := h.do(request("HEAD", "/v2/", with("Authorization", "x"))); w.Code != 401 || w.Body.Len() != 0 {
		t.Fatalf("%d %q", w.Code, w.Body)
	}
}

// Attack class 13: identity, address and scheme that a client merely claims.
func TestHeadersAreNoIdentity(t *testing.T) {
	claims := []func(*http.Request){
		with("X-Forwarded-User", "admin"), with("X-Remote-User", "admin"), with("Remote-User", "admin"), with("X-Forwarded-For", "127.0.0.1"),
		with("X-Real-Ip", "127.0.0.1"), with("Forwarded", "for=127.0.0.1"), with("X-Bondgate-User", "admin"), with("Cookie", "session=admin"),
		with("User-Agent", "trivy/0.69"), with("X-Request-Id", "admin"), with("X-Original-Url", "/v2/"), with("X-Http-Method-Override", "DELETE"),
		with("X-Forwarded-Host", "localhost"), with("X-Ssl-Client-S-Dn", "CN=admin"), with("Authorization-Extra", "Bearer tok"),
	}
	h := newHouse(t)
	h.do(request("GET", "/v2/a/b/tags/list", claims...))
	if c := h.protocol.last; !c.Principal.Anonymous() || c.Scoped || c.ClientIP != "192.0.2.1" {
		t.Fatalf("%+v", c)
	}
	for _, path := range []string{"/metrics"} {
		if w := h.do(request("GET", path, claims...)); w.Code != 401 {
			t.Fatalf("%s: %d", path, w.Code)
		}
	}
	if w := h.do(request("GET", "/readyz", claims...)); strings.Contains(w.Body.String(), "storage") {
		t.Fatalf("detail for a stranger: %s", w.Body)
	}
	h.do(request("GET", "/api/v1/users", claims...))
	if c := h.api.last; !c.Principal.Anonymous() || c.Principal.Kind == policy.KindOperator {
		t.Fatalf("%+v", c)
	}
	if len(h.gate.asked) != 0 {
		t.Fatalf("somebody was believed: %+v", h.gate.asked[0].Principal)
	}
}

func TestClientAddress(t *testing.T) {
	trusted := func(c *gateway.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.0.0.0/8")}
	}
	cases := []struct{ sentence, peer, header, want string }{
		{"a trusted proxy is believed", "192.0.2.1:5", "203.0.113.9", "203.0.113.9"},
		{"of several only the last stranger", "192.0.2.1:5", "127.0.0.1, 203.0.113.9, 10.1.1.1", "203.0.113.9"},
		{"nonsense leaves the proxy", "192.0.2.1:5", "127.0.0.1, nonsense", "192.0.2.1"},
		{"no header leaves the proxy", "192.0.2.1:5", "", "192.0.2.1"},
		{"a stranger is not believed", "198.51.100.1:5", "203.0.113.9", "198.51.100.1"},
		{"an address within IPv6 is the same address", "[::ffff:192.0.2.1]:5", "203.0.113.9", "203.0.113.9"},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			h := newHouse(t, trusted)
			r := request("GET", "/v2/")
			r.RemoteAddr = c.peer
			if c.header != "" {
				r.Header.Set("X-Forwarded-For", c.header)
			}
			h.do(r)
			if got := h.protocol.last.ClientIP; got != c.want {
				t.Fatalf("got %s", got)
			}
		})
	}
}

func TestSite(t *testing.T) {
	h := newHouse(t)
	cases := []struct {
		method, path string
		status       int
	}{
		{"GET", "/token", 200}, {"POST", "/token", 200}, {"DELETE", "/token", 405}, {"GET", "/.well-known/jwks.json", 200},
		{"GET", "/api/v1/users", 200}, {"PATCH", "/api/v1/users", 200}, {"GET", "/", 404}, {"GET", "/v1/", 404}, {"GET", "/v2", 200},
		{"GET", "/V2/", 404}, {"GET", "//v2/", 404}, {"GET", "/livez/", 404}, {"POST", "/metrics", 405}, {"GET", "/debug/pprof/", 404},
		{"OPTIONS", "/api/v1/users", 200}, {"BREW", "/livez", 405},
	}
	for _, c := range cases {
		w := h.do(request(c.method, c.path))
		if w.Code != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.status)
		}
		if c.status >= 400 && (w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Request-Id") == "") {
			t.Errorf("%s %s: %v", c.method, c.path, w.Header())
		}
	}
	if c := h.token.last; !c.Principal.Anonymous() || c.RequestID == "" || c.ClientIP == "" || c.Principal.Workspace != "default" {
		t.Fatalf("%+v", c)
	}
}

func TestTheSocketIsTheOperators(t *testing.T) {
	h := newHouse(t)
	do := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := request("GET", path)
		r.RemoteAddr = "@"
		h.edge.Operator().ServeHTTP(w, r)
		return w
	}
	if w := do("/api/v1/users"); w.Code != 200 || h.api.last.Principal.Kind != policy.KindOperator || h.api.last.Principal.Auth != "socket" {
		t.Fatalf("%d %+v", w.Code, h.api.last)
	}
	if do("/metrics").Code != 200 || !strings.Contains(do("/readyz").Body.String(), "storage") {
		t.Fatal("the operator does not see inside")
	}
	for _, path := range []string{"/v2/", "/token"} {
		if w := do(path); w.Code != 404 {
			t.Fatalf("%s by the socket: %d", path, w.Code)
		}
	}
}

func TestMetricsAreAClosedList(t *testing.T) {
	h := newHouse(t)
	for i := range 50 {
		h.do(request("GET", fmt.Sprintf("/v2/a%d/manifests/v1", i)))
		h.do(request(fmt.Sprintf("M%d", i), fmt.Sprintf("/x%d", i)))
	}
	body := h.do(request("GET", "/metrics", loopback)).Body.String()
	for _, want := range []string{
		`bondgate_http_requests_total{action="manifest.pull",code="2xx"} 50`, `bondgate_http_requests_total{action="other",code="4xx"} 50`,
		`bondgate_http_requests_in_flight 1`, `bondgate_http_response_bytes_total{action="manifest.pull"} 300`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, "a7") || strings.Contains(body, "M7") {
		t.Fatal("a client makes series")
	}
}

// hosts are the workspaces of the tests; a host called "down" is asked of a
// database that does not answer.
type hosts map[string]string

func (h hosts) Workspace(host string) (string, error) {
	if host == "down" {
		return "", policy.ErrUnavailable
	}
	return h[host], nil
}

func TestAHostWhoseWorkspaceIsNotKnownNowIsNotTheDefaultOne(t *testing.T) {
	h := newHouse(t, func(c *gateway.Config) { c.Workspaces = hosts{} })
	r := request("GET", "/v2/", basic("alice"))
	r.Host = "down"
	if got := h.do(r).Code; got != http.StatusServiceUnavailable {
		t.Fatalf("status %d", got)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		r := request("GET", path)
		r.Host = "down"
		if got := h.do(r).Code; got != http.StatusOK {
			t.Errorf("%s: status %d", path, got)
		}
	}
}

func TestAClientThatHangsUpIsNoOutage(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.protocol.serve = func(http.ResponseWriter, *http.Request, authn.Caller) error {
		cancel()
		return fmt.Errorf("read the index: %w: %w", policy.ErrUnavailable, context.Canceled)
	}
	if got := h.do(request("GET", "/v2/", basic("alice")).WithContext(ctx)).Code; got != 499 {
		t.Fatalf("status %d", got)
	}
	if strings.Contains(h.log.String(), `"level":"ERROR"`) {
		t.Fatalf("it is logged as a failure: %s", h.log)
	}
}

func TestOnlyTheSocketChoosesAWorkspaceByHeader(t *testing.T) {
	h := newHouse(t)
	h.do(request("GET", "/api/v1/x", basic("alice"), with(gateway.HeaderWorkspace, "prod")))
	if got := h.api.last.Principal.Workspace; got != policy.DefaultWorkspace {
		t.Fatalf("the network chose %q", got)
	}
	h.edge.Operator().ServeHTTP(httptest.NewRecorder(), request("GET", "/api/v1/x", with(gateway.HeaderWorkspace, "prod")))
	if got := h.api.last.Principal; got.Workspace != "prod" || got.Kind != policy.KindOperator {
		t.Fatalf("the socket got %+v", got)
	}
}

// rates refuse an address and a project.
type rates struct{}

func (rates) Address(address string) error {
	if address == "192.0.2.66" {
		return policy.ErrLimited
	}
	return nil
}

func (rates) Caller(p policy.Principal, project, _ string) error {
	if project == "busy" && p.ID == "alice" {
		return policy.ErrLimited
	}
	return nil
}

func TestTooManyRequestsAreAnsweredBeforeTheyCostAnything(t *testing.T) {
	h := newHouse(t, func(c *gateway.Config) { c.Rates = rates{} })
	for path, want := range map[string]int{"/v2/busy/app/manifests/1": http.StatusTooManyRequests, "/v2/calm/app/manifests/1": http.StatusOK} {
		answer := h.do(request("GET", path, basic("alice")))
		if answer.Code != want || want == http.StatusTooManyRequests && answer.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", path, answer.Code, answer.Header())
		}
	}
	r := request("GET", "/v2/", basic("alice"))
	r.RemoteAddr = "192.0.2.66:1234"
	if got := h.do(r).Code; got != http.StatusTooManyRequests {
		t.Errorf("status %d", got)
	}
}

func TestWorkspacesAreByHost(t *testing.T) {
	h := newHouse(t, func(c *gateway.Config) { c.Workspaces = hosts{"prod.example": "prod"} })
	for host, want := range map[string]string{"prod.example:5000": "prod", "PROD.example": "prod", "evil-prod.example": "default", "prod.example.evil": "default"} {
		r := request("GET", "/v2/", basic("alice"))
		r.Host = host
		h.do(r)
		if got := h.protocol.last.Principal.Workspace; got != want {
			t.Fatalf("%s is of %q", host, got)
		}
	}
}

func TestNewChecksItsConfiguration(t *testing.T) {
	a, err := authn.New(authn.Config{Tokens: tokens{}})
	if err != nil {
		t.Fatal(err)
	}
	for sentence, f := range map[string]func(*gateway.Config){
		"no authenticator":             func(c *gateway.Config) { c.Authn = nil },
		"no protocol":                  func(c *gateway.Config) { c.Protocol = nil },
		"no gate":                      func(c *gateway.Config) { c.Gate = nil },
		"a part that is never checked": func(c *gateway.Config) { c.Parts = []gateway.Part{{Name: "x"}} },
	} {
		cfg := gateway.Config{
			Authn: a, Gate: &gate{}, Protocol: &handler{}, Token: &handler{}, Keys: keys{}, Metrics: prometheus.NewRegistry(),
		}
		f(&cfg)
		if _, err := gateway.New(cfg); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func BenchmarkEdge(b *testing.B) {
	h := newHouse(b, func(c *gateway.Config) { c.Log = slog.New(slog.DiscardHandler) })
	h.protocol.serve = func(w http.ResponseWriter, _ *http.Request, _ authn.Caller) error {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	r := request("GET", "/v2/team/app/manifests/v1", with("Authorization", "Bearer tok"))
	b.ReportAllocs()
	for b.Loop() {
		h.edge.ServeHTTP(httptest.NewRecorder(), r)
	}
}
