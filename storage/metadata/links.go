package metadata

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/bondgate/bondgate/policy"
)

// Link says that a person is another one too: somebody with an account here and one
// of an identity provider. Whoever logs in as either has what both have.
type Link struct {
	// Person and Main are the numbers of people of one workspace. Several people may
	// be linked to one main person, who is linked to nobody.
	Person int64 `json:"person"`
	Main   int64 `json:"main"`
}

// LinkPerson makes a person one with a main person: from the next request on each
// of them, and of those who are linked already, has the memberships of all and is an
// administrator when one is. Groups come with a login and stay that login's.
//
// Somebody who is linked to another, or to whom others are linked, and a main
// person who is linked or disabled, are policy.ErrConflict; a person as its own main
// one is policy.ErrInvalid.
func (s *Store) LinkPerson(ctx context.Context, workspace string, id, main int64) error {
	workspace = workspaceOf(workspace)
	err := s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		p, m, err := s.pair(ctx, tx, workspace, id, main)
		if err != nil {
			return nil, err
		}
		switch now, err := mainOf(ctx, tx, p); {
		case err != nil || now == main:
			return nil, err
		case now != 0:
			return nil, fmt.Errorf("it is linked to another person: %w", policy.ErrConflict)
		}
		err = exists(ctx, tx, "link", "SELECT 1 FROM links WHERE workspace = $1 AND (person = $2 OR main = $3)", workspace, main, id)
		switch {
		case err == nil:
			return nil, fmt.Errorf("a link would lead to a link: %w", policy.ErrConflict)
		case !isNotFound(err):
			return nil, err
		case m.Disabled:
			return nil, fmt.Errorf("the main person is disabled: %w", policy.ErrConflict)
		}
		_, err = tx.exec(ctx, "INSERT INTO links (workspace, person, main) VALUES ($1, $2, $3)", workspace, id, main)
		return []part{personPart(p), personPart(m)}, err
	})
	return wrap(err, "link person %d to %d", id, main)
}

// pair reads the two who are to be linked.
func (s *Store) pair(ctx context.Context, tx querier, workspace string, id, main int64) (p, m Person, err error) {
	if err := s.lockPeople(ctx, tx); err != nil {
		return p, m, err
	}
	if p, err = readPerson(ctx, tx, workspace, byID, id); err != nil {
		return p, m, err
	}
	if m, err = readPerson(ctx, tx, workspace, byID, main); err == nil && id == main {
		err = fmt.Errorf("nobody is linked to itself: %w", policy.ErrInvalid)
	}
	return p, m, err
}

// UnlinkPerson parts a person from its main one, or fails with policy.ErrNotFound
// when it is not linked. Whoever was locked out with the main person stays so.
func (s *Store) UnlinkPerson(ctx context.Context, workspace string, id int64) error {
	workspace = workspaceOf(workspace)
	err := s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		if err := s.lockPeople(ctx, tx); err != nil {
			return nil, err
		}
		p, err := readPerson(ctx, tx, workspace, byID, id)
		if err != nil {
			return nil, err
		}
		main, err := mainOf(ctx, tx, p)
		if err == nil && main == 0 {
			err = policy.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		m, err := readPerson(ctx, tx, workspace, byID, main)
		if err != nil {
			return nil, err
		}
		if err := stayDisabled(ctx, tx, m, p); err != nil {
			return nil, err
		}
		_, err = tx.exec(ctx, "DELETE FROM links WHERE workspace = $1 AND person = $2", workspace, id)
		return []part{personPart(p), personPart(m)}, err
	})
	return wrap(err, "unlink person %d", id)
}

// Links answers who of a workspace is linked to whom, by main person.
func (s *Store) Links(ctx context.Context, workspace string) ([]Link, error) {
	rows, err := s.reads.rows(ctx, "SELECT person, main FROM links WHERE workspace = $1 ORDER BY main, person", workspaceOf(workspace))
	all, err := collect(rows, err, func(rows *sql.Rows) (l Link, err error) { return l, rows.Scan(&l.Person, &l.Main) })
	return all, wrap(err, "list links")
}

// mainOf is the number of whom a person is linked to; zero for nobody.
func mainOf(ctx context.Context, tx querier, p Person) (int64, error) {
	var main int64
	err := tx.row(ctx, "SELECT main FROM links WHERE workspace = $1 AND person = $2", p.Workspace, p.ID).Scan(&main)
	if isNotFound(err) {
		return 0, nil
	}
	return main, err
}

