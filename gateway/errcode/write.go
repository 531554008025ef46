package errcode

import (
	"encoding/json"
	"net/http"
	"strconv"
)

type answer struct {
	Errors []entry `json:"errors"`
	// These two are of RFC 6749, section 5.2.
	OAuth            string `json:"error,omitempty"`
	OAuthDescription string `json:"error_description,omitempty"`
}

type entry struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Detail  string `json:"detail,omitempty"`
}

// Write is the one writer of error answers: one error, as JSON, in the form of
// the distribution-spec, and no body for a HEAD. Nothing may have been written
// before.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	e := From(err)
	h := w.Header()
	for key, values := range e.Header {
		h[key] = values
	}
	// What a success would have said of its body is not true of this one.
	for _, key := range []string{"Content-Encoding", "Content-Range", "Etag", "Last-Modified", "Accept-Ranges", "Docker-Content-Digest"} {
		if e.Header.Get(key) == "" {
			h.Del(key)
		}
	}
	out := answer{Errors: []entry{{Code: e.Code, Message: Line(e.Message, maxMessage), Detail: Line(e.Detail, maxMessage)}}}
	if e.OAuth != "" {
		out.OAuth, out.OAuthDescription = e.OAuth, out.Errors[0].Message
	}
	body, merr := json.Marshal(out)
	if merr != nil { // three strings always marshal; the writer still must not answer nothing
		body = []byte(`{"errors":[{"code":"UNKNOWN","message":"internal error"}]}`)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(e.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that went away is nobody's error
	}
}
