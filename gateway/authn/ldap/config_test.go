package ldap

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

func good() Config {
	return Config{
		Name: "corp", Servers: []string{"ldaps://ldap.example.org"},
		Dial:   func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody is there") },
		BindDN: "cn=gateway,dc=example,dc=org", BindPassword: "secret-of-the-account",
		BaseDN: "dc=example,dc=org", Filter: "(uid=%s)", Enroller: &enrolled{},
	}
}

func TestConfigurations(t *testing.T) {
	if _, err := New(good()); err != nil {
		t.Fatal(err)
	}
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := map[string]func(*Config){
		"no name":                            func(c *Config) { c.Name = "" },
		"a name that breaks the issuer":      func(c *Config) { c.Name = "a:b" },
		"no server":                          func(c *Config) { c.Servers = nil },
		"plain":                              func(c *Config) { c.Servers = []string{"ldap://ldap.example.org"} },
		"one of the servers is plain":        func(c *Config) { c.Servers = append(c.Servers, "ldap://ldap.example.org") },
		"another protocol":                   func(c *Config) { c.Servers = []string{"ldapi:///var/run/ldapi"} },
		"UDP":                                func(c *Config) { c.Servers = []string{"cldap://ldap.example.org"} },
		"a password in the URL":              func(c *Config) { c.Servers = []string{"ldaps://u:hunter2@ldap.example.org"} },
		"a base in the URL":                  func(c *Config) { c.Servers = []string{"ldaps://ldap.example.org/dc=org"} },
		"no dialer":                          func(c *Config) { c.Dial = nil },
		"no enroller":                        func(c *Config) { c.Enroller = nil },
		"a CA file that is not there":        func(c *Config) { c.CAFile = "/nowhere" },
		"a CA file without a certificate":    func(c *Config) { c.CAFile = noPEM },
		"no way to find people":              func(c *Config) { c.Filter = "" },
		"two ways":                           func(c *Config) { c.Template = "uid=%s,dc=org"; c.BaseDN = "" },
		"a filter without the mark":          func(c *Config) { c.Filter = "(uid=alice)" },
		"the mark as the attribute":          func(c *Config) { c.Filter = "(%s=alice)" },
		"the mark as the filter":             func(c *Config) { c.Filter = "(&(uid=x)%s)" },
		"the mark as a part of an attribute": func(c *Config) { c.Filter = "(x%s=alice)" },
		"the second mark as the attribute":   func(c *Config) { c.Filter = "(|(uid=%s)(%s=x))" },
		"a filter that does not compile":     func(c *Config) { c.Filter = "(uid=%s" },
		"a filter with the groups' mark":     func(c *Config) { c.Filter = "(&(uid=%s)(member=%d))" },
		"no base":                            func(c *Config) { c.BaseDN = "" },
		"a base that is no DN":               func(c *Config) { c.BaseDN = "example.org" },
		"nobody to search":                   func(c *Config) { c.BindDN, c.BindPassword = "", "" },
		"an account without a password":      func(c *Config) { c.BindPassword = "" },
		"an account and anonymous":           func(c *Config) { c.AnonymousSearch = true },
		"an account that is no DN":           func(c *Config) { c.BindDN = "admin" },
		"a scope that is not there":          func(c *Config) { c.Scope = "base" },
		"an attribute that is a filter":      func(c *Config) { c.Attributes.ID = "uid=*)(x" },
		"no id":                              func(c *Config) { c.Attributes.ID = "-" },
		"a template with two marks":          func(c *Config) { direct(c); c.Template = "uid=%s,ou=%s,dc=org" },
		"a template whose place is chosen":   func(c *Config) { direct(c); c.Template = "uid=a,ou=%s,dc=org" },
		"a template of the mark alone":       func(c *Config) { direct(c); c.Template = "%s" },
		"a template like a UPN":              func(c *Config) { direct(c); c.Template = "%s@example.org" },
		"a template and another id":          func(c *Config) { direct(c); c.Attributes.ID = "entryUUID" },
		"groups by two ways":                 func(c *Config) { c.Groups = Groups{MemberOf: "memberOf", Filter: "(member=%d)", BaseDN: "dc=org"} },
		"groups searched nowhere":            func(c *Config) { c.Groups = Groups{Filter: "(member=%d)"} },
		"groups by any name anywhere":        func(c *Config) { c.Groups = Groups{MemberOf: "memberOf", Name: "cn"} },
		"groups that have everybody":         func(c *Config) { c.Groups = Groups{Filter: "(objectClass=groupOfNames)", BaseDN: "dc=org"} },
		"groups by an attribute that is typed": func(c *Config) {
			c.Groups = Groups{Filter: "(&(member=%d)(%s=x))", BaseDN: "dc=org"}
		},
		"groups whose walk has no beginning":  func(c *Config) { c.Groups = Groups{Nested: NestedWalk, BaseDN: "dc=org"} },
		"groups whose walk cannot ask":        func(c *Config) { c.Groups = Groups{Nested: NestedWalk, Filter: "(memberUid=%s)", BaseDN: "dc=org"} },
		"groups in a chain of no base":        func(c *Config) { c.Groups = Groups{Nested: NestedInChain} },
		"groups nested in an unknown way":     func(c *Config) { c.Groups = Groups{Nested: "deep", MemberOf: "memberOf"} },
		"a negative limit of groups":          func(c *Config) { c.Groups = Groups{MaxDepth: -1} },
		"remembering for ever":                func(c *Config) { c.Remember = time.Hour },
		"grace for ever":                      func(c *Config) { c.Grace = 24 * time.Hour },
		"waiting for longer than a login may": func(c *Config) { c.Wait = time.Hour },
		"a negative pool":                     func(c *Config) { c.Connections = -1 },
	}
	for sentence, change := range refused {
		t.Run(sentence, func(t *testing.T) {
			cfg := good()
			change(&cfg)
			_, err := New(cfg)
			if !errors.Is(err, policy.ErrInvalid) {
				t.Fatal(err)
			}
			for _, secret := range []string{"secret-of-the-account", "hunter2"} {
				if strings.Contains(err.Error(), secret) {
					t.Fatalf("a secret is in the error: %v", err)
				}
			}
		})
	}
	for sentence, change := range map[string]func(*Config){
		"StartTLS":               func(c *Config) { c.Servers, c.StartTLS = []string{"ldap://ldap.example.org:3389"}, true },
		"plain, said so":         func(c *Config) { c.Servers, c.InsecurePlaintext = []string{"ldap://ldap.example.org"}, true },
		"a login by two names":   func(c *Config) { c.Filter = "(&(objectClass=person)(|(uid=%s)(mail=%s)))" },
		"a part of a value":      func(c *Config) { c.Filter = "(mail=%s@example.org)" },
		"a matching rule":        func(c *Config) { c.Filter = "(uid:caseExactMatch:=%s)" },
		"a template":             direct,
		"Active Directory":       func(c *Config) { c.Groups = Groups{Nested: NestedInChain, BaseDN: "dc=example,dc=org", Name: "cn"} },
		"no grace":               func(c *Config) { c.Grace = -1 },
		"an anonymous directory": func(c *Config) { c.BindDN, c.BindPassword, c.AnonymousSearch = "", "", true },
	} {
		t.Run(sentence, func(t *testing.T) {
			cfg := good()
			change(&cfg)
			if _, err := New(cfg); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// The chain of Active Directory is asked of by one search, with the DN escaped.
func TestTheFilterOfAChain(t *testing.T) {
	filter := "(member:" + inChain + ":=" + ldap.EscapeFilter("cn=A (x)*,dc=org") + ")"
	if filter != `(member:1.2.840.113556.1.4.1941:=cn=A \28x\29\2a,dc=org)` {
		t.Fatal(filter)
	}
	if _, err := ldap.CompileFilter(filter); err != nil {
		t.Fatal(err)
	}
}

func TestCanonicalDN(t *testing.T) {
	for _, c := range [][2]string{
		{"CN=Payments, OU=Groups ,DC=Example,DC=org", "cn=payments,ou=groups,dc=example,dc=org"},
		{`cn=a\2Cb,dc=org`, `cn=a\,b,dc=org`},
		{`cn=a\,b,dc=org`, `cn=a\,b,dc=org`},
		{"", ""},
	} {
		if got, err := CanonicalDN(c[0]); err != nil || got != c[1] {
			t.Errorf("%s: %s %v", c[0], got, err)
		}
	}
	if _, err := CanonicalDN("no dn"); err == nil {
		t.Error("that is no DN")
	}
}

// Whatever is typed, a filter stays the one filter with one value in it, and a
// template's DN keeps its place.
func FuzzWhatIsTypedStaysAValue(f *testing.F) {
	for _, name := range append(awkward, "alice", "\x00", "\xff", " lead", "trail ", "#", "a\\", "\\00") {
		f.Add(name)
	}
	const filter, template = "(&(objectClass=person)(uid=%s))", "uid=%s,ou=people,dc=example,dc=org"
	base, err := ldap.ParseDN("ou=people,dc=example,dc=org")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || len(name) > authn.MaxName {
			return // no provider is asked
		}
		packet, err := ldap.CompileFilter(fill(filter, name, ""))
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if len(packet.Children) != 2 || len(packet.Children[1].Children) != 2 || packet.Children[1].Tag != ldap.FilterEqualityMatch {
			t.Fatalf("%q is more than a value", name)
		}
		if got := packet.Children[1].Children[1].Data.String(); got != name {
			t.Fatalf("%q became %q", name, got)
		}
		dn, err := ldap.ParseDN(fillDN(template, name))
		if err != nil {
			return // nobody is found by it
		}
		if len(dn.RDNs) != 4 || len(dn.RDNs[0].Attributes) != 1 || dn.RDNs[0].Attributes[0].Type != "uid" || !base.AncestorOf(dn) {
			t.Fatalf("%q is more than a value of %s", name, dn)
		}
	})
}
