package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/accesstoken"
	"github.com/bondgate/bondgate/gateway/authn/ldap"
	"github.com/bondgate/bondgate/gateway/authn/local"
	"github.com/bondgate/bondgate/gateway/authn/oidc"
	"github.com/bondgate/bondgate/gateway/authn/robot"
	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/gateway/authn/workload"
	"github.com/bondgate/bondgate/gateway/egress"
	"github.com/bondgate/bondgate/gateway/limit"
	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
)

// identity is everybody who vouches for somebody.
type identity struct {
	local       *local.Provider
	directories []directory
	people      *oidc.Providers
	workloads   *workload.Provider
	sessions    *session.Sessions
	login       gateway.Handler
	// chain is asked about a name and a password, in this order.
	chain []authn.Passwords
}

// directory is an LDAP provider of one workspace.
type directory struct {
	*ldap.Provider
	workspace string
	name      string
}

func (d directory) Name() string      { return d.name }
func (d directory) Workspace() string { return d.workspace }

// Person is what the directory has of somebody, as the management API shows it.
func (d directory) Person(ctx context.Context, login string) (api.DirectoryPerson, error) {
	p, err := d.Lookup(ctx, login)
	if err != nil {
		return api.DirectoryPerson{}, err
	}
	return api.DirectoryPerson{
		DN: p.DN, ID: p.ID, Login: p.Login, Email: p.Email, RealName: p.RealName, Disabled: p.Disabled,
		Groups: append([]string{}, p.Groups...), Issuer: d.Issuer(),
	}, nil
}

// Authenticate asks the directory about the people of its own workspace.
func (d directory) Authenticate(ctx context.Context, workspace, name, password string) (policy.Principal, error) {
	if workspace != d.workspace {
		return policy.Principal{}, fmt.Errorf("directory %s: another workspace: %w", d.name, policy.ErrNotFound)
	}
	return d.Provider.Authenticate(ctx, workspace, name, password)
}

// openIdentity makes the providers. None of them is reached yet: one that is away
// must not keep the others out.
func (a *App) openIdentity(ctx context.Context) (err error) {
	id := &identity{}
	if id.local, err = local.New(local.Config{Store: a.store, Revision: a.revision}); err != nil {
		return fmt.Errorf("open the local accounts: %w", err)
	}
	a.identity = id
	guard, err := a.guard()
	if err != nil {
		return err
	}
	if err := a.openDirectories(guard); err != nil {
		return err
	}
	if err := a.openProviders(ctx, guard); err != nil {
		return err
	}
	if err := a.openWorkloads(guard); err != nil {
		return err
	}
	return a.openChain()
}

// guard is the way out, with the hosts of the configuration named: an operator who
// writes a directory's name wants it reached.
func (a *App) guard() (*egress.Guard, error) {
	c := a.cfg.Identity
	cfg := egress.Config{Allow: prefixes(c.Egress.Allow), AllowHosts: c.Egress.Hosts}
	var addresses []string
	for _, l := range c.LDAP {
		addresses = append(addresses, l.Servers...)
	}
	for _, o := range c.OIDC {
		addresses = append(addresses, o.Issuer, o.GroupsURL)
	}
	for _, w := range c.Workloads {
		addresses = append(addresses, w.Issuer, w.JWKSURL)
	}
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			cfg.AllowHosts = append(cfg.AllowHosts, u.Hostname())
		}
	}
	if c.Egress.Proxy != "" {
		proxy, err := url.Parse(c.Egress.Proxy)
		if err != nil {
			return nil, fmt.Errorf("identity.egress.proxy: %w: %w", policy.ErrInvalid, err)
		}
		cfg.Proxy = proxy
	}
	guard, err := egress.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("identity.egress: %w", err)
	}
	return guard, nil
}

func (a *App) openDirectories(guard *egress.Guard) error {
	for i, c := range a.cfg.Identity.LDAP {
		p, err := ldap.New(ldap.Config{
			Name: c.Name, Servers: c.Servers, StartTLS: c.StartTLS, InsecurePlaintext: c.InsecurePlaintext,
			CAFile: c.CAFile, ServerName: c.ServerName, Dial: guard.DialContext,
			BindDN: c.BindDN, BindPassword: c.BindPassword, AnonymousSearch: c.AnonymousSearch,
			Template: c.Template, BaseDN: c.BaseDN, Scope: ldap.Scope(c.Scope), Filter: c.Filter,
			Attributes: ldap.Attributes{Login: c.LoginAttribute, ID: c.IDAttribute, Email: c.EmailAttribute, RealName: c.NameAttribute},
			Groups: ldap.Groups{
				MemberOf: c.Groups.MemberOf, Filter: c.Groups.Filter, BaseDN: c.Groups.BaseDN,
				Scope: ldap.Scope(c.Groups.Scope), Name: c.Groups.Name, Nested: ldap.Nested(c.Groups.Nested),
			},
			Connections: c.Connections, Timeout: time.Duration(c.Timeout),
			Remember: time.Duration(c.Remember), Grace: time.Duration(c.Grace),
			Enroller: enroller{a.store},
		})
		if err != nil {
			return fmt.Errorf("identity.ldap[%d]: %w", i, err)
		}
		a.onClose(func(context.Context) error { return p.Close() })
		a.identity.directories = append(a.identity.directories, directory{p, workspaceName(c.Workspace), c.Name})
	}
	return nil
}

