package decisionlog

import (
	"context"
	"encoding/json"
	"io"
)

// Lines writes each event as one line, as a collector of logs wants them on a
// program's standard output.
type Lines struct {
	to io.Writer
	// busy is taken while somebody writes: a pipe that nobody reads holds a write
	// for ever, and nothing ends it.
	busy chan struct{}
	// torn says that the last write ended inside of a line. Of whoever is busy.
	torn bool
}

// NewLines writes to w, from one goroutine at a time.
func NewLines(w io.Writer) *Lines { return &Lines{to: w, busy: make(chan struct{}, 1)} }

// Send fails when ctx ends before all is written; the write goes on.
func (l *Lines) Send(ctx context.Context, events []json.RawMessage) error {
	select {
	case l.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		err := l.write(events)
		<-l.busy
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Lines) write(events []json.RawMessage) error {
	var buf []byte
	for _, e := range events {
		buf = buf[:0]
		if l.torn {
			buf = append(buf, '\n')
		}
		buf = append(append(buf, e...), '\n')
		n, err := l.to.Write(buf)
		if err != nil {
			l.torn = l.torn && n == 0 || n > 0
			return err
		}
		l.torn = false
	}
	return nil
}
