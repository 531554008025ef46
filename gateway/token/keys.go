package token

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// signer is one key, ready to sign, with the two headers that it ever writes.
type signer struct {
	id      string
	created time.Time
	private *ecdsa.PrivateKey
	// access and refresh are the encoded headers of the two types of token. The
	// type is in the header, so that a refresh token is no bearer token even
	// before its claims are read.
	access, refresh string
}

// The two types of token.
const (
	typeAccess  = "JWT"
	typeRefresh = "bondgate-refresh+jwt"
)

// keySet is every key at one time; immutable.
type keySet struct {
	revision uint64
	signers  []signer // newest first
	// access and refresh find a key by the whole encoded header.
	access, refresh map[string]*ecdsa.PublicKey
	jwks            []byte
}

// signing is the newest key that was published long enough ago. Before the first
// has been, the oldest signs: nobody can have read an older set.
func (k *keySet) signing(now time.Time) *signer {
	for i := range k.signers {
		if !now.Before(k.signers[i].created.Add(lead)) {
			return &k.signers[i]
		}
	}
	return &k.signers[len(k.signers)-1]
}

// Maintain does what Run does each minute, once: reads the keys, and rotates when
// it is time.
func (s *Service) Maintain(ctx context.Context) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	keys, err := s.readKeys(ctx)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	if len(keys) == 0 || now.Sub(newest(keys).Created) >= s.cfg.Rotation {
		k, err := newKey(now)
		if err != nil {
			return err
		}
		if err := s.cfg.Keys.AddTokenKey(ctx, k); err != nil && !errors.Is(err, policy.ErrConflict) {
			return fmt.Errorf("token: adding a key: %w", err)
		}
		// Another replica may have done the same: what is stored is what holds.
		if keys, err = s.readKeys(ctx); err != nil {
			return err
		}
	}
	kept := keys[:0:0]
	for _, k := range keys {
		if !s.spent(k, keys, now) {
			kept = append(kept, k)
			continue
		}
		if err := s.cfg.Keys.DeleteTokenKey(ctx, k.ID); err != nil {
			return fmt.Errorf("token: deleting a spent key: %w", err)
		}
	}
	return s.use(kept)
}

// spent reports whether nothing that k signed can still be valid: its successor
// has been signing for longer than any token holds.
func (s *Service) spent(k Key, keys []Key, now time.Time) bool {
	longest := max(s.cfg.TTL, s.cfg.RefreshTTL) + time.Hour
	return slices.ContainsFunc(keys, func(next Key) bool {
		return next.Created.After(k.Created) && now.After(next.Created.Add(lead+longest))
	})
}

func newest(keys []Key) Key {
	return slices.MaxFunc(keys, func(a, b Key) int { return a.Created.Compare(b.Created) })
}

func (s *Service) readKeys(ctx context.Context) ([]Key, error) {
	keys, err := s.cfg.Keys.TokenKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("token: reading the keys: %w", err)
	}
	s.read.Store(s.cfg.Now().UnixNano())
	return keys, nil
}

// reload reads the keys because a token named one that is not known: another
// replica may have made it. Strangers can cause it too, so it is rare.
func (s *Service) reload(ctx context.Context) bool {
	if s.cfg.Now().UnixNano()-s.read.Load() < int64(again) || !s.reading.TryLock() {
		return false
	}
	defer s.reading.Unlock()
	keys, err := s.readKeys(ctx)
	if err != nil || len(keys) == 0 {
		s.read.Store(s.cfg.Now().UnixNano())
		return false
	}
	return s.use(keys) == nil
}

// use makes keys the set in force. The revision changes only if the keys did.
func (s *Service) use(keys []Key) error {
	set := &keySet{access: map[string]*ecdsa.PublicKey{}, refresh: map[string]*ecdsa.PublicKey{}}
	for _, k := range keys {
		sg, err := parseKey(k)
		if err != nil {
			return fmt.Errorf("token: key %q: %w", k.ID, err)
		}
		set.signers = append(set.signers, sg)
		set.access[sg.access], set.refresh[sg.refresh] = &sg.private.PublicKey, &sg.private.PublicKey
	}
	slices.SortFunc(set.signers, func(a, b signer) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.id, b.id))
	})
	old := s.keys.Load()
	if old != nil && slices.EqualFunc(old.signers, set.signers, func(a, b signer) bool { return a.id == b.id }) {
		return nil
	}
	if old != nil {
		set.revision = old.revision + 1
	}
	var err error
	if set.jwks, err = publish(set.signers); err != nil {
		return err
	}
	s.keys.Store(set)
	return nil
}

func newKey(now time.Time) (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("token: making a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, fmt.Errorf("token: encoding a key: %w", err)
	}
	pub, err := publicJWK(&private.PublicKey)
	if err != nil {
		return Key{}, err
	}
	return Key{ID: pub.thumbprint(), PKCS8: der, Created: now.UTC().Truncate(time.Second)}, nil
}

func parseKey(k Key) (signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
	if err != nil {
		return signer{}, fmt.Errorf("parsing: %w", err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return signer{}, fmt.Errorf("not a P-256 key: %w", policy.ErrInvalid)
	}
	pub, err := publicJWK(&private.PublicKey)
	if err != nil {
		return signer{}, err
	}
	if pub.thumbprint() != k.ID {
		return signer{}, fmt.Errorf("its id is not its thumbprint: %w", policy.ErrInvalid)
	}
	head := func(typ string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"` + k.ID + `","typ":"` + typ + `"}`))
	}
	return signer{id: k.ID, created: k.Created, private: private, access: head(typeAccess), refresh: head(typeRefresh)}, nil
}

// jwk is a public key as RFC 7517 writes it.
type jwk struct {
	Crv string `json:"crv"`
	Kty string `json:"kty"`
	X   string `json:"x"`
	Y   string `json:"y"`
	Alg string `json:"alg,omitempty"`
	Kid string `json:"kid,omitempty"`
	Use string `json:"use,omitempty"`
}

func publicJWK(pub *ecdsa.PublicKey) (jwk, error) {
	point, err := pub.Bytes() // 4, x, y
	if err != nil {
		return jwk{}, fmt.Errorf("token: encoding a public key: %w", err)
	}
	b64 := base64.RawURLEncoding
	return jwk{Crv: "P-256", Kty: "EC", X: b64.EncodeToString(point[1:33]), Y: b64.EncodeToString(point[33:])}, nil
}

// thumbprint is RFC 7638: the hash of the required members, in this order.
func (k jwk) thumbprint() string {
	sum := sha256.Sum256([]byte(`{"crv":"` + k.Crv + `","kty":"` + k.Kty + `","x":"` + k.X + `","y":"` + k.Y + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func publish(signers []signer) ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for i := range signers {
		k, err := publicJWK(&signers[i].private.PublicKey)
		if err != nil {
			return nil, err
		}
		k.Alg, k.Use, k.Kid = "ES256", "sig", signers[i].id
		set.Keys = append(set.Keys, k)
	}
	out, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("token: encoding the key set: %w", err)
	}
	return out, nil
}
