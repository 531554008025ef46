package decisionlog

import (
	"encoding/base64"
	"strings"
)

// Secrets are found in every text that is recorded, whatever the policy says:
// a token in a path, a password in a user agent, a key in a claim. Text is read
// once, byte by byte and without a branch; only at pairs of bytes that a secret
// cannot do without is more looked at. It is no parser: what it takes too much of
// is hidden, what it takes too little of is kept for years.

// A byte has bits for what it may be the telling byte of, and, eight bits higher,
// for what the byte after it may be.
const (
	bitEscape uint16 = 1 << iota // what JSON writes otherwise, or no ASCII
	bitSign                      // = or : or % after a name, or what closes one
	bitURL                       // the first / after a colon
	bitScheme                    // the blank after "Basic" or "Bearer"
	bitUnderline
	bitDash
	bitLetter
	bitSmall
	bitsAfter = 8
)

var bits = func() (t [256]uint16) {
	set := func(bit uint16, at, after string) {
		for _, b := range []byte(at) {
			t[b] |= bit
		}
		for _, b := range []byte(after) {
			t[b] |= bit << bitsAfter
		}
	}
	for b := range t {
		if b < ' ' || b > 0x7f || b == '"' || b == '\\' {
			t[b] |= bitEscape
		}
		t[b] |= bitEscape << bitsAfter
		if secretEnd[b] {
			t[b] |= bitSign << bitsAfter
		}
	}
	set(bitSign, "=:%", " \"'\\]")
	set(bitURL, "/", ":")
	set(bitScheme, " %", "cCrR")
	// Of the letters in tokens; a test compares.
	set(bitUnderline, "_", "prousteceml1")
	set(bitDash, "-", "-tabeoprsiY")
	set(bitLetter, "JIGv", "yKSAh")
	set(bitSmall, "a", "y")
	return t
}()

// leastSecret is the length of the shortest text with a secret: "pw=x".
const leastSecret = 4

// survey reads a text once: plain text is written as it is, and the first secret
// in it begins at from; to is 0 when there is none.
func survey(s string) (plain bool, from, to int) {
	// At the beginning there is nothing before, which is like any byte for escapes.
	all, last := uint16(0), bitEscape
	for i := 0; i < len(s); i++ {
		b := bits[s[i]]
		all |= b & last
		last = b >> bitsAfter
	}
	if all&^bitEscape != 0 {
		from, to = (&finder{s: s}).next(0)
	}
	return all&bitEscape == 0, from, to
}

// finder looks for secrets in one text, in a time that is linear in its length.
type finder struct {
	s string
	// No JWT, and no userinfo with a slash, begins before these places: what looked
	// like one was read to there.
	noJWT, noSlash int
}

// next is the first secret that is found from start on; to is 0 for none.
func (f *finder) next(start int) (from, to int) {
	s := f.s
	for i := max(start, 1); i < len(s); i++ {
		if bits[s[i]]&(bits[s[i-1]]>>bitsAfter)&^bitEscape == 0 {
			continue
		}
		if from, to = f.at(i); to > start {
			return max(from, start), to
		}
	}
	return 0, 0
}

// redacted is a text without its secrets, of which the first is known.
func redacted(key []byte, s string, from, to int) string {
	return replaced(s, from, to, func(secret string) string { return hidden(key, appendString(nil, secret)) })
}

// WithoutSecrets is a text in which each secret that is recognised is replaced by
// "[secret]", for logs. The time that it takes is linear in the length of the text.
func WithoutSecrets(s string) string {
	_, from, to := survey(s)
	if to == 0 {
		return s
	}
	return replaced(s, from, to, func(string) string { return "[secret]" })
}

func replaced(s string, from, to int, by func(secret string) string) string {
	var b strings.Builder
	f := finder{s: s}
	done := 0
	for to > 0 {
		b.WriteString(s[done:from])
		b.WriteString(by(s[from:to]))
		done = to
		from, to = f.next(done)
	}
	b.WriteString(s[done:])
	return b.String()
}

// at looks for a secret that the byte at i is a part of or leads to.
func (f *finder) at(i int) (from, to int) {
	s := f.s
	switch s[i] {
	case '=':
		return assigned(s, i, i+1, true)
	case '%':
		return encoded(s, i)
	case ':':
		return assigned(s, i, i+1, false)
	case '/':
		if strings.HasPrefix(s[i+1:], "/") {
			return f.userinfo(i + 2)
		}
		return 0, 0
	case ' ':
		return credentials(s, i, i+1)
	case '-':
		if strings.HasPrefix(s[i-1:], "-----BEGIN ") {
			return privateKey(s, i-1)
		}
	}
	return f.token(i)
}

// encoded is what stands behind "=" or a blank that a URL has as an escape.
func encoded(s string, i int) (from, to int) {
	switch rest := s[i:]; {
	case len(rest) < 4:
	case strings.EqualFold(rest[:3], "%3d"):
		return assigned(s, i, i+3, true)
	case rest[:3] == "%20":
		return credentials(s, i, i+3)
	}
	return 0, 0
}

