package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/oidc"
	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/policy"
)

// openLogin joins the pages of the login in a browser.
func (a *App) openLogin(ctx context.Context) error {
	external, err := a.origins(ctx)
	if err != nil {
		return err
	}
	site, err := session.NewSite(external)
	if err != nil {
		return err
	}
	key, err := ownSecret(ctx, a.store, sessionSecretKind)
	if err != nil {
		return err
	}
	a.identity.sessions, err = session.New(session.Config{
		Store: browserSessions{a.store}, Provider: a.identity.people, Site: site, Key: key,
		Idle: time.Duration(a.cfg.Identity.Sessions.Idle), Absolute: time.Duration(a.cfg.Identity.Sessions.Absolute), Log: a.log,
	})
	if err != nil {
		return err
	}
	pages, err := oidc.NewPages(oidc.PagesConfig{
		Providers: a.identity.people, Sessions: a.identity.sessions, Gate: a.gate, Site: site, Key: key, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.identity.login = loginSite{pages: pages, known: oidc.NewWellKnown(a.identity.people, "/token")}
	return nil
}

// origins are where browsers reach each workspace: at the first of its hosts, with
// the scheme and the port of the external URL. One that is made while the server
// runs has a login after the next start.
func (a *App) origins(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	if a.cfg.ExternalURL == "" {
		return out, nil
	}
	out[policy.DefaultWorkspace] = a.cfg.ExternalURL
	own, err := url.Parse(a.cfg.ExternalURL)
	if err != nil {
		return nil, fmt.Errorf("external_url: %w: %w", policy.ErrInvalid, err)
	}
	all, err := a.store.Workspaces(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the workspaces: %w", err)
	}
	for _, w := range all {
		if w.Name == policy.DefaultWorkspace || len(w.Hosts) == 0 {
			continue
		}
		at := url.URL{Scheme: own.Scheme, Host: w.Hosts[0]}
		if port := own.Port(); port != "" {
			at.Host = net.JoinHostPort(w.Hosts[0], port)
		}
		out[w.Name] = at.String()
	}
	return out, nil
}

// loginSite is all that the edge has of logging in.
type loginSite struct{ pages, known gateway.Handler }

func (s loginSite) Serve(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	if r.URL.Path == oidc.WellKnownPath {
		return s.known.Serve(w, r, from)
	}
	return s.pages.Serve(w, r, from)
}
