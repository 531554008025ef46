package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
)

// client speaks to one server over kept connections, and counts.
type client struct {
	base     string
	http     *http.Client
	requests atomic.Int64
}

func newClient(addr string, connections int) *client {
	return &client{base: "http://" + addr, http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: connections, MaxIdleConns: connections, DisableCompression: true,
	}}}
}

// reply is what is looked at of an answer. The body is there up to 64 KiB; all of
// it was read.
type reply struct {
	status   int
	location string
	body     []byte
	length   int64
}

// ask is one request.
type ask struct {
	method, path, auth string
	header             map[string]string
	body               []byte
}

const bodyKept = 64 << 10

var discards = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func (c *client) do(ctx context.Context, a ask) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, a.method, c.base+a.path, bytes.NewReader(a.body))
	if err != nil {
		return reply{}, err
	}
	if a.auth != "" {
		req.Header.Set("Authorization", a.auth)
	}
	for name, value := range a.header {
		req.Header.Set(name, value)
	}
	c.requests.Add(1)
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, location: resp.Header.Get("Location")}
	if r.body, err = io.ReadAll(io.LimitReader(resp.Body, bodyKept)); err != nil {
		return r, err
	}
	buffer := discards.Get().(*[]byte)
	defer discards.Put(buffer)
	rest, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, *buffer)
	r.length = int64(len(r.body)) + rest
	if err == nil && a.method != http.MethodHead && resp.ContentLength >= 0 && resp.ContentLength != r.length {
		err = fmt.Errorf("%d bytes of %d", r.length, resp.ContentLength)
	}
	return r, err
}

// want does a request whose answer must be one of the statuses: any other is an error.
func (c *client) want(ctx context.Context, a ask, statuses ...int) (reply, error) {
	r, err := c.do(ctx, a)
	if err != nil {
		return r, fmt.Errorf("%s %s: %w", a.method, a.path, err)
	}
	if !slices.Contains(statuses, r.status) {
		return r, fmt.Errorf("%s %s: %d instead of %v: %.200s", a.method, a.path, r.status, statuses, r.body)
	}
	return r, nil
}

// api calls the management API as the administrator.
func (c *client) api(ctx context.Context, method, path string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = c.want(ctx, ask{
		method: method, path: "/api/v1" + path, auth: basic(adminName, adminPassword),
		header: map[string]string{"Content-Type": "application/json"}, body: raw,
	}, http.StatusOK, http.StatusCreated)
	return err
}

// token asks the token service as a client of the registry does, and answers the
// Authorization header that it is good for.
func (c *client) token(ctx context.Context, user, password string, scopes []string) (string, error) {
	r, err := c.want(ctx, ask{
		method: http.MethodGet, auth: basic(user, password),
		path: "/token?" + url.Values{"service": {c.base[len("http://"):]}, "scope": scopes}.Encode(),
	}, http.StatusOK)
	if err != nil {
		return "", err
	}
	var out struct{ Token string }
	if err := json.Unmarshal(r.body, &out); err != nil || out.Token == "" {
		return "", fmt.Errorf("no token for %s: %s", user, r.body)
	}
	return "Bearer " + out.Token, nil
}

func basic(user, password string) string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, password)
	return req.Header.Get("Authorization")
}

// target is the path and query of a Location.
func target(location string) (string, error) {
	u, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	return u.RequestURI(), nil
}
