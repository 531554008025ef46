package spiffe

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// Domain is a trust domain with those who may sign for it.
type Domain struct {
	Trust
	// Authorities are the domain's bundle. One of another domain's cannot speak for
	// this one.
	Authorities []*x509.Certificate
}

// Domains are the trust domains that are trusted, each in a workspace.
type Domains struct{ all []Domain }

// New checks the domains.
func New(domains []Domain) (*Domains, error) {
	d := &Domains{}
	for _, one := range domains {
		if one.Workspace == "" {
			one.Workspace = policy.DefaultWorkspace
		}
		if err := one.Check(); err != nil {
			return nil, err
		}
		if len(one.Authorities) == 0 || slices.Contains(one.Authorities, nil) {
			return nil, fmt.Errorf("authn/spiffe: the trust domain %s has no authority: %w", one.Domain, policy.ErrInvalid)
		}
		if slices.ContainsFunc(d.all, func(o Domain) bool { return o.Trust == one.Trust }) {
			return nil, fmt.Errorf("authn/spiffe: the trust domain %s is there twice: %w", one.Domain, policy.ErrInvalid)
		}
		d.all = append(d.all, one)
	}
	return d, nil
}

// Authorities are those of all domains: what a listener verifies certificates of
// clients against.
func (d *Domains) Authorities() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, one := range d.all {
		for _, cert := range one.Authorities {
			pool.AddCert(cert)
		}
	}
	return pool
}

// Caller answers who the certificate of a request's connection stands for: nobody
// if there is none. A certificate that TLS did not verify, or that names nobody
// whom the workspace trusts, is [policy.ErrUnauthenticated].
func (d *Domains) Caller(workspace string, r *http.Request) (policy.Principal, error) {
	if r.TLS == nil || (len(r.TLS.PeerCertificates) == 0 && len(r.TLS.VerifiedChains) == 0) {
		return policy.Principal{}, nil
	}
	for _, chain := range r.TLS.VerifiedChains {
		for _, one := range d.all {
			if one.Workspace != workspace || !one.vouches(chain) {
				continue
			}
			if p, err := FromCertificate(chain[0], one.Trust); !errors.Is(err, policy.ErrNotFound) {
				return p, err
			}
		}
	}
	return policy.Principal{}, refused("the certificate was not verified, or names nobody who is trusted here")
}

// vouches reports whether a chain that TLS verified ends at an authority of the
// domain.
func (d *Domain) vouches(chain []*x509.Certificate) bool {
	return len(chain) > 1 && slices.ContainsFunc(d.Authorities, chain[len(chain)-1].Equal)
}
