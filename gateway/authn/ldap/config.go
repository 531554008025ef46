package ldap

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// IssuerPrefix and a provider's name are the issuer of its people.
const IssuerPrefix = "ldap:"

// MaxRemember is the longest that a success may hold without asking the
// directory again; MaxGrace the longest while the directory does not answer.
const (
	MaxRemember = time.Minute
	MaxGrace    = time.Hour
)

// Scope is how deep below its base a search looks. The zero Scope is the whole
// subtree.
type Scope string

// The scopes of RFC 4511 section 4.5.1.2 that make sense here.
const (
	ScopeSubtree Scope = "sub"
	ScopeOne     Scope = "one"
)

// Config is one directory. Zero numbers and times get the default.
type Config struct {
	// Name is the operator's own for this directory; it becomes part of the issuer,
	// and so of every right that is given to its people.
	Name string
	// Servers are ldaps://host[:port] or ldap://host[:port], each with the same
	// content. They are asked in this order; one that fails is passed over for a
	// while.
	Servers []string
	// StartTLS turns ldap:// connections into TLS before anything is sent on them. A
	// server that does not is not used.
	StartTLS bool
	// InsecurePlaintext lets ldap:// servers be used without StartTLS: everybody's
	// password crosses the network in the open.
	InsecurePlaintext bool
	// CAFile (PEM) or RootCAs are the authorities of the servers' certificates; the
	// system's if neither is there.
	CAFile  string
	RootCAs *x509.CertPool
	// ServerName is in the servers' certificates; default the host of the URL.
	ServerName string
	// Dial makes the TCP connections: a gateway/egress guard's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// BindDN and BindPassword are the account that searches and reads. Empty: see
	// Template and AnonymousSearch.
	BindDN, BindPassword string
	// AnonymousSearch searches without an account.
	AnonymousSearch bool

	// Template is the DN of a person with %s for the name, such as
	// "uid=%s,ou=people,dc=example,dc=org". The login binds to it directly, without
	// a search. Without BindDN and AnonymousSearch the person's own rights read the
	// entry and the groups, a wrong password cannot be told from an unknown name, and
	// Lookup and Refresh cannot be answered.
	Template string
	// BaseDN, Scope and Filter find people, if there is no Template. Filter has %s
	// where the name goes, such as "(&(objectClass=person)(uid=%s))"; whom it does
	// not match does not exist.
	BaseDN     string
	Scope      Scope
	Filter     string
	Attributes Attributes
	Groups     Groups

	// Connections is how many there are at once, to all servers together; default 10.
	Connections int
	// Wait is how long a login waits for one before it gets [policy.ErrLimited];
	// default 10 s.
	Wait time.Duration
	// ConnectTimeout bounds connecting to one server, TLS included; default 5 s.
	ConnectTimeout time.Duration
	// Timeout bounds one operation on a connection; default 5 s.
	Timeout time.Duration
	// Retry is how long a server that failed is asked last; default 30 s.
	Retry time.Duration

	// Remember is how long a success holds without asking the directory; default
	// and maximum [MaxRemember].
	Remember time.Duration
	// Grace is how long after it was last seen to be right the very same credential
	// holds while the directory does not answer; default 10 minutes, at most
	// [MaxGrace], negative for none.
	Grace time.Duration
	// Remembered is how many successes are kept; default 10,000.
	Remembered int

	// Enroller is told of each person who logged in.
	Enroller authn.Enroller
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Attributes name where a person's facts are.
type Attributes struct {
	// Login is what people type; default the attribute that stands before the first
	// %s of Filter or Template.
	Login string
	// ID is the stable name, whose value in lower case becomes the principal's ID;
	// default Login. entryUUID and objectGUID survive a change of name.
	ID string
	// Email and RealName are for reading; default mail and cn, "-" for none.
	Email, RealName string
}

// server is one of Servers, taken apart.
type server struct {
	address, host string
	tls           bool
}

var (
	providerName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)
	attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)
)

// check fills defaults in and refuses what cannot work or is not safe. All that it
// finds wrong is in the one error.
func (c *Config) check() ([]server, error) {
	var wrong []string
	say := func(format string, a ...any) { wrong = append(wrong, fmt.Sprintf(format, a...)) }
	if !providerName.MatchString(c.Name) {
		say("the name %q is not lower-case letters, digits, dots and hyphens", c.Name)
	}
	servers := c.servers(say)
	if c.Dial == nil {
		say("a dialer is needed")
	}
	if c.Enroller == nil {
		say("an enroller is needed")
	}
	c.roots(say)
	c.checkSearch(say)
	c.Groups.check(say)
	c.limits(say)
	if wrong != nil {
		return nil, fmt.Errorf("authn/ldap: %s: %s: %w", c.Name, strings.Join(wrong, "; "), policy.ErrInvalid)
	}
	return servers, nil
}

