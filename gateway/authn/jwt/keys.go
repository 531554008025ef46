package jwt

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeys is how many keys a set may have.
	maxKeys = 100
	// maxKeyID is the length of the longest key id, in bytes.
	maxKeyID = 256
)

// The sizes of RSA keys that are used, in bits: smaller ones are broken or will
// be, larger ones are a way to keep a verifier busy.
const minRSA, maxRSA = 2048, 8192

// key is one public key that may verify.
type key struct {
	id string
	// algorithm is what the set says the key is for; empty when it does not say.
	algorithm  string
	public     crypto.PublicKey
	thumbprint string // RFC 7638
}

// fits reports whether a token signed with the algorithm could be this key's.
func (k *key) fits(algorithm string) bool {
	return (k.algorithm == "" || k.algorithm == algorithm) && slices.Contains(algorithmsOf(k.public), algorithm)
}

// algorithmsOf is the allow-list: asymmetric algorithms, by type of key.
func algorithmsOf(public crypto.PublicKey) []string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

// Algorithms are those that a token may be signed with.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"}
}

// jwk are the members of RFC 7517 and 7518 that matter here. Certificates are left
// out: a key is what the set says it is, and nobody asks a certificate.
type jwk struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid,omitzero"`
	Alg    string   `json:"alg,omitzero"`
	Use    string   `json:"use,omitzero"`
	KeyOps []string `json:"key_ops,omitzero"`
	Crv    string   `json:"crv,omitzero"`
	N      string   `json:"n,omitzero"`
	E      string   `json:"e,omitzero"`
	X      string   `json:"x,omitzero"`
	Y      string   `json:"y,omitzero"`
	D      string   `json:"d,omitzero"`
}

// parseKeys reads a set of keys (RFC 7517, section 5). Keys that are for something
// else, of a type that is not known, too weak, or private are left out, as the
// section says; a set without any that is left is an error.
func parseKeys(raw []byte) ([]key, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, errors.New("the key set cannot be read")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys, %d are allowed", len(set.Keys), maxKeys)
	}
	var keys []key
	for _, one := range set.Keys {
		if k, ok := parseKey(one); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no key that could verify a token")
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(strings.Compare(a.id, b.id), strings.Compare(a.thumbprint, b.thumbprint), strings.Compare(a.algorithm, b.algorithm))
	})
	return slices.CompactFunc(keys, sameKey), nil
}

func sameKey(a, b key) bool {
	return a.id == b.id && a.thumbprint == b.thumbprint && a.algorithm == b.algorithm
}

func parseKey(raw []byte) (key, bool) {
	var j jwk
	if json.Unmarshal(raw, &j) != nil {
		return key{}, false
	}
	if (j.Use != "" && j.Use != "sig") || (j.KeyOps != nil && !slices.Contains(j.KeyOps, "verify")) ||
		j.D != "" || len(j.Kid) > maxKeyID {
		return key{}, false
	}
	clean, err := json.Marshal(j)
	if err != nil {
		return key{}, false
	}
	var parsed jose.JSONWebKey
	if parsed.UnmarshalJSON(clean) != nil || !parsed.IsPublic() || !parsed.Valid() {
		return key{}, false
	}
	sum, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil || len(sum) != sha256.Size {
		return key{}, false
	}
	k := key{id: j.Kid, algorithm: j.Alg, public: parsed.Key, thumbprint: string(sum)}
	if r, ok := k.public.(*rsa.PublicKey); ok && (r.N.BitLen() < minRSA || r.N.BitLen() > maxRSA || r.E < 3 || r.E&1 == 0) {
		return key{}, false
	}
	fits := slices.ContainsFunc(Algorithms(), k.fits)
	return k, fits
}
