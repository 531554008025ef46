package metadata

import (
	"context"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// UpdatePerson replaces what a person may say of itself: e-mail address, real
// name and comment. The person is found by its number.
func (s *Store) UpdatePerson(ctx context.Context, p Person) error {
	for what, text := range map[string]string{"an e-mail address": p.Email, "a real name": p.RealName, "a comment": p.Comment} {
		if err := checkText(what, text); err != nil {
			return wrap(err, "update person %d", p.ID)
		}
	}
	// No view holds any of it.
	err := s.update(ctx, func(ctx context.Context, tx querier) error {
		return affectsOne(tx.exec(ctx, `UPDATE people SET email = $3, real_name = $4, comment = $5
			WHERE workspace = $1 AND id = $2`, workspaceOf(p.Workspace), p.ID, p.Email, p.RealName, p.Comment))
	})
	return wrap(err, "update person %d", p.ID)
}

// SetPersonAdmin makes a person an administrator of the workspace, or none.
// Taking it from the last enabled one is policy.ErrConflict.
func (s *Store) SetPersonAdmin(ctx context.Context, workspace string, id int64, admin bool) error {
	err := s.changePerson(ctx, workspace, byID, []any{id}, func(ctx context.Context, tx querier, p Person) ([]part, error) {
		if !admin {
			if err := s.keepAnAdmin(ctx, tx, p, false); err != nil {
				return nil, err
			}
		}
		_, err := tx.exec(ctx, "UPDATE people SET admin = $3 WHERE workspace = $1 AND id = $2", p.Workspace, p.ID, admin)
		return nil, err
	})
	return wrap(err, "set whether person %d is an administrator", id)
}

// SetPersonDisabled disables or enables a person. Disabling ends its sessions
// and what was got with its credentials for good; its access tokens rest until
// it is enabled. Whoever is linked to it is locked out with it. Disabling the last
// enabled administrator of the workspace is policy.ErrConflict.
func (s *Store) SetPersonDisabled(ctx context.Context, workspace string, id int64, disabled bool) error {
	err := s.changePerson(ctx, workspace, byID, []any{id}, s.disabling(disabled))
	return wrap(err, "set whether person %d is disabled", id)
}

func (s *Store) disabling(disabled bool) personChange {
	return func(ctx context.Context, tx querier, p Person) ([]part, error) {
		if !disabled {
			_, err := tx.exec(ctx, "UPDATE people SET disabled = $3 WHERE workspace = $1 AND id = $2",
				p.Workspace, p.ID, false)
			return nil, err
		}
		if err := s.keepAnAdmin(ctx, tx, p, true); err != nil {
			return nil, err
		}
		if _, err := tx.exec(ctx, "UPDATE people SET disabled = $3 WHERE workspace = $1 AND id = $2",
			p.Workspace, p.ID, true); err != nil {
			return nil, err
		}
		others, err := linkedTo(ctx, tx, p)
		if err != nil {
			return nil, err
		}
		for _, x := range append(others, p) {
			if err := endLogins(ctx, tx, x); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

// endLogins ends a person's sessions, and what was got with its credentials.
func endLogins(ctx context.Context, tx querier, p Person) error {
	if _, err := tx.exec(ctx, "UPDATE people SET generation = generation + 1 WHERE workspace = $1 AND id = $2",
		p.Workspace, p.ID); err != nil {
		return err
	}
	_, err := tx.exec(ctx, "DELETE FROM sessions WHERE workspace = $1 AND issuer = $2 AND subject = $3",
		p.Workspace, p.Issuer, p.Subject)
	return err
}

// DeletePerson removes a person with its memberships, links, access tokens, sessions and
// grants for an emergency. Robots that it made stay. Deleting the last enabled administrator of the
// workspace is policy.ErrConflict.
func (s *Store) DeletePerson(ctx context.Context, workspace string, id int64) error {
	err := s.changePerson(ctx, workspace, byID, []any{id}, func(ctx context.Context, tx querier, p Person) ([]part, error) {
		err := s.keepAnAdmin(ctx, tx, p, false)
		if err != nil {
			return nil, err
		}
		// It may have been disabled before the lock.
		if p, err = readPerson(ctx, tx, p.Workspace, byID, p.ID); err != nil {
			return nil, err
		}
		// Before the person, whose row takes them along without a word.
		tokens, err := deleteTokensOf(ctx, tx, p)
		if err != nil {
			return nil, err
		}
		links, err := dropLinks(ctx, tx, p)
		if err != nil {
			return nil, err
		}
		if err := affectsOne(tx.exec(ctx, "DELETE FROM people WHERE workspace = $1 AND id = $2", p.Workspace, p.ID)); err != nil {
			return nil, err
		}
		projects, err := dropMember(ctx, tx, p.Workspace, MemberUser, p.Issuer, p.Subject)
		if err != nil {
			return nil, err
		}
		glass, err := s.endGrantsOf(ctx, tx, p.Workspace, policy.KindUser, p.Issuer, p.Subject)
		return slices.Concat(tokens, links, projects, glass), err
	})
	return wrap(err, "delete person %d", id)
}

// personChange changes a person and answers what else it touched.
type personChange func(ctx context.Context, tx querier, p Person) ([]part, error)

// changePerson runs a change of one person and takes it into the view.
func (s *Store) changePerson(ctx context.Context, workspace, condition string, args []any, fn personChange) error {
	return s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		p, err := readPerson(ctx, tx, workspaceOf(workspace), condition, args...)
		if err != nil {
			return nil, err
		}
		parts, err := fn(ctx, tx, p)
		return append(parts, personPart(p)), err
	})
}

// keepAnAdmin fails when the change of p takes the last enabled administrator of
// its workspace away: p itself, or with linked somebody who is locked out with p. Two
// administrators who disable each other at once would both find the other.
func (s *Store) keepAnAdmin(ctx context.Context, tx querier, p Person, linked bool) error {
	if err := s.lockPeople(ctx, tx); err != nil {
		return err
	}
	var lastOne bool
	err := tx.row(ctx, "SELECT EXISTS ("+enabledAdmins+" AND "+taken+") AND NOT EXISTS ("+enabledAdmins+" AND NOT "+taken+")",
		p.Workspace, p.ID, linked).Scan(&lastOne)
	if err == nil && lastOne {
		return errLastAdmin
	}
	return err
}

const (
	enabledAdmins = "SELECT 1 FROM people WHERE workspace = $1 AND admin AND NOT " + barredPerson
	taken         = `(id = $2 OR $3 AND EXISTS (SELECT 1 FROM links t
		WHERE t.workspace = $1 AND t.person = people.id AND t.main = $2))`
)

// localPerson are the arguments of bySubject for somebody in the gateway's own database.
func localPerson(name string) []any { return []any{policy.LocalIssuer, name} }
