package kill_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// client speaks HTTP and knows nothing of what it should be told.
type client struct {
	g    *harness.Gateway
	http *http.Client
}

func newClient(g *harness.Gateway) *client {
	return &client{g: g, http: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{}}}
}

// refusal is an answer that was not asked for, of a server that lives.
type refusal struct {
	what   string
	status int
	body   []byte
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %d %s", r.what, r.status, r.body) }

// cut is a connection that ended without an answer, or in the middle of one.
type cut struct{ error }

func (c cut) Unwrap() error { return c.error }

func isCut(err error) bool { return errors.As(err, new(cut)) }

// outage is an answer that no client takes for a verdict: it tries again.
func outage(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status >= http.StatusInternalServerError
}

type answer struct {
	status int
	header http.Header
	body   []byte
	at     *url.URL
}

// ask sends one request as the administrator, or as nobody, and reads the answer
// to its end. A body that ends early is a connection that was cut.
func (c *client) ask(method, target string, header http.Header, body []byte, anonymous bool) (*answer, error) {
	req, err := http.NewRequest(method, c.g.URL()+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if !anonymous {
		req.SetBasicAuth(harness.AdminUser, harness.AdminPassword)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, cut{err}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, cut{fmt.Errorf("%s %s: %w", method, target, err)}
	}
	return &answer{resp.StatusCode, resp.Header, text, resp.Request.URL}, nil
}

// send wants one of the statuses.
func (c *client) send(method, target, contentType string, body []byte, want ...int) (*answer, error) {
	a, err := c.ask(method, target, http.Header{"Content-Type": {contentType}}, body, false)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(want, a.status) {
		return nil, &refusal{method + " " + target, a.status, a.body}
	}
	return a, nil
}

// get reads one thing; found is false for a 404.
func (c *client) get(target string) (body []byte, found bool, err error) {
	a, err := c.ask(http.MethodGet, target, harness.Accept, nil, false)
	switch {
	case err != nil:
		return nil, false, err
	case a.status == http.StatusNotFound:
		return nil, false, nil
	case a.status != http.StatusOK:
		return nil, false, &refusal{"GET " + target, a.status, a.body}
	}
	return a.body, true, nil
}

// patient is get for a quiet server: what a fault left may take a moment to heal.
func (c *client) patient(target string) (body []byte, found bool, err error) {
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(20 * time.Millisecond) {
		body, found, err = c.get(target)
		if err == nil || !outage(err) || time.Now().After(deadline) {
			return body, found, err
		}
	}
}

func manifestPath(repo, reference string) string { return "/v2/" + repo + "/manifests/" + reference }
func blobPath(repo, digest string) string        { return "/v2/" + repo + "/blobs/" + digest }
