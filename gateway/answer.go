package gateway

import (
	"io"
	"net/http"
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
	n, err := a.ResponseWriter.Write(p)
	a.written += int64(n)
	return n, err
}

// ReadFrom hands a source to the writer below as it is: net/http gives files to
// the kernel.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	a.begin()
	var (
		n   int64
		err error
	)
	if below, ok := a.ResponseWriter.(io.ReaderFrom); ok {
		n, err = below.ReadFrom(src)
	} else {
		n, err = io.Copy(onlyWriter{a.ResponseWriter}, src)
	}
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
