// Package spiffe knows workloads by the certificate of their connection, when it
// is an X509-SVID: one that carries a SPIFFE id.
//
// It refuses certificates that could be read in two ways: with more than one URI,
// with a name that is not spelled as the SPIFFE-ID standard spells it, and those
// that sign others. It does not verify the chain: TLS has done that, against the
// bundle of the very trust domain; an authority that is trusted for another use
// could write any name.
//
// The edge's listener, in cmd/bondgate, imports it.
package spiffe

import (
	"crypto/x509"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/bondgate/bondgate/policy"
)

// Limits of a SPIFFE id, in bytes (SPIFFE-ID, section 2.3).
const (
	maxID     = 2048
	maxDomain = 255
)

// Trust is a trust domain as one workspace trusts it.
type Trust struct {
	// Workspace is where its workloads are known; empty is the default one.
	Workspace string
	// Domain is the trust domain, such as "prod.acme.example".
	Domain string
}

// Check refuses a trust without a domain, or with one that no id could have.
func (t Trust) Check() error {
	if !validDomain(t.Domain) {
		return fmt.Errorf("authn/spiffe: %q is not the name of a trust domain: %w", t.Domain, policy.ErrInvalid)
	}
	return nil
}

// FromCertificate answers which workload a verified certificate of the trust
// domain stands for (X509-SVID, section 5.2). The principal ends with the
// certificate. A certificate without any URI, and one of another trust domain, are
// [policy.ErrNotFound]; whatever else is off is [policy.ErrUnauthenticated].
func FromCertificate(cert *x509.Certificate, t Trust) (policy.Principal, error) {
	if err := t.Check(); err != nil {
		return policy.Principal{}, err
	}
	if cert == nil {
		return policy.Principal{}, fmt.Errorf("authn/spiffe: no certificate: %w", policy.ErrNotFound)
	}
	names, err := uris(cert)
	switch {
	case err != nil:
		return policy.Principal{}, err
	case len(names) == 0:
		return policy.Principal{}, fmt.Errorf("authn/spiffe: the certificate has no URI: %w", policy.ErrNotFound)
	case len(names) > 1:
		return policy.Principal{}, refused("the certificate has more than one URI")
	}
	id := names[0]
	domain, err := parse(id)
	switch {
	case err != nil:
		return policy.Principal{}, err
	case domain != t.Domain:
		return policy.Principal{}, fmt.Errorf("authn/spiffe: the certificate is of another trust domain: %w", policy.ErrNotFound)
	case cert.IsCA || cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return policy.Principal{}, refused("the certificate is an authority's")
	case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return policy.Principal{}, refused("the certificate's key is not for signing")
	}
	p := policy.Principal{
		Workspace: t.Workspace, Issuer: "spiffe://" + domain, ID: id, Kind: policy.KindWorkload, Auth: policy.AuthCertificate,
		Until: cert.NotAfter,
	}
	if p.Workspace == "" {
		p.Workspace = policy.DefaultWorkspace
	}
	return p, nil
}

// uris are the URIs among a certificate's alternative names, letter by letter. The
// standard library's are parsed: "SPIFFE://" has become "spiffe://" there.
func uris(cert *x509.Certificate) ([]string, error) {
	var out []string
	for _, extension := range cert.Extensions {
		if extension.Id.String() != "2.5.29.17" { // RFC 5280, section 4.2.1.6
			continue
		}
		der := cryptobyte.String(extension.Value)
		var names cryptobyte.String
		if !der.ReadASN1(&names, asn1.SEQUENCE) || !der.Empty() {
			return nil, refused("the certificate's names cannot be read")
		}
		for !names.Empty() {
			var name cryptobyte.String
			var tag asn1.Tag
			if !names.ReadAnyASN1(&name, &tag) {
				return nil, refused("the certificate's names cannot be read")
			}
			if tag == asn1.Tag(6).ContextSpecific() {
				out = append(out, string(name))
			}
		}
	}
	return out, nil
}

// parse answers the trust domain of a SPIFFE id: "spiffe://", a domain, and a path
// that is not empty (X509-SVID, section 3.1). What the standard does not allow in
// either, such as a port, a query or an escape, none of their letters can spell.
func parse(id string) (domain string, err error) {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	if !ok || len(id) > maxID {
		return "", refused("the certificate's URI is not a SPIFFE id")
	}
	domain, path, ok := strings.Cut(rest, "/")
	if !ok || !validDomain(domain) {
		return "", refused("the SPIFFE id has no trust domain, or no path")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, notInPath) {
			return "", refused("the path of the SPIFFE id is not spelled as the standard spells it")
		}
	}
	return domain, nil
}

func validDomain(s string) bool {
	return s != "" && len(s) <= maxDomain && !strings.ContainsFunc(s, notInDomain)
}

func notInDomain(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
}

func notInPath(r rune) bool { return notInDomain(r) && (r < 'A' || r > 'Z') }

func refused(why string) error {
	return fmt.Errorf("authn/spiffe: %s: %w", why, policy.ErrUnauthenticated)
}
