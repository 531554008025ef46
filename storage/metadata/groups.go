package metadata

import (
	"context"
	"fmt"
	"time"
)

// Group is a group of people that an issuer tells of. Who belongs to it comes
// with each login; here it has a number and a place to hang roles on.
type Group struct {
	// ID is known by outside and is never given to another.
	ID        int64  `json:"id"`
	Workspace string `json:"workspace"`
	Issuer    string `json:"issuer"`
	Name      string `json:"name"`
	// DN is a directory's name for the group. A group that has one is recognised by
	// it, in lower case, and not by its name: two branches of a directory may
	// have a group of one name.
	DN string `json:"dn,omitempty"`
	// Admin says that whoever is in the group is an administrator of the workspace;
	// SetGroupAdmin changes it.
	Admin   bool      `json:"admin,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

// GroupQuery is a page of groups. It is sorted by id, name, issuer or created;
// by name and issuer without a key.
type GroupQuery struct {
	Page
	Name   Text
	Issuer string
	DN     string
}

const groupColumns = "workspace, id, issuer, name, dn, admin, created"

func scanGroup(scan func(...any) error) (g Group, err error) {
	var created int64
	err = scan(&g.Workspace, &g.ID, &g.Issuer, &g.Name, &g.DN, &g.Admin, &created)
	g.Created = fromMicros(created)
	return g, err
}

func (g Group) check() error {
	if err := checkIssuer(g.Issuer); err != nil {
		return err
	}
	if err := checkText("a group's DN", g.DN); err != nil {
		return err
	}
	return checkName("a group's name", g.Name)
}

// CreateGroup adds a group and answers it with its number. An issuer has one
// group of a name, another is policy.ErrConflict.
func (s *Store) CreateGroup(ctx context.Context, g Group) (Group, error) {
	g.Workspace, g.DN, g.Admin = workspaceOf(g.Workspace), lower(g.DN), false
	if g.Created.IsZero() {
		g.Created = time.Now()
	}
	if err := g.check(); err != nil {
		return Group{}, wrap(err, "create group %q", g.Name)
	}
	err := s.update(ctx, func(ctx context.Context, tx querier) (err error) {
		g, err = addGroup(ctx, tx, g)
		return err
	})
	if err != nil {
		return Group{}, wrap(err, "create group %q", g.Name)
	}
	g.Created = fromMicros(micros(g.Created))
	return g, nil
}

func addGroup(ctx context.Context, tx querier, g Group) (Group, error) {
	var err error
	if g.ID, err = number(ctx, tx, numberGroup); err != nil {
		return g, err
	}
	_, err = tx.exec(ctx, "INSERT INTO user_groups ("+groupColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7)",
		g.Workspace, g.ID, g.Issuer, g.Name, g.DN, g.Admin, micros(g.Created))
	return g, err
}

// UpdateGroup gives a group, found by its number, another name and DN. Its
// memberships go with it.
func (s *Store) UpdateGroup(ctx context.Context, g Group) error {
	g.Workspace, g.DN = workspaceOf(g.Workspace), lower(g.DN)
	err := s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		was, err := readGroup(ctx, tx, g.Workspace, byID+s.forUpdate(), g.ID)
		if err != nil {
			return nil, err
		}
		g.Issuer = was.Issuer
		if err := g.check(); err != nil {
			return nil, err
		}
		if _, err := tx.exec(ctx, "UPDATE user_groups SET name = $3, dn = $4 WHERE workspace = $1 AND id = $2",
			g.Workspace, g.ID, g.Name, g.DN); err != nil {
			return nil, err
		}
		projects, err := projectsChanged(ctx, tx, g.Workspace, `UPDATE members SET name = $5
			WHERE workspace = $1 AND kind = $2 AND issuer = $3 AND name = $4 RETURNING project`,
			g.Workspace, MemberGroup, g.Issuer, was.Name, g.Name)
		return append(projects, was.touched()...), err
	})
	return wrap(err, "update group %d", g.ID)
}

// DeleteGroup removes a group with its memberships.
func (s *Store) DeleteGroup(ctx context.Context, workspace string, id int64) error {
	workspace = workspaceOf(workspace)
	err := s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		g, err := readGroup(ctx, tx, workspace, byID+s.forUpdate(), id)
		if err != nil {
			return nil, err
		}
		if _, err := tx.exec(ctx, "DELETE FROM user_groups WHERE workspace = $1 AND id = $2", workspace, id); err != nil {
			return nil, err
		}
		projects, err := dropMember(ctx, tx, workspace, MemberGroup, g.Issuer, g.Name)
		return append(projects, g.touched()...), err
	})
	return wrap(err, "delete group %d", id)
}

// Groups answers a page of a workspace's groups and how many there are on all pages.
func (s *Store) Groups(ctx context.Context, workspace string, q GroupQuery) ([]Group, int, error) {
	l := &listing{
		columns: groupColumns, from: "user_groups", order: "name, issuer",
		sorts: map[string]string{"id": "id", "name": "name", "issuer": "issuer", "created": "created"},
	}
	l.equal("workspace", workspaceOf(workspace))
	l.equalIf("issuer", q.Issuer)
	l.equalIf("dn", lower(q.DN))
	l.text("name", q.Name)
	all, total, err := list(ctx, s, l, q.Page, scanGroup)
	return all, total, wrap(err, "list groups")
}

// GroupByID answers one group, or policy.ErrNotFound.
func (s *Store) GroupByID(ctx context.Context, workspace string, id int64) (Group, error) {
	g, err := readGroup(ctx, s.reads, workspaceOf(workspace), byID, id)
	return g, wrap(err, "group %d", id)
}

// GroupByName answers an issuer's group of a name, or policy.ErrNotFound.
func (s *Store) GroupByName(ctx context.Context, workspace, issuer, name string) (Group, error) {
	g, err := readGroup(ctx, s.reads, workspaceOf(workspace), groupByName, issuer, name)
	return g, wrap(err, "group %q of %s", name, issuer)
}

const groupByName = "issuer = $2 AND name = $3"

func readGroup(ctx context.Context, q querier, workspace, condition string, args ...any) (Group, error) {
	return scanGroup(q.row(ctx, "SELECT "+groupColumns+" FROM user_groups WHERE workspace = $1 AND "+condition,
		append([]any{workspace}, args...)...).Scan)
}

// holdGroup keeps a group from being deleted, and makes it when it is not there:
// a role may be given to a group before anybody of it was seen.
func (s *Store) holdGroup(ctx context.Context, tx querier, g Group) error {
	if err := g.check(); err != nil {
		return err
	}
	query := "SELECT 1 FROM user_groups WHERE workspace = $1 AND " + groupByName
	err := s.hold(ctx, tx, "group", query, g.Workspace, g.Issuer, g.Name)
	if !isNotFound(err) {
		return err
	}
	g.Created = time.Now()
	if _, err := addGroup(ctx, tx, g); err != nil {
		return fmt.Errorf("group %q: %w", g.Name, err)
	}
	return nil
}

func groupOf(m Member) Group { return Group{Workspace: m.Workspace, Issuer: m.Issuer, Name: m.Name} }
