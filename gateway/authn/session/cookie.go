package session

import (
	"net/http"
	"time"
)

// cookieName is what the session's cookie is called, before the prefix.
const cookieName = "bondgate-session"

// hostPrefix makes browsers refuse the cookie unless it is Secure, for / and for
// this very host: a neighbouring subdomain cannot plant one (RFC 6265bis 4.1.3.2).
const hostPrefix = "__Host-"

// cookie is a cookie's whole name at the origin. The prefix wants https, so plain
// HTTP, which is on loopback only, goes without.
func (o Origin) cookie(name string) string {
	if o.Secure() {
		return hostPrefix + name
	}
	return name
}

// Cookie makes a cookie that no script reads and no other site's form sends. Lax
// and not Strict: the redirect back from the provider is another site's. A
// negative age takes it back.
func Cookie(o Origin, name, value string, age time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: o.cookie(name), Value: value, Path: "/", HttpOnly: true,
		Secure: o.Secure(), SameSite: http.SameSiteLaxMode, MaxAge: int(age / time.Second),
	}
	if age < 0 {
		c.MaxAge = -1
	}
	return c
}

// Value reads a cookie that [Cookie] made; "" without one. Two of a name are
// refused: one of them was planted.
func Value(o Origin, name string, r *http.Request) (string, error) {
	switch found := r.CookiesNamed(o.cookie(name)); len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0].Value, nil
	default:
		return "", over("two cookies of one name")
	}
}

// cookieValue reads the session's cookie; what cannot be one is refused before
// the store is asked.
func cookieValue(o Origin, r *http.Request) (string, error) {
	value, err := Value(o, cookieName, r)
	if err != nil || value == "" {
		return "", err
	}
	if len(value) != 43 { // 32 bytes in base64url
		return "", over("the cookie is not one of ours")
	}
	return value, nil
}
