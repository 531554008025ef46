package jwt

import (
	"bytes"
	"context"
	json "encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// maxDocument bounds what is read from an issuer, in bytes: the largest sets of
// keys that are in public use have a tenth of it.
const maxDocument = 512 << 10

// Metadata is what an issuer says about itself (OpenID Connect Discovery 1.0,
// section 3; device_authorization_endpoint is of RFC 8628, section 4).
type Metadata struct {
	Issuer                      string   `json:"issuer"`
	JWKSURI                     string   `json:"jwks_uri"`
	AuthorizationEndpoint       string   `json:"authorization_endpoint"`
	TokenEndpoint               string   `json:"token_endpoint"`
	UserinfoEndpoint            string   `json:"userinfo_endpoint"`
	DeviceAuthorizationEndpoint string   `json:"device_authorization_endpoint"`
	EndSessionEndpoint          string   `json:"end_session_endpoint"`
	RevocationEndpoint          string   `json:"revocation_endpoint"`
	Algorithms                  []string `json:"id_token_signing_alg_values_supported"`
	ScopesSupported             []string `json:"scopes_supported"`
	CodeChallengeMethods        []string `json:"code_challenge_methods_supported"`
	TokenEndpointAuthMethods    []string `json:"token_endpoint_auth_methods_supported"`
}

// Discover reads what the issuer says about itself. The issuer that the document
// names must be the very one that was asked for, letter by letter (section 4.3):
// otherwise whoever controls one path of a host could speak for another. Addresses
// that are not https are refused unless plain is set.
//
// An issuer that does not answer, or says something else, is
// [policy.ErrUnavailable].
func Discover(ctx context.Context, client *http.Client, issuer string, plain bool) (Metadata, error) {
	if err := checkURL(issuer, plain); err != nil {
		return Metadata{}, fmt.Errorf("authn/jwt: the issuer: %w", err)
	}
	raw, _, err := get(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return Metadata{}, fmt.Errorf("authn/jwt: discovery of %s: %w", issuer, err)
	}
	var m Metadata
	if err := json.Unmarshal(raw, &m); err != nil {
		return Metadata{}, fmt.Errorf("authn/jwt: discovery of %s: the document cannot be read: %w", issuer, policy.ErrUnavailable)
	}
	if m.Issuer != issuer {
		return Metadata{}, fmt.Errorf("authn/jwt: discovery of %s: the document is of the issuer %q: %w", issuer, m.Issuer, policy.ErrUnavailable)
	}
	for name, at := range map[string]string{
		"jwks_uri": m.JWKSURI, "authorization_endpoint": m.AuthorizationEndpoint, "token_endpoint": m.TokenEndpoint,
		"userinfo_endpoint": m.UserinfoEndpoint, "device_authorization_endpoint": m.DeviceAuthorizationEndpoint,
		"end_session_endpoint": m.EndSessionEndpoint, "revocation_endpoint": m.RevocationEndpoint,
	} {
		if at == "" && name != "jwks_uri" {
			continue
		}
		if err := checkURL(at, plain); err != nil {
			return Metadata{}, fmt.Errorf("authn/jwt: discovery of %s: %s: %s: %w", issuer, name, err.Error(), policy.ErrUnavailable)
		}
	}
	return m, nil
}

// checkURL wants an absolute https address without user and fragment.
func checkURL(raw string, plain bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("%q is not an address: %w", raw, policy.ErrInvalid)
	case u.Scheme != "https" && (!plain || u.Scheme != "http"):
		return fmt.Errorf("%q is not https: %w", raw, policy.ErrInvalid)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%q has a user or a fragment: %w", raw, policy.ErrInvalid)
	}
	return nil
}

// get reads a document and how long its sender says that it holds; negative when it
// does not say. Every failure is [policy.ErrUnavailable].
func get(ctx context.Context, client *http.Client, from string) (body []byte, holds time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", err.Error(), policy.ErrUnavailable)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", err.Error(), policy.ErrUnavailable)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s answered %d: %w", from, resp.StatusCode, policy.ErrUnavailable)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %s: %w", from, err.Error(), policy.ErrUnavailable)
	}
	if len(body) > maxDocument {
		return nil, 0, fmt.Errorf("%s is longer than %d bytes: %w", from, maxDocument, policy.ErrUnavailable)
	}
	return body, maxAge(resp.Header), nil
}

// maxAge is the max-age of Cache-Control (RFC 9111, section 5.2.2.1); negative when
// there is none.
func maxAge(h http.Header) time.Duration {
	for _, line := range h.Values("Cache-Control") {
		for part := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if !strings.EqualFold(name, "max-age") {
				continue
			}
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				return time.Duration(n) * time.Second
			}
		}
	}
	return -1
}

// readFile reads a set of keys that an operator laid down.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", err.Error(), policy.ErrUnavailable)
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := io.CopyN(&b, f, maxDocument+1); err == nil {
		return nil, fmt.Errorf("%s is longer than %d bytes: %w", name, maxDocument, policy.ErrUnavailable)
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", err.Error(), policy.ErrUnavailable)
	}
	return b.Bytes(), nil
}
