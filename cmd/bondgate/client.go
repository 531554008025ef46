package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bondgate/bondgate/gateway/api"
)

// maxAnswer bounds what a command reads of an answer, in bytes.
const maxAnswer = 64 << 20

// call asks the running server by its socket and decodes the answer into out
// (nil for none).
func (r *operator) call(ctx context.Context, method, path string, body, out any) error {
	var in io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		in = bytes.NewReader(raw)
	}
	// The host is a word for logs: the socket is the address.
	req, err := http.NewRequestWithContext(ctx, method, "http://socket"+api.Prefix+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: r.dial}}
	resp, err := client.Do(req)
	if err != nil {
		return r.unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return refusal(resp.Status, raw)
	}
	if out == nil || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("understand the server's answer: %w", err)
	}
	return nil
}

func (r *operator) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address, release, err := socketAddress(r.dataDir)
	if err != nil {
		return nil, err
	}
	defer release()
	return (&net.Dialer{}).DialContext(ctx, "unix", address)
}

// unreachable says what a person can do about a server that does not answer.
func (r *operator) unreachable(err error) error {
	dir, absErr := filepath.Abs(r.dataDir)
	if absErr != nil {
		dir = r.dataDir
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the socket in %s belongs to another account: run this as the one that runs the server", dir)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no server is running on the data folder %s: start one with `bondgate serve`, or name its folder with --data-dir", dir)
	default:
		return fmt.Errorf("ask the server: %w", err)
	}
}

// refusal is the server's own words for a failure.
func refusal(status string, raw []byte) error {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
			Detail  string `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(raw, &answer) != nil || len(answer.Errors) == 0 {
		return fmt.Errorf("the server answers %s", status)
	}
	e := answer.Errors[0]
	return errors.New(strings.TrimSpace(clean(e.Message)))
}