func workspaceName(name string) string {
	if name == "" {
		return policy.DefaultWorkspace
	}
	return name
}

func (a *App) openProviders(ctx context.Context, guard *egress.Guard) error {
	if len(a.cfg.Identity.OIDC) == 0 {
		return nil
	}
	configs := make([]oidc.Config, 0, len(a.cfg.Identity.OIDC))
	for i, c := range a.cfg.Identity.OIDC {
		client, err := client(guard, c.CAFile, c.PlainHTTP)
		if err != nil {
			return fmt.Errorf("identity.oidc[%d]: %w", i, err)
		}
		configs = append(configs, oidc.Config{
			Name: c.Name, Title: c.Title, Workspace: workspaceName(c.Workspace), Issuer: c.Issuer,
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, CLIClientID: c.CLIClientID, Scopes: c.Scopes,
			Parameters: c.Parameters, UsernameClaim: c.UsernameClaim, GroupsClaim: c.GroupsClaim, UserInfo: c.UserInfo,
			GroupsURL: c.GroupsURL, Claims: c.Claims, Refresh: time.Duration(c.Refresh), Grace: time.Duration(c.Grace),
			Client: client, PlainHTTP: c.PlainHTTP, Log: a.log,
		})
	}
	var err error
	if a.identity.people, err = oidc.New(enroller{a.store}, configs...); err != nil {
		return fmt.Errorf("identity.oidc: %w", err)
	}
	return a.openLogin(ctx)
}

// openLogin joins the pages of the login in a browser.
func (a *App) openLogin(ctx context.Context) error {
	external := map[string]string{}
	if a.cfg.ExternalURL != "" {
		external[policy.DefaultWorkspace] = a.cfg.ExternalURL
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
		Providers: a.identity.people, Sessions: a.identity.sessions, Site: site, Key: key, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.identity.login = loginSite{pages: pages, known: oidc.NewWellKnown(a.identity.people, "/token")}
	return nil
}

// loginSite is all that the edge has of logging in.
type loginSite struct{ pages, known gateway.Handler }

func (s loginSite) Serve(w http.ResponseWriter, r *http.Request, from authn.Caller) error {
	if r.URL.Path == oidc.WellKnownPath {
		return s.known.Serve(w, r, from)
	}
	return s.pages.Serve(w, r, from)
}

func (a *App) openWorkloads(guard *egress.Guard) error {
	byCA := map[string][]workload.Trust{}
	for _, c := range a.cfg.Identity.Workloads {
		byCA[c.CAFile] = append(byCA[c.CAFile], workload.Trust{
			Name: c.Name, Workspace: workspaceName(c.Workspace), Issuer: c.Issuer, Audience: c.Audience,
			JWKSURL: c.JWKSURL, File: c.JWKSFile, PlainHTTP: c.PlainHTTP, Claims: c.Claims, MaxAge: time.Duration(c.MaxAge),
		})
	}
	if len(byCA) == 0 {
		return nil
	}
	if len(byCA) > 1 {
		return fmt.Errorf("identity.workloads: one ca_file for all of them: %w", policy.ErrInvalid)
	}
	for file, trusted := range byCA {
		client, err := client(guard, file, slices.ContainsFunc(trusted, func(t workload.Trust) bool { return t.PlainHTTP }))
		if err != nil {
			return fmt.Errorf("identity.workloads: %w", err)
		}
		if a.identity.workloads, err = workload.New(workload.Config{Issuers: trusted, Client: client, Log: a.log}); err != nil {
			return fmt.Errorf("identity.workloads: %w", err)
		}
	}
	return nil
}

// client makes the calls to a provider, which may have a certificate of the
// operator's own, or none at all.
func client(guard *egress.Guard, caFile string, plain bool) (*http.Client, error) {
	cfg := egress.ClientConfig{InsecurePlaintext: plain}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate: %w", caFile, policy.ErrInvalid)
		}
	}
	return guard.Client(cfg), nil
}

