package jwt

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bondgate/bondgate/policy"
)

// skew is how far the issuer's clock may be before ours. It does not lengthen a
// token's life: what has expired has expired.
const skew = time.Minute

// Rules are what a token must be, beside signed.
type Rules struct {
	// Audience must be among the token's. It is required: without it every token
	// that the issuer ever wrote for anybody would do.
	Audience string
	// Authorized applies the rules for ID tokens (OpenID Connect Core 1.0, section
	// 3.1.3.7): azp must be Audience if it is there, and must be there if the token
	// has several audiences.
	Authorized bool
	// MaxAge is how long ago the token may have been issued; zero is no limit but
	// the token's own.
	MaxAge time.Duration
	// Type is the typ that the header must have, such as "logout+jwt"; empty takes
	// "JWT" and none.
	Type string
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Verifier verifies the tokens of one issuer for one audience.
type Verifier struct {
	keys  *KeySet
	rules Rules
}

// NewVerifier checks rules and makes a verifier.
func NewVerifier(keys *KeySet, rules Rules) (*Verifier, error) {
	switch {
	case keys == nil:
		return nil, fmt.Errorf("authn/jwt: no keys: %w", policy.ErrInvalid)
	case rules.Audience == "":
		return nil, fmt.Errorf("authn/jwt: an audience is needed for the issuer %s: %w", keys.Issuer(), policy.ErrInvalid)
	case rules.MaxAge < 0:
		return nil, fmt.Errorf("authn/jwt: a negative age: %w", policy.ErrInvalid)
	}
	if rules.Now == nil {
		rules.Now = time.Now
	}
	return &Verifier{keys: keys, rules: rules}, nil
}

// Keys are the keys that the verifier asks.
func (v *Verifier) Keys() *KeySet { return v.keys }

// Token is a token that verified.
type Token struct {
	Issuer, Subject   string
	Audience          []string
	IssuedAt, Expires time.Time
	// Claims are all of them as JSON values (float64 for numbers), the registered
	// ones included.
	Claims map[string]any
	// Revision is that of the keys it was verified with.
	Revision uint64
}

// Text is a claim that is a string; empty for any other.
func (t Token) Text(claim string) string {
	s, _ := t.Claims[claim].(string)
	return s
}

// Verify answers what a token says. Whatever is off about the token is
// [policy.ErrUnauthenticated]; [policy.ErrUnavailable] is that the issuer's keys
// are not known and cannot be had. No error has a part of the token in it.
func (v *Verifier) Verify(ctx context.Context, raw string) (Token, error) {
	// All that costs nothing comes first: a token that could not do anyhow causes
	// no reading of keys and no signature to be computed.
	c, err := parse(raw)
	if err != nil {
		return Token{}, err
	}
	t, err := v.check(c)
	if err != nil {
		return Token{}, err
	}
	found, set, err := v.keys.find(ctx, c.header.Kid, c.header.Alg)
	if err != nil {
		return Token{}, err
	}
	if !signed(raw, c, found) {
		return Token{}, refused("its signature is wrong")
	}
	t.Revision = set.revision
	return t, nil
}

// signed reports whether one of the keys made the signature over exactly what was
// read.
func signed(raw string, c compact, keys []key) bool {
	for _, k := range keys {
		jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(c.header.Alg)})
		if err != nil {
			return false
		}
		if payload, err := jws.Verify(k.public); err == nil && bytes.Equal(payload, c.payload) {
			return true
		}
	}
	return false
}

// check judges what the token says, at this moment.
func (v *Verifier) check(c compact) (Token, error) {
	p, now := c.claims, v.rules.Now()
	t := Token{
		Issuer: p.issuer, Subject: p.subject, Audience: p.audience, IssuedAt: p.issuedAt, Expires: p.expires, Claims: p.all,
	}
	switch {
	case p.issuer != v.keys.Issuer():
		return Token{}, refused("another issuer wrote it")
	case !typeFits(c.header.Typ, v.rules.Type):
		return Token{}, refused("it is of another type")
	case !slices.Contains(p.audience, v.rules.Audience):
		return Token{}, refused("it is for another audience than " + v.rules.Audience)
	case v.rules.Authorized && !authorized(p, v.rules.Audience):
		return Token{}, refused("it was issued to another party")
	case !now.Before(p.expires):
		return Token{}, refused("it has expired")
	case !p.issuedAt.Before(p.expires):
		return Token{}, refused("it ended before it began")
	case p.issuedAt.After(now.Add(skew)), p.notBefore.After(now.Add(skew)):
		return Token{}, refused("it is not valid yet")
	case v.rules.MaxAge > 0 && now.After(p.issuedAt.Add(v.rules.MaxAge)):
		return Token{}, refused("it was issued too long ago")
	}
	return t, nil
}

// authorized is the rule of azp.
func authorized(p claims, audience string) bool {
	azp, there := p.all["azp"]
	if !there {
		return len(p.audience) == 1
	}
	return azp == audience
}

func refused(why string) error {
	return fmt.Errorf("authn/jwt: refused: %s: %w", why, policy.ErrUnauthenticated)
}
