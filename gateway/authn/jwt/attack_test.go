package jwt_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn/jwt"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

var b64 = base64.RawURLEncoding

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What a forger changes of a token: its algorithm, where its key is from, its form.
func TestForgedTokensAreRefused(t *testing.T) {
	i := harness.StartIssuer(t)
	p256 := i.Key()
	rsa := i.Rotate("RS256")
	v := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{})
	good := mustJSON(t, i.Claims(audience, nil))
	sign := func(header string) string { return harness.SignJWS(t, rsa.Private, "RS256", header, good) }
	header := func(more string) string { return fmt.Sprintf(`{"alg":"RS256","kid":%q%s}`, rsa.ID, more) }
	if _, err := v.Verify(t.Context(), sign(header(`,"typ":"JWT","x5t":"abc"`))); err != nil {
		t.Fatalf("a good token: %v", err)
	}
	stranger := harness.NewSigningKey(t, "RS256")
	hmacWith := func(key []byte, alg string) string {
		input := b64.EncodeToString([]byte(fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, rsa.ID))) + "." + b64.EncodeToString(good)
		m := hmac.New(sha256.New, key)
		m.Write([]byte(input))
		return input + "." + b64.EncodeToString(m.Sum(nil))
	}
	whole := sign(header(""))
	parts := strings.Split(whole, ".")
	other := b64.EncodeToString(mustJSON(t, i.Claims(audience, map[string]any{"sub": "admin"})))
	for name, raw := range map[string]string{
		"no algorithm":                   b64.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"no algorithm, with a signature": sign(`{"alg":"none","kid":"key-2"}`),
		"None":                           sign(`{"alg":"None","kid":"key-2"}`),
		"no alg at all":                  sign(`{"kid":"key-2"}`),
		"alg null":                       sign(`{"alg":null,"kid":"key-2"}`),
		"alg a list":                     sign(`{"alg":["RS256"],"kid":"key-2"}`),
		"alg in small letters":           sign(`{"alg":"rs256","kid":"key-2"}`),
		"HMAC with the public key":       hmacWith(mustJSON(t, rsa.JWK()), "HS256"),
		"HMAC with the modulus":          hmacWith([]byte(rsa.JWK()["n"].(string)), "HS256"),
		"HMAC with nothing":              hmacWith(nil, "HS512"),
		"the key of another type":        sign(fmt.Sprintf(`{"alg":"RS256","kid":%q}`, p256.ID)),
		"an algorithm of another type":   sign(fmt.Sprintf(`{"alg":"ES256","kid":%q}`, rsa.ID)),
		"PSS where the key is for RS256": harness.SignJWS(t, rsa.Private, "PS256", fmt.Sprintf(`{"alg":"PS256","kid":%q}`, rsa.ID), good),
		"RS512 with an RS256 signature":  sign(fmt.Sprintf(`{"alg":"RS512","kid":%q}`, rsa.ID)),
		"signed by a stranger":           harness.SignJWS(t, stranger, "RS256", header(""), good),
		"a key of its own":               harness.SignJWS(t, stranger, "RS256", header(`,"jwk":`+string(mustJSON(t, (&harness.IssuerKey{ID: rsa.ID, Algorithm: "RS256", Private: stranger}).JWK()))), good),
		"jwk null":                       sign(header(`,"jwk":null`)),
		"an address of keys":             sign(header(`,"jku":"https://evil.example/keys"`)),
		"a certificate":                  sign(header(`,"x5c":["MII"]`)),
		"an address of a certificate":    sign(header(`,"x5u":"https://evil.example/c"`)),
		"something critical":             sign(header(`,"crit":["exp"]`)),
		"nothing critical":               sign(header(`,"crit":[]`)),
		"a payload as it is":             sign(header(`,"b64":false`)),
		"a compressed payload":           sign(header(`,"zip":"DEF"`)),
		"an encrypted payload":           sign(header(`,"enc":"A128GCM"`)),
		"a token in a token":             sign(header(`,"cty":"JWT"`)),
		"alg twice":                      sign(header(`,"alg":"RS256"`)),
		"alg twice, one none":            sign(`{"alg":"none",` + header("")[1:]),
		"kid twice":                      sign(header(`,"kid":"key-1"`)),
		"an access token of the issuer":  sign(header(`,"typ":"at+jwt"`)),
		"a logout token":                 sign(header(`,"typ":"logout+jwt"`)),
		"typ a number":                   sign(header(`,"typ":1`)),
		"a kid that is a path":           sign(`{"alg":"RS256","kid":"../../dev/null"}`),
		"a kid that is SQL":              sign(`{"alg":"RS256","kid":"x' UNION SELECT 'k"}`),
		"a long kid":                     sign(fmt.Sprintf(`{"alg":"RS256","kid":%q}`, strings.Repeat("k", 300))),
		"a long header":                  sign(header(`,"a":"` + strings.Repeat("a", 4000) + `"`)),
		"a header with more behind it":   sign(header("") + " {}"),
		"a header that is no object":     sign(`"RS256"`),
		"other claims":                   parts[0] + "." + other + "." + parts[2],
		"another header":                 b64.EncodeToString([]byte(header(`,"typ":"JWT"`))) + "." + parts[1] + "." + parts[2],
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"two parts":                      parts[0] + "." + parts[1],
		"four parts":                     whole + ".",
		"five parts, as JWE has":         whole + "..",
		"a part of the signature":        whole[:len(whole)-8],
		"a line break":                   parts[0] + ".\n" + parts[1] + "." + parts[2],
		"a line break in the signature":  whole + "\n",
		"padding":                        whole + "=",
		"a space":                        " " + whole,
		"the standard alphabet":          parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
		"bits that mean nothing":         whole[:len(whole)-1] + next(whole[len(whole)-1]),
		"nothing":                        "",
		"dots":                           "..",
		"the JSON form":                  fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"a huge token":                   harness.SignJWS(t, rsa.Private, "RS256", header(""), mustJSON(t, i.Claims(audience, map[string]any{"x": strings.Repeat("x", 16<<10)}))),
		"deep claims":                    harness.SignJWS(t, rsa.Private, "RS256", header(""), []byte(strings.Repeat(`{"a":`, 2000)+"1"+strings.Repeat("}", 2000))),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.Verify(t.Context(), raw)
			if !errors.Is(err, policy.ErrUnauthenticated) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if len(raw) > 20 && strings.Contains(err.Error(), raw[len(raw)-20:]) {
				t.Fatal("the error has a part of the token in it")
			}
		})
	}
}

