package registry

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/distribution/distribution/v3"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/bondgate/bondgate/policy"
)

// failure gives a driver's error its class and says what was being done.
func failure(doing string, err error) error {
	return fmt.Errorf("registry: %s: %w: %w", doing, class(err), err)
}

func class(err error) error {
	var badPath storagedriver.InvalidPathError
	switch {
	case isNotFound(err):
		return policy.ErrNotFound
	case isNoSpace(err):
		return policy.ErrNoSpace
	case errors.As(err, &badPath):
		return policy.ErrInvalid
	default:
		return policy.ErrUnavailable
	}
}

func isNotFound(err error) bool {
	var missing storagedriver.PathNotFoundError
	return errors.As(err, &missing) || errors.Is(err, distribution.ErrBlobUnknown)
}

func isNoSpace(err error) bool {
	for _, e := range causes(err) {
		if errors.Is(e, syscall.ENOSPC) || errors.Is(e, syscall.EDQUOT) {
			return true
		}
	}
	return false
}

// causes opens distribution's wrappers, which have no Unwrap.
func causes(err error) []error {
	all := []error{err}
	var one storagedriver.Error
	if errors.As(err, &one) && one.Detail != nil {
		all = append(all, causes(one.Detail)...)
	}
	var many storagedriver.Errors
	if errors.As(err, &many) {
		for _, e := range many.Errs {
			all = append(all, causes(e)...)
		}
	}
	return all
}

// notFound names the thing that is not there.
func notFound(what string, repo policy.Repository) error {
	return fmt.Errorf("registry: %s in %s: %w", what, repo, policy.ErrNotFound)
}