// tokens are the beginnings of secrets that say what they are, with the byte in
// them that gives them away, and how many characters follow at least.
var tokens = []struct {
	prefix string
	at     int // of the trigger
	least  int
}{
	{"bgp_", 3, 16}, {"bgr_", 3, 16}, // our own: gateway/authn/secret.go
	{"ghp_", 3, 16}, {"gho_", 3, 16}, {"ghu_", 3, 16}, {"ghs_", 3, 16}, {"ghr_", 3, 16}, {"github_pat_", 10, 16},
	{"glpat-", 5, 15}, {"gldt-", 4, 15}, {"glrt-", 4, 15}, {"glptt-", 5, 15},
	{"xoxa-", 4, 10}, {"xoxb-", 4, 10}, {"xoxe-", 4, 10}, {"xoxo-", 4, 10}, {"xoxp-", 4, 10}, {"xoxr-", 4, 10}, {"xoxs-", 4, 10}, {"xapp-", 4, 10},
	{"sk_live_", 7, 10}, {"rk_live_", 7, 10}, {"sk_test_", 7, 10}, {"whsec_", 5, 16},
	{"npm_", 3, 30}, {"dckr_pat_", 8, 16}, {"dckr_oat_", 8, 16}, {"dop_v1_", 6, 30}, {"pypi-", 4, 40},
	{"AKIA", 2, 16}, {"ASIA", 2, 16}, {"AIza", 1, 30}, {"SG.", 1, 30}, {"hvs.", 1, 20}, {"ya29.", 1, 20},
	{"eyJ", 2, 17}, {"AGE-SECRET-KEY-", 14, 30},
}

// tokensBy has the places in tokens for each byte that gives them away.
var tokensBy = func() (by [256][]uint8) {
	for n, t := range tokens {
		b := t.prefix[t.at]
		by[b] = append(by[b], uint8(n))
	}
	return by
}()

// token is a token whose beginning has its telling byte at i.
func (f *finder) token(i int) (from, to int) {
	s := f.s
	for _, n := range tokensBy[s[i]] {
		t := &tokens[n]
		from = i - t.at
		// The byte before is compared first: most names differ there.
		if from < 0 || s[i-1] != t.prefix[t.at-1] || !strings.HasPrefix(s[from:], t.prefix) {
			continue
		}
		jwt := t.prefix == "eyJ"
		if jwt && from < f.noJWT {
			continue
		}
		to = from + len(t.prefix)
		for to < len(s) && inToken(s[to]) {
			to++
		}
		if jwt && !signed(s[from:to]) {
			f.noJWT = to
			continue
		}
		if to-from-len(t.prefix) < t.least {
			continue
		}
		return from, to
	}
	return 0, 0
}

func inToken(b byte) bool { return isAlnum(b) || b == '_' || b == '-' || b == '.' }

func isAlnum(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// signed tells a JWT (RFC 7519: parts with dots between them) from JSON in base64,
// as signatures have it in annotations.
func signed(s string) bool {
	return strings.IndexByte(s[:max(len(s)-4, 0)], '.') > 0
}

// privateKey is PEM (RFC 7468) of a private key, up to its end or that of the text.
func privateKey(s string, i int) (from, to int) {
	label := s[i : i+min(len(s)-i, 80)]
	if !strings.Contains(label, "PRIVATE KEY") {
		return 0, 0
	}
	end := strings.Index(s[i:], "-----END ")
	if end < 0 {
		return i, len(s)
	}
	to = i + end + len("-----END ")
	if rest := strings.Index(s[to:], "-----"); rest >= 0 {
		return i, to + rest + len("-----")
	}
	return i, len(s)
}

// userinfo is that of a URL (RFC 3986, section 3.2.1) whose authority begins at i.
// It is hidden whole: tokens stand in either part of it. "git" is nobody's secret.
func (f *finder) userinfo(i int) (from, to int) {
	s, end := f.s, i
	for end < len(s) && !strings.ContainsRune("/?#\\\"'<> \t\r\n", rune(s[end])) {
		end++
	}
	at := strings.LastIndexByte(s[i:end], '@')
	_, port, _ := strings.Cut(s[i:end], ":")
	if at < 0 && i >= f.noSlash && port != "" && (port[0] < '0' || port[0] > '9') {
		// No port has anything but digits: this is a password with a slash.
		for end < len(s) && !strings.ContainsRune("\"'<> \t\r\n", rune(s[end])) {
			end++
		}
		if at = strings.LastIndexByte(s[i:end], '@'); at < 0 {
			f.noSlash = end
		}
	}
	if at <= 0 || s[i:i+at] == "git" {
		return 0, 0
	}
	return i, i + at
}

// credentials are those after an authentication scheme (RFC 9110, section 11.4),
// which ends at i.
func credentials(s string, i, value int) (from, to int) {
	if i < 5 || s[i-1]|0x20 != 'c' && s[i-1]|0x20 != 'r' {
		return 0, 0
	}
	basic := strings.EqualFold(s[i-5:i], "basic")
	if !basic && (i < 6 || !strings.EqualFold(s[i-6:i], "bearer")) {
		return 0, 0
	}
	for value < len(s) && s[value] == ' ' {
		value++
	}
	to = value
	for to < len(s) && s[to] > ' ' && !strings.ContainsRune("\"'\\,<>", rune(s[to])) {
		to++
	}
	if !random(s[value:to]) && !(basic && userAndPassword(s[value:to])) {
		return 0, 0
	}
	return value, to
}

func userAndPassword(s string) bool {
	text, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return err == nil && strings.IndexByte(string(text), ':') >= 0
}

// random tells a secret from a word where either may stand.
func random(s string) bool {
	if len(s) < 6 {
		return false
	}
	if len(s) >= 20 {
		return true
	}
	for i := range len(s) {
		if b := s[i]; b >= '0' && b <= '9' || i > 0 && b >= 'A' && b <= 'Z' || b == '+' || b == '/' {
			return true
		}
	}
	return false
}
