package metadata

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// seenEvery is how often a login is written down.
const seenEvery = time.Minute

// Enroll takes in a person whom another issuer vouches for, after a login that
// succeeded: it adds the person, or brings name, e-mail address, real name and
// groups up to date. Seen is now when it is zero. A login that tells nothing new
// writes at most once a minute.
//
// A name that another person has is made different by the issuer's:
// alice@corp, alice@corp-2. A person who is disabled is answered so and stays as
// it is: the caller refuses. Whether somebody is an administrator never comes from here.
func (s *Store) Enroll(ctx context.Context, p Person) (Person, error) {
	p.Workspace = workspaceOf(p.Workspace)
	if p.Name == "" {
		p.Name = p.Subject
	}
	if p.Seen.IsZero() {
		p.Seen = time.Now()
	}
	err := p.check()
	if p.Issuer == policy.LocalIssuer {
		err = fmt.Errorf("local people are made, not enrolled: %w", policy.ErrInvalid)
	}
	if err != nil {
		return Person{}, wrap(err, "enroll %q", p.Subject)
	}
	for try := 1; ; try++ {
		got, err := s.enroll(ctx, p)
		if err == nil {
			return got, nil
		}
		// Another login of the person, or of one with the name, was at the same place.
		err = wrap(err, "enroll %q of %s", p.Subject, p.Issuer)
		if try == 5 || !errors.Is(err, policy.ErrConflict) {
			return Person{}, err
		}
	}
}

func (s *Store) enroll(ctx context.Context, p Person) (Person, error) {
	known, err := readLogin(ctx, s.reads, p.Workspace, p.Issuer, p.Subject)
	if isNotFound(err) {
		return s.enrollFirst(ctx, p)
	}
	if err != nil || known.Disabled {
		return known, err
	}
	now := refreshed(known, p)
	if now.sameFacts(known) && p.Seen.Sub(known.Seen) < seenEvery {
		return known, nil
	}
	groups, err := encoded("groups", now.Groups)
	if err != nil {
		return now, err
	}
	err = s.update(ctx, func(ctx context.Context, tx querier) error {
		if now.Name != known.Name {
			if now.Name, err = freeName(ctx, tx, now, p.Name); err != nil {
				return err
			}
		}
		affected, err := tx.exec(ctx, `UPDATE people SET name = $3, email = $4, real_name = $5, member_of = $6, seen = $7
			WHERE workspace = $1 AND id = $2 AND NOT disabled`,
			now.Workspace, now.ID, now.Name, now.Email, now.RealName, groups, micros(now.Seen))
		if err == nil && affected == 0 {
			return fmt.Errorf("it was removed or disabled meanwhile: %w", policy.ErrConflict)
		}
		return err
	})
	return now, err
}

func (s *Store) enrollFirst(ctx context.Context, p Person) (Person, error) {
	p.SystemAdmin, p.Disabled, p.Comment = false, false, ""
	p.Created = p.Seen
	wanted := p.Name
	err := s.changeDirectory(ctx, personPart(p), func(ctx context.Context, tx querier) (err error) {
		if p.Name, err = freeName(ctx, tx, p, wanted); err == nil {
			p, err = addPerson(ctx, tx, p, "")
		}
		return err
	})
	p.Created, p.Seen = fromMicros(micros(p.Created)), fromMicros(micros(p.Seen))
	return p, err
}

// refreshed is a person that is known with what a login says. What the issuer
// left out stays, groups excepted: one that is not named any more is lost.
func refreshed(known, p Person) Person {
	if p.Email != "" {
		known.Email = p.Email
	}
	if p.RealName != "" {
		known.RealName = p.RealName
	}
	// A name that was made different stays, so that nobody is renamed each time.
	if known.Name != p.Name && !strings.HasPrefix(known.Name, p.Name+"@") {
		known.Name = p.Name
	}
	known.Groups = p.Groups
	if p.Seen.After(known.Seen) {
		known.Seen = fromMicros(micros(p.Seen))
	}
	return known
}

func (p Person) sameFacts(o Person) bool {
	return p.Name == o.Name && p.Email == o.Email && p.RealName == o.RealName && slices.Equal(p.Groups, o.Groups)
}

// freeName is the name for a person that nobody else in the workspace has.
func freeName(ctx context.Context, tx querier, p Person, wanted string) (string, error) {
	with := wanted + "@" + providerName(p.Issuer)
	candidates := []string{wanted, with}
	for n := 2; n < 10; n++ {
		candidates = append(candidates, fmt.Sprintf("%s-%d", with, n))
	}
	for _, name := range candidates {
		err := exists(ctx, tx, "name", "SELECT 1 FROM people WHERE workspace = $1 AND name = $2 AND id <> $3",
			p.Workspace, name, p.ID)
		if errors.Is(err, policy.ErrNotFound) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
	}
	// An issuer with many of one name: the subject is the one thing that differs.
	return with + "/" + p.Subject, nil
}

// providerName is how people call an issuer: the name that a configuration gave
// it ("ldap:corp"), or the host of its URL.
func providerName(issuer string) string {
	if u, err := url.Parse(issuer); err == nil && u.Host != "" {
		return u.Host
	}
	_, name, found := strings.Cut(issuer, ":")
	if found {
		return name
	}
	return issuer
}
