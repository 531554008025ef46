package errcode

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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
	said := explain(d)
	e := New(DeniedCode, ended(said, decisionOf(d.ID)))
	e.Decision, e.denial = d.ID, said
	e.Detail = "decision " + d.ID
	if d.RetryAfter > 0 {
		e.With("Retry-After", seconds(d.RetryAfter))
	}
	return e
}

// Linked is the answer with the address of the page that explains its decision
// behind the decision's id: "… Decision: ID http://HOST/d/ID". What is said before
// it is cut to leave the address whole. An answer that tells of no decision stays
// what it is; origin is scheme://host.
func (e *Error) Linked(origin string) *Error {
	if origin == "" || e.Decision == "" || strings.ContainsFunc(e.Decision, notOfID) {
		return e
	}
	linked := *e
	linked.Message = ended(e.denial, decisionOf(e.Decision)+" "+origin+PathOfDecision+e.Decision)
	return &linked
}

// PathOfDecision is what the page of a decision lies below.
const PathOfDecision = "/d/"

// notOfID are the characters that no decision's id has.
func notOfID(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
}

func decisionOf(id string) string {
	if id == "" {
		return ""
	}
	return " Decision: " + Line(id, 64)
}

// ended puts a short end behind what may have to be cut.
func ended(said, end string) string {
	return Line(said, max(maxMessage-utf8.RuneCountInString(end), 1)) + end
}

// explain writes a denial on one line, the way clients show it:
// "[code] msg (+n more). Fix: …".
func explain(d policy.Decision) string {
	if len(d.Deny) == 0 {
		msg := d.Message
		if msg == "" {
			msg = "denied by policy"
		}
		return sentence(msg)
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
	return b.String()
}

func sentence(s string) string {
	return strings.TrimRight(s, ". ") + "."
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
