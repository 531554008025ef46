package metadata

import (
	"context"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// CreateUser adds a local person, who logs in with a password, and answers it
// with its number. Created is set to now when it is zero. A name that is taken,
// by a person of whichever issuer, is policy.ErrConflict.
func (s *Store) CreateUser(ctx context.Context, p Person, passwordHash string) (Person, error) {
	p.Workspace = workspaceOf(p.Workspace)
	p.Issuer, p.Subject, p.Groups = policy.LocalIssuer, p.Name, nil
	if p.Created.IsZero() {
		p.Created = time.Now()
	}
	err := p.check()
	if err == nil {
		err = s.changeDirectory(ctx, personPart(p), func(ctx context.Context, tx querier) (err error) {
			p, err = addPerson(ctx, tx, p, passwordHash)
			return err
		})
	}
	if err != nil {
		return Person{}, wrap(err, "create user %q", p.Name)
	}
	p.Created, p.Seen = fromMicros(micros(p.Created)), fromMicros(micros(p.Seen))
	return p, nil
}

// Users lists the local people of a workspace by name.
func (s *Store) Users(ctx context.Context, workspace string) ([]Person, error) {
	all, _, err := s.People(ctx, workspace, PeopleQuery{Issuer: policy.LocalIssuer})
	return all, err
}

// User answers one local person, or policy.ErrNotFound.
func (s *Store) User(ctx context.Context, workspace, name string) (Person, error) {
	return s.PersonBySubject(ctx, workspace, policy.LocalIssuer, name)
}

// PasswordHash answers a local person's hash and whether the person is disabled,
// from the database and not from memory.
func (s *Store) PasswordHash(ctx context.Context, workspace, name string) (hash string, disabled bool, err error) {
	err = s.reads.row(ctx, "SELECT password, "+barredPerson+" FROM people WHERE workspace = $1 AND "+bySubject,
		workspaceOf(workspace), policy.LocalIssuer, name).Scan(&hash, &disabled)
	return hash, disabled, wrap(err, "password of user %q", name)
}

// SetPasswordHash replaces a local person's hash. The view's revision grows, so
// that whoever remembers a successful login can forget it.
func (s *Store) SetPasswordHash(ctx context.Context, workspace, name, hash string) error {
	err := s.changePerson(ctx, workspace, bySubject, localPerson(name),
		func(ctx context.Context, tx querier, p Person) ([]part, error) {
			_, err := tx.exec(ctx, `UPDATE people SET password = $3, generation = generation + 1
				WHERE workspace = $1 AND id = $2`, p.Workspace, p.ID, hash)
			return nil, err
		})
	return wrap(err, "set the password of user %q", name)
}

// SetUserDisabled is SetPersonDisabled for a local person.
func (s *Store) SetUserDisabled(ctx context.Context, workspace, name string, disabled bool) error {
	err := s.changePerson(ctx, workspace, bySubject, localPerson(name), s.disabling(disabled))
	return wrap(err, "set whether user %q is disabled", name)
}