// openChain puts who is asked about a name and a password in order: what can be
// told by its form first, so that no machine's secret is shown to a directory.
func (a *App) openChain() error {
	robots, err := robot.New(robot.Config{Store: robotAccounts{a.store}, Prefix: a.cfg.Identity.Robots.Prefix})
	if err != nil {
		return err
	}
	tokens, err := accesstoken.New(accesstoken.Config{Store: personalTokens{a.store}, Renew: a.credentials()})
	if err != nil {
		return err
	}
	id := a.identity
	id.chain = []authn.Passwords{robots, tokens}
	if id.workloads != nil {
		id.chain = append(id.chain, id.workloads)
	}
	if id.people != nil {
		id.chain = append(id.chain, id.people)
	}
	others := make([]authn.Passwords, 0, len(id.directories))
	for _, d := range id.directories {
		others = append(others, d)
	}
	id.chain = append(id.chain, id.local.Before(others...))
	return nil
}

// browser answers whose a session is; nil when nobody logs in by browser.
func (a *App) browser() gateway.Sessions {
	if a.identity.sessions == nil {
		return nil // and not an interface that holds a nil
	}
	return a.identity.sessions
}

// exchangers know whom tokens of others stand for.
func (id *identity) exchangers() []token.Exchanger {
	var all []token.Exchanger
	if id.workloads != nil {
		all = append(all, id.workloads)
	}
	if id.people != nil {
		all = append(all, id.people)
	}
	return all
}

// logins and rates are the limits of the configuration.
func (a *App) logins() (*limit.Logins, error) {
	c := a.cfg.Limits.Logins
	return limit.NewLogins(limit.LoginsConfig{
		Failures: c.Failures, NameFailures: c.NameFailures, AddressFailures: c.AddressFailures,
		Window: time.Duration(c.Window), Lock: time.Duration(c.Lock), Loopback: c.Loopback,
	})
}

func (a *App) rates() (gateway.Rates, error) {
	c := a.cfg.Limits.Rates
	if c.Identity.PerSecond == 0 && c.Project.PerSecond == 0 && c.Address.PerSecond == 0 {
		return nil, nil //nolint:nilnil // no limit is no part of the edge
	}
	rate := func(r RateConfig) limit.Rate {
		if r.Burst == 0 {
			r.Burst = 10 * r.PerSecond
		}
		return limit.Rate{PerSecond: float64(r.PerSecond), Burst: r.Burst}
	}
	return limit.NewRequests(limit.RequestsConfig{
		Identity: rate(c.Identity), Project: rate(c.Project), Address: rate(c.Address), Loopback: c.Loopback,
	})
}

// credentials are what refresh tokens and access tokens rest on.
type credentials struct {
	stamp       func(ctx context.Context, p policy.Principal) (string, error)
	directories func() []directory
}

func (a *App) credentials() credentials {
	return credentials{stamp: a.store.Stamp, directories: func() []directory { return a.identity.directories }}
}

func (c credentials) Stamp(ctx context.Context, p policy.Principal) (string, error) {
	return c.stamp(ctx, p)
}

// Renew asks a directory who its people are now. Whom an OpenID provider vouched
// for comes without groups: those are known while somebody is logged in there.
func (c credentials) Renew(ctx context.Context, p policy.Principal) (policy.Principal, error) {
	if p.Kind != policy.KindUser || p.Issuer == policy.LocalIssuer {
		return p, nil
	}
	for _, d := range c.directories() {
		if d.workspace == p.Workspace && d.Issuer() == p.Issuer {
			return d.Refresh(ctx, p)
		}
	}
	if strings.HasPrefix(p.Issuer, ldap.IssuerPrefix) {
		return policy.Principal{}, fmt.Errorf("the directory %s is not configured any more: %w", p.Issuer, policy.ErrUnauthenticated)
	}
	p.Groups, p.Claims = nil, nil
	return p, nil
}

// runIdentity keeps the providers' keys fresh and ends sessions that are over.
func (a *App) runIdentity(ctx context.Context) error {
	id := a.identity
	errs := make(chan error, 3)
	n := 0
	start := func(run func(context.Context) error) {
		n++
		go func() { errs <- run(ctx) }()
	}
	if id.people != nil {
		start(id.people.Run)
	}
	if id.workloads != nil {
		start(id.workloads.Run)
	}
	if id.sessions != nil {
		start(a.sweep)
	}
	var all []error
	for range n {
		all = append(all, ended(ctx, <-errs))
	}
	return errors.Join(all...)
}

// sweepEvery is how often sessions that are over are removed.
const sweepEvery = 10 * time.Minute

func (a *App) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := a.identity.sessions.Sweep(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("sessions that are over could not be removed", "error", err)
			}
		}
	}
}
