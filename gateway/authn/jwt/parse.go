package jwt

import (
	"encoding/base64"
	"encoding/json/jsontext"
	json "encoding/json/v2"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Limits of a token.
const (
	// MaxToken is the longest token that is read, in bytes.
	MaxToken   = 16 << 10
	maxHeader  = 2 << 10
	maxIssuer  = 1 << 10
	maxSubject = 1 << 10
	// maxAudiences is how many parties a token may be for.
	maxAudiences = 32
)

// compact is a token in its parts, nothing of it verified.
type compact struct {
	header  header
	payload []byte
	claims  claims
}

// header are the members of a JWS header that mean something here.
type header struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
	// These would let a token bring its own key, or ask for rules that we do not
	// have (RFC 7515, sections 4.1.2 to 4.1.6 and 4.1.11; RFC 7797): with any of
	// them, whatever its value, a token is refused.
	JWK  jsontext.Value `json:"jwk"`
	JKU  jsontext.Value `json:"jku"`
	X5C  jsontext.Value `json:"x5c"`
	X5U  jsontext.Value `json:"x5u"`
	Crit jsontext.Value `json:"crit"`
	B64  jsontext.Value `json:"b64"`
	Zip  jsontext.Value `json:"zip"`
	Enc  jsontext.Value `json:"enc"`
	Cty  jsontext.Value `json:"cty"`
}

// forbidden reports whether the header has a member that no token may have.
func (h *header) forbidden() bool {
	return slices.ContainsFunc([]jsontext.Value{h.JWK, h.JKU, h.X5C, h.X5U, h.Crit, h.B64, h.Zip, h.Enc, h.Cty},
		func(v jsontext.Value) bool { return v != nil })
}

// claims are a token's, read strictly.
type claims struct {
	issuer, subject              string
	audience                     []string
	expires, issuedAt, notBefore time.Time
	all                          map[string]any
}

// Issuer is who a password or a parameter claims to be from, if it has the form of
// a signed token, good or bad; nothing of it is verified. It is for finding the one
// who can.
func Issuer(raw string) (string, bool) {
	issuer, _, ok := Claimed(raw)
	return issuer, ok
}

// Claimed is [Issuer] with whom the token says it is for: one issuer may write
// tokens for a job and for a person. The list is nil when it cannot be read.
func Claimed(raw string) (issuer string, aud []string, ok bool) {
	if len(raw) > MaxToken || strings.Count(raw, ".") != 2 {
		return "", nil, false
	}
	parts := strings.Split(raw, ".")
	if h, err := readHeader(parts[0]); err != nil || h.Alg == "" {
		return "", nil, false
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return "", nil, false
	}
	var c struct {
		Issuer   string `json:"iss"`
		Audience any    `json:"aud"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return "", nil, false
	}
	if issuer, ok = text(c.Issuer, maxIssuer); ok {
		aud, _ = audience(c.Audience)
	}
	return issuer, aud, ok
}

// parse takes a token apart: three parts of strict base64url, a header without
// anything forbidden, and claims each of which is there once.
func parse(raw string) (compact, error) {
	if len(raw) > MaxToken {
		return compact{}, refused("it is longer than any that is read")
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || strings.ContainsAny(raw, "\r\n") { // which the decoder skips
		return compact{}, refused("it is not a compact token")
	}
	h, err := readHeader(parts[0])
	switch {
	case err != nil:
		return compact{}, err
	case h.forbidden():
		return compact{}, refused("its header has what no header may have")
	case !slices.Contains(Algorithms(), h.Alg):
		return compact{}, refused("its algorithm is not one of those that are allowed")
	case len(h.Kid) > maxKeyID:
		return compact{}, refused("its key id is too long")
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return compact{}, refused("its claims are not base64url")
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil || parts[2] == "" {
		return compact{}, refused("its signature is not base64url")
	}
	c, err := readClaims(payload)
	return compact{header: h, payload: payload, claims: c}, err
}

func readHeader(encoded string) (header, error) {
	if len(encoded) > maxHeader {
		return header{}, refused("its header is too long")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return header{}, refused("its header is not base64url")
	}
	var h header
	// Names are matched letter by letter, and one that is there twice is an error.
	if err := json.Unmarshal(raw, &h); err != nil {
		return header{}, refused("its header cannot be read")
	}
	return h, nil
}

// typeFits compares the typ of a header, in which "application/" may be left out
// and letters have no case (RFC 7515, section 4.1.9).
func typeFits(typ, want string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	if want == "" {
		return typ == "" || typ == "jwt"
	}
	return typ == strings.ToLower(want)
}

func readClaims(payload []byte) (claims, error) {
	var all map[string]any
	if err := json.Unmarshal(payload, &all); err != nil || all == nil {
		return claims{}, refused("its claims cannot be read")
	}
	c := claims{all: all}
	var ok bool
	if c.issuer, ok = text(all["iss"], maxIssuer); !ok {
		return claims{}, refused("it does not say who issued it")
	}
	if c.subject, ok = text(all["sub"], maxSubject); !ok {
		return claims{}, refused("it does not say whom it is about")
	}
	if c.audience, ok = audience(all["aud"]); !ok {
		return claims{}, refused("it does not say whom it is for")
	}
	if c.expires, ok = date(all["exp"]); !ok {
		return claims{}, refused("it does not say when it ends")
	}
	if c.issuedAt, ok = date(all["iat"]); !ok {
		return claims{}, refused("it does not say when it was issued")
	}
	if nbf, there := all["nbf"]; there {
		if c.notBefore, ok = date(nbf); !ok {
			return claims{}, refused("the time at which it begins cannot be read")
		}
	}
	return c, nil
}

// text is a string of 1 to limit bytes without control characters, which would
// reach logs.
func text(v any, limit int) (string, bool) {
	s, ok := v.(string)
	return s, ok && s != "" && len(s) <= limit && !strings.ContainsFunc(s, unicode.IsControl)
}

// audience is one name or a list of them (RFC 7519, section 4.1.3).
func audience(v any) ([]string, bool) {
	if one, ok := v.(string); ok {
		return []string{one}, one != ""
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > maxAudiences {
		return nil, false
	}
	out := make([]string, 0, len(list))
	for _, one := range list {
		s, ok := one.(string)
		if !ok || s == "" {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// date is a NumericDate (RFC 7519, section 2): seconds, with a fraction if the
// issuer likes.
func date(v any) (time.Time, bool) {
	const year10000 = 253402300800
	seconds, ok := v.(float64)
	if !ok || seconds <= 0 || seconds >= year10000 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
