package token

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	json "encoding/json/v2"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Limits of a token.
const (
	// MaxToken is the longest token that is written or read, in bytes.
	MaxToken = 16 << 10
	// MaxScopes is how many scopes a token is asked for or carries at most.
	MaxScopes = 100
)

// claims are the payload of both types of token.
type claims struct {
	Issuer    string         `json:"iss"`
	Subject   string         `json:"sub"`
	Audience  string         `json:"aud"`
	Expires   int64          `json:"exp"`
	NotBefore int64          `json:"nbf"`
	IssuedAt  int64          `json:"iat"`
	ID        string         `json:"jti"`
	Access    []policy.Scope `json:"access"`
	Who       who            `json:"bondgate"`
}

// who is the rest of the principal, and for a refresh token the credential that
// it was got with.
type who struct {
	Workspace string      `json:"workspace"`
	Issuer    string      `json:"issuer,omitempty"`
	Name      string      `json:"name,omitempty"`
	Kind      policy.Kind `json:"kind,omitempty"`
	// Auth is how the principal proved itself when it got the token.
	Auth string `json:"auth,omitempty"`
	// Credential is what must still hold for the token to be worth anything.
	Credential string         `json:"credential,omitempty"`
	Groups     []string       `json:"groups,omitempty"`
	Claims     map[string]any `json:"claims,omitempty"`
	Stamp      string         `json:"stamp,omitempty"`
}

func (c *claims) principal() policy.Principal {
	return policy.Principal{
		Workspace: c.Who.Workspace, Issuer: c.Who.Issuer, ID: c.Subject, Name: c.Who.Name, Kind: c.Who.Kind,
		Auth: cmp.Or(c.Who.Auth, policy.AuthToken), Credential: c.Who.Credential,
		Groups: c.Who.Groups, Claims: c.Who.Claims,
	}
}

// sign writes the compact form with the header of the type.
func (k *signer) sign(header string, c *claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("token: encoding the claims: %w", err)
	}
	input := header + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		return "", fmt.Errorf("token: signing: %w", err)
	}
	var sig [64]byte
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	out := input + "." + base64.RawURLEncoding.EncodeToString(sig[:])
	if len(out) > MaxToken {
		return "", fmt.Errorf("token: so many scopes and groups make a token that no header carries: %w", policy.ErrTooLarge)
	}
	return out, nil
}

// open checks the signature of a token whose header is one of headers, and reads
// its claims. known is false when the header is none of them.
func open(raw string, headers map[string]*ecdsa.PublicKey) (c *claims, known bool, err error) {
	header, rest, ok := strings.Cut(raw, ".")
	if !ok || len(raw) > MaxToken {
		return nil, true, refused("it is not a compact token within the limit")
	}
	key, known := headers[header]
	if !known {
		return nil, false, refused("its header is not one of ours")
	}
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, true, refused("it has no signature")
	}
	// Strict decoding: one token has one spelling. It skips line breaks, which the
	// length shows.
	sig, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || len(sig) != 64 || len(signature) != base64.RawURLEncoding.EncodedLen(64) {
		return nil, true, refused("its signature has another form")
	}
	sum := sha256.Sum256([]byte(raw[:len(header)+1+len(payload)]))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, true, refused("its signature is wrong")
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil {
		return nil, true, refused("its claims are not base64")
	}
	c = &claims{}
	if err := json.Unmarshal(body, c); err != nil {
		return nil, true, refused("its claims are not what we write")
	}
	return c, true, nil
}

// check judges the claims at now. Everything that we always write must be there:
// what is missing is not a default.
func (c *claims) check(issuer, audience, workspace string, longest time.Duration, now time.Time) error {
	exp, nbf, iat := time.Unix(c.Expires, 0), time.Unix(c.NotBefore, 0), time.Unix(c.IssuedAt, 0)
	switch {
	case c.Issuer != issuer:
		return refused("another issuer wrote it")
	case c.Audience != audience:
		return refused("it is for another service")
	case c.Who.Workspace != workspace:
		return refused("it is of another workspace")
	case c.Expires <= 0 || c.NotBefore <= 0 || c.IssuedAt <= 0 || c.ID == "":
		return refused("a required claim is missing")
	case !now.Before(exp):
		return refused("it has expired")
	case now.Add(skew).Before(nbf), now.Add(skew).Before(iat):
		return refused("it is not valid yet")
	case exp.Sub(iat) > longest:
		return refused("it holds for longer than any that we write")
	case len(c.Access) > MaxScopes:
		return refused("it carries too many scopes")
	case (c.Subject == "") != (c.Who.Issuer == ""):
		return refused("it names half a principal")
	case c.Who.Kind == policy.KindOperator || c.Who.Kind == policy.KindSystem:
		return refused("it names somebody who never comes with a token")
	}
	return nil
}

func refused(why string) error {
	return fmt.Errorf("token: refused: %s: %w", why, policy.ErrUnauthenticated)
}
