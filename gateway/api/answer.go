package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// answer writes what a call was allowed to do and did.
func answer(w http.ResponseWriter, r *http.Request, status int, out any) error {
	switch o := out.(type) {
	case nil:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case empty:
		w.WriteHeader(status)
		return nil
	case created:
		w.Header().Set("Location", o.location)
		if out = o.body; out == nil {
			w.WriteHeader(status)
			return nil
		}
	case stream:
		return o.answer(w, r, status)
	case page:
		o.head(w.Header(), r.URL)
		out = o.items
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err = w.Write(append(raw, '\n'))
	if err != nil {
		return nil //nolint:nilerr // the client went away; there is nobody to tell
	}
	return nil
}

// done is the answer without a body.
var done = empty{}

type empty struct{}

// created is the answer to what was made: where it is.
type created struct {
	location string
	body     any
}

// located is created for what is found by its number under the path of the call.
func located(c *call, id int64) created {
	return created{location: c.r.URL.Path + "/" + strconv.FormatInt(id, 10)}
}

// stream is an answer that is written while it is read, for what is too large to be
// held: one JSON value a line. The last line says that it is whole ({"kind":"end"})
// or why it is not ({"kind":"error"}): a reader that sees neither has a part.
type stream struct {
	// lines calls yield with each value; what yield fails with ends it.
	lines func(ctx context.Context, yield func(any) error) error
}

// mostStreams is how many streams one person reads at a time: each works, or holds a
// page of what it reads, for as long as its reader likes.
const mostStreams = 2

// streamed answers a stream, or refuses one more to whoever reads too many already.
// It is called when the call is carried out, once.
func (a *API) streamed(c *call, lines func(ctx context.Context, yield func(any) error) error) (any, error) {
	who := c.workspace() + " " + c.caller.Principal.Identity()
	a.streams.Lock()
	defer a.streams.Unlock()
	if a.streaming[who] >= mostStreams {
		return nil, fmt.Errorf("%d lists are being read by %s: %w", mostStreams, who, policy.ErrLimited)
	}
	a.streaming[who]++
	return stream{lines: func(ctx context.Context, yield func(any) error) error {
		defer func() {
			a.streams.Lock()
			defer a.streams.Unlock()
			if a.streaming[who]--; a.streaming[who] == 0 {
				delete(a.streaming, who)
			}
		}()
		return lines(ctx, yield)
	}}, nil
}

type streamEnd struct {
	Kind  string `json:"kind"`
	Lines int64  `json:"lines"`
	Error string `json:"error,omitempty"`
}

func (s stream) answer(w http.ResponseWriter, r *http.Request, status int) error {
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	out := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var n int64
	err := s.lines(r.Context(), func(line any) error {
		n++
		return enc.Encode(line)
	})
	end := streamEnd{Kind: "end", Lines: n}
	if err != nil {
		// The cause may hold what the reader is not to see; the log has it.
		end = streamEnd{Kind: "error", Lines: n, Error: "the list is not whole: ask again"}
	}
	if e := enc.Encode(end); e == nil {
		_ = out.Flush() // the client went away; there is nobody to tell
	}
	if err != nil && r.Context().Err() == nil {
		return fmt.Errorf("write a list: %w", err)
	}
	return nil
}

// page is a part of a list, with how many there are in all.
type page struct {
	items any
	total int
	of    listing
}

// head says how many items there are, and where the pages beside this one are.
func (p page) head(h http.Header, at *url.URL) {
	h.Set("X-Total-Count", strconv.Itoa(p.total))
	var links []string
	link := func(n int, rel string) {
		q := at.Query()
		q.Set("page", strconv.Itoa(n))
		q.Set("page_size", strconv.Itoa(p.of.size))
		links = append(links, "<"+at.Path+"?"+q.Encode()+`>; rel="`+rel+`"`)
	}
	if p.of.page > 1 {
		link(p.of.page-1, "prev")
	}
	if p.of.page*p.of.size < p.total {
		link(p.of.page+1, "next")
	}
	if len(links) > 0 {
		h.Set("Link", strings.Join(links, " , "))
	}
}

// paged is the page of all that was asked for, each item as it is shown.
func paged[T, R any](l listing, all []T, by string, fields []field[T], as func(T) R) (any, error) {
	some, total, err := pageOf(l, all, by, fields)
	if err != nil {
		return nil, err
	}
	out := make([]R, 0, len(some))
	for _, item := range some {
		out = append(out, as(item))
	}
	return page{items: out, total: total, of: l}, nil
}

// id is a number of the path.
func (c *call) id(name string) (int64, error) {
	n, err := strconv.ParseInt(c.path(name), 10, 64)
	if err != nil || n < 1 {
		return 0, errcode.New(errcode.BadRequest, name+" is a number").WithStatus(http.StatusBadRequest)
	}
	return n, nil
}
