package metadata

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Person is somebody whom an issuer vouches for: the gateway itself, a directory,
// an identity provider. Workspace, issuer and subject say who it is; a name with
// two issuers is two people.
type Person struct {
	// ID is known by outside and is never given to another.
	ID        int64  `json:"id"`
	Workspace string `json:"workspace"`
	Issuer    string `json:"issuer"`
	Subject   string `json:"subject"`
	// Name is what people call the person, unique within the workspace. That of a
	// local person is the subject; another's may change at each login.
	Name        string `json:"name"`
	Email       string `json:"email,omitempty"`
	RealName    string `json:"real_name,omitempty"`
	Comment     string `json:"comment,omitempty"`
	SystemAdmin bool   `json:"system_admin"`
	Disabled    bool   `json:"disabled"`
	// Groups are those that the issuer named at the last login.
	Groups  []string  `json:"groups,omitempty"`
	Created time.Time `json:"created,omitzero"`
	// Seen is the last login, to the minute; zero for never, and for local people.
	Seen time.Time `json:"seen,omitzero"`
}

// PeopleQuery is a page of people. It is sorted by id, name, issuer, email,
// real_name, created or seen; by name without a key.
type PeopleQuery struct {
	Page
	Name     Text
	Email    Text
	RealName Text
	// Issuer is one issuer; empty for all.
	Issuer   string
	Admin    *bool
	Disabled *bool
}

const (
	personColumns = personHead + "disabled" + personTail
	// loginColumns are those of a person who comes in: disabled with its main one.
	loginColumns = personHead + barredPerson + personTail

	personHead = "workspace, id, issuer, subject, name, email, real_name, comment, admin, "
	personTail = ", member_of, created, seen"

	// barredPerson is whether a row of people, or whom it is linked to, is disabled.
	barredPerson = `(people.disabled OR EXISTS (SELECT 1 FROM links l
		JOIN people m ON m.workspace = l.workspace AND m.id = l.main
		WHERE l.workspace = people.workspace AND l.person = people.id AND m.disabled))`
)

func scanPerson(scan func(...any) error) (p Person, err error) {
	var created, seen int64
	var groups string
	if err := scan(&p.Workspace, &p.ID, &p.Issuer, &p.Subject, &p.Name, &p.Email, &p.RealName, &p.Comment,
		&p.SystemAdmin, &p.Disabled, &groups, &created, &seen); err != nil {
		return p, err
	}
	p.Created, p.Seen = fromMicros(created), fromMicros(seen)
	return p, decoded("groups", groups, &p.Groups)
}

// People answers a page of a workspace's people, of all issuers, and how many
// there are on all pages.
func (s *Store) People(ctx context.Context, workspace string, q PeopleQuery) ([]Person, int, error) {
	l := &listing{
		columns: personColumns, from: "people", order: "name",
		sorts: map[string]string{
			"id": "id", "name": "name", "issuer": "issuer", "email": "email",
			"real_name": "real_name", "created": "created", "seen": "seen",
		},
	}
	l.equal("workspace", workspaceOf(workspace))
	l.equalIf("issuer", q.Issuer)
	l.text("name", q.Name)
	l.text("email", q.Email)
	l.text("real_name", q.RealName)
	l.flag("admin", q.Admin)
	l.flag("disabled", q.Disabled)
	all, total, err := list(ctx, s, l, q.Page, scanPerson)
	return all, total, wrap(err, "list people")
}

// PersonByID answers one person, or policy.ErrNotFound.
func (s *Store) PersonByID(ctx context.Context, workspace string, id int64) (Person, error) {
	p, err := readPerson(ctx, s.reads, workspaceOf(workspace), byID, id)
	return p, wrap(err, "person %d", id)
}

// PersonByName answers the person whom the workspace calls so, whoever vouches
// for it, or policy.ErrNotFound.
func (s *Store) PersonByName(ctx context.Context, workspace, name string) (Person, error) {
	p, err := readPerson(ctx, s.reads, workspaceOf(workspace), byName, name)
	return p, wrap(err, "person %q", name)
}

