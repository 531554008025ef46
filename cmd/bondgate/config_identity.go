package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/bondgate/bondgate/gateway/authn/robot"
)

// IdentityConfig says who vouches for people and machines, beside the gateway's
// own accounts. Providers are configuration and not rows: who can change whom the
// gateway believes is who can change this file.
type IdentityConfig struct {
	LDAP      []LDAPConfig     `yaml:"ldap,omitempty" json:"ldap,omitempty" jsonschema:"description=Directories (OpenLDAP or Active Directory and the like)."`
	OIDC      []OIDCConfig     `yaml:"oidc,omitempty" json:"oidc,omitempty" jsonschema:"description=OpenID providers of people."`
	Workloads []WorkloadConfig `yaml:"workloads,omitempty" json:"workloads,omitempty" jsonschema:"description=Issuers of tokens of CI jobs and clusters."`
	SPIFFE    []SPIFFEConfig   `yaml:"spiffe,omitempty" json:"spiffe,omitempty" jsonschema:"description=Trust domains whose client certificates are believed. TLS has to end here."`
	Robots    RobotsConfig     `yaml:"robots,omitempty" json:"robots,omitzero" jsonschema:"description=Accounts of machines that the gateway itself knows."`
	Sessions  SessionsConfig   `yaml:"sessions,omitempty" json:"sessions,omitzero" jsonschema:"description=How long a browser stays logged in."`
	Egress    EgressConfig     `yaml:"egress,omitempty" json:"egress,omitzero" jsonschema:"description=Where the gateway may connect to beside the hosts that are configured here."`
}

// LDAPConfig is one directory.
type LDAPConfig struct {
	Name              string     `yaml:"name" json:"name" jsonschema:"description=The operator's own name of the directory; part of every right that its people are given."`
	Workspace         string     `yaml:"workspace,omitempty" json:"workspace,omitempty" jsonschema:"description=Whose people these are.,default=default"`
	Servers           []string   `yaml:"servers" json:"servers" jsonschema:"description=ldaps://host[:port] or ldap://host[:port] of the same content; asked in this order."`
	StartTLS          bool       `yaml:"start_tls,omitempty" json:"start_tls,omitempty" jsonschema:"description=Turn ldap:// connections into TLS before anything is sent."`
	InsecurePlaintext bool       `yaml:"insecure_plaintext,omitempty" json:"insecure_plaintext,omitempty" jsonschema:"description=Send everybody's password over the network in the open."`
	CAFile            string     `yaml:"ca_file,omitempty" json:"ca_file,omitempty" jsonschema:"description=PEM file with the authorities of the servers' certificates."`
	ServerName        string     `yaml:"server_name,omitempty" json:"server_name,omitempty" jsonschema:"description=Name in the servers' certificates."`
	BindDN            string     `yaml:"bind_dn,omitempty" json:"bind_dn,omitempty" jsonschema:"description=Account that searches."`
	BindPassword      string     `yaml:"bind_password,omitempty" json:"bind_password,omitempty" jsonschema:"description=Its password."`
	BindPasswordFile  string     `yaml:"bind_password_file,omitempty" json:"bind_password_file,omitempty" jsonschema:"description=File that holds its password."`
	AnonymousSearch   bool       `yaml:"anonymous_search,omitempty" json:"anonymous_search,omitempty" jsonschema:"description=Search without an account."`
	Template          string     `yaml:"template,omitempty" json:"template,omitempty" jsonschema:"description=DN of a person with %s for the name; the login binds to it without a search."`
	BaseDN            string     `yaml:"base_dn,omitempty" json:"base_dn,omitempty" jsonschema:"description=Where people are searched."`
	Scope             string     `yaml:"scope,omitempty" json:"scope,omitempty" jsonschema:"description=How deep.,enum=sub,enum=one,default=sub"`
	Filter            string     `yaml:"filter,omitempty" json:"filter,omitempty" jsonschema:"description=Finds a person; %s is the name."`
	LoginAttribute    string     `yaml:"login_attribute,omitempty" json:"login_attribute,omitempty" jsonschema:"description=What people type. Default: the attribute before %s."`
	IDAttribute       string     `yaml:"id_attribute,omitempty" json:"id_attribute,omitempty" jsonschema:"description=The stable name of a person. Default: the login attribute."`
	EmailAttribute    string     `yaml:"email_attribute,omitempty" json:"email_attribute,omitempty" jsonschema:"description=E-mail address for people to read.,default=mail"`
	NameAttribute     string     `yaml:"name_attribute,omitempty" json:"name_attribute,omitempty" jsonschema:"description=Real name for people to read.,default=cn"`
	Groups            LDAPGroups `yaml:"groups,omitempty" json:"groups,omitzero" jsonschema:"description=Where a person's groups are."`
	Connections       int        `yaml:"connections,omitempty" json:"connections,omitempty" jsonschema:"description=Connections at once to all servers together.,minimum=1,default=10"`
	Timeout           Duration   `yaml:"timeout,omitempty" json:"timeout,omitempty" jsonschema:"description=Bound on one operation.,default=5s"`
	Remember          Duration   `yaml:"remember,omitempty" json:"remember,omitempty" jsonschema:"description=How long a login holds without asking again.,default=1m"`
	Grace             Duration   `yaml:"grace,omitempty" json:"grace,omitempty" jsonschema:"description=How much longer it holds while the directory does not answer. Negative for none.,default=10m"`
}

