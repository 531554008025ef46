package decisionlog

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// text writes a string without the secrets in it.
func (c *canonical) text(s string) {
	if len(c.key) == 0 || len(s) < leastSecret {
		c.buf = appendString(c.buf, s)
		return
	}
	plain, from, to := survey(s)
	switch {
	case to > 0:
		c.hit()
		c.buf = appendString(c.buf, redacted(c.key, s, from, to))
	case plain:
		c.buf = append(append(append(c.buf, '"'), s...), '"')
	default:
		c.buf = appendString(c.buf, s)
	}
}

// member writes the value of an object's member, which may be a secret by its
// name. "token" at the top is what a token is asked for (token.issue), no token.
func (c *canonical) member(k string, v any, m *mask, depth int) error {
	if len(c.key) > 0 && namesSecret(k) && couldBeSecret(v) && (depth > 1 || k != "token") && !m.replaces() {
		return c.hide(v, depth)
	}
	return c.value(v, m, depth)
}

// hide writes what stands for a value.
func (c *canonical) hide(v any, depth int) error {
	inner := canonical{plain: true}
	if err := inner.value(v, nil, depth); err != nil {
		return err
	}
	c.hit()
	c.buf = appendString(c.buf, hidden(c.key, inner.buf))
	return nil
}

// given writes what a mask says instead of a value.
func (c *canonical) given(v any, depth int) error {
	c.hit()
	inner := canonical{key: c.key, plain: c.plain}
	if err := inner.value(v, nil, depth); err != nil {
		return err
	}
	c.buf = append(c.buf, inner.buf...)
	return nil
}

// maxHits is how many paths below one key are told apart.
const maxHits = 64

// hit notes that something of the value being written is hidden.
func (c *canonical) hit() { c.hits = append(c.hits, "") }

// below puts a key before the paths in hits from before on. A key that a dotted
// path cannot hold ends it, as it does in [policy.Record.Reads].
func below(key string, hits []string, before int) []string {
	if key == "" || strings.Contains(key, ".") {
		return append(hits[:before], "")
	}
	if len(hits)-before > maxHits {
		return append(hits[:before], key)
	}
	for i := before; i < len(hits); i++ {
		if hits[i] == "" {
			hits[i] = key
		} else {
			hits[i] = key + "." + hits[i]
		}
	}
	if len(hits)-before > 1 {
		slices.Sort(hits[before:])
		hits = append(hits[:before], slices.Compact(hits[before:])...)
	}
	return hits
}

const hexDigits = "0123456789abcdef"

func appendString(buf []byte, s string) []byte {
	buf = append(buf, '"')
	from := 0
	for i := 0; i < len(s); {
		b := s[i]
		if bits[b]&bitEscape == 0 {
			i++
			continue
		}
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			buf = append(append(buf, s[from:i]...), "\ufffd"...)
			i++
			from = i
			continue
		}
		buf = append(buf, s[from:i]...)
		switch b {
		case '"', '\\':
			buf = append(buf, '\\', b)
		case '\n':
			buf = append(buf, '\\', 'n')
		case '\r':
			buf = append(buf, '\\', 'r')
		case '\t':
			buf = append(buf, '\\', 't')
		default:
			buf = append(buf, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
		i++
		from = i
	}
	return append(append(buf, s[from:]...), '"')
}
