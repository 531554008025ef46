package authn

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on what a client may send as a credential, in bytes. They bound the
// work before anybody is known. A CI's signed token comes as a password, so that
// one is long; people's passwords are bounded by those who hash them.
const (
	MaxHeader   = 16 << 10
	MaxName     = 255
	MaxPassword = 8 << 10
)

// splitHeader cuts an Authorization header into its scheme, in lower case, and
// the credential.
func splitHeader(value string) (scheme, rest string, err error) {
	if len(value) > MaxHeader {
		return "", "", unauthenticated("the Authorization header is too long")
	}
	scheme, rest, ok := strings.Cut(value, " ")
	if !ok || scheme == "" || rest == "" {
		return "", "", unauthenticated("the Authorization header has no credential")
	}
	return strings.ToLower(scheme), rest, nil
}

// ParseBasic reads the credential of the Basic scheme: standard base64 of
// name:password, within the limits and without control characters. Everything
// else is [policy.ErrUnauthenticated].
func ParseBasic(encoded string) (name, password string, err error) {
	if len(encoded) > MaxHeader {
		return "", "", unauthenticated("the credential is too long")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // which the decoder skips
		return "", "", unauthenticated("the credential is not base64")
	}
	name, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return "", "", unauthenticated("the credential has no colon")
	}
	if err := CheckCredential(name, password); err != nil {
		return "", "", err
	}
	return name, password, nil
}

// CheckCredential refuses names and passwords that no provider should ever see:
// empty, beyond the limits, not UTF-8, or with control characters, which would
// reach logs and other protocols (an empty password is an anonymous bind in LDAP).
func CheckCredential(name, password string) error {
	switch {
	case name == "" || len(name) > MaxName:
		return unauthenticated("the name is empty or too long")
	case password == "" || len(password) > MaxPassword:
		return unauthenticated("the password is empty or too long")
	case !utf8.ValidString(name) || !utf8.ValidString(password):
		return unauthenticated("the credential is not UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl) || strings.ContainsFunc(password, unicode.IsControl):
		return unauthenticated("the credential has control characters")
	}
	return nil
}

// checkToken allows the characters of a compact JWS and no others.
func checkToken(raw string) error {
	for i := range len(raw) {
		c := raw[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return unauthenticated("the token has characters that no token has")
		}
	}
	return nil
}