// LDAPGroups says how a person's groups are found.
type LDAPGroups struct {
	MemberOf string `yaml:"member_of,omitempty" json:"member_of,omitempty" jsonschema:"description=Attribute of a person with the DNs of groups."`
	Filter   string `yaml:"filter,omitempty" json:"filter,omitempty" jsonschema:"description=Finds groups instead; %d is the person's DN and %s the name."`
	BaseDN   string `yaml:"base_dn,omitempty" json:"base_dn,omitempty" jsonschema:"description=Above all groups that count."`
	Scope    string `yaml:"scope,omitempty" json:"scope,omitempty" jsonschema:"description=How deep.,enum=sub,enum=one,default=sub"`
	Name     string `yaml:"name,omitempty" json:"name,omitempty" jsonschema:"description=Attribute that groups go by. Default: their DNs."`
	Nested   string `yaml:"nested,omitempty" json:"nested,omitempty" jsonschema:"description=How groups in groups are found: in_chain is Active Directory's matching rule and walk asks for each.,enum=in_chain,enum=walk"`
}

// OIDCConfig is one OpenID provider.
type OIDCConfig struct {
	Name             string            `yaml:"name" json:"name" jsonschema:"description=Name in the address of the login."`
	Title            string            `yaml:"title,omitempty" json:"title,omitempty" jsonschema:"description=What people read."`
	Workspace        string            `yaml:"workspace,omitempty" json:"workspace,omitempty" jsonschema:"description=Whose people these are.,default=default"`
	Issuer           string            `yaml:"issuer" json:"issuer" jsonschema:"description=The provider's issuer identifier letter by letter."`
	ClientID         string            `yaml:"client_id" json:"client_id" jsonschema:"description=What the provider knows the gateway by."`
	ClientSecret     string            `yaml:"client_secret,omitempty" json:"client_secret,omitempty" jsonschema:"description=Its secret; none for a public client."`
	ClientSecretFile string            `yaml:"client_secret_file,omitempty" json:"client_secret_file,omitempty" jsonschema:"description=File that holds the secret."`
	CLIClientID      string            `yaml:"cli_client_id,omitempty" json:"cli_client_id,omitempty" jsonschema:"description=Public client of bondgate login; it needs the device flow."`
	Scopes           []string          `yaml:"scopes,omitempty" json:"scopes,omitempty" jsonschema:"description=Asked for beside openid. Default: profile and offline_access."`
	Parameters       map[string]string `yaml:"parameters,omitempty" json:"parameters,omitempty" jsonschema:"description=Added to the authorization request."`
	UsernameClaim    string            `yaml:"username_claim,omitempty" json:"username_claim,omitempty" jsonschema:"description=What people are called here. It never identifies.,default=preferred_username"`
	GroupsClaim      string            `yaml:"groups_claim,omitempty" json:"groups_claim,omitempty" jsonschema:"description=Claim or path of claims with the groups."`
	UserInfo         bool              `yaml:"userinfo,omitempty" json:"userinfo,omitempty" jsonschema:"description=Ask the userinfo endpoint for what the ID token leaves out."`
	GroupsURL        string            `yaml:"groups_url,omitempty" json:"groups_url,omitempty" jsonschema:"description=Microsoft Graph's getMemberObjects; asked when the groups are too many for the token."`
	Claims           []string          `yaml:"claims,omitempty" json:"claims,omitempty" jsonschema:"description=Claims that rules may read."`
	CAFile           string            `yaml:"ca_file,omitempty" json:"ca_file,omitempty" jsonschema:"description=PEM file with the authorities of the provider's certificate."`
	PlainHTTP        bool              `yaml:"insecure_plain_http,omitempty" json:"insecure_plain_http,omitempty" jsonschema:"description=Allow a provider without TLS: whoever is in between logs in as anybody."`
	Refresh          Duration          `yaml:"refresh,omitempty" json:"refresh,omitempty" jsonschema:"description=How long the provider's word holds: who is removed there is out here within it.,default=15m"`
	Grace            Duration          `yaml:"grace,omitempty" json:"grace,omitempty" jsonschema:"description=How much longer a session goes on while the provider is away.,default=30m"`
}

