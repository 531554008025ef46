package oci

import (
	"net/http"
	"strings"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// maxWarnings is how many bytes of warnings one answer may have in all.
const maxWarnings = 4096

// warn tells the client what the decision warns of, as far as there is room.
func warn(h http.Header, d policy.Decision) {
	if len(d.Warn) == 0 {
		return
	}
	used := 0
	for _, v := range h["Warning"] {
		used += len(v)
	}
	for _, reason := range d.Warn {
		text := "[" + reason.Code + "] " + reason.Message
		if reason.Remediation != "" {
			text += " Fix: " + reason.Remediation
		}
		v := `299 - "` + quoted(errcode.Line(text, 500)) + `"`
		if used += len(v); used > maxWarnings {
			return
		}
		h["Warning"] = append(h["Warning"], v)
	}
}

// quoted escapes for a quoted-string of a header. Bytes beyond ASCII are left
// out: some proxies refuse a header with them.
func quoted(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r > 0x7e:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
