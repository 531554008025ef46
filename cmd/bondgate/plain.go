package main

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// unseen are the runes that steer a terminal, change the order in which a line is
// read, end it, or show nothing: control characters in 7 and in 8 bits, marks of
// direction and width, tags, separators of lines and paragraphs.
func unseen(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// plainJSON writes JSON anew so that a terminal shows it and nothing else comes
// of it. JSON escapes the control characters of ASCII alone, and an encoder
// leaves the others as they are: whoever decodes it reads the same.
func plainJSON(raw []byte) []byte {
	if !bytes.ContainsFunc(raw, beyond) {
		return raw
	}
	out := make([]byte, 0, len(raw)+64)
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		switch {
		case !beyond(r):
			out = append(out, raw[i:i+size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return out
}

// beyond are the runes that may stand in JSON as they are and should not. The
// blanks between its parts are none of them.
func beyond(r rune) bool { return r >= 0x7f && (r == utf8.RuneError || unseen(r)) }

// plainWriter makes plain what an encoder writes, a whole document at a time.
type plainWriter struct{ w io.Writer }

func (p plainWriter) Write(raw []byte) (int, error) {
	if n, err := p.w.Write(plainJSON(raw)); err != nil {
		return min(n, len(raw)), err // nothing is nothing, and something is something
	}
	return len(raw), nil
}
