package harness

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What every slapd of a test has.
const (
	SlapdSuffix   = "dc=example,dc=org"
	SlapdRootDN   = "cn=root," + SlapdSuffix
	SlapdPassword = "root-of-the-directory" // of SlapdRootDN, and of cn=config's
)

// Slapd is an OpenLDAP server of the test's own, with back_mdb, the schemas core,
// cosine, inetorgperson and nis, the overlays memberof, refint and ppolicy, and
// the monitor. An auxiliary class windowsAccount has the attributes of Active
// Directory that are read; OpenLDAP's own schema of them cannot be loaded beside
// memberof. Anonymous may bind and not search.
type Slapd struct {
	*Process
	// URL is ldap://127.0.0.1:port, which also speaks StartTLS; TLSURL is ldaps.
	URL, TLSURL string
	// Address is the host:port of URL.
	Address string
	// CAFile is the authority of its certificate, in PEM. The certificate is for
	// 127.0.0.1 and for the name ldap.example.org.
	CAFile string

	t    testing.TB
	dir  string
	args []string
}

// StartSlapd starts a slapd with the entries of an LDIF below [SlapdSuffix], whose
// own entry is there.
func StartSlapd(t testing.TB, ldif string) *Slapd {
	t.Helper()
	slapd, slapadd := Find(t, "slapd"), Find(t, "slapadd")
	s := &Slapd{t: t, dir: ShortDir(t)}
	for _, sub := range []string{"config", "data"} {
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.certify()
	config := filepath.Join(s.dir, "config")
	Run(t, nil, s.configuration(), slapadd, "-n", "0", "-F", config).OK(t)
	plain, secure := FreePort(t), FreePort(t)
	s.Address = "127.0.0.1:" + strconv.Itoa(plain)
	s.URL, s.TLSURL = "ldap://"+s.Address, "ldaps://127.0.0.1:"+strconv.Itoa(secure)
	// "none" is what is said whatever the level, such as a port that is taken; "0"
	// is silence, even about that.
	s.args = []string{slapd, "-F", config, "-h", s.URL + " " + s.TLSURL, "-d", "none"}
	s.Start()
	// Not by slapadd, which goes round the overlays: nobody would be in a group.
	s.Modify("dn: " + SlapdSuffix + "\nobjectClass: domain\ndc: example\n\n" + ldif)
	return s
}

// Start starts the server again, on the same ports with the same content.
func (s *Slapd) Start() {
	s.t.Helper()
	s.Process = start(s.t, "slapd", exec.Command(s.args[0], s.args[1:]...))
	s.ready(s.t, func() error {
		conn, err := net.Dial("tcp", s.Address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// Stop ends the server.
func (s *Slapd) Stop() { s.stop() }

// Modify applies an LDIF of changes; an entry without a changetype is added.
func (s *Slapd) Modify(ldif string) {
	s.t.Helper()
	s.modify(SlapdRootDN, ldif)
}

// Configure applies an LDIF of changes to cn=config.
func (s *Slapd) Configure(ldif string) {
	s.t.Helper()
	s.modify("cn=root,cn=config", ldif)
}

func (s *Slapd) modify(as, ldif string) {
	s.t.Helper()
	Run(s.t, nil, ldif, Find(s.t, "ldapmodify"), "-a", "-x", "-H", s.URL, "-D", as, "-w", SlapdPassword).OK(s.t)
}

// SlapdCounters are the totals of cn=Monitor, the one that asks not counted.
type SlapdCounters struct{ Connections, Binds, Searches int }

// Counters asks the monitor.
func (s *Slapd) Counters() SlapdCounters {
	s.t.Helper()
	ask := func(base, attribute string) int {
		out := Run(s.t, nil, "", Find(s.t, "ldapsearch"), "-LLL", "-x", "-H", s.URL, "-D", "cn=root,cn=config", "-w", SlapdPassword,
			"-b", base, "-s", "base", "(objectClass=*)", attribute).OK(s.t)
		_, value, _ := strings.Cut(out, attribute+": ")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			s.t.Fatalf("%s of %s: %q", attribute, base, out)
		}
		return n
	}
	return SlapdCounters{
		Connections: ask("cn=Current,cn=Connections,cn=Monitor", "monitorCounter") - 1,
		Binds:       ask("cn=Bind,cn=Operations,cn=Monitor", "monitorOpCompleted"),
		Searches:    ask("cn=Search,cn=Operations,cn=Monitor", "monitorOpCompleted"),
	}
}

func (s *Slapd) configuration() string {
	var schemas strings.Builder
	for _, name := range []string{"core", "cosine", "inetorgperson", "nis"} {
		fmt.Fprintf(&schemas, "include: file:///etc/ldap/schema/%s.ldif\n\n", name)
	}
	return strings.NewReplacer("DIR", s.dir, "SUFFIX", SlapdSuffix, "ROOT", SlapdRootDN, "PASSWORD", SlapdPassword,
		"SCHEMAS\n", schemas.String()).Replace(`dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: DIR/pid
olcTLSCACertificateFile: DIR/ca.pem
olcTLSCertificateFile: DIR/cert.pem
olcTLSCertificateKeyFile: DIR/key.pem

dn: cn=module{0},cn=config
objectClass: olcModuleList
cn: module{0}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb
olcModuleLoad: memberof
olcModuleLoad: refint
olcModuleLoad: ppolicy

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

SCHEMAS
dn: cn=windows,cn=schema,cn=config
objectClass: olcSchemaConfig
cn: windows
olcAttributeTypes: ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
olcAttributeTypes: ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
olcAttributeTypes: ( 1.2.840.113556.1.4.159 NAME 'accountExpires' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
olcAttributeTypes: ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
olcObjectClasses: ( 1.2.840.113556.1.5.9.1 NAME 'windowsAccount' AUXILIARY MUST sAMAccountName MAY ( objectGUID $ userAccountControl $ accountExpires ) )

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcRootDN: cn=root,cn=config
olcRootPW: PASSWORD

dn: olcDatabase={1}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcSuffix: SUFFIX
olcRootDN: ROOT
olcRootPW: PASSWORD
olcDbDirectory: DIR/data
olcDbNoSync: TRUE
olcDbMaxSize: 268435456
olcDbIndex: uid,cn,member,memberOf,objectClass eq
olcAccess: {0}to attrs=userPassword by anonymous auth by * none
olcAccess: {1}to * by users read by anonymous auth by * none

dn: olcOverlay={0}memberof,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcMemberOf
olcOverlay: {0}memberof
olcMemberOfGroupOC: groupOfNames
olcMemberOfMemberAD: member
olcMemberOfMemberOfAD: memberOf

dn: olcOverlay={1}refint,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcRefintConfig
olcOverlay: {1}refint
olcRefintAttribute: memberOf member

dn: olcOverlay={2}ppolicy,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcPPolicyConfig
olcOverlay: {2}ppolicy

dn: olcDatabase={2}monitor,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {2}monitor
olcAccess: {0}to * by dn.exact=cn=root,cn=config read by * none
`)
}

// certify makes an authority and a certificate of it for 127.0.0.1.
func (s *Slapd) certify() {
	s.t.Helper()
	authority := newKey(s.t)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "A private authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key := newKey(s.t)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ldap.example.org"},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"ldap.example.org"},
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	s.write(s.CAFile, "CERTIFICATE", sign(s.t, root, root, authority, authority))
	s.write(filepath.Join(s.dir, "cert.pem"), "CERTIFICATE", sign(s.t, leaf, root, key, authority))
	s.write(filepath.Join(s.dir, "key.pem"), "PRIVATE KEY", private)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, cert, by *x509.Certificate, key, with *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, by, &key.PublicKey, with)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (s *Slapd) write(name, kind string, der []byte) {
	s.t.Helper()
	var out bytes.Buffer
	if err := pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
