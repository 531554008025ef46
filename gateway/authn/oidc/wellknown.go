package oidc

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
)

// WellKnownPath is where a client finds out how to log in.
const WellKnownPath = "/.well-known/bondgate"

// Description is what [WellKnown] answers: nothing in it is a secret.
type Description struct {
	// TokenEndpoint is a path of the very host and port that was asked: a client
	// sends credentials nowhere else.
	TokenEndpoint string              `json:"token_endpoint"`
	Providers     []DescribedProvider `json:"providers"`
}

// DescribedProvider is a provider at which a client can log in by itself, with the
// device flow (RFC 8628).
type DescribedProvider struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`
}

// WellKnown tells clients of the command line where people log in.
type WellKnown struct {
	providers *Providers
	token     string
}

// NewWellKnown makes the page; tokenPath is where the token service is.
func NewWellKnown(ps *Providers, tokenPath string) *WellKnown {
	return &WellKnown{providers: ps, token: tokenPath}
}

// Serve answers what is known of the workspace that the request is for.
func (k *WellKnown) Serve(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errcode.New(errcode.Unsupported, "the method is not supported here").With("Allow", "GET, HEAD")
	}
	d := Description{TokenEndpoint: k.token, Providers: []DescribedProvider{}}
	for _, p := range k.providers.all {
		if p.cfg.Workspace != from.Principal.Workspace || p.cfg.CLIClientID == "" {
			continue
		}
		scopes := p.cfg.Scopes
		if !slices.Contains(scopes, "offline_access") {
			scopes = append(slices.Clone(scopes), "offline_access") // else every hour is a login
		}
		d.Providers = append(d.Providers, DescribedProvider{
			Name: p.cfg.Name, Title: p.cfg.Title, Issuer: p.cfg.Issuer, ClientID: p.cfg.CLIClientID, Scopes: scopes,
		})
	}
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("authn/oidc: describe the providers: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	_, _ = w.Write(append(body, '\n')) // a client that went away is nobody's error
	return nil
}
