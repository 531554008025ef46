package spiffe

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// Domains are the trust domains that are trusted, each for a workspace.
type Domains struct{ trusts []Trust }

// New checks trusts and makes the domains.
func New(trusts []Trust) (*Domains, error) {
	trusts = slices.Clone(trusts)
	for i := range trusts {
		if trusts[i].Workspace == "" {
			trusts[i].Workspace = policy.DefaultWorkspace
		}
		if err := trusts[i].Check(); err != nil {
			return nil, err
		}
		if slices.Contains(trusts[:i], trusts[i]) {
			return nil, fmt.Errorf("authn/spiffe: the trust domain %s is there twice: %w", trusts[i].Domain, policy.ErrInvalid)
		}
	}
	return &Domains{trusts: trusts}, nil
}

// Caller answers who the certificate of a request's connection stands for: nobody
// if there is none. A certificate that TLS did not verify, or that names nobody
// whom the workspace trusts, is [policy.ErrUnauthenticated].
func (d *Domains) Caller(workspace string, r *http.Request) (policy.Principal, error) {
	if r.TLS == nil || (len(r.TLS.PeerCertificates) == 0 && len(r.TLS.VerifiedChains) == 0) {
		return policy.Principal{}, nil
	}
	if len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return policy.Principal{}, refused("the certificate was not verified")
	}
	leaf := r.TLS.VerifiedChains[0][0]
	for _, t := range d.trusts {
		if t.Workspace != workspace {
			continue
		}
		if p, err := FromCertificate(leaf, t); !errors.Is(err, policy.ErrNotFound) {
			return p, err
		}
	}
	return policy.Principal{}, refused("the certificate names nobody who is trusted here")
}
