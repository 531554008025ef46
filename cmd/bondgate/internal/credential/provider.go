package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// NewHTTPClient makes the client for everything here. It follows no redirect: no
// address that is used has one, and each request has a secret in it.
func NewHTTPClient() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// endpoints are what a provider says of itself, as far as a login needs it.
type endpoints struct {
	Issuer string `json:"issuer"`
	Token  string `json:"token_endpoint"`
	Device string `json:"device_authorization_endpoint"`
	Revoke string `json:"revocation_endpoint"`
}

// discover asks the provider (OpenID Connect Discovery 1.0). Everything must be
// https, unless the provider is on this machine.
func discover(ctx context.Context, client *http.Client, issuer string) (endpoints, error) {
	var e endpoints
	if err := secure(issuer, issuer); err != nil {
		return e, err
	}
	if err := get(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &e); err != nil {
		return e, fmt.Errorf("ask the provider %s: %w", issuer, err)
	}
	if e.Issuer != issuer {
		return e, fmt.Errorf("the provider %s says that it is %q", issuer, e.Issuer)
	}
	for _, address := range []string{e.Token, e.Device, e.Revoke} {
		if err := secure(address, issuer); address != "" && err != nil {
			return e, err
		}
	}
	if e.Token == "" {
		return e, fmt.Errorf("the provider %s has no token endpoint", issuer)
	}
	return e, nil
}

// secure refuses addresses that would send a token in the clear.
func secure(address, issuer string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("the provider %s has an address that is none: %q", issuer, address)
	}
	if u.Scheme == "https" || (u.Scheme == "http" && loopback(u.Host)) {
		return nil
	}
	return fmt.Errorf("the provider %s is not reached by https at %s", issuer, address)
}

// loopback reports whether a host, with or without port, names this machine.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func get(ctx context.Context, client *http.Client, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("%s answers something else than JSON", address)
	}
	return nil
}

// client is the public client of the command line (RFC 6749, section 2.1): it has
// no secret, because it could not keep one.
func (l *Login) client(e endpoints) *oauth2.Config {
	return &oauth2.Config{
		ClientID: l.ClientID, Scopes: l.Scopes,
		Endpoint: oauth2.Endpoint{TokenURL: e.Token, DeviceAuthURL: e.Device, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// take keeps what the provider gave. The claims are read and not verified: they
// tell when to renew; the gateway verifies.
func (l *Login) take(token *oauth2.Token) (name string, err error) {
	raw, _ := token.Extra("id_token").(string)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("the provider %s gave no ID token", l.Issuer)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Name    string  `json:"preferred_username"`
		Issued  float64 `json:"iat"`
		Expires float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return "", fmt.Errorf("the provider %s gave an ID token that cannot be read", l.Issuer)
	}
	l.IDToken, l.Issued, l.Expires = raw, time.Unix(int64(claims.Issued), 0).UTC(), time.Unix(int64(claims.Expires), 0).UTC()
	if token.RefreshToken != "" {
		l.RefreshToken = token.RefreshToken
	}
	return claims.Name, nil
}

// errOver is that the provider takes no refresh token from us any longer.
var errOver = errors.New("the login is over")

// renew gets a fresh ID token.
func (l *Login) renew(ctx context.Context, client *http.Client) error {
	if l.RefreshToken == "" {
		return errOver
	}
	e, err := discover(ctx, client, l.Issuer)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	token, err := l.client(e).TokenSource(ctx, &oauth2.Token{RefreshToken: l.RefreshToken}).Token()
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == "invalid_grant":
		return errOver
	case err != nil:
		return fmt.Errorf("ask the provider %s: %w", l.Issuer, brief(err))
	}
	_, err = l.take(token)
	return err
}

// revoke tells the provider to forget the login (RFC 7009).
func (l *Login) revoke(ctx context.Context, client *http.Client) error {
	e, err := discover(ctx, client, l.Issuer)
	if err != nil || e.Revoke == "" || l.RefreshToken == "" {
		return err
	}
	form := url.Values{"token": {l.RefreshToken}, "token_type_hint": {"refresh_token"}, "client_id": {l.ClientID}}
	return post(ctx, client, e.Revoke, form, nil)
}

// post sends a form; into is nil when the answer does not matter.
func post(ctx context.Context, client *http.Client, address string, form url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp.Status, raw)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// refusal is a server's own words for a failure, be it a registry's or an OAuth2
// server's.
func refusal(status string, raw []byte) error {
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Errors      []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(raw, &said) == nil {
		switch {
		case len(said.Errors) > 0:
			return fmt.Errorf("it answers %s: %s", status, said.Errors[0].Message)
		case said.Error != "":
			return fmt.Errorf("it answers %s: %s", status, strings.TrimSpace(said.Error+" "+said.Description))
		}
	}
	return fmt.Errorf("it answers %s", status)
}

// brief keeps the code of a provider's error: the whole answer may have secrets.
func brief(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		return fmt.Errorf("it answers %s %s", refused.Response.Status, refused.ErrorCode)
	}
	return err
}
