package harness

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // crypto.SHA256 and SHA384 are made of what is linked in
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// Issuer is an OpenID issuer as CI systems and clusters have one: it answers
// discovery and its keys, and signs whatever a test wants it to say. It writes its
// tokens with nothing but the standard library, so a verifier is not tested
// against itself.
type Issuer struct {
	// URL is the issuer, and the iss of its tokens.
	URL string

	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	keys     []*IssuerKey // the newest signs
	down     bool
	control  string
	metadata map[string]any
	rawKeys  []byte
	asked    int
	made     int
}

// IssuerKey is one of an issuer's keys.
type IssuerKey struct {
	ID, Algorithm string
	Private       crypto.Signer
}

// StartIssuer starts an issuer on plain HTTP at the loopback, with one key of ES256.
func StartIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t}
	i.server = httptest.NewServer(i)
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.Rotate("ES256")
	return i
}

// Client reaches the issuer.
func (i *Issuer) Client() *http.Client { return i.server.Client() }

// KeysURL is where the keys are.
func (i *Issuer) KeysURL() string { return i.URL + "/keys" }

// Rotate adds a key of the algorithm (RS256, ES256, ES384 or EdDSA), which signs
// from now on. The older ones stay published until they are [Issuer.Drop]ped.
func (i *Issuer) Rotate(algorithm string) *IssuerKey {
	i.t.Helper()
	private := NewSigningKey(i.t, algorithm)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	k := &IssuerKey{ID: fmt.Sprintf("key-%d", i.made), Algorithm: algorithm, Private: private}
	i.keys = append(i.keys, k)
	return k
}

// NewSigningKey makes a private key for the algorithm.
func NewSigningKey(t testing.TB, algorithm string) crypto.Signer {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case "RS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("no key can be made for %s", algorithm)
	}
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// Drop withdraws all keys but the newest.
func (i *Issuer) Drop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = slices.Clone(i.keys[len(i.keys)-1:])
}

// Down lets the issuer answer nothing but 503.
func (i *Issuer) Down(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// CacheControl is what the keys come with from now on.
func (i *Issuer) CacheControl(value string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.control = value
}

// Say changes what discovery answers; a nil value leaves the member out.
func (i *Issuer) Say(metadata map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.metadata = metadata
}

// SayKeys answers raw instead of the keys; nil ends that.
func (i *Issuer) SayKeys(raw []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rawKeys = raw
}

// Asked is how often somebody wanted the keys.
func (i *Issuer) Asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// Key is the one that signs.
func (i *Issuer) Key() *IssuerKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}

// Claims are good ones for the audience, issued now for five minutes, with more
// over them; a nil value takes a claim out.
func (i *Issuer) Claims(audience string, more map[string]any) map[string]any {
	now := time.Now()
	out := map[string]any{
		"iss": i.URL, "sub": "someone", "aud": audience, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	for name, value := range more {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

// Sign writes a token with the claims.
func (i *Issuer) Sign(claims map[string]any) string {
	i.t.Helper()
	k := i.Key()
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	return SignJWS(i.t, k.Private, k.Algorithm, fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, k.Algorithm, k.ID), payload)
}

// SignJWS signs header and payload as they are, in the compact form of RFC 7515;
// the algorithm says how, whatever the header says.
func SignJWS(t testing.TB, key crypto.Signer, algorithm, header string, payload []byte) string {
	t.Helper()
	b64 := base64.RawURLEncoding
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString(payload)
	hash := crypto.SHA256
	if algorithm == "ES384" {
		hash = crypto.SHA384
	}
	digest := func() []byte {
		h := hash.New()
		h.Write([]byte(input))
		return h.Sum(nil)
	}
	var signature []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		var opts crypto.SignerOpts = hash
		if algorithm == "PS256" {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		signature, err = k.Sign(rand.Reader, digest(), opts)
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, k, digest())
		if err == nil {
			size := (k.Params().BitSize + 7) / 8
			signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(k, []byte(input))
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64.EncodeToString(signature)
}

// JWK is the public key as RFC 7517 has it.
func (k *IssuerKey) JWK() map[string]any {
	b64 := base64.RawURLEncoding
	out := map[string]any{"kid": k.ID, "alg": k.Algorithm, "use": "sig"}
	switch public := k.Private.Public().(type) {
	case *rsa.PublicKey:
		out["kty"], out["n"], out["e"] = "RSA", b64.EncodeToString(public.N.Bytes()), b64.EncodeToString(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, _ := public.Bytes() // of a key that was just made
		size := (len(point) - 1) / 2
		out["kty"], out["crv"] = "EC", public.Params().Name
		out["x"], out["y"] = b64.EncodeToString(point[1:1+size]), b64.EncodeToString(point[1+size:])
	case ed25519.PublicKey:
		out["kty"], out["crv"], out["x"] = "OKP", "Ed25519", b64.EncodeToString(public)
	}
	return out
}

// ServeHTTP answers discovery and the keys.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.URL.Path == "/keys" {
		i.asked++
	}
	if i.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		m := map[string]any{"issuer": i.URL, "jwks_uri": i.KeysURL()}
		for name, value := range i.metadata {
			if m[name] = value; value == nil {
				delete(m, name)
			}
		}
		answer = m
	case "/keys":
		if i.control != "" {
			w.Header().Set("Cache-Control", i.control)
		}
		if i.rawKeys != nil {
			_, _ = w.Write(i.rawKeys)
			return
		}
		list := []any{}
		for _, k := range i.keys {
			list = append(list, k.JWK())
		}
		answer = map[string]any{"keys": list}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}
