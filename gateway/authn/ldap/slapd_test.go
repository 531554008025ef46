package ldap

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/egress"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

const (
	people  = "ou=people," + harness.SlapdSuffix
	groups  = "ou=groups," + harness.SlapdSuffix
	account = "cn=gateway,ou=services," + harness.SlapdSuffix
)

// awkward are login names with every character that a filter or a DN gives a
// meaning to.
var awkward = []string{
	"*", "a*", "(", ")", "p(a)r", `back\slash`, "com,ma", "pl+us", "eq=ual", "qu\"ote", "<less>", "semi;colon",
	"#hash", "o'brien, mary", "*)(uid=*", "*)(|(uid=*)", `\2a`, "ünï", "a b", "dom/ain", "x%sy", "%d",
}

// entry is LDIF for one entry, with every value in base64, so that any may be in it.
func entry(dn string, attributes ...string) string {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	var out strings.Builder
	fmt.Fprintf(&out, "dn:: %s\n", b64(dn))
	for _, a := range attributes {
		name, value, _ := strings.Cut(a, ": ")
		fmt.Fprintf(&out, "%s:: %s\n", name, b64(value))
	}
	return out.String() + "\n"
}

func human(uid, password string, more ...string) string {
	return entry(fillDN("uid=%s,"+people, uid), append([]string{
		"objectClass: inetOrgPerson", "uid: " + uid, "cn: " + uid, "sn: " + uid, "userPassword: " + password}, more...)...)
}

func groupOf(cn string, members ...string) string {
	lines := []string{"objectClass: groupOfNames", "cn: " + cn}
	for _, m := range members {
		lines = append(lines, "member: "+m)
	}
	return entry("cn="+cn+","+groups, lines...)
}

func tree() string {
	var out strings.Builder
	for _, ou := range []string{"people", "groups", "services", "others"} {
		out.WriteString(entry("ou="+ou+","+harness.SlapdSuffix, "objectClass: organizationalUnit", "ou: "+ou))
	}
	out.WriteString(entry(account, "objectClass: organizationalRole", "objectClass: simpleSecurityObject", "cn: gateway", "userPassword: service"))
	out.WriteString(human("alice", "correct horse", "mail: alice@example.org", "displayName: Alice A."))
	for i, name := range awkward {
		out.WriteString(human(name, fmt.Sprintf("awkward %d", i)))
	}
	for _, name := range []string{"bob", "gone", "locked", "renamed", "nobody-groups"} {
		out.WriteString(human(name, "battery staple"))
	}
	out.WriteString(human("two", "battery staple", "uid: alice-too"))
	out.WriteString(human("twin", "battery staple"))
	out.WriteString(entry("cn=Other Twin,ou=others,"+harness.SlapdSuffix, "objectClass: inetOrgPerson", "uid: twin", "cn: Other Twin", "sn: Twin", "userPassword: staple battery"))
	// alice is in payments, which is in platform, which is in all, which is in
	// payments again.
	out.WriteString(groupOf("payments", "uid=alice,"+people, "cn=all,"+groups))
	out.WriteString(groupOf("platform", "cn=payments,"+groups))
	out.WriteString(groupOf("all", "cn=platform,"+groups))
	out.WriteString(groupOf("others", "uid=bob,"+people))
	out.WriteString(entry("cn=posix,"+groups, "objectClass: posixGroup", "cn: posix", "gidNumber: 1000", "memberUid: bob", "memberUid: alice"))
	// The same name, where somebody else decides who is in it.
	out.WriteString(entry("cn=admins,ou=others,"+harness.SlapdSuffix, "objectClass: groupOfNames", "cn: admins", "member: uid=bob,"+people))
	return out.String()
}

// enrolled notes who was enrolled, and refuses whom it should.
type enrolled struct {
	mu       sync.Mutex
	last     authn.Profile
	times    atomic.Int64
	disabled map[string]bool
}

func (e *enrolled) Enroll(_ context.Context, p policy.Principal, profile authn.Profile) (policy.Principal, error) {
	e.times.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = profile
	if e.disabled[p.ID] {
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	return p, nil
}

type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// loopback dials as the gateway does: through a guard that permits the directory.
func loopback(t testing.TB) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	g, err := egress.New(egress.Config{AllowHosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return g.DialContext
}

// config is a directory that is searched, over LDAPS; change changes it.
func config(t testing.TB, s *harness.Slapd, change ...func(*Config)) Config {
	t.Helper()
	cfg := Config{
		Name: "corp", Servers: []string{s.TLSURL}, CAFile: s.CAFile, Dial: loopback(t),
		BindDN: account, BindPassword: "service",
		BaseDN: harness.SlapdSuffix, Filter: "(&(objectClass=inetOrgPerson)(uid=%s))",
		Enroller: &enrolled{},
	}
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

func provider(t testing.TB, cfg Config) *Provider {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func direct(c *Config) {
	c.BindDN, c.BindPassword, c.BaseDN, c.Filter = "", "", "", ""
	c.Template = "uid=%s," + people
}

func pool509(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}
