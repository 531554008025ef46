package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// Part is one thing that must be well for the server to be of use.
type Part struct {
	Name string
	// Check fails when it is not. It is asked a few times a second at most and has
	// two seconds.
	Check func(ctx context.Context) error
	// Note says more about a part that is well enough, such as "the last edit of
	// the policy was refused: …"; nil or empty for nothing.
	Note func() string
}

// The limits of a check: how long it may take, and how long its outcome holds.
// Anybody may ask, so asking must cost nothing.
const (
	checkTime = 2 * time.Second
	checkHold = 200 * time.Millisecond
)

type health struct {
	parts []Part
	now   func() time.Time

	mu   sync.Mutex
	at   time.Time
	last report
}

// report is the detail of readiness.
type report struct {
	Ready bool         `json:"ready"`
	Parts []partReport `json:"parts"`
}

type partReport struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
	Note  string `json:"note,omitempty"`
}

// report checks every part, or answers what it found a moment ago.
func (h *health) report(ctx context.Context) report {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); h.at.IsZero() || now.Sub(h.at) >= checkHold || now.Before(h.at) {
		// A client that goes away must not make the parts look broken to others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		h.last = h.check(ctx)
		h.at = h.now()
	}
	return h.last
}

func (h *health) check(ctx context.Context) report {
	out := report{Ready: true, Parts: make([]partReport, len(h.parts))}
	var wg sync.WaitGroup
	for i, p := range h.parts {
		wg.Go(func() {
			pr := partReport{Name: p.Name, Ready: true}
			if err := safely(ctx, p.Check); err != nil {
				pr.Ready, pr.Error = false, errcode.Line(err.Error(), 400)
			}
			if p.Note != nil {
				pr.Note = errcode.Line(p.Note(), 400)
			}
			out.Parts[i] = pr
		})
	}
	wg.Wait()
	for _, p := range out.Parts {
		out.Ready = out.Ready && p.Ready
	}
	return out
}

func safely(ctx context.Context, check func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the check panicked: %v", p)
		}
	}()
	return check(ctx)
}

// livez says that the process answers, and nothing else: restarting it would not
// bring a database back.
func (e *Edge) livez(w http.ResponseWriter, _ *http.Request, _ *visit) error {
	return plainText(w, http.StatusOK, "ok\n")
}

// readyz says whether requests can be served. Which part is not well is for
// those who may see inside.
func (e *Edge) readyz(w http.ResponseWriter, r *http.Request, v *visit) error {
	rep := e.health.report(r.Context())
	status, word := http.StatusOK, "ready\n"
	if !rep.Ready {
		status, word = http.StatusServiceUnavailable, "not ready\n"
	}
	switch err := e.admitted(r, v, "readiness"); {
	case errors.Is(err, policy.ErrUnauthenticated):
		return err // whoever mistypes a password must learn of it
	case err != nil:
		// In an outage this is also what an administrator gets: the word is true.
		return plainText(w, status, word)
	}
	body, err := json.Marshal(rep)
	if err != nil {
		return fmt.Errorf("gateway: encoding readiness: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that went away is nobody's error
	return nil
}

func plainText(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a client that went away is nobody's error
	return nil
}
