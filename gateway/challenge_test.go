package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
)

func TestChallenge(t *testing.T) {
	insufficient := func(http.ResponseWriter, *http.Request, authn.Caller) error {
		return errcode.Unauthorized("repository:a/b:push", true)
	}
	nobody := func(http.ResponseWriter, *http.Request, authn.Caller) error { return errcode.Unauthorized("", false) }
	cases := []struct {
		sentence string
		config   func(*gateway.Config)
		serve    func(http.ResponseWriter, *http.Request, authn.Caller) error
		r        *http.Request
		want     string
	}{
		{
			"the realm is the host and port that was asked", nil, nobody,
			request("GET", "http://localhost:5000/v2/"), `Bearer realm="http://localhost:5000/token",service="bondgate"`,
		},
		{
			"an address stays an address", nil, nobody,
			request("GET", "http://127.0.0.1:5000/v2/"), `Bearer realm="http://127.0.0.1:5000/token",service="bondgate"`,
		},
		{
			"IPv6 too", nil, nobody,
			request("GET", "http://[::1]:5000/v2/"), `Bearer realm="http://[::1]:5000/token",service="bondgate"`,
		},
		{
			"TLS is https", nil, nobody,
			request("GET", "https://reg.example/v2/"), `Bearer realm="https://reg.example/token",service="bondgate"`,
		},
		{
			"so is a proxy that terminates it", func(c *gateway.Config) { c.BehindTLSProxy = true }, nobody,
			request("GET", "http://reg.example/v2/"), `Bearer realm="https://reg.example/token",service="bondgate"`,
		},
		{
			"a header changes neither scheme nor host", nil, nobody,
			request("GET", "http://reg.example/v2/", with("X-Forwarded-Proto", "https"), with("X-Forwarded-Host", "evil.example"), with("Forwarded", "host=evil.example;proto=https")),
			`Bearer realm="http://reg.example/token",service="bondgate"`,
		},
		{
			"a route that nobody asks as gets its scope", nil, nobody,
			request("PUT", "http://reg.example/v2/a/b/manifests/v1"),
			`Bearer realm="http://reg.example/token",service="bondgate",scope="repository:a/b:pull,push"`,
		},
		{
			"a mount wants the source too", nil, nobody,
			request("POST", "http://reg.example/v2/a/b/blobs/uploads/?mount=sha256:"+strings.Repeat("a", 64)+"&from=c/d"),
			`Bearer realm="http://reg.example/token",service="bondgate",scope="repository:a/b:pull,push repository:c/d:pull"`,
		},
		{
			"a token that lacks a scope is told which", nil, insufficient,
			request("PUT", "http://reg.example/v2/a/b/manifests/v1", with("Authorization", "Bearer tok")),
			`Bearer realm="http://reg.example/token",service="bondgate",scope="repository:a/b:push",error="insufficient_scope"`,
		},
		{
			"a token that has expired is asked for anew, with the scope", nil, nil,
			request("GET", "http://reg.example/v2/a/b/manifests/v1", with("Authorization", "Bearer old")),
			`Bearer realm="http://reg.example/token",service="bondgate",scope="repository:a/b:pull",error="invalid_token"`,
		},
		{
			"a wrong password", nil, nil,
			request("GET", "http://reg.example/v2/_catalog", func(r *http.Request) { r.SetBasicAuth("alice", "wrong") }),
			`Bearer realm="http://reg.example/token",service="bondgate",scope="registry:catalog:*"`,
		},
		{
			"the token endpoint takes passwords", nil, nil,
			request("GET", "http://reg.example/token", with("Authorization", "Basic nonsense")), `Basic realm="Bondgate", charset="UTF-8"`,
		},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			var changes []func(*gateway.Config)
			if c.config != nil {
				changes = append(changes, c.config)
			}
			h := newHouse(t, changes...)
			h.protocol.serve, h.token.serve = c.serve, nobody
			w := h.do(c.r)
			if got := w.Header().Values("WWW-Authenticate"); w.Code != 401 || len(got) != 1 || got[0] != c.want {
				t.Fatalf("%d %q\nwant %q", w.Code, got, c.want)
			}
			if !strings.Contains(w.Body.String(), `"UNAUTHORIZED"`) {
				t.Fatal(w.Body)
			}
		})
	}
}

func TestAHostThatCannotBeInARealmIsRefused(t *testing.T) {
	h := newHouse(t)
	for _, host := range []string{`a",error="`, "", "a b", "a\r\nX: y", "ü.example", strings.Repeat("a", 300), "a/b", "user@host"} {
		r := request("GET", "/v2/")
		r.Host = host
		if w := h.do(r); w.Code != 400 || w.Header().Get("WWW-Authenticate") != "" {
			t.Fatalf("%q: %d", host, w.Code)
		}
	}
	if h.protocol.calls != 0 {
		t.Fatal("it was served")
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/token": 400, "/metrics": 400} {
		r := request("GET", path)
		r.Host = ""
		if w := h.do(r); w.Code != want {
			t.Fatalf("%s without a host: %d", path, w.Code)
		}
	}
}