// WorkloadConfig is one trusted issuer of tokens of machines.
type WorkloadConfig struct {
	Name      string   `yaml:"name" json:"name" jsonschema:"description=What people call the issuer."`
	Workspace string   `yaml:"workspace,omitempty" json:"workspace,omitempty" jsonschema:"description=Where its workloads are known.,default=default"`
	Issuer    string   `yaml:"issuer" json:"issuer" jsonschema:"description=The iss of its tokens letter by letter."`
	Audience  string   `yaml:"audience" json:"audience" jsonschema:"description=Must be among the aud of its tokens; name this registry."`
	JWKSURL   string   `yaml:"jwks_url,omitempty" json:"jwks_url,omitempty" jsonschema:"description=Where its keys are if it has no discovery."`
	JWKSFile  string   `yaml:"jwks_file,omitempty" json:"jwks_file,omitempty" jsonschema:"description=File with its keys."`
	Claims    []string `yaml:"claims,omitempty" json:"claims,omitempty" jsonschema:"description=Claims that rules may read. Default: those that CI systems and clusters are known for."`
	MaxAge    Duration `yaml:"max_age,omitempty" json:"max_age,omitempty" jsonschema:"description=How long ago a token may have been issued.,default=24h"`
	CAFile    string   `yaml:"ca_file,omitempty" json:"ca_file,omitempty" jsonschema:"description=PEM file with the authorities of the issuer's certificate."`
	PlainHTTP bool     `yaml:"insecure_plain_http,omitempty" json:"insecure_plain_http,omitempty" jsonschema:"description=Allow an issuer without TLS."`
}

// SPIFFEConfig is one trust domain.
type SPIFFEConfig struct {
	TrustDomain string `yaml:"trust_domain" json:"trust_domain" jsonschema:"description=Name after spiffe://."`
	Workspace   string `yaml:"workspace,omitempty" json:"workspace,omitempty" jsonschema:"description=Where its workloads are known.,default=default"`
	CAFile      string `yaml:"ca_file" json:"ca_file" jsonschema:"description=PEM file with the trust domain's authorities."`
}

// RobotsConfig is about robots.
type RobotsConfig struct {
	Prefix  string   `yaml:"prefix,omitempty" json:"prefix,omitempty" jsonschema:"description=What the names of robots begin with.,default=robot$"`
	Overlap Duration `yaml:"overlap,omitempty" json:"overlap,omitempty" jsonschema:"description=How long a secret stays good after a new one was made.,default=1h"`
}

// SessionsConfig is about browsers.
type SessionsConfig struct {
	Idle     Duration `yaml:"idle,omitempty" json:"idle,omitempty" jsonschema:"description=Without use.,default=2h"`
	Absolute Duration `yaml:"absolute,omitempty" json:"absolute,omitempty" jsonschema:"description=At most.,default=12h"`
}

// EgressConfig opens what is closed to outgoing connections: addresses of the
// operator's own network.
type EgressConfig struct {
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty" jsonschema:"description=Networks that may be reached under any name."`
	Hosts []string `yaml:"hosts,omitempty" json:"hosts,omitempty" jsonschema:"description=Names that may be in the operator's own network."`
	Proxy string   `yaml:"proxy,omitempty" json:"proxy,omitempty" jsonschema:"description=HTTP proxy for outgoing calls. The environment's is never read."`
}

// complete fills in the defaults.
func (c *IdentityConfig) complete() {
	if c.Robots.Prefix == "" {
		c.Robots.Prefix = robot.DefaultPrefix
	}
	number(&c.Robots.Overlap, Duration(time.Hour))
	number(&c.Sessions.Idle, Duration(2*time.Hour))
	number(&c.Sessions.Absolute, Duration(12*time.Hour))
}

