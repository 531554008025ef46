package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/bondgate/bondgate/policy"
)

// errSeveral: the name is more than one person's. Nobody chooses.
var errSeveral = fmt.Errorf("%w: the name is that of several people", errAnswer)

// find answers the one entry that goes by a login name, over a connection that is
// bound as the account that searches: nil if there is none.
func (c *Config) find(ctx context.Context, on *conn, login string) (*ldap.Entry, error) {
	if c.Template != "" {
		return c.read(ctx, on, fillDN(c.Template, login))
	}
	entries, err := on.search(ctx, c.Timeout, c.BaseDN, scopeOf(c.Scope), fill(c.Filter, login, ""), 1, c.wanted())
	switch {
	case errors.Is(err, errTooMany):
		return nil, errSeveral
	case err != nil || len(entries) == 0:
		return nil, err
	}
	return entries[0], nil
}

// read answers the entry with a DN: nil if there is none.
func (c *Config) read(ctx context.Context, on *conn, dn string) (*ldap.Entry, error) {
	entries, err := on.search(ctx, c.Timeout, dn, ldap.ScopeBaseObject, "(objectClass=*)", 1, c.wanted())
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return nil, nil
	case err != nil || len(entries) == 0:
		return nil, err
	}
	return entries[0], nil
}

// outcome is what the directory said about a login. The zero outcome is an
// unknown name.
type outcome struct {
	person  Person
	known   bool  // the name is somebody's
	refused error // why not, if known
}

// login asks whether password is that of the person who goes by a name. Its error
// is one of asking; what was learned is in the outcome.
func (c *Config) login(ctx context.Context, on *conn, name, password string) (outcome, error) {
	if c.Template != "" {
		return c.loginDirect(ctx, on, name, password)
	}
	if err := on.become(ctx, c); err != nil {
		return outcome{}, err
	}
	entry, err := c.find(ctx, on, name)
	if errors.Is(err, errSeveral) {
		// The work of a wrong password, so that nothing can be learned from the time.
		return outcome{known: true, refused: err}, c.pretend(ctx, on, password)
	}
	if err != nil {
		return outcome{}, err
	}
	if entry == nil {
		return outcome{}, c.pretend(ctx, on, password)
	}
	if ok, refused, err := c.prove(ctx, on, entry.DN, password); err != nil || !ok {
		return outcome{known: true, refused: refused}, err
	}
	if err := on.become(ctx, c); err != nil {
		return outcome{}, err
	}
	return c.admit(ctx, on, entry)
}

// loginDirect binds first and reads then, as the account that searches if there is
// one and as the person otherwise.
func (c *Config) loginDirect(ctx context.Context, on *conn, name, password string) (outcome, error) {
	dn := fillDN(c.Template, name)
	ok, refused, err := c.prove(ctx, on, dn, password)
	switch {
	case err != nil:
		return outcome{}, err
	case !ok:
		// Whether the name is somebody's is not known. Taking it for nobody's lets the
		// next provider be asked, who may know it.
		return outcome{refused: refused}, nil
	}
	if err := on.become(ctx, c); err != nil && !errors.Is(err, errNoService) {
		return outcome{}, err
	}
	entry, err := c.read(ctx, on, dn)
	if err != nil {
		return outcome{}, err
	}
	if entry == nil {
		return outcome{}, fmt.Errorf("%w: an entry that can be bound to cannot be read", errAnswer)
	}
	return c.admit(ctx, on, entry)
}

// admit turns the entry of somebody whose password was right into a person with
// groups.
func (c *Config) admit(ctx context.Context, on *conn, entry *ldap.Entry) (outcome, error) {
	p, err := c.person(entry)
	if errors.Is(err, errEntry) {
		return outcome{known: true, refused: err}, nil
	}
	if err != nil {
		return outcome{}, err
	}
	if p.Disabled != "" {
		return outcome{known: true, refused: fmt.Errorf("the account is closed: %s", p.Disabled)}, nil
	}
	if p.Groups, err = c.groups(ctx, on, p); err != nil {
		return outcome{}, err
	}
	return outcome{person: p, known: true}, nil
}

// prove binds as dn. refused is why the directory said no.
func (c *Config) prove(ctx context.Context, on *conn, dn, password string) (ok bool, refused, err error) {
	err = on.bind(ctx, dn, password, person)
	switch {
	case err == nil:
		return true, nil, nil
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax,
		ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultConstraintViolation, ldap.LDAPResultReferral, ldap.ErrorEmptyPassword):
		return false, fmt.Errorf("the directory refuses the bind: %w", err), nil
	}
	return false, nil, err
}

// pretend does the work of a login for a name that nobody has: a bind, with the
// same password, to an entry that is not there.
func (c *Config) pretend(ctx context.Context, on *conn, password string) error {
	_, _, err := c.prove(ctx, on, "cn="+rand.Text()+","+c.BaseDN, password)
	return err
}

// judge turns an outcome into what a provider answers.
func (o outcome) judge() error {
	switch {
	case !o.known:
		return fmt.Errorf("the name: %w", policy.ErrNotFound)
	case o.refused != nil:
		return fmt.Errorf("%w: %w", policy.ErrUnauthenticated, o.refused)
	}
	return nil
}
