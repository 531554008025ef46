package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// patient is a request's body that has to have arrived by a moment. The deadline
// ends with the body: what is done with it may take longer.
type patient struct {
	io.ReadCloser
	connection *http.ResponseController
}

// bounded gives the body of a request until a moment from now. Without that a
// client could hold a connection for ever by sending nothing, and not even have to
// say who it is.
func bounded(w http.ResponseWriter, r *http.Request, patience time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	c := http.NewResponseController(w)
	if c.SetReadDeadline(time.Now().Add(patience)) == nil {
		r.Body = &patient{ReadCloser: r.Body, connection: c}
	}
}

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		_ = p.connection.SetReadDeadline(time.Time{}) // it was set before, so it can be
	}
	return n, err
}
