package spiffe_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn/spiffe"
	"github.com/bondgate/bondgate/policy"
)

// Tags of the names that a certificate may have (RFC 5280, section 4.2.1.6).
const (
	tagMail, tagDNS, tagURI = 1, 2, 6
)

type altName struct {
	tag  int
	text string
}

// certificate makes a certificate with the names, written as they are.
func certificate(t testing.TB, key *ecdsa.PrivateKey, names []altName, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	raw := []asn1.RawValue{}
	for _, n := range names {
		raw = append(raw, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: n.tag, Bytes: []byte(n.text)})
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Minute),
		NotAfter: time.Now().Add(time.Hour).Truncate(time.Second), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if len(names) > 0 {
		value, err := asn1.Marshal(raw)
		if err != nil {
			t.Fatal(err)
		}
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

const good = "spiffe://acme.example/ns/shop/sa/Builder_1"

func TestAWorkloadIsKnownByItsCertificate(t *testing.T) {
	cert := certificate(t, newKey(t), []altName{{tagDNS, "api.acme.example"}, {tagURI, good}, {tagMail, "a@acme.example"}}, nil)
	got, err := spiffe.FromCertificate(cert, spiffe.Trust{Domain: "acme.example"})
	want := policy.Principal{
		Workspace: "default", Issuer: "spiffe://acme.example", ID: good, Kind: policy.KindWorkload, Auth: policy.AuthCertificate,
		Until: cert.NotAfter,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := spiffe.FromCertificate(cert, spiffe.Trust{Domain: "acme.example", Workspace: "prod"}); err != nil || got.Workspace != "prod" {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestCertificatesThatAreNoWorkloads(t *testing.T) {
	key := newKey(t)
	id := func(text string) []altName { return []altName{{tagURI, text}} }
	for _, c := range []struct {
		name   string
		names  []altName
		change func(*x509.Certificate)
		err    error
	}{
		{"no names", nil, nil, policy.ErrNotFound},
		{"no URI", []altName{{tagDNS, "acme.example"}}, nil, policy.ErrNotFound},
		{"another trust domain", id("spiffe://other.example/api"), nil, policy.ErrNotFound},
		{"a trust domain that begins alike", id("spiffe://acme.example.evil/api"), nil, policy.ErrNotFound},
		{"two ids", append(id(good), id("spiffe://acme.example/other")...), nil, policy.ErrUnauthenticated},
		{"one id twice", append(id(good), id(good)...), nil, policy.ErrUnauthenticated},
		{"another URI beside it", append(id(good), id("https://acme.example/")...), nil, policy.ErrUnauthenticated},
		{"another scheme", id("https://acme.example/api"), nil, policy.ErrUnauthenticated},
		{"the scheme in capitals", id("SPIFFE://acme.example/api"), nil, policy.ErrUnauthenticated},
		{"the domain in capitals", id("spiffe://ACME.example/api"), nil, policy.ErrUnauthenticated},
		{"no path", id("spiffe://acme.example"), nil, policy.ErrUnauthenticated},
		{"an empty path", id("spiffe://acme.example/"), nil, policy.ErrUnauthenticated},
		{"a slash at the end", id("spiffe://acme.example/api/"), nil, policy.ErrUnauthenticated},
		{"two slashes", id("spiffe://acme.example/a//b"), nil, policy.ErrUnauthenticated},
		{"a dot", id("spiffe://acme.example/./api"), nil, policy.ErrUnauthenticated},
		{"two dots", id("spiffe://acme.example/a/../admin"), nil, policy.ErrUnauthenticated},
		{"an escape", id("spiffe://acme.example/%61pi"), nil, policy.ErrUnauthenticated},
		{"an escaped slash", id("spiffe://acme.example/a%2fb"), nil, policy.ErrUnauthenticated},
		{"a port", id("spiffe://acme.example:443/api"), nil, policy.ErrUnauthenticated},
		{"a user", id("spiffe://me@acme.example/api"), nil, policy.ErrUnauthenticated},
		{"a query", id("spiffe://acme.example/api?admin"), nil, policy.ErrUnauthenticated},
		{"a fragment", id("spiffe://acme.example/api#admin"), nil, policy.ErrUnauthenticated},
		{"no domain", id("spiffe:///api"), nil, policy.ErrUnauthenticated},
		{"no authority", id("spiffe:acme.example/api"), nil, policy.ErrUnauthenticated},
		{"a long domain", id("spiffe://" + strings.Repeat("a", 256) + "/api"), nil, policy.ErrUnauthenticated},
		{"a long id", id("spiffe://acme.example/" + strings.Repeat("a", 2048)), nil, policy.ErrUnauthenticated},
		{"an authority", id(good), func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }, policy.ErrUnauthenticated},
		{"a key for lists of revoked ones", id(good), func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }, policy.ErrUnauthenticated},
		{"a key for encryption", id(good), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, policy.ErrUnauthenticated},
		{"no usage", id(good), func(c *x509.Certificate) { c.KeyUsage = 0 }, policy.ErrUnauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := certificate(t, key, c.names, c.change)
			if got, err := spiffe.FromCertificate(cert, spiffe.Trust{Domain: "acme.example"}); !errors.Is(err, c.err) {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
	cert := certificate(t, key, id(good), nil)
	for _, domain := range []string{"", "ACME.example", "spiffe://acme.example", "acme.example/ns", strings.Repeat("a", 256)} {
		if _, err := spiffe.FromCertificate(cert, spiffe.Trust{Domain: domain}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("the trust domain %q: %v", domain, err)
		}
	}
	if _, err := spiffe.FromCertificate(nil, spiffe.Trust{Domain: "acme.example"}); !errors.Is(err, policy.ErrNotFound) {
		t.Errorf("no certificate: %v", err)
	}
}

func TestAConnectionIsItsCertificates(t *testing.T) {
	key := newKey(t)
	authority := func(name string) *x509.Certificate {
		return certificate(t, key, []altName{{tagURI, "spiffe://" + name}}, func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage, c.Subject.CommonName = true, x509.KeyUsageCertSign, name
		})
	}
	acme, other := authority("acme.example"), authority("other.example")
	d, err := spiffe.New([]spiffe.Domain{
		{Trust: spiffe.Trust{Domain: "acme.example"}, Authorities: []*x509.Certificate{acme}},
		{Trust: spiffe.Trust{Domain: "acme.example", Workspace: "prod"}, Authorities: []*x509.Certificate{acme}},
		{Trust: spiffe.Trust{Domain: "other.example"}, Authorities: []*x509.Certificate{other}},
	})
	if err != nil {
		t.Fatal(err)
	}
	chain := func(id string, root *x509.Certificate) *tls.ConnectionState {
		leaf := certificate(t, key, []altName{{tagURI, id}}, nil)
		return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf, root}}, PeerCertificates: []*x509.Certificate{leaf}}
	}
	unverified := chain(good, acme)
	unverified.VerifiedChains = nil
	crossed := chain(good, other)
	crossed.VerifiedChains = append(crossed.VerifiedChains, chain(good, acme).VerifiedChains...)
	for _, c := range []struct {
		name, workspace string
		tls             *tls.ConnectionState
		id              string
		err             error
	}{
		{"plain HTTP", "default", nil, "", nil},
		{"no certificate", "default", &tls.ConnectionState{}, "", nil},
		{"a workload", "default", chain(good, acme), good, nil},
		{"in another workspace that trusts it", "prod", chain(good, acme), good, nil},
		{"of the second domain", "default", chain("spiffe://other.example/a", other), "spiffe://other.example/a", nil},
		{"in a workspace that does not trust it", "prod", chain("spiffe://other.example/a", other), "", policy.ErrUnauthenticated},
		{"by the authority of another domain", "default", chain(good, other), "", policy.ErrUnauthenticated},
		{"by both authorities", "default", crossed, good, nil},
		{"of a domain that nobody trusts", "default", chain("spiffe://evil.example/a", acme), "", policy.ErrUnauthenticated},
		{"off", "default", chain("spiffe://acme.example/", acme), "", policy.ErrUnauthenticated},
		{"the authority itself", "default", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{acme}}}, "", policy.ErrUnauthenticated},
		{"not verified", "default", unverified, "", policy.ErrUnauthenticated},
	} {
		got, err := d.Caller(c.workspace, &http.Request{TLS: c.tls})
		if got.ID != c.id || !errors.Is(err, c.err) || (c.id != "" && got.Workspace != c.workspace) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	want := x509.NewCertPool()
	want.AddCert(acme)
	want.AddCert(other)
	if !d.Authorities().Equal(want) {
		t.Error("the authorities are not those of the domains")
	}
	trusted := []*x509.Certificate{acme}
	for name, domains := range map[string][]spiffe.Domain{
		"no name":        {{Authorities: trusted}},
		"no authority":   {{Trust: spiffe.Trust{Domain: "a"}}},
		"a nil one":      {{Trust: spiffe.Trust{Domain: "a"}, Authorities: []*x509.Certificate{nil}}},
		"a domain twice": {{Trust: spiffe.Trust{Domain: "a"}, Authorities: trusted}, {Trust: spiffe.Trust{Domain: "a", Workspace: "default"}, Authorities: trusted}},
	} {
		if _, err := spiffe.New(domains); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzID puts whatever there is into a certificate: what is accepted is spelled in
// one way only.
func FuzzID(f *testing.F) {
	for _, id := range []string{good, "spiffe://acme.example/%2e", "SPIFFE://acme.example/a", "spiffe://acme.example:1/a", "spiffe://acme.example/a\x00"} {
		f.Add(id, "")
	}
	f.Add(good, good)
	spelled := regexp.MustCompile(`\Aspiffe://acme\.example(/[a-zA-Z0-9._-]+)+\z`)
	f.Fuzz(func(t *testing.T, one, two string) {
		names := []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte(two)}}
		raw := []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(one)}}
		if value, err := asn1.Marshal(raw); err == nil && two == "" {
			names[0].Value = value
		}
		cert := &x509.Certificate{Extensions: names, KeyUsage: x509.KeyUsageDigitalSignature}
		got, err := spiffe.FromCertificate(cert, spiffe.Trust{Domain: "acme.example"})
		if err == nil && (!spelled.MatchString(got.ID) || got.Issuer != "spiffe://acme.example" || len(got.ID) > 2048) {
			t.Fatalf("%q is %+v", one, got)
		}
	})
}
