package errcode

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// retryUnavailable is how long a client is asked to wait after a 503. Outages
// that heal by themselves (a busy database, a deadline) heal within it.
const retryUnavailable = 2 * time.Second

// statusClientGone is what the access log says of a client that hung up; nobody
// reads the answer.
const statusClientGone = 499

// From turns any error into an answer. An [Error] stays what it is; one of
// policy's classes becomes its code; anything else is an internal error whose
// text no client sees.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge), errors.Is(err, policy.ErrTooLarge):
		return New(TooLarge, "the body is larger than is allowed").Because(err)
	case errors.Is(err, policy.ErrNoSpace):
		return New(NoSpace, "storage is full; try again later").Because(err)
	case errors.Is(err, policy.ErrUnavailable):
		return unavailable(err)
	case errors.Is(err, policy.ErrLimited):
		return New(TooManyRequests, "too many requests").Because(err).With("Retry-After", "1")
	case errors.Is(err, policy.ErrUnauthenticated):
		return Unauthorized("", false).Because(err)
	case errors.Is(err, policy.ErrDigestMismatch):
		return New(DigestInvalid, "the content does not match the digest").Because(err)
	case errors.Is(err, policy.ErrRange):
		return New(RangeInvalid, "the range does not fit").Because(err)
	case errors.Is(err, policy.ErrNotFound):
		return New(NotFound, "not found").Because(err)
	case errors.Is(err, policy.ErrConflict):
		return New(Conflict, "it was changed meanwhile; try again").Because(err)
	case errors.Is(err, policy.ErrInvalid):
		return New(BadRequest, "the request is not valid").Because(err)
	case errors.Is(err, policy.ErrUnsupported):
		return New(Unsupported, "the operation is not supported").Because(err)
	case errors.Is(err, context.Canceled):
		return New(Unknown, "the client went away").WithStatus(statusClientGone).Because(err)
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable(err)
	default:
		return New(Unknown, "internal error").Because(err)
	}
}

// outage is an error that says which part is away, in a name that clients may read.
type outage interface {
	error
	Away() string
}

func unavailable(err error) *Error {
	message := "temporarily unavailable; try again"
	var o outage
	if errors.As(err, &o) {
		message = "the identity provider " + o.Away() + " does not answer; try again"
	}
	return New(Unavailable, message).Because(err).
		With("Retry-After", seconds(retryUnavailable))
}

// Denied is the answer to a decision that is not an allow. What the subject may
// not know of is told as notFound, word for word as if it were not there.
func Denied(d policy.Decision, notFound *Error) *Error {
	if !d.Visible && notFound != nil {
		return notFound
	}
	e := New(DeniedCode, explain(d))
	e.Detail = "decision " + d.ID
	if d.RetryAfter > 0 {
		e.With("Retry-After", seconds(d.RetryAfter))
	}
	return e
}

// explain writes a denial on one line, the way clients show it:
// "[code] msg (+n more). Fix: … Decision: ID".
func explain(d policy.Decision) string {
	end := ""
	if d.ID != "" {
		end = " Decision: " + Line(d.ID, 64)
	}
	if len(d.Deny) == 0 {
		msg := d.Message
		if msg == "" {
			msg = "denied by policy"
		}
		return Line(sentence(msg), maxMessage-len(end)) + end
	}
	first := d.Deny[0]
	var b strings.Builder
	b.WriteString("[" + first.Code + "] ")
	b.WriteString(strings.TrimRight(first.Message, ". "))
	if more := len(d.Deny) - 1; more > 0 {
		b.WriteString(" (+" + strconv.Itoa(more) + " more)")
	}
	b.WriteString(".")
	if first.Remediation != "" {
		b.WriteString(" Fix: " + sentence(first.Remediation))
	}
	return Line(b.String(), maxMessage-len(end)) + end
}

func sentence(s string) string {
	return strings.TrimRight(s, ". ") + "."
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