// next is the letter of base64url that stands for the value above c's: in the last
// letter of a signature of 256 bytes its lowest bits mean nothing.
func next(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[(strings.IndexByte(alphabet, c)+1)%64])
}

func TestATokenWithoutAKeyIDWantsTheOnlyKey(t *testing.T) {
	i := harness.StartIssuer(t)
	good := mustJSON(t, i.Claims(audience, nil))
	raw := harness.SignJWS(t, i.Key().Private, "ES256", `{"alg":"ES256"}`, good)
	if _, err := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{}).Verify(t.Context(), raw); err != nil {
		t.Fatalf("one key: %v", err)
	}
	i.Rotate("RS256")
	if _, err := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{}).Verify(t.Context(), raw); err != nil {
		t.Fatalf("one key of the type: %v", err)
	}
	i.Rotate("ES256")
	if _, err := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{}).Verify(t.Context(), raw); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("two keys of the type: %v", err)
	}
}

func TestEveryAlgorithmThatIsAllowedVerifies(t *testing.T) {
	i := harness.StartIssuer(t)
	for _, algorithm := range []string{"ES384", "EdDSA", "RS256"} {
		i.Rotate(algorithm)
		if _, err := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{}).Verify(t.Context(), i.Sign(i.Claims(audience, nil))); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	k := i.Key()
	public := k.JWK()
	delete(public, "alg")
	i.SayKeys(mustJSON(t, map[string]any{"keys": []any{public}}))
	raw := harness.SignJWS(t, k.Private, "PS256", fmt.Sprintf(`{"alg":"PS256","kid":%q}`, k.ID), mustJSON(t, i.Claims(audience, nil)))
	if _, err := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{}).Verify(t.Context(), raw); err != nil {
		t.Errorf("PS256 with a key that does not say what it is for: %v", err)
	}
}

