// Package errcode is how the gateway says no: the error codes of the
// distribution-spec, the status that goes with each, and the one writer of error
// answers.
//
// It refuses to tell a client what went wrong inside: an error of a class that it
// does not know is "internal error", and the cause goes to the log. It decides
// nothing.
//
// Everything under gateway may import it; it imports policy.
package errcode

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Code is an error code as clients read it.
type Code string

// The codes of the distribution-spec, and those of ours that clients print as
// they are.
const (
	BlobUnknown         Code = "BLOB_UNKNOWN"
	BlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	BlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	DigestInvalid       Code = "DIGEST_INVALID"
	ManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	ManifestInvalid     Code = "MANIFEST_INVALID"
	ManifestUnknown     Code = "MANIFEST_UNKNOWN"
	NameInvalid         Code = "NAME_INVALID"
	NameUnknown         Code = "NAME_UNKNOWN"
	SizeInvalid         Code = "SIZE_INVALID"
	TagInvalid          Code = "TAG_INVALID"
	PageInvalid         Code = "PAGINATION_NUMBER_INVALID"
	RangeInvalid        Code = "RANGE_INVALID"
	Unauthorised        Code = "UNAUTHORIZED"
	DeniedCode          Code = "DENIED"
	Unsupported         Code = "UNSUPPORTED"
	TooManyRequests     Code = "TOOMANYREQUESTS"
	TooLarge            Code = "TOO_LARGE"
	Conflict            Code = "CONFLICT"
	NotFound            Code = "NOT_FOUND"
	BadRequest          Code = "BAD_REQUEST"
	NoSpace             Code = "NO_SPACE"
	Unavailable         Code = "UNAVAILABLE"
	Unknown             Code = "UNKNOWN"
)

// Status is the HTTP status that goes with the code; 500 for a code that nobody
// defined.
func (c Code) Status() int {
	switch c {
	case BlobUnknown, BlobUploadUnknown, ManifestUnknown, NameUnknown, NotFound:
		return http.StatusNotFound
	case BlobUploadInvalid, DigestInvalid, ManifestInvalid, NameInvalid, SizeInvalid, TagInvalid, PageInvalid, BadRequest,
		ManifestBlobUnknown:
		return http.StatusBadRequest
	case RangeInvalid:
		return http.StatusRequestedRangeNotSatisfiable
	case Unauthorised:
		return http.StatusUnauthorized
	case DeniedCode:
		return http.StatusForbidden
	case Unsupported:
		return http.StatusMethodNotAllowed
	case TooManyRequests:
		return http.StatusTooManyRequests
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Conflict:
		return http.StatusConflict
	case NoSpace:
		return http.StatusInsufficientStorage
	case Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// Error is an answer that is not a success. It is made where the protocol knows
// what is wrong, and written once by [Write].
type Error struct {
	Code   Code
	Status int
	// Message is one line for a person. Control characters are escaped and the
	// length is bounded when it is written.
	Message string
	// Detail is a short string: most clients do not print it.
	Detail string
	// Header goes into the answer as it is; nil for none.
	Header http.Header
	// Cause is what a log should say; no client sees it.
	Cause error
	// Scope and Insufficient complete a challenge: the scope that a token would
	// need, and whether a valid token was there and lacked it. Only for
	// [Unauthorised].
	Scope        string
	Insufficient bool
	// Decision is the id of the decision that the answer tells of; empty for none.
	// [Error.Linked] puts the address of its page behind it.
	Decision string
	// denial is the message without the decision, however long it is.
	denial string
	// OAuth is the code that clients of an OAuth2 endpoint read (RFC 6749, section
	// 5.2); empty everywhere else. The answer has both forms then.
	OAuth string
}

// New makes an error with the code's own status.
func New(code Code, message string) *Error {
	return &Error{Code: code, Status: code.Status(), Message: message}
}

// Unauthorized is a challenge: nobody is asking (insufficient false) or a token
// lacks the scope (insufficient true). The edge adds WWW-Authenticate, since only
// it knows the realm.
func Unauthorized(scope string, insufficient bool) *Error {
	e := New(Unauthorised, "authentication required")
	if insufficient {
		e.Message = "the token does not carry the scope " + scope
	}
	e.Scope, e.Insufficient = scope, insufficient
	return e
}

// Because adds the cause for the log and returns e.
func (e *Error) Because(err error) *Error {
	e.Cause = err
	return e
}

// With adds a header to the answer and returns e.
func (e *Error) With(key, value string) *Error {
	if e.Header == nil {
		e.Header = http.Header{}
	}
	e.Header.Set(key, value)
	return e
}

// WithStatus answers with another status than the code's own and returns e.
func (e *Error) WithStatus(status int) *Error {
	e.Status = status
	return e
}

// Error is for logs: the message and the cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return string(e.Code) + ": " + e.Message
	}
	return string(e.Code) + ": " + e.Message + ": " + e.Cause.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether err is an [Error] with the code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// maxMessage is how many runes of a message clients get: podman and docker print
// one line, and a terminal should not scroll.
const maxMessage = 400

// Line makes one line out of text that others wrote: control characters and
// invalid UTF-8 are escaped, and what goes beyond limit runes is cut with an
// ellipsis.
func Line(s string, limit int) string {
	clean := utf8.RuneCountInString(s) <= limit && utf8.ValidString(s)
	if clean {
		clean = !strings.ContainsFunc(s, unprintable)
	}
	if clean {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n >= limit-1 {
			b.WriteString("…")
			break
		}
		switch {
		case r == '\n', r == '\r', r == '\t':
			b.WriteByte(' ')
			n++
		case unprintable(r):
			esc := escape(r)
			b.WriteString(esc)
			n += len(esc)
		default:
			b.WriteRune(r)
			n++
		}
	}
	return b.String()
}

// unprintable are the runes that move a terminal's cursor, change the reading
// order, end a line, show nothing or are not characters at all.
func unprintable(r rune) bool {
	if r < 0x7f {
		return r < 0x20
	}
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

func escape(r rune) string {
	switch {
	case r <= 0xff:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	default:
		return fmt.Sprintf(`\U%08x`, r)
	}
}
