package policy

import "errors"

// The classes of failure that every layer shares. A layer wraps one of them with
// what it was doing; the gateway turns the class into an answer, once.
var (
	// ErrNotFound: the named thing does not exist, or not for this caller.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the world is not as the caller believed (a tag moved, a name is taken).
	ErrConflict = errors.New("conflict")
	// ErrInvalid: the caller's input breaks a rule of the protocol or of the configuration.
	ErrInvalid = errors.New("invalid")
	// ErrUnauthenticated: the credential is missing or wrong.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrUnavailable: no decision or no answer is possible now (deadline,
	// database, panic). It is never an allow and never a denial: 503.
	ErrUnavailable = errors.New("unavailable")
	// ErrNoSpace: storage is full: 507.
	ErrNoSpace = errors.New("no space left")
	// ErrTooLarge: input beyond a limit: 413.
	ErrTooLarge = errors.New("too large")
	// ErrRange: an upload's or a blob's range does not fit: 416.
	ErrRange = errors.New("range not satisfiable")
	// ErrDigestMismatch: the bytes are not those that the digest names.
	ErrDigestMismatch = errors.New("digest does not match the content")
	// ErrLimited: too many at once or too often: 429.
	ErrLimited = errors.New("too many requests")
	// ErrUnsupported: a well-formed request for something we do not do.
	ErrUnsupported = errors.New("unsupported")
)
