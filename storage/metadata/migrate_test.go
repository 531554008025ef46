package metadata

import (
	"database/sql"
	"io/fs"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/bondgate/bondgate/policy"
)

// older is a database as the first version left it.
var older = []string{
	`INSERT INTO users VALUES ('default', 'admin', 'a@x', 'Admin', 'hash', TRUE, FALSE, 1)`,
	`INSERT INTO users VALUES ('default', 'alice', '', '', 'hash2', FALSE, TRUE, 3)`,
	`INSERT INTO users VALUES ('prod', 'alice', '', '', 'hash3', FALSE, FALSE, 2)`,
	`INSERT INTO projects VALUES ('default', 'web', FALSE, '', 'null', 'null', 20)`,
	`INSERT INTO projects VALUES ('default', 'payments', TRUE, 'alice', '{"tier":"1"}', '[{"name":"image","mode":"warn"}]', 10)`,
	`INSERT INTO members VALUES ('default', 'payments', 'local', 'user', 'admin', 'developer')`,
	`INSERT INTO members VALUES ('default', 'payments', 'https://idp', 'group', 'team', 'guest')`,
	`INSERT INTO members VALUES ('default', 'web', 'https://idp', 'group', 'team', 'maintainer')`,
	`INSERT INTO waivers VALUES ('default', 'w', '{"id":"w","rule":"r","owner":"o","expires":"2030-01-01T00:00:00Z"}', 1893456000000000)`,
	`INSERT INTO repositories VALUES ('old', 'a/b', 5)`,
}

func TestAnOlderDatabaseIsCarriedOver(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		db, provider := gooseOn(t, s)
		_, err := provider.DownTo(ctx, 1)
		must(t, err)
		for _, statement := range older {
			_, err := db.ExecContext(ctx, statement)
			must(t, err)
		}
		must(t, db.Close())
		must(t, s.Close())

		s = open()
		people, _, err := s.People(ctx, "", PeopleQuery{})
		must(t, err)
		same(t, text(people), text([]Person{{
			ID: 1, Workspace: "default", Issuer: policy.LocalIssuer, Subject: "admin", Name: "admin", Email: "a@x",
			RealName: "Admin", SystemAdmin: true, Created: time.UnixMicro(1).UTC(),
		}, {
			ID: 3, Workspace: "default", Issuer: policy.LocalIssuer, Subject: "alice", Name: "alice",
			Disabled: true, Created: time.UnixMicro(3).UTC(),
		}}))
		hash, disabled, err := s.PasswordHash(ctx, "", "alice")
		must(t, err)
		same(t, text(hash, disabled), "hash2 true")
		same(t, rolesOf(t, s, local("admin"), "payments"), "[admin developer] false")
		enroll(t, s, Person{Issuer: "https://idp", Subject: "x"})
		same(t, rolesOf(t, s, policy.Principal{Issuer: "https://idp", ID: "x", Kind: policy.KindUser, Groups: []string{"team"}}, "web"),
			"[maintainer] false")
		p, err := s.ProjectByID(ctx, "", 1)
		must(t, err)
		same(t, text(p.Name, p.Public, p.Owner, p.Labels, p.Packs[0].Mode, p.Created.UnixMicro()), "payments true alice map[tier:1] warn 10")
		g, err := s.GroupByName(ctx, "", "https://idp", "team")
		must(t, err)
		same(t, g.ID, 1)
		same(t, len(viewOf(t, s).Waivers(repo, "", time.Now())), 1)
		all, err := s.Workspaces(ctx)
		must(t, err)
		same(t, text(len(all), all[0].Name, all[1].Name, all[2].Name), "3 default old prod")
		// Numbers go on where they are.
		same(t, addUser(t, s, Person{Name: "new"}, "").ID, 5)
		same(t, addProject(t, s, policy.Project{Name: "new"}).ID, 3)
		m := addMember(t, s, Member{Project: "payments", Name: "new", Role: "guest", Repositories: "payments/*"})
		same(t, m.ID, 4)

		// And back, with what the older schema has a place for.
		db, provider = gooseOn(t, s)
		defer db.Close()
		_, err = provider.DownTo(ctx, 1)
		must(t, err)
		var users, members int
		must(t, db.QueryRowContext(ctx, "SELECT COUNT(*) FROM users").Scan(&users))
		must(t, db.QueryRowContext(ctx, "SELECT COUNT(*) FROM members").Scan(&members))
		same(t, text(users, members), "4 3")
	})
}

func TestADatabaseWithoutLinksIsCarriedOver(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		liz := enroll(t, s, Person{Issuer: idp, Subject: "liz", Groups: []string{"team"}})
		alice := addUser(t, s, Person{Name: "alice", SystemAdmin: true}, "")
		team, err := s.CreateGroup(ctx, Group{Issuer: idp, Name: "team", DN: "cn=team"})
		must(t, err)
		must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID))
		db, provider := gooseOn(t, s)
		_, err = provider.DownTo(ctx, 3)
		must(t, err)
		must(t, db.Close())
		must(t, s.Close())

		s = open()
		got, err := s.GroupByID(ctx, "", team.ID)
		must(t, err)
		same(t, text(got), text(team))
		links, err := s.Links(ctx, "")
		must(t, err)
		same(t, len(links), 0)
		same(t, rolesOf(t, s, outside("liz", "cn=team"), "payments"), "[] false")
		must(t, s.LinkPerson(ctx, "", liz.ID, alice.ID))
		same(t, rolesOf(t, s, outside("liz", "cn=team"), "payments"), "[admin] false")
	})
}

// gooseOn is goose on the database of a store.
func gooseOn(t *testing.T, s *Store) (*sql.DB, *goose.Provider) {
	t.Helper()
	dialect, folder := goose.DialectSQLite3, "migrations/sqlite"
	driver, dsn := "sqlite", s.source.sqliteURL(time.Second, false)
	if s.source.postgres {
		dialect, folder, driver, dsn = goose.DialectPostgres, "migrations/postgres", "pgx", s.source.url
	}
	db, err := sql.Open(driver, dsn)
	must(t, err)
	files, err := fs.Sub(migrations, folder)
	must(t, err)
	p, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	must(t, err)
	return db, p
}
