package metadata

import (
	"context"
	"net"
	"time"
)

// answerWithin is how long PostgreSQL may be silent in the middle of an answer.
const answerWithin = 5 * time.Second

// answering is a connection to a server that must answer. A server that is
// frozen, or a network that swallows packets, refuses nothing: without a limit
// every request that needs a row would wait as long as its client does, and the
// gateway would look dead instead of saying 503.
type answering struct{ net.Conn }

// Write asks, so the answer's time begins.
func (c answering) Write(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(answerWithin)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Read gives a server that is talking more time: a long answer is no silence.
func (c answering) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && err == nil {
		err = c.SetReadDeadline(time.Now().Add(answerWithin))
	}
	return n, err
}

// dialAnswering makes such connections.
func dialAnswering(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: answerWithin}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return answering{conn}, nil
}
