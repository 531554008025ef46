package credential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/bondgate/bondgate/gateway/authn/oidc"
)

// defaultName stands where a provider says no name: the gateway does not look at
// it, and clients want one.
const defaultName = "oidc"

// Device is a login by the device flow (RFC 8628): this machine shows a code, and
// the person confirms it in a browser anywhere.
type Device struct {
	Client *http.Client
	// Out is where the person reads what to do.
	Out io.Writer
}

// Login logs a person in at the registry's provider of that name; empty for the
// only one. It returns when the registry has taken the login.
func (d Device) Login(ctx context.Context, registry, provider string) (Entry, error) {
	registry = Registry(registry)
	base, known, err := d.describe(ctx, registry)
	if err != nil {
		return Entry{}, err
	}
	p, err := choose(registry, known.Providers, provider)
	if err != nil {
		return Entry{}, err
	}
	login := &Login{Provider: p.Name, Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes}
	name, err := d.confirm(ctx, login)
	if err != nil {
		return Entry{}, err
	}
	if err := d.exchange(ctx, base, known.TokenEndpoint, login.IDToken); err != nil {
		return Entry{}, fmt.Errorf("the registry %s does not take the login: %w", registry, err)
	}
	return Entry{Username: usable(name), Login: login}, nil
}

// describe asks the registry where its people log in. On this machine it may be
// without TLS.
func (d Device) describe(ctx context.Context, registry string) (base string, known oidc.Description, err error) {
	schemes := []string{"https"}
	if loopback(registry) {
		schemes = append(schemes, "http")
	}
	for _, scheme := range schemes {
		base = scheme + "://" + registry
		if err = get(ctx, d.Client, base+oidc.WellKnownPath, &known); err == nil {
			return base, known, nil
		}
	}
	return "", known, fmt.Errorf("ask the registry %s where to log in: %w", registry, err)
}

func choose(registry string, all []oidc.DescribedProvider, name string) (oidc.DescribedProvider, error) {
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	i := slices.Index(names, name)
	switch {
	case len(all) == 0:
		return oidc.DescribedProvider{}, fmt.Errorf("the registry %s has no provider for logins from the command line: use docker login", registry)
	case name == "" && len(all) == 1:
		i = 0
	case name == "":
		return oidc.DescribedProvider{}, fmt.Errorf("the registry %s has several providers: name one of %s with --provider", registry, strings.Join(names, ", "))
	case i < 0:
		return oidc.DescribedProvider{}, fmt.Errorf("the registry %s has no provider %q: it has %s", registry, name, strings.Join(names, ", "))
	}
	return all[i], nil
}

// confirm shows the code and waits until the person has confirmed it.
func (d Device) confirm(ctx context.Context, l *Login) (name string, err error) {
	e, err := discover(ctx, d.Client, l.Issuer)
	if err != nil {
		return "", err
	}
	if e.Device == "" {
		return "", fmt.Errorf("the provider %s has no device flow", l.Issuer)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, d.Client)
	asked, err := l.client(e).DeviceAuth(ctx)
	if err != nil {
		return "", fmt.Errorf("ask the provider %s for a code: %w", l.Issuer, brief(err))
	}
	// The page must be the provider's: whoever shows another one gets the code.
	if err := secure(asked.VerificationURI, l.Issuer); err != nil {
		return "", err
	}
	to := asked.VerificationURI
	if secure(asked.VerificationURIComplete, l.Issuer) == nil {
		to = asked.VerificationURIComplete
	}
	fmt.Fprintf(d.Out, "Open %s\nand confirm the code %s\n", printable(to), printable(asked.UserCode))
	token, err := l.client(e).DeviceAccessToken(ctx, asked)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "", errors.New("the code was not confirmed in time")
	case err != nil:
		return "", fmt.Errorf("the provider %s did not log you in: %w", l.Issuer, brief(err))
	}
	return l.take(token)
}

// exchange shows the registry the ID token, as a client would: a login that it does
// not take is told at once and not at the next pull (RFC 8693).
func (d Device) exchange(ctx context.Context, base, endpoint, idToken string) error {
	registry, err := url.Parse(base)
	if err != nil {
		return err
	}
	to, err := registry.Parse(endpoint)
	if err != nil || to.Scheme != registry.Scheme || to.Host != registry.Host {
		return fmt.Errorf("its token endpoint %q is elsewhere", endpoint)
	}
	form := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {idToken},
		"subject_token_type": {oidc.TokenType},
		"service":            {registry.Host},
	}
	var out struct {
		Token string `json:"access_token"`
	}
	if err := post(ctx, d.Client, to.String(), form, &out); err != nil {
		return err
	}
	if out.Token == "" {
		return errors.New("it gives no token")
	}
	return nil
}

// usable is a name that fits into the Basic scheme, where a colon ends it.
func usable(name string) string {
	if name == "" || len(name) > 255 || strings.Contains(name, ":") || name != printable(name) || name == tokenName {
		return defaultName
	}
	return name
}

// tokenName is how helpers say that a secret is docker's kind of refresh token,
// which an ID token is not.
const tokenName = "<token>"

// printable leaves out what would move a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || r == 0x2028 || r == 0x2029 {
			return -1
		}
		return r
	}, s)
}
