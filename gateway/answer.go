package gateway

import (
	"io"
	"net/http"
	"time"
)

// answer remembers how a request was answered. It hides nothing of the
// ResponseWriter below: files still reach the connection by sendfile, and
// [http.ResponseController] finds the rest.
type answer struct {
	http.ResponseWriter
	// status is 0 until the header is on its way.
	status  int
	written int64
	// broken says that the header is out and the body will not be whole.
	broken bool
	// stalled is how long the client may take nothing of one of several streams; 0
	// where the connection is watched over.
	stalled time.Duration
	until   time.Time
}

// patiently renews the time that the client has, well before it is over.
func (a *answer) patiently() {
	if now := time.Now(); a.until.Sub(now) < a.stalled/2 {
		a.until = now.Add(a.stalled)
		_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(a.until) // a writer without has none to keep
	}
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 { // what comes before is not the answer
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	if a.stalled > 0 {
		a.patiently()
	}
	n, err := a.ResponseWriter.Write(p)
	a.written += int64(n)
	return n, err
}

// ReadFrom hands a source to the writer below as it is: net/http gives files to
// the kernel.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	a.begin()
	below, ok := a.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(onlyWriter{a}, src)
	}
	n, err := below.ReadFrom(src)
	a.written += n
	return n, err
}

// Flush sends what is buffered.
func (a *answer) Flush() {
	a.begin()
	_ = http.NewResponseController(a.ResponseWriter).Flush() // a writer without is written at the end
}

func (a *answer) begin() {
	if a.status == 0 {
		a.status = http.StatusOK
	}
}

// onlyWriter keeps io.Copy from finding ReadFrom again.
type onlyWriter struct{ io.Writer }
