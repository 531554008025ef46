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

	"github.com/bondgate/bondgate/cmd/bondgate/internal/credential"
	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/api"
)

// maxAnswer bounds what a command reads of an answer, in bytes.
const maxAnswer = 64 << 20

// call asks the running server by its socket and decodes the answer into out
// (nil for none).
func (r *operator) call(ctx context.Context, method, path string, body, out any) error {
	resp, err := r.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if out == nil || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("understand the server's answer: %w", err)
	}
	return nil
}

// stream asks for an answer of any length, which the caller reads and closes.
func (r *operator) stream(ctx context.Context, path string) (io.ReadCloser, error) {
	resp, err := r.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// ask sends a request and answers what came back, when it is no refusal.
func (r *operator) ask(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var in io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		in = bytes.NewReader(raw)
	}
	if !strings.HasPrefix(path, "/api/") {
		path = api.Prefix + path
	}
	// The host is a word for logs: the socket is the address.
	base, transport := "http://socket", &http.Transport{DisableKeepAlives: true, DialContext: r.dial}
	if r.server != "" {
		base, transport = remoteBase(r.server), &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := r.identify(ctx, req); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a credential goes to the host that was named
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, r.unreachable(err)
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	return nil, refusal(resp, raw)
}

// remoteBase is where a server's API is: https, unless another scheme is written
// or the server is on this machine.
func remoteBase(server string) string {
	if strings.Contains(server, "://") {
		return strings.TrimSuffix(server, "/")
	}
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		host = server
	}
	if loopback(host) {
		return "http://" + server
	}
	return "https://" + server
}

// identify says who asks: the socket knows by itself, a server wants a credential.
func (r *operator) identify(ctx context.Context, req *http.Request) error {
	if r.server == "" {
		if r.workspace != "" {
			req.Header.Set(gateway.HeaderWorkspace, r.workspace)
		}
		return nil
	}
	if req.URL.Scheme != "https" && !loopback(req.URL.Hostname()) {
		return fmt.Errorf("%s is not https: the credential would be sent in the clear", r.server)
	}
	name, secret := r.getenv("BONDGATE_USERNAME"), r.getenv("BONDGATE_PASSWORD")
	if name == "" {
		file, err := credential.OpenFile(r.getenv("BONDGATE_CREDENTIALS_DIR"))
		if err != nil {
			return err
		}
		if name, secret, err = (credential.Helper{File: file, Client: credential.NewHTTPClient()}).Credential(ctx, r.server); err != nil {
			return fmt.Errorf("nobody is logged in at %s: run bondgate login %s, or set BONDGATE_USERNAME and BONDGATE_PASSWORD: %w", r.server, r.server, err)
		}
	}
	req.SetBasicAuth(name, secret)
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
	case r.server != "":
		return fmt.Errorf("ask %s: %w", r.server, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the socket in %s belongs to another account: run this as the one that runs the server", dir)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no server is running on the data folder %s: start one with `bondgate serve`, or name its folder with --data-dir", dir)
	default:
		return fmt.Errorf("ask the server: %w", err)
	}
}

// errNotThere is the server's 404, which also those get who may not know better.
var errNotThere = errors.New("not found, or not for you to know of")

// notThere is a 404 that says what was not found.
type notThere string

func (e notThere) Error() string { return string(e) }

func (notThere) Is(target error) bool { return target == errNotThere }

// refusal is the server's own words for a failure.
func refusal(resp *http.Response, raw []byte) error {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
			Detail  string `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(raw, &answer) != nil || len(answer.Errors) == 0 {
		return fmt.Errorf("the server answers %s", resp.Status)
	}
	e := answer.Errors[0]
	words := strings.TrimSpace(clean(e.Message))
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s: the name or the password is wrong, or the login is over: run bondgate login, or set BONDGATE_USERNAME and BONDGATE_PASSWORD", words)
	}
	if resp.StatusCode == http.StatusNotFound {
		if words == "" || words == "not found" {
			return errNotThere
		}
		return notThere(words)
	}
	return errors.New(words)
}