func TestWrongClaimsAreRefused(t *testing.T) {
	i := harness.StartIssuer(t)
	keys := newKeys(t, i, &clock{})
	plain := newVerifier(t, keys, jwt.Rules{})
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, c := range []struct {
		name  string
		rules jwt.Rules
		more  map[string]any
		ok    bool
	}{
		{name: "as it should be", ok: true},
		{name: "several audiences", more: map[string]any{"aud": []string{"other", audience}}, ok: true},
		{name: "seconds with a fraction", more: map[string]any{"iat": float64(at(-5*time.Second)) + 0.25}, ok: true},
		{name: "a clock that is half a minute ahead", more: map[string]any{"iat": at(30 * time.Second), "nbf": at(30 * time.Second)}, ok: true},
		{name: "another issuer", more: map[string]any{"iss": "https://evil.example"}},
		{name: "the issuer with a slash", more: map[string]any{"iss": i.URL + "/"}},
		{name: "the issuer in capitals", more: map[string]any{"iss": strings.ToUpper(i.URL)}},
		{name: "no issuer", more: map[string]any{"iss": nil}},
		{name: "a list of issuers", more: map[string]any{"iss": []string{i.URL}}},
		{name: "no subject", more: map[string]any{"sub": nil}},
		{name: "an empty subject", more: map[string]any{"sub": ""}},
		{name: "a subject that is a number", more: map[string]any{"sub": 7}},
		{name: "a long subject", more: map[string]any{"sub": strings.Repeat("s", 1025)}},
		{name: "a subject with a line break", more: map[string]any{"sub": "a\nb"}},
		{name: "no audience", more: map[string]any{"aud": nil}},
		{name: "another audience", more: map[string]any{"aud": "https://other.example"}},
		{name: "a part of the audience", more: map[string]any{"aud": audience[:10]}},
		{name: "no audience in the list", more: map[string]any{"aud": []string{}}},
		{name: "a number in the list", more: map[string]any{"aud": []any{audience, 1}}},
		{name: "too many audiences", more: map[string]any{"aud": append(strings.Split(strings.Repeat("a,", 32), ","), audience)}},
		{name: "an audience that is an object", more: map[string]any{"aud": map[string]any{audience: true}}},
		{name: "no end", more: map[string]any{"exp": nil}},
		{name: "an end that is null", more: map[string]any{"exp": json.RawMessage("null")}},
		{name: "an end in words", more: map[string]any{"exp": fmt.Sprint(at(time.Hour))}},
		{name: "an end beyond all time", more: map[string]any{"exp": json.RawMessage("1e300")}},
		{name: "an end before the epoch", more: map[string]any{"exp": -1}},
		{name: "ended a second ago", more: map[string]any{"exp": at(-time.Second), "iat": at(-time.Minute)}},
		{name: "no beginning", more: map[string]any{"iat": nil}},
		{name: "a beginning in words", more: map[string]any{"iat": "now"}},
		{name: "issued after two minutes", more: map[string]any{"iat": at(2 * time.Minute)}},
		{name: "not before two minutes", more: map[string]any{"nbf": at(2 * time.Minute)}},
		{name: "not before something else", more: map[string]any{"nbf": "x"}},
		{name: "issued after its end", more: map[string]any{"iat": at(30 * time.Second), "exp": at(20 * time.Second)}},
		{name: "issued within the age", rules: jwt.Rules{MaxAge: time.Hour}, more: map[string]any{"iat": at(-59 * time.Minute)}, ok: true},
		{name: "issued before the age", rules: jwt.Rules{MaxAge: time.Hour}, more: map[string]any{"iat": at(-61 * time.Minute)}},
		{name: "another authorized party", rules: jwt.Rules{Authorized: true}, more: map[string]any{"azp": "other"}},
		{name: "no authorized party, one audience", rules: jwt.Rules{Authorized: true}, ok: true},
		{name: "no authorized party, several audiences", rules: jwt.Rules{Authorized: true}, more: map[string]any{"aud": []string{audience, "other"}}},
		{name: "the authorized party, several audiences", rules: jwt.Rules{Authorized: true}, more: map[string]any{"aud": []string{audience, "other"}, "azp": audience}, ok: true},
		{name: "an authorized party that is a list", rules: jwt.Rules{Authorized: true}, more: map[string]any{"azp": []string{audience}}},
		{name: "another type than is wanted", rules: jwt.Rules{Type: "logout+jwt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newVerifier(t, keys, c.rules).Verify(t.Context(), i.Sign(i.Claims(audience, c.more)))
			if c.ok && err != nil || !c.ok && !errors.Is(err, policy.ErrUnauthenticated) {
				t.Fatalf("got %v", err)
			}
		})
	}
	k := i.Key()
	text := string(mustJSON(t, i.Claims(audience, nil)))
	for name, payload := range map[string]string{
		"a claim twice":           `{"sub":"admin",` + text[1:],
		"a claim twice, escaped":  `{"\u0073ub":"admin",` + text[1:],
		"a nested claim twice":    `{"x":{"a":1,"a":2},` + text[1:],
		"another letter's case":   strings.Replace(text, `"sub"`, `"Sub"`, 1),
		"no object":               `[` + text + `]`,
		"null":                    `null`,
		"bytes that are no UTF-8": strings.Replace(text, "someone", "some\xffone", 1),
		"more behind it":          text + text,
		"half":                    text[:len(text)-1],
	} {
		raw := harness.SignJWS(t, k.Private, k.Algorithm, fmt.Sprintf(`{"alg":"ES256","kid":%q}`, k.ID), []byte(payload))
		if _, err := plain.Verify(t.Context(), raw); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	logout := newVerifier(t, keys, jwt.Rules{Type: "logout+jwt"})
	raw := harness.SignJWS(t, k.Private, k.Algorithm, fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":"Logout+JWT"}`, k.ID), []byte(text))
	if _, err := logout.Verify(t.Context(), raw); err != nil {
		t.Errorf("the type that is wanted: %v", err)
	}
}

func TestIssuerFindsTheOneToAsk(t *testing.T) {
	i := harness.StartIssuer(t)
	for name, c := range map[string]struct {
		raw, want string
	}{
		"a good token":         {i.Sign(i.Claims(audience, nil)), i.URL},
		"an expired token":     {i.Sign(i.Claims(audience, map[string]any{"exp": 1})), i.URL},
		"a token of nobody":    {i.Sign(i.Claims(audience, map[string]any{"iss": nil})), ""},
		"a password":           {"correct horse battery staple", ""},
		"a password with dots": {"a.b.c", ""},
		"an empty header":      {"e30.e30.e30", ""},
		"nothing":              {"", ""},
	} {
		got, ok := jwt.Issuer(c.raw)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
}

// FuzzVerify holds what verifies against what was signed: nothing else may.
func FuzzVerify(f *testing.F) {
	i := harness.StartIssuer(f)
	k := i.Key()
	keys := newKeys(f, i, &clock{}, func(c *jwt.KeysConfig) { c.Log = slog.New(slog.DiscardHandler) })
	v := newVerifier(f, keys, jwt.Rules{})
	good := i.Sign(i.Claims(audience, map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()}))
	f.Add(good)
	f.Add(strings.ReplaceAll(good, ".", ".."))
	f.Add(b64.EncodeToString([]byte(`{"alg":"none"}`)) + ".e30.")
	f.Add(b64.EncodeToString([]byte(`{"alg":"ES256","kid":"`+k.ID+`","jwk":{}}`)) + "." + b64.EncodeToString([]byte(`{"iss":1}`)) + ".AAAA")
	f.Fuzz(func(t *testing.T, raw string) {
		if len(raw) > 2*jwt.MaxToken {
			return
		}
		_, _ = jwt.Issuer(raw)
		// Up to the last dot: there are two spellings of an ECDSA signature.
		if _, err := v.Verify(t.Context(), raw); err == nil && !strings.HasPrefix(raw, good[:strings.LastIndexByte(good, '.')+1]) {
			t.Fatalf("verified: %q", raw)
		}
	})
}

// FuzzClaims signs whatever there is: what is accepted has all that it needs.
func FuzzClaims(f *testing.F) {
	i := harness.StartIssuer(f)
	k := i.Key()
	v := newVerifier(f, newKeys(f, i, &clock{}), jwt.Rules{})
	header := fmt.Sprintf(`{"alg":"ES256","kid":%q}`, k.ID)
	claims := i.Claims(audience, nil)
	for _, more := range []map[string]any{nil, {"aud": []string{audience, "x"}}, {"exp": 1e300}, {"nbf": "x"}, {"sub": "\u0000"}} {
		c := maps.Clone(claims)
		maps.Copy(c, more)
		f.Add(mustJSON(f, c))
	}
	f.Add([]byte(`{"iss":null,"\u0069ss":"x"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > jwt.MaxToken {
			return
		}
		got, err := v.Verify(t.Context(), harness.SignJWS(t, k.Private, "ES256", header, payload))
		if err != nil {
			if !errors.Is(err, policy.ErrUnauthenticated) {
				t.Fatalf("another class of error: %v", err)
			}
			return
		}
		if got.Issuer != i.URL || got.Subject == "" || got.Expires.IsZero() || got.IssuedAt.IsZero() || len(got.Claims) < 5 {
			t.Fatalf("accepted: %+v", got)
		}
	})
}
