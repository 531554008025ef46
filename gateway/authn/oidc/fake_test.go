package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bondgate/bondgate/gateway/authn/oidc"
)

// liar is an issuer that says what no real provider would.
type liar struct {
	t      *testing.T
	server *httptest.Server
	key    *ecdsa.PrivateKey

	mu sync.Mutex
	// issuer is what discovery calls it.
	issuer string
	// form is the last request of a token.
	form url.Values
	// token answers with the claims of an honest ID token for the last login.
	token func(claims map[string]any) (status int, answer map[string]any)
	// userinfo and groups are the answers of those two; nil for 404.
	userinfo, groups map[string]any
	nonce            string
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{t: t, key: key}
	l.server = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(l.server.Close)
	l.issuer = l.server.URL
	l.token = func(c map[string]any) (int, map[string]any) { return l.honest(c) }
	return l
}

func (l *liar) config() oidc.Config {
	return oidc.Config{
		Name: "corp", Workspace: "default", Issuer: l.server.URL, ClientID: "bondgate", ClientSecret: "the-secret", CLIClientID: "cli",
		GroupsClaim: "groups", Client: &http.Client{Timeout: time.Minute}, PlainHTTP: true,
	}
}

func (l *liar) serve(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		l.answer(w, http.StatusOK, map[string]any{
			"issuer": l.issuer, "authorization_endpoint": l.server.URL + "/auth", "token_endpoint": l.server.URL + "/token",
			"userinfo_endpoint": l.server.URL + "/userinfo", "jwks_uri": l.server.URL + "/keys",
		})
	case "/keys":
		l.answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: l.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	case "/token":
		_ = r.ParseForm()
		l.form = r.PostForm
		status, answer := l.token(l.claims())
		l.answer(w, status, answer)
	case "/userinfo":
		l.answerOr404(w, l.userinfo)
	case "/groups":
		if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer access" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		l.answerOr404(w, l.groups)
	default:
		l.t.Errorf("the provider was asked for %s", r.URL.Path)
		w.WriteHeader(http.StatusNotFound)
	}
}

func (l *liar) answerOr404(w http.ResponseWriter, v map[string]any) {
	if v == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	l.answer(w, http.StatusOK, v)
}

func (l *liar) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// claims are an honest ID token's.
func (l *liar) claims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": l.server.URL, "sub": "a-1", "aud": "bondgate", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"nonce": l.nonce, "preferred_username": "alice",
	}
}

func (l *liar) honest(claims map[string]any) (int, map[string]any) {
	return http.StatusOK, map[string]any{
		"access_token": "access", "token_type": "Bearer", "refresh_token": "refresh-1", "id_token": l.sign(claims),
	}
}

// with answers an honest token with some claims changed; nil takes one away.
func (l *liar) with(changes map[string]any) {
	l.token = func(claims map[string]any) (int, map[string]any) { return l.honest(changed(claims, changes)) }
}

func changed(claims, changes map[string]any) map[string]any {
	out := maps.Clone(claims)
	for name, v := range changes {
		if out[name] = v; v == nil {
			delete(out, name)
		}
	}
	return out
}

func (l *liar) sign(claims map[string]any) string {
	l.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: l.key, KeyID: "k"}}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.compact(signer, claims)
}

func (l *liar) compact(signer jose.Signer, claims map[string]any) string {
	l.t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		l.t.Fatal(err)
	}
	jws, err := signer.Sign(raw)
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// hmac signs with a secret, as RFC 7518 allows and nobody here may.
func (l *liar) hmac(secret string, claims map[string]any) string {
	l.t.Helper()
	key := []byte(secret + strings.Repeat("\x00", 64))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.compact(signer, claims)
}

// unsigned has the algorithm none.
func unsigned(claims map[string]any) string {
	raw, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(raw) + "."
}

// login goes to the provider and comes back with the answer that change makes of
// an honest one; it answers the page that the person sees.
func (w *world) login(l *liar, change func(url.Values)) (status int, location, body string) {
	w.t.Helper()
	client := noRedirects()
	begin, err := client.Get(w.url + "/login/corp?return=/whoami")
	if err != nil {
		w.t.Fatal(err)
	}
	defer begin.Body.Close()
	to, err := begin.Location()
	if err != nil {
		w.t.Fatalf("%s: %v", begin.Status, err)
	}
	q := to.Query()
	l.mu.Lock()
	l.nonce = q.Get("nonce")
	l.mu.Unlock()
	answer := url.Values{"code": {"the-code"}, "state": {q.Get("state")}}
	if change != nil {
		change(answer)
	}
	return w.come(client, answer, begin.Cookies())
}

func (w *world) come(client *http.Client, answer url.Values, cookies []*http.Cookie) (status int, location, body string) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, w.callback("corp")+"?"+answer.Encode(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := copyAll(&b, resp); err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), b.String()
}

func noRedirects() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
