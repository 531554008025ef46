// Package robot knows robots: accounts for machines, of a project or of the
// system, with a secret that the gateway made.
//
// It refuses to hand a robot's name or secret on: a name with the robots' prefix,
// or a password that looks like a robot's secret, is a robot's or nobody's, and no
// other provider gets to see it. It trusts the prefix for nothing else; what a
// robot may do is the directory's to say.
//
// cmd/bondgate puts it into the authenticator's chain, before people.
package robot

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// Issuer vouches for robots.
const Issuer = "robot"

// DefaultPrefix is what the names of robots begin with, as in Harbor.
const DefaultPrefix = "robot$"

// Account is a robot as far as logging in goes.
type Account struct {
	ID       int64
	Disabled bool
	// Expires is zero for a robot that does not.
	Expires time.Time
	// Secrets are the hashes that are good, at most two.
	Secrets []Secret
}

// Secret is the hash of a robot's secret; one that was replaced is good until
// Until, which is zero for the present one.
type Secret struct {
	Hash  []byte
	Until time.Time
}

// Store has the robots. project is empty for one of the system.
type Store interface {
	// RobotAccount answers [policy.ErrNotFound] for a robot that is not there.
	RobotAccount(ctx context.Context, workspace, project, name string) (Account, error)
	// RobotUsed notes that a robot logged in; it does not wait.
	RobotUsed(id int64, at time.Time)
}

// Config is what a [Provider] needs; all of it but Prefix and Now.
type Config struct {
	Store Store
	// Prefix is what the names of robots begin with; default "robot$".
	Prefix string
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Provider is an [authn.Passwords] for robots.
type Provider struct{ cfg Config }

var _ authn.Passwords = (*Provider)(nil)

// New checks cfg and makes a provider.
func New(cfg Config) (*Provider, error) {
	if cfg.Store == nil {
		return nil, fmt.Errorf("authn/robot: a store is needed: %w", policy.ErrInvalid)
	}
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	if err := CheckPrefix(cfg.Prefix); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Provider{cfg: cfg}, nil
}

// CheckPrefix refuses a prefix that people's names could have, and one that does
// not survive a header.
func CheckPrefix(prefix string) error {
	if len(prefix) < 2 || len(prefix) > 32 || strings.ContainsAny(prefix, ":/+ \t\r\n") {
		return fmt.Errorf("authn/robot: the prefix %q is not 2 to 32 characters without colon, slash, plus and space: %w", prefix, policy.ErrInvalid)
	}
	if !strings.ContainsAny(prefix, "$!~^*#%&=") {
		return fmt.Errorf("authn/robot: the prefix %q could begin a person's name; put a $ in it: %w", prefix, policy.ErrInvalid)
	}
	return nil
}

// Name is the full name of a robot: "robot$payments+ci", or "robot$ci" for one of
// the system.
func Name(prefix, project, name string) string {
	if project == "" {
		return prefix + name
	}
	return prefix + project + "+" + name
}

// parse is Name backwards. Neither projects nor robots have a plus in their names.
func parse(prefix, full string) (project, name string, ok bool) {
	rest, ok := strings.CutPrefix(full, prefix)
	if !ok || rest == "" {
		return "", "", false
	}
	if project, name, ok = strings.Cut(rest, "+"); ok {
		return project, name, project != "" && name != "" && !strings.Contains(name, "+")
	}
	return "", rest, true
}

// Authenticate answers who a robot is, if the secret is one of its own: see
// [authn.Passwords] for the errors.
func (p *Provider) Authenticate(ctx context.Context, workspace, full, secret string) (policy.Principal, error) {
	ours := strings.HasPrefix(full, p.cfg.Prefix)
	if !ours && !strings.HasPrefix(secret, authn.PrefixRobot) {
		return policy.Principal{}, fmt.Errorf("authn/robot: the name: %w", policy.ErrNotFound)
	}
	project, name, ok := parse(p.cfg.Prefix, full)
	if !ok || !authn.IsSecret(authn.PrefixRobot, secret) {
		return policy.Principal{}, refused("no robot's name, or no robot's secret")
	}
	account, err := p.cfg.Store.RobotAccount(ctx, workspace, project, name)
	if err != nil && !errors.Is(err, policy.ErrNotFound) {
		return policy.Principal{}, fmt.Errorf("authn/robot: reading %s: %w", full, err)
	}
	now := p.cfg.Now()
	if !account.knows(secret, now) || account.Disabled || account.expired(now) {
		return policy.Principal{}, refused("unknown, disabled, expired, or another secret")
	}
	p.cfg.Store.RobotUsed(account.ID, now)
	return policy.Principal{
		Workspace: workspace, Issuer: Issuer, ID: full, Kind: policy.KindRobot, Auth: policy.AuthRobot,
		Credential: policy.CredentialRobot + ":" + strconv.FormatInt(account.ID, 10),
	}, nil
}

func (a Account) expired(now time.Time) bool { return !a.Expires.IsZero() && !now.Before(a.Expires) }

// knows compares with every secret, so that the time tells nothing.
func (a Account) knows(secret string, now time.Time) bool {
	hash, match := authn.HashSecret(secret), 0
	for _, s := range a.Secrets {
		if s.Until.IsZero() || now.Before(s.Until) {
			match |= subtle.ConstantTimeCompare(hash, s.Hash)
		}
	}
	return match == 1
}

func refused(why string) error {
	return fmt.Errorf("authn/robot: %s: %w", why, policy.ErrUnauthenticated)
}