// linkedTo are the people who are linked to a main one.
func linkedTo(ctx context.Context, tx querier, main Person) ([]Person, error) {
	rows, err := tx.rows(ctx, "SELECT "+personColumns+` FROM people WHERE workspace = $1
		AND id IN (SELECT person FROM links WHERE workspace = $1 AND main = $2) ORDER BY id`, main.Workspace, main.ID)
	return collect(rows, err, func(rows *sql.Rows) (Person, error) { return scanPerson(rows.Scan) })
}

// stayDisabled gives a disabled main person's state to somebody who is linked to it
// and will not be any more: the end of a link must let nobody in.
func stayDisabled(ctx context.Context, tx querier, main, p Person) error {
	if !main.Disabled {
		return nil
	}
	_, err := tx.exec(ctx, "UPDATE people SET disabled = $3 WHERE workspace = $1 AND id = $2", p.Workspace, p.ID, true)
	return err
}

// dropLinks takes away the links from and to a person and answers the others of them.
func dropLinks(ctx context.Context, tx querier, p Person) ([]part, error) {
	others, err := linkedTo(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if err := stayDisabled(ctx, tx, p, other); err != nil {
			return nil, err
		}
	}
	main, err := mainOf(ctx, tx, p)
	if err == nil && main != 0 {
		var m Person
		m, err = readPerson(ctx, tx, p.Workspace, byID, main)
		others = append(others, m)
	}
	if err != nil {
		return nil, err
	}
	parts := make([]part, 0, len(others))
	for _, other := range others {
		parts = append(parts, personPart(other))
	}
	_, err = tx.exec(ctx, "DELETE FROM links WHERE workspace = $1 AND (person = $2 OR main = $2)", p.Workspace, p.ID)
	return parts, err
}

// lockPeople lets one change at a time decide who is an administrator, who is
// disabled and who is linked. SQLite has one writer.
func (s *Store) lockPeople(ctx context.Context, tx querier) error {
	if !s.source.postgres {
		return nil
	}
	_, err := tx.exec(ctx, "LOCK TABLE people IN SHARE ROW EXCLUSIVE MODE")
	return err
}

// personLinks are the others whom a person is one with, in the view.
type personLinks struct {
	// main is whom the person is linked to; linked are those who are linked to it.
	// One of the two is empty.
	main   identity
	linked []identity
}

// readLinks adds to people whom they are linked with: all, or one.
func readLinks(ctx context.Context, q querier, all map[personKey]personFacts, one personKey) error {
	query, args := `SELECT p.workspace, p.issuer, p.subject, m.issuer, m.subject FROM links l
		JOIN people p ON p.workspace = l.workspace AND p.id = l.person
		JOIN people m ON m.workspace = l.workspace AND m.id = l.main`, []any(nil)
	if one.name != "" {
		query += ` WHERE l.workspace = $1 AND (p.issuer = $2 AND p.subject = $3 OR m.issuer = $2 AND m.subject = $3)`
		args = []any{one.workspace, one.issuer, one.name}
	}
	rows, err := q.rows(ctx, query+" ORDER BY l.workspace, l.main, l.person", args...)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var workspace string
		var person, main identity
		if err = rows.Scan(&workspace, &person.issuer, &person.name, &main.issuer, &main.name); err != nil {
			return
		}
		if facts, ok := all[personKey{workspace, person}]; ok {
			facts.links = &personLinks{main: main}
			all[personKey{workspace, person}] = facts
		}
		if facts, ok := all[personKey{workspace, main}]; ok {
			if facts.links == nil {
				facts.links = &personLinks{}
			}
			facts.links.linked = append(facts.links.linked, person)
			all[personKey{workspace, main}] = facts
		}
		return
	})
	return err
}

// barred reports whether a person may not come in because its main one may not. A
// main person who is not there says no: the view and the database disagree.
func (v *view) barred(workspace string, l *personLinks) bool {
	if l.main == (identity{}) {
		return false
	}
	main, known := v.people[personKey{workspace, l.main}]
	return !known || main.disabled
}

// others gives a subject what those have whom it is linked with.
func (v *view) others(s *policy.Subject, workspace string, facts *projectFacts, self identity, l *personLinks) (set roles) {
	linked := l.linked
	if l.main != (identity{}) {
		set = v.other(s, workspace, facts, l.main)
		if main := v.people[personKey{workspace, l.main}]; main.links != nil {
			linked = main.links.linked
		}
	}
	for _, who := range linked {
		if who != self {
			set |= v.other(s, workspace, facts, who)
		}
	}
	return set
}

// other is what one of them has: nothing while it is disabled.
func (v *view) other(s *policy.Subject, workspace string, facts *projectFacts, who identity) (set roles) {
	person, known := v.people[personKey{workspace, who}]
	if !known || person.disabled {
		return 0
	}
	if person.admin {
		set |= admin
	}
	if facts != nil {
		set |= v.give(s, workspace, facts.users[who])
	}
	return set
}
