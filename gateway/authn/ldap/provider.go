package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/sync/singleflight"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// maxLogin bounds all that one login asks of a directory, waiting included.
const maxLogin = 30 * time.Second

// Provider is an [authn.Passwords] on a directory.
type Provider struct {
	cfg    Config
	pool   *pool
	flight singleflight.Group
	known  *authn.Successes[success]
}

// success is a credential that was right at a time, and whose it was.
type success struct {
	who policy.Principal
	at  time.Time
}

var _ authn.Passwords = (*Provider)(nil)

// New checks cfg and makes a provider. It asks the directory nothing yet, so a
// gateway starts while its directory is away. Close it.
func New(cfg Config) (*Provider, error) {
	servers, err := cfg.check()
	if err != nil {
		return nil, err
	}
	p := &Provider{cfg: cfg, known: authn.NewSuccesses[success](cfg.Remembered, max(cfg.Remember, cfg.Grace))}
	p.pool = newPool(&p.cfg, servers)
	return p, nil
}

// Close ends the connections.
func (p *Provider) Close() error {
	p.pool.close()
	return nil
}

// Issuer vouches for this directory's people.
func (p *Provider) Issuer() string { return IssuerPrefix + p.cfg.Name }

// Authenticate answers who name is, if password is theirs: see
// [authn.Passwords] for the errors.
func (p *Provider) Authenticate(ctx context.Context, workspace, name, password string) (policy.Principal, error) {
	if err := authn.CheckCredential(name, password); err != nil {
		return policy.Principal{}, err
	}
	tag := p.known.Tag(workspace, name, password)
	now := p.cfg.Now()
	last, seen := p.known.Get(tag, now)
	age := now.Sub(last.at)
	if seen && age < p.cfg.Remember {
		return last.who, nil
	}
	graced := seen && age < p.cfg.Grace
	// Requests with one credential share one login: a client that opens eight
	// connections sends its password eight times.
	flight := p.flight.DoChan(string(tag[:]), func() (any, error) {
		// It outlives the request that began it: others wait for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxLogin)
		defer cancel()
		return p.login(ctx, tag, workspace, name, password)
	})
	if graced && !p.pool.answers() {
		// The login above goes on, and finds out whether the directory is back.
		return last.who, nil
	}
	select {
	case res := <-flight:
		if graced && errors.Is(res.Err, policy.ErrUnavailable) && !p.pool.answers() {
			return last.who, nil
		}
		who, _ := res.Val.(policy.Principal)
		return who, res.Err
	case <-ctx.Done():
		return policy.Principal{}, fmt.Errorf("authn/ldap: %s: waiting: %w: %w", p.cfg.Name, policy.ErrUnavailable, ctx.Err())
	}
}

// login asks the directory, notes the person, and remembers the success.
func (p *Provider) login(ctx context.Context, tag authn.CredentialTag, workspace, name, password string) (policy.Principal, error) {
	var o outcome
	err := p.ask(ctx, func(ctx context.Context, on *conn) (err error) {
		o, err = p.cfg.login(ctx, on, name, password)
		return err
	})
	if err != nil {
		return policy.Principal{}, err
	}
	if err := o.judge(); err != nil {
		p.known.Drop(tag)
		return policy.Principal{}, fmt.Errorf("authn/ldap: %s: %w", p.cfg.Name, err)
	}
	who, err := p.cfg.Enroller.Enroll(ctx, policy.Principal{
		Workspace: workspace, Issuer: p.Issuer(), ID: o.person.ID, Name: o.person.Login,
		Kind: policy.KindUser, Auth: policy.AuthLDAP, Groups: o.person.Groups,
	}, authn.Profile{Email: o.person.Email, RealName: o.person.RealName})
	if err != nil {
		p.known.Drop(tag)
		return policy.Principal{}, fmt.Errorf("authn/ldap: %s: noting the person: %w", p.cfg.Name, err)
	}
	p.known.Put(tag, success{who: who, at: p.cfg.Now()}, p.cfg.Now())
	return who, nil
}

// ask runs work on a connection. Whatever the directory says that is no answer is
// [policy.ErrUnavailable], with the provider's name.
func (p *Provider) ask(ctx context.Context, work func(context.Context, *conn) error) error {
	err := p.pool.do(ctx, work)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, policy.ErrLimited), errors.Is(err, policy.ErrUnavailable), errors.Is(err, errNoService):
		return authn.Away(p.cfg.Name, fmt.Errorf("authn/ldap: %s: %w", p.cfg.Name, err))
	}
	return authn.Away(p.cfg.Name, fmt.Errorf("authn/ldap: %s: %w: %w", p.cfg.Name, policy.ErrUnavailable, err))
}