// PersonBySubject answers whom an issuer vouches for, or policy.ErrNotFound.
func (s *Store) PersonBySubject(ctx context.Context, workspace, issuer, subject string) (Person, error) {
	p, err := readPerson(ctx, s.reads, workspaceOf(workspace), bySubject, issuer, subject)
	return p, wrap(err, "person %q of %s", subject, issuer)
}

// The ways to name one person of a workspace.
const (
	byID      = "id = $2"
	byName    = "name = $2"
	bySubject = "issuer = $2 AND subject = $3"
)

func readPerson(ctx context.Context, q querier, workspace, condition string, args ...any) (Person, error) {
	return scanPerson(q.row(ctx, "SELECT "+personColumns+" FROM people WHERE workspace = $1 AND "+condition,
		append([]any{workspace}, args...)...).Scan)
}

// readLogin is readPerson for somebody who comes in.
func readLogin(ctx context.Context, q querier, workspace, issuer, subject string) (Person, error) {
	return scanPerson(q.row(ctx, "SELECT "+loginColumns+" FROM people WHERE workspace = $1 AND "+bySubject,
		workspace, issuer, subject).Scan)
}

// addPerson gives a person its number and its row.
func addPerson(ctx context.Context, tx querier, p Person, password string) (Person, error) {
	groups, err := encoded("groups", p.Groups)
	if err != nil {
		return p, err
	}
	if p.ID, err = number(ctx, tx, numberPerson); err != nil {
		return p, err
	}
	_, err = tx.exec(ctx, `INSERT INTO people (workspace, id, issuer, subject, name, email, real_name, comment,
			password, admin, disabled, member_of, generation, created, seen)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $14)`,
		p.Workspace, p.ID, p.Issuer, p.Subject, p.Name, p.Email, p.RealName, p.Comment,
		password, p.SystemAdmin, p.Disabled, groups, micros(p.Created), micros(p.Seen))
	return p, err
}

func (p Person) check() error {
	if err := checkIssuer(p.Issuer); err != nil {
		return err
	}
	if err := checkName("a person's subject", p.Subject); err != nil {
		return err
	}
	if err := checkName("a person's name", p.Name); err != nil {
		return err
	}
	for what, s := range map[string]string{"an e-mail address": p.Email, "a real name": p.RealName} {
		if err := checkText(what, s); err != nil {
			return err
		}
	}
	return nil
}

// personPart is what a change of a person touches in the view.
func personPart(p Person) part {
	return part{changedPerson, p.Workspace, p.Issuer + " " + p.Subject}
}

// personKey names a person in the view.
type personKey struct {
	workspace string
	identity
}

type personFacts struct {
	admin, disabled bool
	// links is nil for most.
	links *personLinks
}

// readPeople reads what the view knows of people: all, or one by the key of its change.
func readPeople(ctx context.Context, q querier, workspace, key string) (map[personKey]personFacts, error) {
	query, args := "SELECT workspace, issuer, subject, admin, disabled FROM people", []any(nil)
	var who personKey
	if key != "" {
		who = personOf(workspace, key)
		query += " WHERE workspace = $1 AND issuer = $2 AND subject = $3"
		args = []any{who.workspace, who.issuer, who.name}
	}
	rows, err := q.rows(ctx, query, args...)
	all := map[personKey]personFacts{}
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var at personKey
		var p personFacts
		err = rows.Scan(&at.workspace, &at.issuer, &at.name, &p.admin, &p.disabled)
		all[at] = p
		return
	})
	if err != nil || len(all) == 0 {
		return all, err
	}
	return all, readLinks(ctx, q, all, who)
}

// personOf reads the key of a change.
func personOf(workspace, key string) personKey {
	issuer, subject, _ := strings.Cut(key, " ")
	return personKey{workspace, identity{issuer, subject}}
}

// errLastAdmin is the answer to taking the last enabled administrator away.
var errLastAdmin = fmt.Errorf("it is the last enabled administrator: %w", policy.ErrConflict)
