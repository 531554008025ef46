package authn

import (
	"context"

	"github.com/bondgate/bondgate/policy"
)

// Profile is what an outside provider says of a person for people to read. It
// decides nothing.
type Profile struct {
	// Email is empty unless the provider vouches that it is the person's.
	Email    string
	RealName string
}

// Enroller notes a person whom an outside provider has vouched for, and answers
// the principal with the name that the person goes by here.
// [policy.ErrUnauthenticated] is for somebody who was disabled.
type Enroller interface {
	Enroll(ctx context.Context, p policy.Principal, profile Profile) (policy.Principal, error)
}
