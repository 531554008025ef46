package oci

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
)

// lively is the body of a push, which fails when nothing of it comes for too
// long. There is no limit on the whole: layers are as large as they are, and
// links as slow.
func (p *Protocol) lively(c *call) *lively {
	return &lively{ReadCloser: c.r.Body, connection: http.NewResponseController(c.w), idle: p.limits.Idle}
}

// tooLate is the answer to a body that was given up. What came of an upload is
// kept: the client may go on with it.
func tooLate(cause error) *errcode.Error {
	return errcode.New(errcode.SizeInvalid, "nothing of the body came for too long").
		WithStatus(http.StatusRequestTimeout).With("Connection", "close").Because(cause)
}

type lively struct {
	io.ReadCloser
	connection *http.ResponseController
	idle       time.Duration
	// until is when the connection gives up, renewed well before.
	until time.Time
	// late says that it was given up.
	late bool
}

func (l *lively) Read(b []byte) (int, error) {
	if now := time.Now(); l.until.Sub(now) < l.idle/2 {
		l.until = now.Add(l.idle)
		_ = l.connection.SetReadDeadline(l.until) // a writer without deadlines has none to keep
	}
	n, err := l.ReadCloser.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		// What is done with the body may take longer than it took to come.
		_ = l.connection.SetReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.late = true // and so the deadline stays: nothing waits for the rest
	}
	return n, err
}
