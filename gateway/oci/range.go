package oci

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// zeroTime says to the standard library that there is no time of last change.
var zeroTime time.Time

// maxRanges is how many ranges one request may ask for. A request for more gets
// the whole: many small ranges are an attack more often than a need.
const maxRanges = 16

// span is the part of a blob that an answer has.
type span struct {
	start, length int64
	// asked says that the client asked for a range.
	asked bool
}

func (s span) contentRange(size int64) string {
	return "bytes " + strconv.FormatInt(s.start, 10) + "-" + strconv.FormatInt(s.start+s.length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// wanted reads the Range header as RFC 9110 says: what is malformed or in another
// unit is ignored, what lies beyond the content is an error, and If-Range keeps a
// range from being put to another content. several says that there is more than
// one range.
func wanted(h http.Header, etag string, size int64) (s span, several bool, err error) {
	whole := span{length: size}
	header := h.Get("Range")
	if header == "" {
		return whole, false, nil
	}
	if cond := h.Get("If-Range"); cond != "" && cond != etag {
		return whole, false, nil
	}
	list, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return whole, false, nil
	}
	if n := strings.Count(list, ","); n > 0 {
		return whole, n < maxRanges, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(list), "-")
	if !ok {
		return whole, false, unsatisfiable(header)
	}
	if first == "" {
		n, ok := number(last)
		if !ok || n == 0 || size == 0 {
			return whole, false, unsatisfiable(header)
		}
		n = min(n, size)
		return span{start: size - n, length: n, asked: true}, false, nil
	}
	start, ok := number(first)
	if !ok || start >= size {
		return whole, false, unsatisfiable(header)
	}
	end := size - 1
	if last != "" {
		if end, ok = number(last); !ok || end < start {
			return whole, false, unsatisfiable(header)
		}
		end = min(end, size-1)
	}
	return span{start: start, length: end - start + 1, asked: true}, false, nil
}

func unsatisfiable(header string) error {
	return fmt.Errorf("range %q: %w", header, policy.ErrRange)
}

// number reads decimal digits and nothing else.
func number(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// chunk is the place of an uploaded chunk.
type chunk struct {
	// start is -1 when the client did not say.
	start int64
	// length is -1 when nobody said.
	length int64
}

// placed reads the Content-Range of a chunk, "START-END" with both ends inside,
// and holds it against the body's length.
func placed(r *http.Request) (chunk, error) {
	c := chunk{start: -1, length: r.ContentLength}
	header := r.Header.Get("Content-Range")
	if header == "" {
		return c, nil
	}
	text := strings.TrimPrefix(header, "bytes ")
	text, _, _ = strings.Cut(text, "/")
	first, last, ok := strings.Cut(text, "-")
	start, ok1 := number(first)
	end, ok2 := number(last)
	if !ok || !ok1 || !ok2 || end < start {
		return c, fmt.Errorf("content range %q: %w", header, policy.ErrRange)
	}
	length := end - start + 1
	if c.length >= 0 && c.length != length {
		return c, fmt.Errorf("content range %q with %d bytes: %w", header, c.length, policy.ErrInvalid)
	}
	return chunk{start: start, length: length}, nil
}
