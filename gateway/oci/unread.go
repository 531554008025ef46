package oci

import (
	"io"
	"net/http"
	"time"
)

// How much of a body that nobody wants is read, and for how long at most.
const (
	unreadBytes = 64 << 20
	unreadTime  = 10 * time.Second
)

// readOut reads what is left of a request's body before a refusal is written. A
// client that is still sending when the connection is closed is told by its own
// kernel that the connection was reset, and the person behind it never reads why
// (a full disk, a denial). A client that waits to be asked for the body is not
// asked.
func readOut(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.ContentLength == 0 || r.Header.Get("Expect") != "" {
		return
	}
	// The server sets the deadline anew for the next request.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime)); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, unreadBytes)
}