func (c *Config) servers(say func(string, ...any)) (out []server) {
	if len(c.Servers) == 0 {
		say("no server")
	}
	for _, raw := range c.Servers {
		u, err := url.Parse(raw)
		if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			// Not echoed: people put passwords into URLs.
			say("a server is not ldaps://host:port or ldap://host:port")
			continue
		}
		s := server{host: u.Hostname(), tls: u.Scheme == "ldaps"}
		port := u.Port()
		switch {
		case u.Scheme == "ldaps" && port == "":
			port = "636"
		case u.Scheme == "ldap" && port == "":
			port = "389"
		}
		switch {
		case u.Scheme != "ldaps" && u.Scheme != "ldap":
			say("a server's scheme is %q, ldaps or ldap is wanted", u.Scheme)
		case !s.tls && !c.StartTLS && !c.InsecurePlaintext:
			say("%s would get passwords in the open: use ldaps:// or StartTLS", u.Host)
		}
		s.address = net.JoinHostPort(s.host, port)
		out = append(out, s)
	}
	return out
}

func (c *Config) roots(say func(string, ...any)) {
	switch {
	case c.CAFile != "" && c.RootCAs != nil:
		say("CAFile and RootCAs exclude each other")
	case c.CAFile != "":
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			say("the CA file: %v", err)
			return
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			say("the CA file %s has no certificate in PEM", c.CAFile)
		}
	}
}

func (c *Config) checkSearch(say func(string, ...any)) {
	var place string
	var err error
	switch {
	case (c.Template == "") == (c.Filter == ""):
		say("either Template or Filter says how people are found")
		return
	case c.Template != "":
		if place, err = checkTemplate(c.Template); err != nil {
			say("Template: %v", err)
		}
		if c.BaseDN != "" {
			say("BaseDN is for Filter, Template is the whole DN")
		}
	default:
		if place, err = checkFilter(c.Filter, loginMark); err != nil {
			say("Filter: %v", err)
		}
		if strings.Contains(c.Filter, memberMark) {
			say("Filter: %%d is for Groups.Filter")
		}
		if _, err := CanonicalDN(c.BaseDN); err != nil || c.BaseDN == "" {
			say("BaseDN is where Filter searches, and %q is no DN", c.BaseDN)
		}
		if c.BindDN == "" && !c.AnonymousSearch {
			say("BindDN is needed to search (or AnonymousSearch)")
		}
	}
	checkScope(&c.Scope, say)
	if c.BindDN != "" {
		if _, err := CanonicalDN(c.BindDN); err != nil {
			say("BindDN is no DN")
		}
		// An empty one would be an anonymous bind that looks like a success.
		if c.BindPassword == "" {
			say("BindDN has no password")
		}
		if c.AnonymousSearch {
			say("BindDN and AnonymousSearch exclude each other")
		}
	}
	a := &c.Attributes
	for _, d := range []struct {
		name *string
		def  string
	}{{&a.Login, place}, {&a.ID, ""}, {&a.Email, "mail"}, {&a.RealName, "cn"}} {
		if *d.name == "" {
			*d.name = d.def
		}
	}
	if a.ID == "" {
		a.ID = a.Login
	}
	for _, name := range []string{a.Login, a.ID, a.Email, a.RealName} {
		if name != "-" && !attributeName.MatchString(name) {
			say("%q is no attribute", name)
		}
	}
	if a.Login == "-" || a.ID == "-" {
		say("people need a login and an id")
	}
	if c.Template != "" && !strings.EqualFold(a.ID, a.Login) {
		say("with Template people are named by its own attribute; search by Filter for another id")
	}
}

func checkScope(s *Scope, say func(string, ...any)) {
	if *s == "" {
		*s = ScopeSubtree
	}
	if *s != ScopeSubtree && *s != ScopeOne {
		say("the scope %q is neither sub nor one", *s)
	}
}

func (c *Config) limits(say func(string, ...any)) {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
		limit time.Duration
		what  string
	}{
		{&c.Wait, 10 * time.Second, maxLogin, "Wait"},
		{&c.ConnectTimeout, 5 * time.Second, maxLogin, "ConnectTimeout"},
		{&c.Timeout, 5 * time.Second, maxLogin, "Timeout"},
		{&c.Retry, 30 * time.Second, time.Hour, "Retry"},
		{&c.Remember, MaxRemember, MaxRemember, "Remember"},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < 0 || *d.value > d.limit {
			say("%s is not between 0 and %s", d.what, d.limit)
		}
	}
	switch {
	case c.Grace == 0:
		c.Grace = 10 * time.Minute
	case c.Grace < 0:
		c.Grace = 0
	case c.Grace > MaxGrace:
		say("Grace is more than %s", MaxGrace)
	}
	if c.Connections == 0 {
		c.Connections = 10
	}
	if c.Remembered == 0 {
		c.Remembered = 10_000
	}
	if c.Connections < 0 || c.Remembered < 0 {
		say("a limit is negative")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}
