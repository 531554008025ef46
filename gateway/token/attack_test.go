package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
)

var b64 = base64.RawURLEncoding

// forge signs a header and claims with key as ES256 does, whatever they say.
func forge(t testing.TB, key *ecdsa.PrivateKey, header string, claims any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return forgeRaw(t, key, header, payload)
}

func forgeRaw(t testing.TB, key *ecdsa.PrivateKey, header string, payload []byte) string {
	t.Helper()
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString(payload)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	var sig [64]byte
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return input + "." + b64.EncodeToString(sig[:])
}

// stolen is the service's own key, for tokens that only their claims make wrong.
func stolen(t testing.TB, s *shelf) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(s.keys[0].PKCS8)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ecdsa.PrivateKey), s.keys[0].ID
}

func header(kid string) string { return `{"alg":"ES256","kid":"` + kid + `","typ":"JWT"}` }

func goodClaims(now time.Time) map[string]any {
	return map[string]any{
		"iss": "bondgate", "sub": "alice", "aud": "bondgate", "jti": "x",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"access":   []any{map[string]any{"type": "repository", "name": "team/app", "actions": []any{"pull"}}},
		"bondgate": map[string]any{"workspace": "default", "issuer": "local", "kind": "user"},
	}
}

// Attack class 6: the header. Each of these carries claims that would be good.
func TestForgedHeaders(t *testing.T) {
	shared, c := newShelf(), newClock()
	s := open(t, shared, c)
	ours, kid := stolen(t, shared)
	theirs, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := goodClaims(c.now())
	payload, _ := json.Marshal(claims)
	if _, err := s.Verify(t.Context(), "default", forge(t, ours, header(kid), claims)); err != nil {
		t.Fatalf("the test's own good token is refused, so the others would prove nothing: %v", err)
	}

	var fetched atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &theirs.PublicKey, KeyID: kid, Algorithm: "ES256", Use: "sig"}}}
		_ = json.NewEncoder(w).Encode(set)
	}))
	defer web.Close()

	der, err := x509.MarshalPKIXPublicKey(&ours.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwkOf := func(pub any) string {
		out, err := json.Marshal(jose.JSONWebKey{Key: pub, KeyID: kid, Algorithm: "ES256", Use: "sig"})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	hs := func(secret []byte, h string) string {
		input := b64.EncodeToString([]byte(h)) + "." + b64.EncodeToString(payload)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return input + "." + b64.EncodeToString(mac.Sum(nil))
	}
	unsigned := func(h, sig string) string {
		return b64.EncodeToString([]byte(h)) + "." + b64.EncodeToString(payload) + "." + sig
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	joseSigned := func(alg jose.SignatureAlgorithm, key any) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid))
		if err != nil {
			t.Fatal(err)
		}
		obj, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		out, err := obj.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good := forge(t, ours, header(kid), claims)
	parts := strings.Split(good, ".")
	zero := b64.EncodeToString(make([]byte, 64))
	cases := map[string]string{
		"alg none":                             unsigned(`{"alg":"none","kid":"`+kid+`","typ":"JWT"}`, ""),
		"alg None, with a dot too few":         strings.TrimSuffix(unsigned(`{"alg":"None"}`, ""), "."),
		"alg nOnE":                             unsigned(`{"alg":"nOnE","kid":"`+kid+`"}`, ""),
		"our header without a signature":       unsigned(header(kid), ""),
		"our header with a signature of zeros": unsigned(header(kid), zero),
		"HS256 with the public key as PEM":     hs(publicPEM, `{"alg":"HS256","kid":"`+kid+`","typ":"JWT"}`),
		"HS256 with the public key as DER":     hs(der, `{"alg":"HS256","kid":"`+kid+`","typ":"JWT"}`),
		"HS256 with the JWKS":                  hs(s.JWKS(), `{"alg":"HS256","kid":"`+kid+`","typ":"JWT"}`),
		"HS256 under our own header":           hs(publicPEM, header(kid)),
		"HS256 with an empty secret":           hs(nil, `{"alg":"HS256","kid":"`+kid+`","typ":"JWT"}`),
		"another key under our kid":            forge(t, theirs, header(kid), claims),
		"another key under a kid of its own":   forge(t, theirs, header("mine"), claims),
		"a key in the header (jwk)":            forge(t, theirs, `{"alg":"ES256","jwk":`+jwkOf(&theirs.PublicKey)+`,"kid":"`+kid+`","typ":"JWT"}`, claims),
		"a key in the header and no kid":       forge(t, theirs, `{"alg":"ES256","jwk":`+jwkOf(&theirs.PublicKey)+`,"typ":"JWT"}`, claims),
		"our own key in the header (jwk)":      forge(t, ours, `{"alg":"ES256","jwk":`+jwkOf(&ours.PublicKey)+`,"kid":"`+kid+`","typ":"JWT"}`, claims),
		"a certificate in the header (x5c)":    forge(t, theirs, `{"alg":"ES256","kid":"`+kid+`","typ":"JWT","x5c":["MIIB"]}`, claims),
		"a URL of keys (jku)":                  forge(t, theirs, `{"alg":"ES256","jku":"`+web.URL+`","kid":"`+kid+`","typ":"JWT"}`, claims),
		"a URL of a certificate (x5u)":         forge(t, theirs, `{"alg":"ES256","kid":"`+kid+`","typ":"JWT","x5u":"`+web.URL+`"}`, claims),
		"a kid that is a path":                 forge(t, theirs, header("../../../../dev/null"), claims),
		"a kid that is SQL":                    forge(t, theirs, header("x' UNION SELECT 'key'--"), claims),
		"an empty kid":                         forge(t, ours, header(""), claims),
		"no kid":                               forge(t, ours, `{"alg":"ES256","typ":"JWT"}`, claims),
		"two kids":                             forge(t, theirs, `{"alg":"ES256","kid":"mine","kid":"`+kid+`","typ":"JWT"}`, claims),
		"two algs":                             forge(t, ours, `{"alg":"none","alg":"ES256","kid":"`+kid+`","typ":"JWT"}`, claims),
		"a critical extension":                 forge(t, ours, `{"alg":"ES256","b64":false,"crit":["b64"],"kid":"`+kid+`","typ":"JWT"}`, claims),
		"the header in another spelling":       forge(t, ours, `{"alg":"ES256", "kid":"`+kid+`","typ":"JWT"}`, claims),
		"a header of another type":             forge(t, ours, `{"alg":"ES256","kid":"`+kid+`","typ":"at+jwt"}`, claims),
		"EdDSA":                                joseSigned(jose.EdDSA, ed),
		"RS256":                                joseSigned(jose.RS256, rsaKey),
		"other claims under a good signature":  parts[0] + "." + b64.EncodeToString([]byte(strings.Replace(string(payload), "alice", "admin", 1))) + "." + parts[2],
		"the signature as DER":                 parts[0] + "." + parts[1] + "." + b64.EncodeToString(mustDER(t, ours, parts[0]+"."+parts[1])),
		"a signature with a tail":              good + "AA",
		"four parts":                           good + "." + parts[2],
		"padding":                              good + "==",
		"JSON serialization":                   `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"five parts, as encrypted tokens have": "a.b.c.d.e",
		"nothing":                              "",
		"dots":                                 "..",
	}
	for sentence, raw := range cases {
		t.Run(sentence, func(t *testing.T) {
			got, err := s.Verify(t.Context(), "default", raw)
			if !errors.Is(err, policy.ErrUnauthenticated) || got.Scoped || !got.Principal.Anonymous() {
				t.Fatalf("accepted as %+v, %v", got, err)
			}
			if p, err := s.Refresh(t.Context(), "default", raw); !errors.Is(err, policy.ErrUnauthenticated) {
				t.Fatalf("refreshed as %+v, %v", p, err)
			}
		})
	}
	if n := fetched.Load(); n != 0 {
		t.Fatalf("a URL of the token was fetched %d times", n)
	}
}

func mustDER(t *testing.T, key *ecdsa.PrivateKey, input string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(input))
	out, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Attack class 6: the claims. Each of these is signed by our own key.
func TestWrongClaims(t *testing.T) {
	shared, c := newShelf(), newClock()
	s := open(t, shared, c)
	key, kid := stolen(t, shared)
	now := c.now()
	scopes := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = map[string]any{"type": "repository", "name": fmt.Sprintf("r%d", i), "actions": []any{"pull"}}
		}
		return out
	}
	type m = map[string]any
	cases := []struct {
		sentence string
		change   func(m)
	}{
		{"another issuer", func(c m) { c["iss"] = "harbor-token-issuer" }},
		{"no issuer", func(c m) { delete(c, "iss") }},
		{"another service", func(c m) { c["aud"] = "harbor-registry" }},
		{"no service", func(c m) { delete(c, "aud") }},
		{"several services with ours among them", func(c m) { c["aud"] = []any{"bondgate", "other"} }},
		{"the service in another case", func(c m) { c["aud"] = "Bondgate" }},
		{"the audience of refresh tokens", func(c m) { c["aud"] = "bondgate#refresh" }},
		{"no iat", func(c m) { delete(c, "iat") }},
		{"a null iat", func(c m) { c["iat"] = nil }},
		{"an iat that is text", func(c m) { c["iat"] = "now" }},
		{"an iat in the future", func(c m) { c["iat"] = now.Add(10 * time.Minute).Unix() }},
		{"no exp", func(c m) { delete(c, "exp") }},
		{"a null exp", func(c m) { c["exp"] = nil }},
		{"an exp beyond any clock", func(c m) { c["exp"] = 1e300 }},
		{"a negative exp", func(c m) { c["exp"] = -1 }},
		{"expired", func(c m) { c["exp"] = now.Add(-time.Second).Unix() }},
		{"expires now", func(c m) { c["exp"] = now.Unix() }},
		{"holds for a year", func(c m) { c["exp"] = now.Add(365 * 24 * time.Hour).Unix() }},
		{"no nbf", func(c m) { delete(c, "nbf") }},
		{"not valid yet", func(c m) { c["nbf"] = now.Add(2 * time.Minute).Unix() }},
		{"no jti", func(c m) { delete(c, "jti") }},
		{"a huge access list", func(c m) { c["access"] = scopes(token.MaxScopes + 1) }},
		{"an access list that is a number", func(c m) { c["access"] = 7 }},
		{"another workspace", func(c m) { c["bondgate"].(m)["workspace"] = "other" }},
		{"no workspace", func(c m) { delete(c, "bondgate") }},
		{"a name that nobody vouches for", func(c m) { delete(c["bondgate"].(m), "issuer") }},
		{"the operator of the socket", func(c m) { c["bondgate"].(m)["kind"] = "operator" }},
		{"the system itself", func(c m) { c["bondgate"].(m)["kind"] = "system" }},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			claims := goodClaims(now)
			claims["bondgate"] = maps.Clone(claims["bondgate"].(m))
			tc.change(claims)
			if got, err := s.Verify(t.Context(), "default", forge(t, key, header(kid), claims)); !errors.Is(err, policy.ErrUnauthenticated) || got.Scoped {
				t.Fatalf("accepted as %+v, %v", got, err)
			}
		})
	}
	t.Run("a claim twice", func(t *testing.T) {
		payload, _ := json.Marshal(goodClaims(now))
		twice := strings.Replace(string(payload), `{`, `{"sub":"bob",`, 1)
		if _, err := s.Verify(t.Context(), "default", forgeRaw(t, key, header(kid), []byte(twice))); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
	})
	t.Run("longer than any token", func(t *testing.T) {
		claims := goodClaims(now)
		claims["pad"] = strings.Repeat("x", token.MaxToken)
		if _, err := s.Verify(t.Context(), "default", forge(t, key, header(kid), claims)); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
	})
	t.Run("a refresh token as bearer", func(t *testing.T) {
		out, err := s.IssueRefresh(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Verify(t.Context(), "default", out.Raw); !errors.Is(err, policy.ErrUnauthenticated) || got.Scoped {
			t.Fatalf("accepted as %+v, %v", got, err)
		}
	})
	t.Run("the claims of a refresh token under a bearer's header", func(t *testing.T) {
		claims := goodClaims(now)
		claims["aud"] = "bondgate#refresh"
		claims["bondgate"] = m{"workspace": "default", "issuer": "local", "kind": "user", "stamp": "s1"}
		raw := forge(t, key, header(kid), claims)
		if _, err := s.Verify(t.Context(), "default", raw); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
		if _, err := s.Refresh(t.Context(), "default", raw); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
	})
	t.Run("a refresh token without a stamp", func(t *testing.T) {
		claims := goodClaims(now)
		claims["aud"] = "bondgate#refresh"
		h := `{"alg":"ES256","kid":"` + kid + `","typ":"bondgate-refresh+jwt"}`
		if _, err := s.Refresh(t.Context(), "default", forge(t, key, h, claims)); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
	})
	t.Run("a remembered token in another workspace", func(t *testing.T) {
		raw := issue(t, s)
		if _, err := s.Verify(t.Context(), "default", raw); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verify(t.Context(), "other", raw); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	shared, c := newShelf(), newClock()
	s, err := token.Open(f.Context(), token.Config{Keys: shared, Credentials: shared, Now: c.now})
	if err != nil {
		f.Fatal(err)
	}
	good := issue(f, s)
	parts := strings.Split(good, ".")
	for _, seed := range []string{good, "", "..", good[:len(good)-1], parts[0] + "." + parts[1] + ".", parts[0] + ".e30." + parts[2], good + "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := s.Verify(t.Context(), "default", raw)
		switch {
		case err != nil && (!errors.Is(err, policy.ErrUnauthenticated) || got.Scoped):
			t.Fatalf("%q: %+v %v", raw, got, err)
		case err == nil && raw != good:
			t.Fatalf("another token than the one that was issued is accepted: %q", raw)
		}
	})
}
