package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/authn/ldap"
	"github.com/bondgate/bondgate/gateway/limit"
	"github.com/bondgate/bondgate/policy"
)

// logins and rates are the limits of the configuration.
func (a *App) logins() (*limit.Logins, error) {
	c := a.cfg.Limits.Logins
	return limit.NewLogins(limit.LoginsConfig{
		Failures: c.Failures, NameFailures: c.NameFailures, AddressFailures: c.AddressFailures,
		Window: time.Duration(c.Window), Lock: time.Duration(c.Lock), Loopback: c.Loopback,
	})
}

func (a *App) rates() (gateway.Rates, error) {
	c := a.cfg.Limits.Rates
	if c.Identity.PerSecond == 0 && c.Project.PerSecond == 0 && c.Address.PerSecond == 0 {
		return nil, nil //nolint:nilnil // no limit is no part of the edge
	}
	rate := func(r RateConfig) limit.Rate {
		if r.Burst == 0 {
			r.Burst = 10 * r.PerSecond
		}
		return limit.Rate{PerSecond: float64(r.PerSecond), Burst: r.Burst}
	}
	return limit.NewRequests(limit.RequestsConfig{
		Identity: rate(c.Identity), Project: rate(c.Project), Address: rate(c.Address), Loopback: c.Loopback,
	})
}

// credentials are what refresh tokens and access tokens rest on.
type credentials struct {
	stamp       func(ctx context.Context, p policy.Principal) (string, error)
	directories func() []directory
}

func (a *App) credentials() credentials {
	return credentials{stamp: a.store.Stamp, directories: func() []directory { return a.identity.directories }}
}

func (c credentials) Stamp(ctx context.Context, p policy.Principal) (string, error) {
	return c.stamp(ctx, p)
}

// Renew asks a directory who its people are now. Whom an OpenID provider vouched
// for comes without groups: those are known while somebody is logged in there.
func (c credentials) Renew(ctx context.Context, p policy.Principal) (policy.Principal, error) {
	if p.Kind != policy.KindUser || p.Issuer == policy.LocalIssuer {
		return p, nil
	}
	for _, d := range c.directories() {
		if d.workspace == p.Workspace && d.Issuer() == p.Issuer {
			return d.Refresh(ctx, p)
		}
	}
	if strings.HasPrefix(p.Issuer, ldap.IssuerPrefix) {
		return policy.Principal{}, fmt.Errorf("the directory %s is not configured any more: %w", p.Issuer, policy.ErrUnauthenticated)
	}
	p.Groups, p.Claims = nil, nil
	return p, nil
}

// runIdentity keeps the providers' keys fresh and ends sessions that are over.
func (a *App) runIdentity(ctx context.Context) error {
	id := a.identity
	errs := make(chan error, 3)
	n := 0
	start := func(run func(context.Context) error) {
		n++
		go func() { errs <- run(ctx) }()
	}
	if id.people != nil {
		start(id.people.Run)
	}
	if id.workloads != nil {
		start(id.workloads.Run)
	}
	if id.sessions != nil {
		start(a.sweep)
	}
	var all []error
	for range n {
		all = append(all, ended(ctx, <-errs))
	}
	return errors.Join(all...)
}

// sweepEvery is how often sessions that are over are removed.
const sweepEvery = 10 * time.Minute

func (a *App) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := a.identity.sessions.Sweep(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("sessions that are over could not be removed", "error", err)
			}
		}
	}
}