// Lookup answers what the directory has of whoever goes by a login name, for an
// operator who tries a configuration: no password is asked for, and nobody is
// logged in. [policy.ErrNotFound] is for nobody, [policy.ErrConflict] for several,
// [policy.ErrUnsupported] for a directory without an account that could search.
func (p *Provider) Lookup(ctx context.Context, login string) (Person, error) {
	if err := authn.CheckCredential(login, "-"); err != nil {
		return Person{}, fmt.Errorf("authn/ldap: %s: no name: %w", p.cfg.Name, policy.ErrInvalid)
	}
	var who Person
	var refused error
	err := p.ask(ctx, func(ctx context.Context, on *conn) error {
		who, refused = Person{}, nil
		if err := on.become(ctx, &p.cfg); err != nil {
			return err
		}
		entry, err := p.cfg.find(ctx, on, login)
		switch {
		case errors.Is(err, errSeveral):
			refused = fmt.Errorf("%w: %w", policy.ErrConflict, err)
			return nil
		case err != nil:
			return err
		case entry == nil:
			refused = fmt.Errorf("the name: %w", policy.ErrNotFound)
			return nil
		}
		if who, err = p.cfg.person(entry); errors.Is(err, errEntry) {
			refused = fmt.Errorf("%w: %w", policy.ErrConflict, err)
			return nil
		}
		if err == nil {
			who.Groups, err = p.cfg.groups(ctx, on, who)
		}
		return err
	})
	switch {
	case errors.Is(err, errNoService):
		return Person{}, fmt.Errorf("%w: %w", policy.ErrUnsupported, err)
	case err != nil:
		return Person{}, err
	case refused != nil:
		return Person{}, fmt.Errorf("authn/ldap: %s: %w", p.cfg.Name, refused)
	}
	return who, nil
}

// Refresh looks a person who logged in earlier up again: the principal with the
// groups of now, or [policy.ErrUnauthenticated] for somebody who is gone, closed,
// or no longer matched by the filter. Refresh tokens ask it, so that who leaves
// the directory leaves the gateway. A directory without an account that could
// search cannot be asked, and everybody logs in again.
func (p *Provider) Refresh(ctx context.Context, who policy.Principal) (policy.Principal, error) {
	if who.Issuer != p.Issuer() || who.Kind != policy.KindUser || who.Anonymous() {
		return policy.Principal{}, fmt.Errorf("authn/ldap: %s: nobody of this directory: %w", p.cfg.Name, policy.ErrUnauthenticated)
	}
	login, err := p.loginOf(ctx, who.ID)
	if err != nil {
		return policy.Principal{}, err
	}
	now, err := p.Lookup(ctx, login)
	switch {
	case errors.Is(err, policy.ErrNotFound), errors.Is(err, policy.ErrConflict), errors.Is(err, policy.ErrUnsupported), errors.Is(err, policy.ErrInvalid):
		return policy.Principal{}, fmt.Errorf("%w: %w", policy.ErrUnauthenticated, err)
	case err != nil:
		return policy.Principal{}, err
	case now.Disabled != "" || now.ID != who.ID:
		return policy.Principal{}, fmt.Errorf("authn/ldap: %s: closed, or somebody else's name now: %w", p.cfg.Name, policy.ErrUnauthenticated)
	}
	who.Groups = now.Groups
	return who, nil
}

// loginOf is the login name of whoever has an id.
func (p *Provider) loginOf(ctx context.Context, id string) (string, error) {
	if strings.EqualFold(p.cfg.Attributes.ID, p.cfg.Attributes.Login) {
		return id, nil
	}
	value := ldap.EscapeFilter(id)
	if strings.EqualFold(p.cfg.Attributes.ID, "objectGUID") {
		var ok bool
		if value, ok = guidFilter(id); !ok {
			return "", fmt.Errorf("authn/ldap: %s: no objectGUID: %w", p.cfg.Name, policy.ErrUnauthenticated)
		}
	}
	var login string
	var refused error
	err := p.ask(ctx, func(ctx context.Context, on *conn) error {
		login, refused = "", nil
		if err := on.become(ctx, &p.cfg); err != nil {
			return err
		}
		entries, err := on.search(ctx, p.cfg.Timeout, p.cfg.BaseDN, scopeOf(p.cfg.Scope),
			"("+p.cfg.Attributes.ID+"="+value+")", 1, p.cfg.wanted())
		switch {
		case errors.Is(err, errTooMany):
			refused = errSeveral
		case err != nil:
			return err
		case len(entries) == 0:
			refused = errors.New("nobody has the id")
		default:
			login, refused = single(entries[0], p.cfg.Attributes.Login)
		}
		return nil
	})
	if err == nil && refused != nil {
		err = fmt.Errorf("authn/ldap: %s: %w: %w", p.cfg.Name, policy.ErrUnauthenticated, refused)
	}
	if errors.Is(err, errNoService) {
		err = fmt.Errorf("%w: %w", policy.ErrUnauthenticated, err)
	}
	return login, err
}

// Ping reports whether a server answers, lets the configured account in, and has
// the base of the search.
func (p *Provider) Ping(ctx context.Context) error {
	return p.ask(ctx, func(ctx context.Context, on *conn) error {
		base := p.cfg.BaseDN
		err := on.become(ctx, &p.cfg)
		if errors.Is(err, errNoService) {
			base, err = "", nil // the root DSE is for everybody
		}
		if err != nil {
			return err
		}
		entries, err := on.search(ctx, p.cfg.Timeout, base, ldap.ScopeBaseObject, "(objectClass=*)", 1, []string{"1.1"})
		if err == nil && len(entries) == 0 {
			err = fmt.Errorf("%w: %s cannot be read", errAnswer, base)
		}
		return err
	})
}
