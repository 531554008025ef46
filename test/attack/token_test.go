package attack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 6: forged and replayed tokens (distribution CVE-2025-24976 and the
// whole family of JOSE confusions), here against the running server.
func TestNoForgedTokenIsTaken(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := w.push(alice, newImage("red/app", "v1", "token", "1000", nil))
	good := w.token(alice, "repository:red/app:pull")
	path := "/v2/red/app/manifests/v1"
	if r := w.bearer(good, http.MethodGet, path, harness.Accept, nil); r.Status != http.StatusOK {
		t.Fatalf("the good token: %d %s", r.Status, r.Body)
	}
	parts := strings.Split(good, ".")
	header, claims := decode(t, parts[0]), decode(t, parts[1])
	jwks := w.as(nobody, http.MethodGet, "/.well-known/jwks.json", nil, nil)
	if jwks.Status != http.StatusOK {
		t.Fatalf("jwks: %d", jwks.Status)
	}
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := map[string]any{"kty": "EC", "crv": "P-256", "x": b64(mine.X.FillBytes(make([]byte, 32))), "y": b64(mine.Y.FillBytes(make([]byte, 32)))}
	forge := func(h, c map[string]any) string { return sign(mine, h, c) }

	forged := map[string]string{
		"alg none":                         join(with(header, "alg", "none"), claims, nil),
		"alg None, a signature":            join(with(header, "alg", "None"), claims, []byte("x")),
		"no signature":                     parts[0] + "." + parts[1] + ".",
		"two parts":                        parts[0] + "." + parts[1],
		"our kid, another key":             forge(header, claims),
		"an embedded key":                  forge(with(without(header, "kid"), "jwk", jwk), claims),
		"our kid and an embedded key":      forge(with(header, "jwk", jwk), claims),
		"a jku":                            forge(with(header, "jku", "http://127.0.0.1:1/keys"), claims),
		"an x5u":                           forge(with(header, "x5u", "http://127.0.0.1:1/cert"), claims),
		"an x5c":                           forge(with(header, "x5c", []string{"AAAA"}), claims),
		"a kid that is a path":             forge(with(header, "kid", "../../../../dev/null"), claims),
		"no kid":                           forge(without(header, "kid"), claims),
		"HS256 with the published key":     hs256(header, claims, jwks.Body),
		"HS256 with an empty key":          hs256(header, claims, nil),
		"the payload changed":              parts[0] + "." + b64(mustJSON(with(claims, "sub", "admin"))) + "." + parts[2],
		"the payload's bits after the end": good + "A",
		"twice":                            good + "." + good,
		"nothing":                          "",
		"very long":                        strings.Repeat("A", 40<<10),
	}
	for name, token := range forged {
		r := w.bearer(token, http.MethodGet, path, nil, nil)
		if r.Status != http.StatusUnauthorized && r.Status != http.StatusBadRequest && r.Status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
		if strings.Contains(string(r.Body), im.configDigest()) {
			t.Errorf("%s: got the manifest", name)
		}
	}
}

func TestARefreshTokenIsNotABearerTokenAndEndsWithThePassword(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(alice, newImage("red/app", "v1", "refresh", "1000", nil))
	form := "grant_type=password&service=" + w.Host + "&client_id=attack&access_type=offline&username=alice&password=" + password + "&scope=repository:red/app:pull"
	post := func(form string) harness.Response {
		return w.as(nobody, http.MethodPost, "/token", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form))
	}
	r := post(form)
	var out struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(r.Body, &out); err != nil || out.RefreshToken == "" || out.AccessToken == "" {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	if r := w.bearer(out.RefreshToken, http.MethodGet, "/v2/red/app/manifests/v1", nil, nil); r.Status != http.StatusUnauthorized {
		t.Errorf("a refresh token read a manifest: %d", r.Status)
	}
	again := "grant_type=refresh_token&service=" + w.Host + "&client_id=attack&scope=repository:red/app:pull&refresh_token="
	if r := post(again + out.RefreshToken); r.Status != http.StatusOK {
		t.Errorf("the refresh token: %d %s", r.Status, r.Body)
	}
	if r := post(again + out.AccessToken); r.Status < 400 {
		t.Errorf("an access token refreshed: %d", r.Status)
	}
	w.api(http.MethodPut, "/users/alice/password", map[string]any{"password": password + "2"})
	if r := post(again + out.RefreshToken); r.Status < 400 {
		t.Errorf("the refresh token outlived the password: %d", r.Status)
	}
}

func TestATokenOutlivesNoRight(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.push(alice, newImage("red/app", "v1", "revoked", "1000", nil))
	token := w.token(gus, "repository:red/app:pull")
	get := func() int {
		return w.bearer(token, http.MethodGet, "/v2/red/app/manifests/v1", harness.Accept, nil).Status
	}
	if s := get(); s != http.StatusOK {
		t.Fatal(s)
	}
	w.dismiss("red", gus)
	if s := get(); s < 400 {
		t.Errorf("dismissed: %d", s)
	}
	w.member("red", gus, "guest")
	if s := get(); s != http.StatusOK {
		t.Errorf("back again: %d", s)
	}
	w.api(http.MethodPut, "/users/gus/disabled", map[string]any{"disabled": true})
	if s := get(); s < 400 {
		t.Errorf("disabled: %d", s)
	}
	if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/v1", nil, nil); r.Status < 400 {
		t.Errorf("disabled, by password: %d", r.Status)
	}
}

func TestTheTokenServiceRefusesWhatItShould(t *testing.T) {
	w := newWorld(t, harness.Options{})
	many := strings.Repeat("&scope=repository:red/app:pull", 2000)
	for _, c := range []struct{ name, query string }{
		{"another service", "?service=another.example:443&scope=repository:red/app:pull"},
		{"very many scopes", "?service=" + w.Host + many},
		{"a scope that is no scope", "?service=" + w.Host + "&scope=%00:%0a:pull"},
	} {
		r := w.as(alice, http.MethodGet, "/token"+c.query, nil, nil)
		if r.Status < 400 || r.Status >= 500 {
			t.Errorf("%s: %d %.100s", c.name, r.Status, r.Body)
		}
	}
	if r := w.Do(http.MethodGet, "/token?service="+w.Host, alice, "wrong-password", nil, nil); r.Status != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", r.Status)
	}
	if r := w.Do(http.MethodGet, "/token?service="+w.Host, alice, "", nil, nil); r.Status != http.StatusUnauthorized {
		t.Errorf("an empty password: %d", r.Status)
	}
}

func decode(t *testing.T, part string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func with(m map[string]any, name string, v any) map[string]any {
	out := without(m, name)
	out[name] = v
	return out
}

func without(m map[string]any, name string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func join(h, c map[string]any, signature []byte) string {
	return b64(mustJSON(h)) + "." + b64(mustJSON(c)) + "." + b64(signature)
}

func hs256(h, c map[string]any, key []byte) string {
	signed := b64(mustJSON(with(h, "alg", "HS256"))) + "." + b64(mustJSON(c))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + b64(mac.Sum(nil))
}

func sign(key *ecdsa.PrivateKey, h, c map[string]any) string {
	if _, ok := c["exp"]; !ok {
		c = with(c, "exp", time.Now().Add(time.Hour).Unix())
	}
	signed := b64(mustJSON(h)) + "." + b64(mustJSON(c))
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}
