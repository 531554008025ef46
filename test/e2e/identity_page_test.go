package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// What docs/identity.md and its examples configure is what the server takes: each
// file and each block of the page is checked, and started with, as it stands. The
// providers that they name are reached when somebody logs in, not before.
func TestTheConfigurationsOfTheIdentityPageAreTaken(t *testing.T) {
	configs := map[string]string{}
	examples, err := filepath.Glob(filepath.Join(harness.Root(), "docs", "examples", "identity", "*.yaml"))
	if err != nil || len(examples) < 8 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, name := range examples {
		configs[filepath.Base(name)] = read(t, name)
	}
	page := read(t, filepath.Join(harness.Root(), "docs", "identity.md"))
	for i, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if strings.HasPrefix(m[1], "project:") {
			continue // a project's file, which the page's commands apply
		}
		configs["docs/identity.md, block "+string(rune('1'+i))] = m[1]
	}
	there := files(t)
	for name, text := range configs {
		t.Run(name, func(t *testing.T) {
			text = strings.NewReplacer("/etc/bondgate/", there+"/", "/run/secrets/", there+"/").Replace(text)
			file := filepath.Join(t.TempDir(), "bondgate.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			harness.Run(t, nil, "", harness.Binary(t), "config", "check", file).OK(t)
			if strings.Contains(text, "\ntls:") || strings.HasPrefix(text, "tls:") {
				return // served by https alone, which cmd/bondgate tests with SPIFFE ids
			}
			harness.StartGateway(t, harness.Options{Config: text})
		})
	}
	for _, name := range examples {
		if !strings.Contains(page, "examples/identity/"+filepath.Base(name)) {
			t.Errorf("docs/identity.md does not mention %s", filepath.Base(name))
		}
	}
}

const directory = `dn: ou=people,SUFFIX
objectClass: organizationalUnit
ou: people

dn: ou=groups,SUFFIX
objectClass: organizationalUnit
ou: groups

dn: ou=services,SUFFIX
objectClass: organizationalUnit
ou: services

dn: cn=bondgate,ou=services,SUFFIX
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: bondgate
userPassword: secret

dn: uid=alice,ou=people,SUFFIX
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: Alice
userPassword: secret

dn: cn=payments,ou=groups,SUFFIX
objectClass: groupOfNames
cn: payments
member: uid=alice,ou=people,SUFFIX

dn: cn=platform,ou=groups,SUFFIX
objectClass: groupOfNames
cn: platform
member: cn=payments,ou=groups,SUFFIX
`

// The two examples for OpenLDAP log in somebody of a real slapd, whose group has a
// role; nothing in them is changed but where the directory is.
func TestTheExamplesForOpenLDAPRun(t *testing.T) {
	slapd := harness.StartSlapd(t, strings.ReplaceAll(directory, "SUFFIX", harness.SlapdSuffix))
	secret := filepath.Join(t.TempDir(), "ldap")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, servers, at, suffix, issuer, group string }{
		{"openldap.yaml", "ldap://ldap1.acme.example, ldap://ldap2.acme.example", slapd.URL, "dc=acme,dc=example", "ldap:corp", "platform"},
		{"openldap.yaml, by LDAPS", "ldap://ldap1.acme.example, ldap://ldap2.acme.example]\n      start_tls: true", slapd.TLSURL + "]", "dc=acme,dc=example", "ldap:corp", "platform"},
		{"openldap-template.yaml", "ldaps://ldap.lab.example", slapd.TLSURL, "dc=lab,dc=example", "ldap:lab", "cn=payments,ou=groups," + harness.SlapdSuffix},
	} {
		t.Run(c.file, func(t *testing.T) {
			name, _, _ := strings.Cut(c.file, ",")
			text := read(t, filepath.Join(harness.Root(), "docs", "examples", "identity", name))
			if !strings.Contains(text, c.servers) || !strings.Contains(text, c.suffix) {
				t.Fatalf("%s names other servers", name)
			}
			text = strings.NewReplacer(c.servers, c.at, c.suffix, harness.SlapdSuffix, "/etc/bondgate/ca.pem", slapd.CAFile, "/run/secrets/ldap", secret).Replace(text)
			g := harness.StartGateway(t, harness.Options{Config: text})
			g.CLI("project", "create", "payments").OK(t)
			push := func() int {
				return g.Do(http.MethodPost, "/v2/payments/app/blobs/uploads/", "alice", "secret", nil, nil).Status
			}
			if got := push(); got != http.StatusNotFound && got != http.StatusForbidden {
				t.Errorf("alice without a role: %d", got)
			}
			g.CLI("member", "add", "payments", c.group, "developer", "--group", "--issuer", c.issuer).OK(t)
			if got := push(); got != http.StatusAccepted {
				t.Errorf("alice, whose group is a developer: %d", got)
			}
			if r := g.Do(http.MethodGet, "/v2/", "alice", "wrong", nil, nil); r.Status != http.StatusUnauthorized {
				t.Errorf("a wrong password: %d", r.Status)
			}
		})
	}
}

// files are those that the configurations name.
func files(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := selfSigned(t)
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]any{
		"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "one", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"ca.pem": cert, "cert.pem": cert, "key.pem": key, "jwks.json": keys, "ldap": []byte("secret\n"), "oidc": []byte("secret\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// selfSigned is a certificate and its key in PEM.
func selfSigned(t testing.TB) (cert, private []byte) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry.acme.example"}, DNSNames: []string{"registry.acme.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func read(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The commands of the page run as they stand and in their order; those that need a
// directory, a provider or another machine run in test/e2e/identity and
// test/e2e/oidc.
func TestTheCommandsOfTheIdentityPageRunAsTheyStand(t *testing.T) {
	page := filepath.Join("docs", "identity.md")
	g := harness.StartGateway(t, harness.Options{})
	g.CLI("project", "create", "payments").OK(t)
	dir := t.TempDir()
	if err := os.Symlink(g.DataDir, filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	project := regexp.MustCompile("(?s)```yaml\n(project:.*?)```").FindStringSubmatch(read(t, filepath.Join(harness.Root(), page)))
	if project == nil {
		t.Fatal("the page has no project file")
	}
	if err := os.WriteFile(filepath.Join(dir, "payments.yaml"), []byte(project[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + filepath.Dir(harness.Binary(t)) + ":" + os.Getenv("PATH"), "BONDGATE_ADMIN_PASSWORD="}
	ran := 0
	for _, command := range commandsOf(t, page) {
		if strings.HasPrefix(command, "bondgate auth test") || strings.HasPrefix(command, "bondgate login") || strings.Contains(command, "--server") {
			continue
		}
		harness.Run(t, env, "", "/bin/sh", "-c", "cd "+dir+" && "+command).OK(t)
		ran++
	}
	if ran < 12 {
		t.Errorf("only %d commands ran", ran)
	}
}
