package decisionlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// HTTPConfig is a service that takes OPA's decision logs.
type HTTPConfig struct {
	// URL is where the service is; /logs is added to it, and the partition.
	// It holds no credentials: what is in a URL ends up in logs.
	URL       string
	Partition string
	// Client makes the calls; the caller chooses what it reaches and trusts.
	Client *http.Client
	// Authorization answers the header's value, and is asked before each call, so
	// that a token can be renewed; nil or an empty answer for none. Its errors
	// must not hold a secret.
	Authorization func() (string, error)
}

// HTTP posts events to a service, as OPA does: a JSON array, compressed with gzip.
type HTTP struct {
	cfg HTTPConfig
	url string
	now func() time.Time
}

// Refusal is an answer that is not a success.
type Refusal struct {
	// Status is HTTP's.
	Status int
	// RetryAfter is how long the receiver wants to be left alone; 0 when it does not say.
	RetryAfter time.Duration
}

// Error names the status, and nothing that the receiver has written.
func (r *Refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the receiver answered %d %s", r.Status, http.StatusText(r.Status)))
}

// TooLarge reports whether less might be taken.
func (r *Refusal) TooLarge() bool { return r.Status == http.StatusRequestEntityTooLarge }

var partitionPart = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}$`)

// NewHTTP fails with [policy.ErrInvalid] for an address that is none.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	u, err := url.Parse(cfg.URL)
	// The URL itself stays out of the words: it may hold what it must not.
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("decision log: the sink's url is not http(s)://host[:port][/path]: %w", policy.ErrInvalid)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("decision log: the sink's url holds more than a scheme, a host and a path; credentials belong into files: %w", policy.ErrInvalid)
	case cfg.Partition != "" && !partitionPart.MatchString(cfg.Partition):
		return nil, fmt.Errorf("decision log: partition %q is no plain part of a path: %w", cfg.Partition, policy.ErrInvalid)
	case cfg.Client == nil:
		return nil, fmt.Errorf("decision log: a sink without a client: %w", policy.ErrInvalid)
	}
	u = u.JoinPath("logs")
	if cfg.Partition != "" {
		u = u.JoinPath(cfg.Partition)
	}
	return &HTTP{cfg: cfg, url: u.String(), now: time.Now}, nil
}

// Send posts the events; what comes back is not read beyond its header.
func (h *HTTP) Send(ctx context.Context, events []json.RawMessage) error {
	body, err := compressed(events)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return bareError(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("User-Agent", "bondgate")
	if h.cfg.Authorization != nil {
		value, err := h.cfg.Authorization()
		if err != nil {
			return fmt.Errorf("the credentials: %w", err)
		}
		if value != "" {
			req.Header.Set("Authorization", value)
		}
	}
	resp, err := h.cfg.Client.Do(req)
	if err != nil {
		return bareError(err)
	}
	defer resp.Body.Close()
	// A short answer is read so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10)
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return &Refusal{Status: resp.StatusCode, RetryAfter: h.retryAfter(resp.Header.Get("Retry-After"))}
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func (h *HTTP) retryAfter(v string) time.Duration {
	if s, err := strconv.ParseInt(v, 10, 32); err == nil {
		return time.Duration(max(0, s)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(h.now()))
	}
	return 0
}

func compressed(events []json.RawMessage) ([]byte, error) {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	between := "["
	for _, e := range events {
		if _, err := io.WriteString(z, between); err != nil {
			return nil, err
		}
		if _, err := z.Write(e); err != nil {
			return nil, err
		}
		between = ","
	}
	_, err := io.WriteString(z, "]")
	err = errors.Join(err, z.Close())
	return buf.Bytes(), err
}

// bareError is a client's error without the address that it was made with.
func bareError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
