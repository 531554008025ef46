package authn

import (
	"errors"

	"github.com/bondgate/bondgate/policy"
)

// Outage is a provider that cannot answer: [policy.ErrUnavailable], with the name
// that the operator gave the provider. Clients are told the name, and nothing of why.
type Outage struct {
	Provider string
	Err      error
}

// Away names the provider of an error that is [policy.ErrUnavailable]; any other
// stays as it is, nil too.
func Away(provider string, err error) error {
	if !errors.Is(err, policy.ErrUnavailable) {
		return err
	}
	return &Outage{Provider: provider, Err: err}
}

func (o *Outage) Error() string { return o.Err.Error() }

func (o *Outage) Unwrap() error { return o.Err }

// Away is the provider's name.
func (o *Outage) Away() string { return o.Provider }
