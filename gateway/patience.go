package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
)

// patient is a request's body that has to have arrived by a moment. The deadline
// ends with the body: what is done with it may take longer.
type patient struct {
	io.ReadCloser
	connection *http.ResponseController
	// late says that it did not come.
	late bool
}

var errLate = errcode.New(errcode.BadRequest, "the body did not come in time").
	WithStatus(http.StatusRequestTimeout).With("Connection", "close")

// bounded gives the body of a request until a moment from now. Without that a
// client could hold a connection for ever by sending nothing, and not even have to
// say who it is. It answers nil where there is no body, or no deadline.
func bounded(w http.ResponseWriter, r *http.Request, patience time.Duration) *patient {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	c := http.NewResponseController(w)
	if c.SetReadDeadline(time.Now().Add(patience)) != nil {
		return nil
	}
	p := &patient{ReadCloser: r.Body, connection: c}
	r.Body = p
	return p
}

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		_ = p.connection.SetReadDeadline(time.Time{}) // it was set before, so it can be
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.late = true
	}
	return n, err
}
