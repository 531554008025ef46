package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/bondgate/bondgate/policy"
)

// KeySize is the size of the key that secrets are sealed under, in bytes.
const KeySize = 32

// Sealer encrypts small values with AES-256-GCM: refresh tokens at rest, and what
// a login keeps in the browser meanwhile.
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives a key for one purpose from the server's: what was sealed for
// another purpose does not open.
func NewSealer(key []byte, purpose string) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("session: the key has %d bytes, not %d: %w", len(key), KeySize, policy.ErrInvalid)
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "bondgate "+purpose, KeySize)
	if err != nil {
		return nil, fmt.Errorf("session: derive a key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("session: use a key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("session: use a key: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// Seal encrypts v for the place that it is kept in: moved to another place, it
// does not open. No two seals are alike.
func (s *Sealer) Seal(v any, place string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("session: seal: %w", err)
	}
	return s.aead.Seal(nil, nil, plain, []byte(place)), nil
}

// Open is the way back; [policy.ErrUnauthenticated] for whatever was not sealed
// here, under this key and for this place.
func (s *Sealer) Open(sealed []byte, place string, v any) error {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(place))
	if err != nil {
		return fmt.Errorf("session: a seal does not open: %w", policy.ErrUnauthenticated)
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("session: a seal holds something else: %w", policy.ErrUnauthenticated)
	}
	return nil
}

// newValue makes the value of a cookie: 256 random bits.
func newValue() [32]byte {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // it never fails: crypto/rand ends the process instead
	return raw
}
