package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
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
	"github.com/bondgate/bondgate/gateway/authn/spiffe"
	"github.com/bondgate/bondgate/gateway/authn/workload"
	"github.com/bondgate/bondgate/gateway/egress"
	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
)

// identity is everybody who vouches for somebody.
type identity struct {
	local       *local.Provider
	directories []directory
	people      *oidc.Providers
	workloads   *workload.Provider
	domains     *spiffe.Domains
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
	if err := a.openDomains(); err != nil {
		return err
	}
	return a.openChain()
}

// guard is the way out: nothing of the operator's own network but what the
// configuration opens. What a provider's own address opens, it opens for that
// provider alone.
func (a *App) guard() (*egress.Guard, error) {
	c := a.cfg.Identity
	cfg := egress.Config{Allow: prefixes(c.Egress.Allow), AllowHosts: c.Egress.Hosts}
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

// naming opens the hosts of addresses that the operator wrote down.
func naming(guard *egress.Guard, addresses ...string) (*egress.Guard, error) {
	var hosts []string
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	if len(hosts) == 0 {
		return guard, nil
	}
	return guard.Naming(hosts...)
}

func (a *App) openDirectories(guard *egress.Guard) error {
	for i, c := range a.cfg.Identity.LDAP {
		guard, err := naming(guard, c.Servers...)
		if err != nil {
			return fmt.Errorf("identity.ldap[%d]: %w", i, err)
		}
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
		client, err := client(guard, c.CAFile, c.PlainHTTP, c.Issuer, c.GroupsURL)
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

func (a *App) openWorkloads(guard *egress.Guard) error {
	trusted := make([]workload.Trust, 0, len(a.cfg.Identity.Workloads))
	for i, c := range a.cfg.Identity.Workloads {
		client, err := client(guard, c.CAFile, c.PlainHTTP, c.Issuer, c.JWKSURL)
		if err != nil {
			return fmt.Errorf("identity.workloads[%d]: %w", i, err)
		}
		trusted = append(trusted, workload.Trust{
			Name: c.Name, Workspace: workspaceName(c.Workspace), Issuer: c.Issuer, Audience: c.Audience, Client: client,
			JWKSURL: c.JWKSURL, File: c.JWKSFile, PlainHTTP: c.PlainHTTP, Claims: c.Claims, MaxAge: time.Duration(c.MaxAge),
		})
	}
	if len(trusted) == 0 {
		return nil
	}
	var err error
	if a.identity.workloads, err = workload.New(workload.Config{Issuers: trusted, Log: a.log}); err != nil {
		return fmt.Errorf("identity.workloads: %w", err)
	}
	return nil
}

// openDomains makes those whose workloads come with a certificate.
func (a *App) openDomains() error {
	if len(a.cfg.Identity.SPIFFE) == 0 {
		return nil
	}
	if a.cfg.TLS.CertFile == "" {
		return fmt.Errorf("identity.spiffe: certificates of clients need TLS that ends here: set tls.cert_file and tls.key_file: %w", policy.ErrInvalid)
	}
	all := make([]spiffe.Domain, 0, len(a.cfg.Identity.SPIFFE))
	for i, c := range a.cfg.Identity.SPIFFE {
		d := spiffe.Domain{Trust: spiffe.Trust{Workspace: workspaceName(c.Workspace), Domain: c.TrustDomain}}
		var err error
		if d.Authorities, err = certificates(c.CAFile); err != nil {
			return fmt.Errorf("identity.spiffe[%d]: %w", i, err)
		}
		all = append(all, d)
	}
	var err error
	if a.identity.domains, err = spiffe.New(all); err != nil {
		return fmt.Errorf("identity.spiffe: %w", err)
	}
	return nil
}

// certificates reads those of a PEM file.
func certificates(file string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no certificate: %w", file, policy.ErrInvalid)
	}
	return all, nil
}

// client makes the calls to a provider at the addresses that the operator wrote
// down, which may have a certificate of the operator's own, or none at all.
func client(guard *egress.Guard, caFile string, plain bool, addresses ...string) (*http.Client, error) {
	guard, err := naming(guard, addresses...)
	if err != nil {
		return nil, err
	}
	cfg := egress.ClientConfig{InsecurePlaintext: plain}
	if caFile == "" {
		return guard.Client(cfg), nil
	}
	own, err := certificates(caFile)
	if err != nil {
		return nil, err
	}
	cfg.RootCAs = x509.NewCertPool()
	for _, cert := range own {
		cfg.RootCAs.AddCert(cert)
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

// certified answers whose a client's certificate is; nil when it says nothing.
func (a *App) certified() gateway.Certificates {
	if a.identity.domains == nil {
		return nil
	}
	return a.identity.domains
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
