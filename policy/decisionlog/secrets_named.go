package decisionlog

import "strings"

// named says how sure a name makes that what is called so is a secret.
type named uint8

const (
	notSecret named = iota
	// maybeSecret is a word of other uses too: "token: expired" has no secret.
	maybeSecret
	surelySecret
	// secretLine is a header of which all is secret: "Authorization: Digest …".
	secretLine
)

// secretNames are what secrets are called, by the last letter; a name may have
// more before it ("db_password"), and - and _ anywhere.
var secretNames = ['z' + 1][]struct {
	name string
	what named
	// whole is a name too short to be told at the end of another word.
	whole bool
}{
	'd': {{"password", surelySecret, false}, {"passwd", surelySecret, false}, {"pwd", surelySecret, true}},
	'w': {{"pw", surelySecret, true}},
	's': {{"pass", surelySecret, true}, {"credentials", maybeSecret, false}},
	'l': {{"credential", maybeSecret, false}},
	't': {{"secret", maybeSecret, false}},
	'e': {{"passphrase", surelySecret, false}, {"cookie", secretLine, true}},
	'n': {{"token", maybeSecret, false}, {"authorization", secretLine, false}},
	'y': {
		{"apikey", maybeSecret, false}, {"privatekey", maybeSecret, false}, {"secretkey", maybeSecret, false},
		{"accesskey", maybeSecret, false}, {"signingkey", maybeSecret, false}, {"encryptionkey", maybeSecret, false},
	},
}

// secretEnd are the last letters of all secretNames, in both cases.
var secretEnd = func() (t [256]bool) {
	for b, names := range secretNames {
		if len(names) > 0 {
			t[b], t[b-'a'+'A'] = true, true
		}
	}
	return t
}()

// nameBefore tells what the name that ends before end says of what follows it.
func nameBefore(s string, end int) named {
	if end < 2 || !secretEnd[s[end-1]] {
		return notSecret
	}
	for _, n := range secretNames[s[end-1]|0x20] {
		at, left := end, len(n.name)
		for at > 0 && left > 0 {
			b := s[at-1]
			if b|0x20 == n.name[left-1] {
				left--
			} else if b != '_' && b != '-' {
				break
			}
			at--
		}
		if left == 0 && (!n.whole || at == 0 || !isAlnum(s[at-1])) {
			return n.what
		}
	}
	return notSecret
}

// namesSecret reports whether the value of a JSON object's member is a secret by
// the member's name.
func namesSecret(key string) bool { return nameBefore(key, len(key)) != notSecret }

// couldBeSecret tells values from switches: a password that must be changed is
// none, and neither is one that is not there.
func couldBeSecret(v any) bool {
	switch v := v.(type) {
	case nil, bool:
		return false
	case string:
		return v != ""
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	return true
}

// assigned is the value after a sign (= or :) at i when what stands before the
// sign names a secret. Names and values may be in quotes, and in quotes in quotes.
func assigned(s string, i, value int, equals bool) (from, to int) {
	end := i
	for end > 0 && s[end-1] == ' ' && i-end < 2 {
		end--
	}
	quoted := false
	for end > 0 && strings.IndexByte("\"'\\]", s[end-1]) >= 0 && i-end < 4 {
		end--
		quoted = true
	}
	what := nameBefore(s, end)
	if what == notSecret {
		return 0, 0
	}
	for value < len(s) && (s[value] == ' ' || s[value] == '[') {
		value++
	}
	from, to, inQuotes := valueAt(s, value, what == secretLine)
	sure := equals || quoted || inQuotes || what != maybeSecret
	if from == to || !sure && !random(s[from:to]) {
		return 0, 0
	}
	return from, to
}

// valueAt finds the value that begins at i: what is between quotes, else up to
// whatever ends a word, or a line.
func valueAt(s string, i int, line bool) (from, to int, quoted bool) {
	from = i
	for from < len(s) && s[from] == '\\' {
		from++
	}
	if from < len(s) && (s[from] == '"' || s[from] == '\'') {
		quote := s[i : from+1] // \" within JSON within JSON
		from++
		return from, closingQuote(s, from, quote), true
	}
	from = i
	ends := " \t\r\n\"'\\&<>"
	if line {
		ends = "\r\n\"\\"
	}
	if n := strings.IndexAny(s[from:], ends); n >= 0 {
		return from, from + n, false
	}
	return from, len(s), false
}

// closingQuote is where the quotation that begins at i ends.
func closingQuote(s string, i int, quote string) int {
	for ; i < len(s); i++ {
		if strings.HasPrefix(s[i:], quote) {
			return i
		}
		if s[i] == '\\' && len(quote) == 1 {
			i++
		}
	}
	return min(i, len(s))
}