var identityName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?$`)

// validate says what is wrong that the providers themselves cannot say with a line:
// those check the rest when they are made.
func (c *IdentityConfig) validate() []problem {
	var all []problem
	bad := func(path, format string, args ...any) {
		all = append(all, problem{"identity." + path, fmt.Sprintf(format, args...)})
	}
	var names []string
	name := func(path, n string) {
		switch {
		case !identityName.MatchString(n):
			bad(path+".name", "%q is not 1 to 32 of a-z 0-9 . _ -", n)
		case slices.Contains(names, n):
			bad(path+".name", "%q is the name of another provider", n)
		}
		names = append(names, n)
	}
	for i, p := range c.LDAP {
		name(fmt.Sprintf("ldap[%d]", i), p.Name)
	}
	for i, p := range c.OIDC {
		name(fmt.Sprintf("oidc[%d]", i), p.Name)
	}
	for i, p := range c.Workloads {
		name(fmt.Sprintf("workloads[%d]", i), p.Name)
	}
	if err := robot.CheckPrefix(c.Robots.Prefix); err != nil {
		bad("robots.prefix", "%s", err)
	}
	if o := time.Duration(c.Robots.Overlap); o < 0 || o > 30*24*time.Hour {
		bad("robots.overlap", "%s is not between 0 and 30 days", o)
	}
	for i, n := range c.Egress.Allow {
		if _, err := parsePrefix(n); err != nil {
			bad(fmt.Sprintf("egress.allow[%d]", i), "%q is neither an address nor a network", n)
		}
	}
	if c.Egress.Proxy != "" {
		if u, err := url.Parse(c.Egress.Proxy); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad("egress.proxy", "it is not http(s)://host:port")
		}
	}
	return all
}

// secrets reads the files that hold secrets.
func (c *IdentityConfig) secrets(d *document) {
	one := func(path string, secret *string, file string) {
		if file == "" {
			return
		}
		if *secret != "" {
			d.fail(path, "%s and %s_file exclude each other", path, path)
		}
		*secret = d.secret(path+"_file", file)
	}
	for i := range c.LDAP {
		one(fmt.Sprintf("identity.ldap[%d].bind_password", i), &c.LDAP[i].BindPassword, c.LDAP[i].BindPasswordFile)
	}
	for i := range c.OIDC {
		one(fmt.Sprintf("identity.oidc[%d].client_secret", i), &c.OIDC[i].ClientSecret, c.OIDC[i].ClientSecretFile)
	}
}

// LoginsConfig bounds failed logins.
type LoginsConfig struct {
	Failures        int      `yaml:"failures,omitempty" json:"failures,omitempty" jsonschema:"description=Failed logins of one name from one address within the window before it is refused there: 429 with Retry-After.,minimum=1,default=5"`
	NameFailures    int      `yaml:"name_failures,omitempty" json:"name_failures,omitempty" jsonschema:"description=The same for one name from all addresses.,minimum=1,default=50"`
	AddressFailures int      `yaml:"address_failures,omitempty" json:"address_failures,omitempty" jsonschema:"description=The same for one address with all names.,minimum=1,default=100"`
	Window          Duration `yaml:"window,omitempty" json:"window,omitempty" jsonschema:"description=Within which failures add up.,default=10m"`
	Lock            Duration `yaml:"lock,omitempty" json:"lock,omitempty" jsonschema:"description=How long the first refusal lasts; each further one twice as long up to 15m.,default=30s"`
	Loopback        bool     `yaml:"loopback,omitempty" json:"loopback,omitempty" jsonschema:"description=Count logins from this machine too."`
}

// RatesConfig bounds requests; a rate of 0 is no bound.
type RatesConfig struct {
	Identity RateConfig `yaml:"identity,omitempty" json:"identity,omitzero" jsonschema:"description=Requests of one account."`
	Project  RateConfig `yaml:"project,omitempty" json:"project,omitzero" jsonschema:"description=Requests for one project."`
	Address  RateConfig `yaml:"address,omitempty" json:"address,omitzero" jsonschema:"description=Requests from one address."`
	Loopback bool       `yaml:"loopback,omitempty" json:"loopback,omitempty" jsonschema:"description=Bound requests from this machine too."`
}

// RateConfig is one rate.
type RateConfig struct {
	PerSecond int `yaml:"per_second,omitempty" json:"per_second,omitempty" jsonschema:"description=Requests a second on average; more are 429 with Retry-After.,minimum=0"`
	Burst     int `yaml:"burst,omitempty" json:"burst,omitempty" jsonschema:"description=Requests at once after a pause. Default: ten seconds' worth.,minimum=0"`
}
